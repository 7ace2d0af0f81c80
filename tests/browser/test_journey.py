"""A photographer's work, from an empty page to the exported files."""

from __future__ import annotations

import csv
import io
import json
import re
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from bestshot.orchestrator.v1 import orchestrator_pb2 as pb
from playwright.sync_api import BrowserContext, Locator, Page, expect

from tests.browser.conftest import System, make_shots, open_tab
from tests.waiting import wait_until

Shoot = Callable[[Page, str], None]


def newest_run(system: System) -> pb.Run:
    return system.stub.ListRuns(pb.ListRunsRequest(page_size=1)).runs[0]


def images_of(system: System, run_id: str) -> dict[str, pb.ImageResult]:
    request = pb.ListImagesRequest(run_id=run_id, page_size=1000)
    return {image.path: image for image in system.stub.ListImages(request).images}


def card(page: Page, path: str) -> Locator:
    return page.locator(f".card[data-photo='{path}']")


def moment_with(page: Page, path: str) -> Locator:
    return page.locator(".moment", has=card(page, path))


def set_slider(page: Page, label: str, value: str) -> None:
    """Types into the number field beside a slider in the open tab."""
    field = page.get_by_role("spinbutton", name=f"number input for {label}")
    field.locator("visible=true").first.fill(value)
    field.locator("visible=true").first.press("Enter")
    field.locator("visible=true").first.blur()


def decide(page: Page, key: str, path: str, badge: str) -> None:
    page.keyboard.press(key)
    expect(card(page, path).locator(".badge")).to_have_text(badge)


