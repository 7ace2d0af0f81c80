"""The Cull view: every key counts, even if servers fail in the meantime."""

from __future__ import annotations

import dataclasses
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np
import pytest
from bestshot.orchestrator.v1 import orchestrator_pb2 as pb
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from orchestrator.storage.database import open_database
from tests.browser.conftest import DESKTOP, PHONE
from tests.browser.culling import SHOT_COUNT, Made, make_run
from tests.conftest import draw_picture
from tests.integration.parts import Orchestrator, Part
from tests.unit.values import face

KEEP, REJECT = pb.DECISION_KEEP, pb.DECISION_REJECT
KEYS = {"k": KEEP, "x": REJECT}
HIDE = """(hidden) => {
  Object.defineProperty(document, "hidden", { value: hidden, writable: true });
  document.dispatchEvent(new Event("visibilitychange"));
}"""


@dataclass(frozen=True)
class Culling:
    """A UI and an orchestrator that can be killed, with prepared runs and no model services."""

    ui: Part
    orchestrator: Orchestrator
    runs: dict[str, Made]
    base: Path

    def open(self, page: Page, name: str, query: str = "") -> Made:
        """Opens the view of a run, and waits until it takes keys."""
        made = self.runs[name]
        page.goto(f"http://{self.ui.address}/{made.address}{query}")
        page.locator("body.ready").wait_for()
        return made

    def decisions(self, name: str) -> dict[str, int]:
        """Returns the stored decision on each photo."""
        request = pb.ListImagesRequest(
            run_id=self.runs[name].run_id, page_size=1000, filters=[pb.IMAGE_FILTER_DECIDED]
        )
        return {
            image.path: image.decision
            for image in self.orchestrator.stub.ListImages(request).images
        }

    def log(self, name: str) -> list[pb.DecisionEntry]:
        """Returns the album's whole log."""
        request = pb.ListDecisionsRequest(album_id=self.runs[name].album_id, page_size=1000)
        return list(self.orchestrator.stub.ListDecisions(request).entries)


def picture(width: int, height: int) -> bytes:
    target = io.BytesIO()
    Image.fromarray(draw_picture(1, width, height)).save(target, "JPEG")
    return target.getvalue()


@pytest.fixture(scope="module")
def culling(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Culling]:
    base = tmp_path_factory.mktemp("cull")
    small, large = picture(60, 40), picture(2400, 1600)
    orchestrator = Orchestrator(base / "orchestrator", {}, base)
    (base / "orchestrator" / "data").mkdir(parents=True)
    engine = open_database(base / "orchestrator" / "data")
    sizes = {"keys": 60, "killed": 8, "hundred": 100, "few": 3, "two": 1, "marks": 1, "moments": 3}
    runs = {
        name: make_run(engine, base / name, name, count, small) for name, count in sizes.items()
    }
    runs["large"] = make_run(engine, base / "large", "large", 1, large)
    # sharper shots are less pretty, so that all shots of a moment have about the same score
    runs["pairs"] = make_run(engine, base / "pairs", "pairs", 6, small, ava_step=0.45)
    people = (
        (face(left=0.6), face(left=0.1, eyes_score=0.0)),
        (face(left=0.15), face(left=0.55, width=0.01, height=0.01)),
    )
    runs["faces"] = make_run(
        engine, base / "faces", "faces", 1, large, faces=(*people, (face(left=0.6),), (), ())
    )
    engine.dispose()
    ui = Part("ui", base / "ui", settings={"orchestrator_address": orchestrator.address})
    try:
        orchestrator.start()
        ui.start()
        yield Culling(ui, orchestrator, runs, base)
    finally:
        ui.stop()
        orchestrator.stop()


def expect_saved(page: Page) -> None:
    expect(page.locator("#saving")).to_have_text("Saved")