def test_the_whole_journey(
    context: BrowserContext, page: Page, system: System, shoot: Shoot
) -> None:
    photos = system.folder / "weekend"
    make_shots(photos)

    page.goto(system.url)
    expect(page.get_by_text("No albums yet")).to_be_visible()
    expect(page.get_by_text("heuristics").first).to_be_visible()
    shoot(page, "albums-empty")

    page.get_by_label("Folder of photos").fill("/etc")
    page.get_by_role("button", name="Create album from folder").click()
    expect(page.get_by_text("is not in any of the allowed roots")).to_be_visible()
    page.get_by_label("Folder of photos").fill(str(photos))
    page.get_by_role("button", name="Create album from folder").click()
    expect(page.locator(".album-card")).to_have_count(1)
    shoot(page, "albums")

    open_tab(page, "Run")
    expect(page.get_by_text("This album has no runs yet")).to_be_visible()
    page.get_by_role("button", name="Start run").click()
    expect(page.locator(".progress .stage").first).to_be_visible()
    expect(page.locator(".progress.completed")).to_be_visible()
    shoot(page, "run")
    run = newest_run(system)
    assert run.state == pb.RUN_STATE_COMPLETED
    images = images_of(system, run.id)
    assert len(images) == 16

    open_tab(page, "View Results")
    expect(page.locator(".card")).to_have_count(16)
    expect(page.locator(".card.taken")).to_have_count(run.summary.selected_count)
    titles = page.locator(".moment h3").all_inner_texts()
    assert titles[-1].startswith("Unreadable files")
    assert sum(title.startswith("Moment") for title in titles) == run.summary.cluster_count
    for moment in page.locator(".moment").all()[: run.summary.cluster_count]:
        expect(moment.locator(".card").first).to_have_class(re.compile("taken"))
    scores = card(page, "astronaut-1.jpg").locator(".scores").inner_text()
    astronaut = images["astronaut-1.jpg"]
    assert scores == (
        f"IQA: {astronaut.quality.iqa_score:.2f} | AVA: {astronaut.quality.ava_score:.1f} | "
        f"Sharp: {astronaut.quality.sharpness:.2f} | Score: {astronaut.composite_score:.2f}"
    )
    expect(card(page, "astronaut-1.jpg").locator(".faces")).to_contain_text("1 face | eyes open")
    page.wait_for_function(
        "[...document.querySelectorAll('.card img')].slice(0, 4).every(i => i.naturalWidth > 0)"
    )
    shoot(page, "results")

    # an album's card shows its best photo
    open_tab(page, "Albums")
    expect(page.locator(".album-card .cover img")).to_have_js_property("complete", True)
    assert page.locator(".album-card .cover img").evaluate("cover => cover.naturalWidth") > 0
    expect(page.locator(".album-card")).to_contain_text(
        f"{run.summary.selected_count} of 16 photos selected"
    )
    open_tab(page, "View Results")

    # the detail view of a photo, beside the one that it lost to
    lost = next(image for image in images.values() if image.lost_to_path and image.faces)
    card(page, lost.path).locator("img").click()
    expect(page.locator(".detail .reason")).to_have_text(lost.reason)
    expect(page.locator(".detail .shot")).to_have_count(2)
    expect(page.locator(".detail .shot").nth(1)).to_contain_text(lost.lost_to_path)
    expect(page.locator(".detail .shot").first.locator(".face")).to_have_count(len(lost.faces))
    page.wait_for_function(
        "[...document.querySelectorAll('.shot img')].every(i => i.naturalWidth > 400)"
    )
    overflow = "aside => aside.scrollWidth - aside.clientWidth"
    assert page.locator(".detail aside").evaluate(overflow) == 0
    page.get_by_role("button", name="Ask the Siamese model").click()
    told = float(page.locator(".probability b").inner_text())
    compared = system.stub.CompareImages(
        pb.CompareImagesRequest(run_id=run.id, first_path=lost.path, second_path=lost.lost_to_path)
    )
    assert told == pytest.approx(compared.first_better_probability, abs=5e-4)
    shoot(page, "detail")
    page.locator(".detail .canvas").first.click()
    expect(page.locator(".detail.zoomed")).to_be_visible()
    scales = page.locator(".detail .pan").evaluate_all(
        "pans => pans.map(p => getComputedStyle(p).transform)"
    )
    assert len(set(scales)) == 1
    page.get_by_role("button", name="Show the numbers").click()
    why = page.locator(".why:not(.soft)")
    expect(why).to_contain_text(re.compile(r"Score 0\.\d{4} = 0\.3 x 0\."))
    expect(why).to_contain_text("Most similar: ")
    shoot(page, "why")
    page.locator(".beside input").fill("rocket-1.jpg")
    page.get_by_role("button", name="Compare").click()
    expect(page.locator(".detail .shot").nth(1)).to_contain_text("rocket-1.jpg")
    # its address returns to it, Back closes it, and Tab stays in it
    page.wait_for_url(f"**photo={lost.path}*")
    page.reload()
    expect(page.locator(".detail .reason")).to_have_text(lost.reason)
    for _ in range(3):
        page.keyboard.press("Shift+Tab")
        assert page.evaluate("document.activeElement.closest('.detail') !== null")
    page.go_back()
    expect(page.locator(".detail")).to_have_count(0)
    expect(page.locator(".card")).to_have_count(16)

    # keep and reject by keyboard, then undo each
    rejected = next(image for image in images.values() if image.is_selected)
    card(page, rejected.path).locator(".name").click()
    expect(page.locator(".detail")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator(".detail")).to_have_count(0)
    decide(page, "x", rejected.path, "rejected")
    after = images_of(system, run.id)[rejected.path]
    assert after.reason_code == pb.REASON_CODE_USER_REJECT
    assert not after.is_selected
    decide(page, "u", rejected.path, "selected")
    assert images_of(system, run.id) == images
    decide(page, "x", rejected.path, "rejected")
    page.keyboard.press("ArrowRight")
    kept = page.locator(".card.focused").get_attribute("data-photo")
    assert kept is not None
    assert kept != rejected.path
    decide(page, "k", kept, "kept")
    shoot(page, "decided")

    # keys that are pressed faster than they are handled all count, in order
    log_request = pb.ListDecisionsRequest(album_id=run.album_id, page_size=1)
    logged = system.stub.ListDecisions(log_request).total_count
    for key in ("x", "ArrowRight", "k", "ArrowRight", "x", "u", "u", "u"):
        page.keyboard.press(key)
    expect(card(page, kept).locator(".badge")).to_have_text("kept")
    decided = pb.ListImagesRequest(run_id=run.id, filters=[pb.IMAGE_FILTER_DECIDED])

    def decisions() -> dict[str, int]:
        return {image.path: image.decision for image in system.stub.ListImages(decided).images}

    wait_until(lambda: system.stub.ListDecisions(log_request).total_count == logged + 6)
    assert decisions() == {rejected.path: pb.DECISION_REJECT, kept: pb.DECISION_KEEP}

    # in the detail view too, a key applies to the photo that the previous arrow key moved to
    card(page, "coffee-1.jpg").locator(".name").click()
    expect(page.locator(".detail[data-photo='coffee-1.jpg']")).to_be_visible()
    following = page.locator(".card").evaluate_all("all => all.map(card => card.dataset.photo)")
    after_coffee = following[following.index("coffee-1.jpg") + 1]
    page.keyboard.press("ArrowRight")
    page.keyboard.press("x")
    expect(page.locator(f".detail[data-photo='{after_coffee}'] .badge").first).to_have_text(
        "rejected"
    )
    page.keyboard.press("u")
    expect(card(page, after_coffee).locator(".badge")).not_to_have_text("rejected")
    page.keyboard.press("Escape")
    expect(page.locator(".detail")).to_have_count(0)

    # a photo that the algorithm put into the wrong moment is moved to the right one, and back
    def moment_of(path: str) -> set[str]:
        listed = images_of(system, run.id)
        same = listed[path].cluster_id
        return {other for other, image in listed.items() if image.cluster_id == same}

    coffee = moment_of("coffee-1.jpg")
    card(page, "coffee-2.jpg").locator(".mark").click()
    page.keyboard.press("s")
    expect(moment_with(page, "coffee-2.jpg").locator(".card")).to_have_count(1)
    page.keyboard.press("m")
    expect(page.locator(".marked")).to_contain_text("1 marked")
    shoot(page, "marked")
    moment_with(page, "chelsea-1.jpg").get_by_text("Move here").click()
    expect(moment_with(page, "chelsea-1.jpg").locator("[data-photo='coffee-2.jpg']")).to_have_count(
        1
    )
    assert "chelsea-1.jpg" in moment_of("coffee-2.jpg")
    page.keyboard.press("u")
    page.keyboard.press("u")
    expect(moment_with(page, "coffee-1.jpg").locator("[data-photo='coffee-2.jpg']")).to_have_count(
        1
    )
    assert moment_of("coffee-1.jpg") == coffee

    # the log lists everything, and any entry can be undone
    open_tab(page, "Decisions")
    log = page.locator(".decisions tr")
    expect(log.first).to_contain_text("undo: split off coffee-2.jpg")
    keeping = page.locator(".decisions tr", has_text=f"keep {kept}").filter(has_text="Undo")
    expect(keeping).to_have_count(1)
    keeping.get_by_role("button", name="Undo").click()
    expect(log.first).to_contain_text(f"undo: keep {kept}")
    shoot(page, "log")
    assert decisions() == {rejected.path: pb.DECISION_REJECT}
    log.first.get_by_role("button", name="Undo").click()
    expect(log.first).to_contain_text(f"undo: undo: keep {kept}")
    assert decisions() == {rejected.path: pb.DECISION_REJECT, kept: pb.DECISION_KEEP}
    open_tab(page, "View Results")

    # a second tab and a reload show the same
    second = context.new_page()
    second.goto(system.url)
    open_tab(second, "View Results")
    expect(card(second, rejected.path).locator(".badge")).to_have_text("rejected")
    second.close()

    # filters and sort orders
    page.get_by_label("Show", exact=True).locator("visible=true").first.click()
    page.get_by_role("option", name=re.compile("Unreadable")).click()
    expect(page.locator(".card")).to_have_count(1)
    expect(card(page, "letter.jpg")).to_contain_text("not an image")
    page.get_by_label("Show", exact=True).locator("visible=true").first.click()
    page.get_by_role("option", name=re.compile("All photos")).click()
    expect(page.locator(".card")).to_have_count(16)
    page.get_by_label("Sort by").click()
    page.get_by_role("option", name="Composite score").click()
    best = max(images.values(), key=lambda image: image.composite_score)
    expect(page.locator(".card").first).to_have_attribute("data-photo", best.path)

    # what if only one photo of every moment were kept
    open_tab(page, "What if")
    set_slider(page, "Maximum photos per moment", "1")
    expect(page.locator(".changes .headline")).to_contain_text("gained")
    shoot(page, "what-if")
    page.get_by_role("button", name="Apply").click()
    expect(page.get_by_role("tab", name="View Results")).to_have_attribute("aria-selected", "true")
    again = newest_run(system)
    assert again.source_run_id == run.id
    chosen = page.get_by_role("combobox", name="Run", exact=True).locator("option:checked")
    expect(chosen).to_have_text(re.compile("reselected"))
    reselected = images_of(system, again.id)
    assert reselected[rejected.path].reason_code == pb.REASON_CODE_USER_REJECT
    assert reselected[kept].reason_code == pb.REASON_CODE_USER_KEEP

    # comparison with the run that it was made from
    open_tab(page, "Compare")
    expect(page.locator(".diff table").first).to_contain_text("Maximum photos per moment")
    lost = [
        path
        for path, image in images_of(system, run.id).items()
        if image.is_selected and not reselected[path].is_selected
    ]
    assert lost
    expect(page.locator(".diff .strip button.lost")).to_have_count(len(lost))
    shoot(page, "compare")
    page.reload()
    expect(page.locator(".diff .strip button.lost")).to_have_count(len(lost))

    # the table, and the files behind it
    open_tab(page, "Metrics Table")
    expect(page.locator(".metrics tbody tr:not(.because)")).to_have_count(16)
    page.get_by_role("button", name="Composite", exact=True).click()
    expect(page.locator(".metrics tbody tr:not(.because)").first).to_have_attribute(
        "data-photo", best.path
    )
    shoot(page, "metrics")
    page.get_by_text("Score distributions").scroll_into_view_if_needed()
    expect(page.locator(".chart")).to_have_count(18)
    page.locator(".charts").scroll_into_view_if_needed()
    shoot(page, "charts")
    focus = [image for image in reselected.values() if 0.3 <= image.quality.focus_score <= 0.9]
    page.get_by_label("With", exact=True).locator("visible=true").first.click()
    page.get_by_role("option", name="Focus").click()
    page.get_by_label("from", exact=True).fill("0.3")
    page.get_by_label("to", exact=True).fill("0,9")
    page.get_by_label("to", exact=True).press("Enter")
    expect(page.locator(".metrics tbody tr:not(.because)")).to_have_count(len(focus))
    page.get_by_label("With", exact=True).locator("visible=true").first.click()
    page.get_by_role("option", name="any score").click()
    expect(page.locator(".metrics tbody tr:not(.because)")).to_have_count(16)
    page.get_by_label("Search names and reasons").fill("coffee")
    page.get_by_label("Search names and reasons").press("Enter")
    expect(page.locator(".metrics tbody tr:not(.because)")).to_have_count(4)
    with page.expect_download() as downloading:
        page.get_by_text("Table (CSV)").locator("visible=true").first.click()
    rows = list(csv.DictReader(io.StringIO(downloading.value.path().read_bytes().decode())))
    assert {row["Path"] for row in rows} == set(reselected)
    for row in rows:
        image = reselected[row["Path"]]
        assert (row["Status"] == "selected") == image.is_selected
        assert row["Reason"] == image.reason
        if image.status == pb.IMAGE_STATUS_SCORED:
            assert float(row["Composite"]) == image.composite_score
            assert float(row["AVA"]) == image.quality.ava_score
            assert len(json.loads(row["Face_Yaws"] or "[]")) == len(image.faces)

    open_tab(page, "Export")
    shoot(page, "export")
    with page.expect_download() as downloading:
        page.get_by_text("Selected photos (zip)").click()
    with zipfile.ZipFile(downloading.value.path()) as archive:
        names = {name for name in archive.namelist() if name.endswith(".jpg")}
    assert names == {path for path, image in reselected.items() if image.is_selected}
    target = system.folder / "out"
    page.get_by_placeholder("~/Pictures/trip-best").fill(str(target))
    page.get_by_role("button", name="Write").click()
    expect(page.get_by_text("Wrote to")).to_be_visible()
    copied = {path.name for path in (target / "selected").iterdir()}
    assert copied == names

    open_tab(page, "Models")
    expect(page.locator(".model")).to_have_count(4)
    expect(page.locator(".model .path").first).to_have_text(run_digest(system, run.id))
    shoot(page, "models")

    open_tab(page, "Run")
    count = len(system.stub.ListRuns(pb.ListRunsRequest()).runs)
    page.get_by_text("Delete the selected run").click()
    page.get_by_label("Yes, delete this run").check()
    page.get_by_role("button", name="Delete run").click()
    expect(page.get_by_label("Yes, delete this run")).not_to_be_checked()
    assert len(system.stub.ListRuns(pb.ListRunsRequest()).runs) == count - 1

    open_tab(page, "Albums")
    page.get_by_text("Rename or delete the selected album").click()
    page.get_by_label("New name").fill("A weekend in space")
    page.get_by_role("button", name="Rename", exact=True).click()
    expect(page.locator(".albums")).to_contain_text("A weekend in space")
    page.get_by_label("Yes, delete it").check()
    page.get_by_role("button", name="Delete", exact=True).click()
    expect(page.get_by_text("No albums yet")).to_be_visible()
    assert len(list(photos.iterdir())) == 16