def test_each_key_decides_one_photo_however_fast_keys_are_pressed(
    page: Page, culling: Culling
) -> None:
    made = culling.open(page, "keys")
    assert len(made.paths) == 300
    assert 0 < len(made.picked) < len(made.paths)
    # overrule the algorithm in the first moments, and agree with it in the others
    wanted = {
        path: ("x" if (path in made.picked) == (number < 100) else "k")
        for number, path in enumerate(made.paths)
    }
    for path in made.paths[:150]:
        page.keyboard.press(wanted[path])
    page.keyboard.press("a")  # from here on, only arrow keys move to the next photo
    for path in made.paths[150:]:
        page.keyboard.press(wanted[path])
        page.keyboard.press("ArrowRight")
    expect(page.locator("#undecided")).to_have_text("0 undecided")
    expect_saved(page)
    assert culling.decisions("keys") == {path: KEYS[key] for path, key in wanted.items()}
    log = culling.log("keys")
    assert [entry.photos[0].path for entry in log] == made.paths
    assert all(len(entry.photos) == 1 for entry in log)


def test_nothing_is_lost_or_duplicated_when_servers_are_killed(
    page: Page, culling: Culling
) -> None:
    made = culling.open(page, "killed")
    saving = page.locator("#saving")
    for number, path in enumerate(made.paths):
        if number == 10:
            culling.orchestrator.kill()
        if number == 20:
            expect(saving).to_contain_class("problem")
            expect(page.locator("#notice")).to_contain_text("not saved yet; trying again")
            culling.ui.kill()
            culling.orchestrator.start()
        if number == 30:
            culling.ui.start()
        page.keyboard.press("k" if path.endswith("-3.jpg") else "x")
    expect(page.locator("#undecided")).to_have_text("0 undecided")
    expect_saved(page)
    log = culling.log("killed")
    assert [entry.photos[0].path for entry in log] == made.paths
    assert {path for path, decision in culling.decisions("killed").items() if decision == KEEP} == {
        path for path in made.paths if path.endswith("-3.jpg")
    }


def test_a_hundred_moments_take_two_hundred_keys(page: Page, culling: Culling) -> None:
    made = culling.open(page, "hundred")
    expect(page.locator("#place")).to_have_text("Moment 1 of 100")
    pressed = 0
    for moment in range(100):
        if moment % 2:  # the second shot instead of the pick
            page.keyboard.press("ArrowRight")
            page.keyboard.press("Shift+K")
            pressed += 2
        else:
            page.keyboard.press("Space")
            pressed += 1
    assert pressed <= 200
    expect_saved(page)
    kept = {made.paths[SHOT_COUNT * moment + moment % 2] for moment in range(100)}
    assert culling.decisions("hundred") == {
        path: KEEP if path in kept else REJECT for path in made.paths
    }
    assert len(culling.log("hundred")) == 200


def test_decisions_are_undone_and_an_address_returns_to_the_photo(
    page: Page, culling: Culling
) -> None:
    made = culling.open(page, "few")
    current = page.locator("#shots figure.current")
    for key in ("k", "ArrowDown", "Space", "x"):
        page.keyboard.press(key)
    expect(page.locator("#undecided")).to_have_text("8 undecided")
    for key in ("u", "u", "Shift+U", "Control+z", "u"):
        page.keyboard.press(key)
    expect(current).to_have_attribute("data-path", made.paths[0])
    expect(page.locator("#undecided")).to_have_text("15 undecided")
    expect_saved(page)
    assert not culling.decisions("few")

    # after the pick is rejected, the accepted pick is the one that the algorithm chooses next
    page.keyboard.press("x")
    page.keyboard.press("Space")
    expect(page.locator("#undecided")).to_have_text("10 undecided")
    expect_saved(page)
    kept = [path for path, decision in culling.decisions("few").items() if decision == KEEP]
    assert kept == [made.paths[1]]

    page.keyboard.press("End")
    page.keyboard.press("ArrowRight")
    expect(current).to_have_attribute("data-path", made.paths[11])
    page.wait_for_url(f"**photo={made.paths[11]}")
    page.reload()
    expect(current).to_have_attribute("data-path", made.paths[11])
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keyboard shortcuts")).to_be_visible()
    page.keyboard.press("x")
    page.keyboard.press("Escape")
    assert len(culling.decisions("few")) == SHOT_COUNT

    # keys that Lightroom's users try
    for key, count in (("n", 5), ("c", 2), ("e", 1)):
        page.keyboard.press(key)
        expect(page.locator("#shots figure")).to_have_count(count)
    page.keyboard.press("g")
    page.wait_for_url(f"**/{made.address.replace('cull', 'grid')}*")


def test_stars_and_labels_are_given_and_taken_back_by_keys(page: Page, culling: Culling) -> None:
    made = culling.open(page, "marks")
    star = page.get_by_role("group", name="Stars").get_by_role("button", name="5 stars")
    for key in ("4", "9", "ArrowRight", "2", "0", "6", "6", "5", "u"):
        page.keyboard.press(key)
    expect(page.locator("#undecided")).to_have_text("5 undecided")
    expect(page.locator("#announcer")).to_have_text(re.compile("001-2.jpg"))
    star.click()
    expect(page.get_by_role("button", name="Remove the stars")).to_be_visible()
    expect_saved(page)
    images = culling.orchestrator.stub.ListImages(pb.ListImagesRequest(run_id=made.run_id)).images
    marked = {image.path: (image.user_mark.stars, image.user_mark.label) for image in images}
    assert marked == dict.fromkeys(made.paths, (0, "")) | {
        made.paths[0]: (4, "blue"),
        made.paths[1]: (5, ""),
    }
    page.reload()
    first = page.locator(f"#strip [data-path='{made.paths[0]}']")
    expect(first).to_have_accessible_name("001-1.jpg, Pick, 4 stars, blue label")


def test_moments_are_split_merged_and_moved_and_a_search_finds_photos(
    page: Page, culling: Culling
) -> None:
    made = culling.open(page, "moments")
    place = page.locator("#place")
    current = page.locator("#shots figure.current")

    def shots_by_moment() -> list[list[str]]:
        request = pb.ListImagesRequest(run_id=made.run_id)
        found: dict[int, list[str]] = {}
        for image in culling.orchestrator.stub.ListImages(request).images:
            found.setdefault(image.cluster_id, []).append(image.path)
        return [found[number] for number in sorted(found)]

    before = shots_by_moment()
    other = page.context.new_page()
    other.goto(page.url.replace("/cull/", "/grid/"))
    other.locator("body.ready").wait_for()
    for key in ("s", "ArrowRight", "ArrowRight", "s"):  # the first shot has nothing before it
        page.keyboard.press(key)
    expect(place).to_have_text("Moment 2 of 4")
    page.keyboard.press("m")
    expect(place).to_have_text("Moment 2 of 3")
    page.keyboard.press("Shift+ArrowUp")
    expect(place).to_have_text("Moment 1 of 3")
    thumb = "#strip [data-path='{}']"
    page.drag_and_drop(thumb.format("001-1.jpg"), thumb.format("001-4.jpg"))
    expect(page.locator("#notice")).to_contain_text("Moved")
    expect_saved(page)
    changed = [["001-2.jpg", "001-3.jpg"], ["001-1.jpg", *made.paths[3:10]], made.paths[10:]]
    assert sorted(shots_by_moment()) == sorted(changed)
    expect(page.locator("#regrouped")).to_be_hidden()
    own = other.locator(".tile[data-path='001-2.jpg']")
    expect(own).to_be_visible()  # the order has not changed
    other.get_by_role("button", name="Reload moments").click()
    expect(other.get_by_text("Moment 1 8 shots")).to_be_visible()
    other.close()
    page.keyboard.press("Space")  # accepts what is picked in the moments as they are now
    expect_saved(page)
    assert sorted(culling.decisions("moments")) == changed[0]
    for _ in range(5):
        page.keyboard.press("u")
    expect(place).to_have_text(re.compile("of 3"))
    expect_saved(page)
    assert shots_by_moment() == before
    assert not culling.decisions("moments")

    page.set_viewport_size(PHONE)  # type: ignore[arg-type]
    page.get_by_role("button", name="Group").click()
    page.get_by_role("button", name="Merge with next moment").click()
    expect(place).to_have_text(re.compile("of 2"))
    page.get_by_role("button", name="Undo").click()
    expect(place).to_have_text(re.compile("of 3"))
    expect_saved(page)
    page.set_viewport_size(DESKTOP)  # type: ignore[arg-type]

    page.keyboard.press("/")
    page.keyboard.type("05-17 003-5")
    expect(page.locator("#found-count")).to_have_text("1 found")
    page.keyboard.press("Enter")
    expect(current).to_have_attribute("data-path", "003-5.jpg")
    expect(page.locator("#undecided")).to_have_text("15 undecided")