def run_digest(system: System, run_id: str) -> str:
    return system.stub.GetRun(pb.GetRunRequest(run_id=run_id)).run.models["embedding"].digest


def drop(page: Page, path: Path) -> None:
    """Drops a file or folder of this machine onto the page, as a file manager does."""
    page.locator(".drop").scroll_into_view_if_needed()
    box = page.locator(".drop").bounding_box()
    assert box is not None
    data = {"items": [], "files": [str(path)], "dragOperationsMask": 1}
    browser = page.context.new_cdp_session(page)
    for kind in ("dragEnter", "dragOver", "drop"):
        event = {"type": kind, "x": box["x"] + 40, "y": box["y"] + 20, "data": data}
        browser.send("Input.dispatchDragEvent", event)


def test_a_folder_is_dropped_and_photos_are_chosen(page: Page, system: System) -> None:
    folder = system.folder / "Norway"
    make_shots(folder / "day 1")
    (folder / ".hidden.jpg").write_text("")
    (folder / "day 1" / "coffee-1.xmp").write_text("<x:xmpmeta xmlns:x='adobe:ns:meta/'/>")
    (folder / "notes.txt").write_text("Bergen")
    page.goto(system.url)
    open_tab(page, "Albums")
    drop(page, folder / "notes.txt")
    expect(page.locator(".drop .state")).to_have_text("These files are not photos.")
    drop(page, folder)
    expect(page.locator(".drop .summary")).to_contain_text("17 files")
    expect(page.locator(".drop .left-out")).to_have_text("2 other files will be left out.")
    page.get_by_role("button", name="Create album from upload").click()
    expect(page.get_by_text("Added 16 photos to Norway")).to_be_visible()
    made = system.stub.ListAlbums(pb.ListAlbumsRequest()).albums[-1]
    expect(page.locator(".album-card.chosen")).to_contain_text("Norway")
    stored = {path.name for path in (Path(made.folder) / "day 1").iterdir()}
    assert stored == {path.name for path in (folder / "day 1").iterdir()}
    assert made.display_name == "Norway"

    files = [folder / "day 1" / f"coffee-{number}.jpg" for number in (1, 2)]
    page.locator(".drop input.photos").set_input_files(files)
    page.get_by_role("button", name="Create album from upload").click()
    expect(page.get_by_text("Added 2 photos to Upload of")).to_be_visible()
    for album in system.stub.ListAlbums(pb.ListAlbumsRequest()).albums[-2:]:
        system.stub.DeleteAlbum(pb.DeleteAlbumRequest(album_id=album.id))