def test_the_faces_strip_matches_faces_by_place_and_says_what_it_cannot_tell(
    page: Page, culling: Culling
) -> None:
    made = culling.open(page, "faces")
    page.keyboard.press("f")
    strip = page.get_by_role("region", name="Faces in this moment")
    names = strip.get_by_role("button").evaluate_all("all => all.map(one => one.ariaLabel)")
    assert sorted(names) == [
        "Face 1 in 001-1.jpg: eyes closed, smiling",
        "Face 1 in 001-2.jpg: eyes open, smiling",
        "Face 2 in 001-1.jpg: eyes open, smiling",
        "Face 2 in 001-2.jpg: eyes: unknown, smile: unknown",
        "Face 2 in 001-3.jpg: eyes open, smiling",
    ]
    expect(strip.locator("canvas").first).to_have_attribute("width", "256")
    row = f"http://{culling.ui.address}/photos/{made.run_id}/64/001-1.jpg?faces=1"
    assert Image.open(io.BytesIO(httpx.get(row).content)).size == (128, 64)
    without = row.replace("001-1", "001-5")
    assert httpx.get(without).status_code == 404
    page.keyboard.press("c")
    strip.get_by_role("button").last.press("Enter")
    current = page.locator("#shots figure.current")
    expect(current).to_have_attribute("data-path", "001-3.jpg")
    expect(current.locator(".percent")).to_have_text("100%")
    shots = page.locator("#shots figure > img")
    parts = shots.evaluate_all("all => all.map(one => one.style.transform)")
    assert len(parts) == 2
    assert parts[0] != parts[1], "each shows its own face on the right"
    page.keyboard.press("Escape")
    page.keyboard.press("f")
    expect(strip).to_be_hidden()


def test_100_percent_zoom_is_exact_and_stays_from_shot_to_shot(
    page: Page, culling: Culling
) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    made = culling.open(page, "large")
    percent = page.locator("#shots figure.current .percent")
    expect(percent).to_have_text(re.compile(r"Fit \d\d%"))
    image = page.locator("#shots figure.current > img")
    expect(image).to_have_js_property("naturalWidth", 2048)
    page.keyboard.press("z")
    expect(percent).to_have_text("100%")
    shown = image.evaluate("image => image.getBoundingClientRect().width * devicePixelRatio")
    assert shown == 2400
    expect_original(page, culling.base / "large" / made.paths[0])
    tiles = {url for url in asked if "/tiles/" in url and made.paths[0] in url}
    assert 0 < len(tiles) < 20, "only those in view and next to it, of 5 x 4"
    assert not [url for url in asked if "/65500/" in url]
    page.keyboard.press("k")
    expect(percent).to_have_text("100%")
    expect_original(page, culling.base / "large" / made.paths[1])

    # the point under the mouse does not move, and both shots show the same part
    page.keyboard.press("c")
    page.mouse.move(300, 300)
    for _ in range(2):
        page.mouse.wheel(0, -300)
    expect(percent).not_to_have_text("100%")
    shots = page.locator("#shots figure > img")
    parts = shots.evaluate_all("all => all.map(one => one.style.transform)")
    assert len(parts) == 2
    assert parts[0] == parts[1] != ""
    page.keyboard.press("Escape")
    expect(percent).to_have_text(re.compile(r"Fit \d\d%"))
    expect(page.locator(".tiles img")).to_have_count(0)

    # without the original, the preview stays, and the page says why
    (culling.base / "large" / made.paths[4]).write_bytes(picture(90, 60))
    page.keyboard.press("End")
    for _ in range(4):
        page.keyboard.press("ArrowRight")
    page.keyboard.press("z")
    expect(page.locator("#notice")).to_have_text(
        re.compile("001-5.jpg cannot be shown at full size: .*has changed since it was scored")
    )
    expect(page.locator("#shots figure.current.incomplete-tiles > img")).to_be_visible()


def expect_original(page: Page, path: Path) -> None:
    """Waits for the tiles, and compares the middle of the shot with the middle of the file."""
    figure = page.locator("#shots figure.current")
    page.wait_for_function(
        """() => {
          const figure = document.querySelector("#shots figure.current");
          const { x, y, width, height } = figure.getBoundingClientRect();
          const tiles = [...figure.querySelectorAll(".tiles img")];
          const covered = (left, top) => tiles.some((tile) => {
            const box = tile.getBoundingClientRect();
            return box.left <= left && left <= box.right && box.top <= top && top <= box.bottom;
          });
          const [left, top] = [x + width / 2, y + height / 2];
          return [-50, 50].every((dx) => [-50, 50].every((dy) => covered(left + dx, top + dy)));
        }"""
    )
    box = figure.bounding_box()
    assert box
    left, top = round(box["x"] + box["width"] / 2) - 50, round(box["y"] + box["height"] / 2) - 50
    clip = {"x": left, "y": top, "width": 100, "height": 100}
    seen = Image.open(io.BytesIO(page.screenshot(clip=clip)))  # type: ignore[arg-type]
    with Image.open(path) as original:
        middle = original.crop((1150, 750, 1250, 850))
    difference = np.asarray(seen.convert("RGB")).astype(int) - np.asarray(middle)
    assert np.abs(difference).mean() < 8


def test_two_people_see_each_others_decisions_at_once(
    browser: Browser, culling: Culling, tmp_path: Path
) -> None:
    password = tmp_path / "password"
    password.write_text("correct horse\n")
    settings = {
        "orchestrator_address": culling.orchestrator.address,
        "username": "ansel",
        "password_file": str(password),
    }
    other_ui = Part("ui", tmp_path / "ui", settings=settings)
    credentials = {"username": "ansel", "password": "correct horse"}
    try:
        other_ui.start()
        first = browser.new_page()
        second = browser.new_page(http_credentials=credentials)  # type: ignore[arg-type]
        requests: list[str] = []
        first.on("request", lambda request: requests.append(request.url))
        made = culling.open(first, "two")
        culling_too = dataclasses.replace(culling, ui=other_ui)
        culling_too.open(second, "two")
        tags = [page.locator("#shots figure.current .tag") for page in (first, second)]
        for page in (first, second):
            page.keyboard.press("a")
            expect(page.locator("#undecided")).to_have_text("5 undecided")

        # both decide on the same photo: both pages show it, and the later decision counts
        first.wait_for_load_state("networkidle")
        before = len(requests)
        second.keyboard.press("x")
        expect(tags[0]).to_have_text("Rejected")
        assert requests[before:] == []
        first.keyboard.press("k")
        expect(tags[1]).to_have_text("Kept")
        assert culling.decisions("two") == {made.paths[0]: KEEP}

        # a hidden page closes its connection, and catches up when it is visible again
        first.evaluate(HIDE, True)
        second.keyboard.press("x")
        expect_saved(second)
        with first.expect_request("**/events?*"):
            first.evaluate(HIDE, False)
        expect(tags[0]).to_have_text("Rejected")
        assert [(entry.action, entry.decided_by) for entry in culling.log("two")] == [
            (pb.DECISION_ACTION_REJECT, "ansel"),
            (pb.DECISION_ACTION_KEEP, ""),
            (pb.DECISION_ACTION_REJECT, "ansel"),
        ]
    finally:
        other_ui.stop()
        for context in browser.contexts:
            context.close()


def test_answers_about_pairs_are_stored_and_learned_weights_kept(
    page: Page, culling: Culling
) -> None:
    made = culling.runs["pairs"]
    culling.open(page, "pairs")
    page.get_by_role("link", name="Which one?").click()
    page.locator("body.ready").wait_for()
    seen = []
    for _ in range(24):  # always prefer the sharper shot, which has the lower number
        paths = page.locator("#shots figure").evaluate_all(
            "all => all.map(one => one.dataset.path)"
        )
        seen.append(frozenset(paths))
        page.keyboard.press("1" if paths[0] < paths[1] else "ArrowRight")
    assert len(set(seen)) == 24
    assert len({path[:3] for pair in seen[:6] for path in pair}) == 6  # moments take turns
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("u")
    expect(page.locator("#answered")).to_have_text("25 answered")
    expect_saved(page)
    log = culling.log("pairs")
    assert [entry.action for entry in log[-3:]] == [
        pb.DECISION_ACTION_UNSURE,
        pb.DECISION_ACTION_PREFER,
        pb.DECISION_ACTION_UNDO,
    ]
    assert {frozenset(photo.path for photo in entry.photos) for entry in log[:24]} == set(seen)
    assert {entry.run_id for entry in log[:26]} == {made.run_id}
    page.reload()
    expect(page.locator("#answered")).to_have_text("25 answered")
    page.keyboard.press("l")
    expect(page.locator("#proposal-lines")).to_contain_text(
        "Technical quality counts more: 0.30 to"
    )
    page.get_by_label("Profile name").fill("my-taste")
    page.keyboard.press("Enter")
    expect(page.locator("#kept")).to_contain_text("Saved as “my-taste”")
    kept = culling.orchestrator.stub.DescribeSettings(
        pb.DescribeSettingsRequest(profile="my-taste")
    )
    assert kept.config["select_best"]["quality_weights"]["iqa"] > 0.3
    page.get_by_role("button", name="Close").click()
    page.keyboard.press("Escape")
    page.wait_for_url(f"**/{made.address}*")


def test_the_page_links_to_the_view_which_forbids_inline_scripts(
    page: Page, culling: Culling
) -> None:
    page.goto(f"http://{culling.ui.address}/")
    page.get_by_role("link", name="Cull").click()
    page.locator("body.ready").wait_for()
    page.go_back()
    expect(page.get_by_role("heading", name="bestshot")).to_be_visible()
    made = culling.open(page, "few")  # not the newest run
    page.get_by_role("link", name="Back to bestshot").click()
    page.wait_for_url(f"**album={made.album_id}&run={made.run_id}*")
    base = f"http://{culling.ui.address}/"
    policy = httpx.get(base + made.address).headers["content-security-policy"]
    assert "script-src 'self';" in policy
    assert "unsafe" not in policy
    wrong = base + made.address.replace(made.album_id, "0" * 32)
    assert httpx.get(f"{wrong}/photos").status_code == 404
    assert httpx.get(f"{base}cull/files/%2e%2e%2froutes.py").status_code == 404
    for place in ("photos/{}/320", "tiles/{}/0/0"):  # names may contain line breaks
        unknown = httpx.get(f"{base}{place.format(made.run_id)}/a%0Ab.jpg")
        assert "no photo" in unknown.json()["detail"]
    foreign = httpx.post(
        f"{base}{made.address}/decisions", json={}, headers={"Origin": "http://evil.example"}
    )
    assert foreign.status_code == 403


def test_the_page_returns_to_the_album_in_its_address_after_a_restart(
    page: Page, culling: Culling
) -> None:
    """The album of the newest run is another one."""
    made = culling.runs["keys"]
    culling.orchestrator.kill()
    page.goto(f"http://{culling.ui.address}/?album={made.album_id}")
    expect(page.get_by_text("is not responding").first).to_be_visible()
    culling.orchestrator.start()
    chosen = page.get_by_role("combobox", name="Album", exact=True).locator("option:checked")
    expect(chosen).to_have_text("keys")
    page.wait_for_url(f"**album={made.album_id}*")


@pytest.mark.parametrize("lost", ["album.js", "photos"])
def test_a_view_that_was_loaded_only_in_part_loads_again(
    page: Page, culling: Culling, lost: str
) -> None:
    """A laptop that changes networks fails its requests, even those to itself."""
    page.route(f"**/{lost}", lambda route: route.abort("internetdisconnected"), times=1)
    culling.open(page, "few")
