"""The grid: few elements, filters with an address, and decisions on many photos at once."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from axe_playwright_python.sync_playwright import Axe
from bestshot.orchestrator.v1 import orchestrator_pb2 as pb
from PIL import Image
from playwright.sync_api import Page, expect

from orchestrator.domain.decisions import DecisionAction
from orchestrator.export.decisions_json import parse_decisions
from orchestrator.storage.database import open_database
from tests.browser.conftest import DESKTOP, PHONE, open_tab
from tests.browser.culling import SHOT_COUNT, Made, make_run
from tests.conftest import draw_picture
from tests.integration.parts import Orchestrator, Part

MOMENT_COUNT = 60
ELEMENT_LIMIT = 100
"""A window of 1440 x 900 shows fewer photos, even with those just outside."""


@dataclass(frozen=True)
class GridSystem:
    """A UI and an orchestrator with prepared runs, but no model services."""

    url: str
    orchestrator: Orchestrator
    runs: dict[str, Made]
    folder: Path

    def address(self, name: str, query: str = "") -> str:
        return f"{self.url}{self.runs[name].address.replace('cull/', 'grid/')}{query}"

    def open(self, page: Page, name: str, query: str = "") -> Made:
        """Opens the grid of a run, and waits until all its photos have loaded."""
        page.goto(self.address(name, query))
        page.locator("body.ready").wait_for()
        return self.runs[name]

    def decisions(self, name: str) -> dict[str, int]:
        request = pb.ListImagesRequest(
            run_id=self.runs[name].run_id, page_size=1000, filters=[pb.IMAGE_FILTER_DECIDED]
        )
        answer = self.orchestrator.stub.ListImages(request)
        return {image.path: image.decision for image in answer.images}


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GridSystem]:
    base = tmp_path_factory.mktemp("grid")
    target, upright = io.BytesIO(), io.BytesIO()
    Image.fromarray(draw_picture(1, 60, 40)).save(target, "JPEG")
    Image.fromarray(draw_picture(1, 40, 60)).save(upright, "JPEG")
    orchestrator = Orchestrator(base / "orchestrator", {}, base)
    (base / "orchestrator" / "data").mkdir(parents=True)
    engine = open_database(base / "orchestrator" / "data")
    runs = {
        name: make_run(engine, base / name, name, count, target.getvalue(), upright.getvalue())
        for name, count in {"many": MOMENT_COUNT, "few": 3}.items()
    }
    engine.dispose()
    ui = Part("ui", base / "ui", settings={"orchestrator_address": orchestrator.address})
    try:
        orchestrator.start()
        ui.start()
        yield GridSystem(f"http://{ui.address}/", orchestrator, runs, base)
    finally:
        ui.stop()
        orchestrator.stop()


def expect_saved(page: Page) -> None:
    expect(page.locator("#saving")).to_have_text("Saved")


def test_many_photos_need_few_elements_and_a_range_is_decided_at_once(
    page: Page, grid: GridSystem
) -> None:
    made = grid.open(page, "many")
    expect(page.locator("#total")).to_have_text(f"{MOMENT_COUNT * SHOT_COUNT} photos")
    tiles = page.locator(".tile")
    assert tiles.count() < ELEMENT_LIMIT
    pictures = page.locator(".tile img")
    sizes = "all => all.map(one => one.getBoundingClientRect().height)"
    tallest = max(pictures.evaluate_all(sizes))
    assert tallest <= max(tiles.evaluate_all(sizes)), "upright photos are not cropped"
    page.keyboard.press("End")
    last = page.locator(f".tile[data-path='{made.paths[-1]}'] a")
    expect(last).to_be_focused()
    expect(page.get_by_text(f"Moment {MOMENT_COUNT}", exact=True)).to_be_visible()
    assert tiles.count() < ELEMENT_LIMIT

    page.keyboard.press("Home")
    for _ in range(6):
        page.keyboard.press("Shift+ArrowRight")
    expect(page.locator("#count")).to_have_text("7 selected")
    page.get_by_role("button", name="Reject", exact=True).click()
    expect_saved(page)
    assert grid.decisions("many") == dict.fromkeys(made.paths[:7], pb.DECISION_REJECT)
    page.keyboard.press("u")
    expect_saved(page)
    assert grid.decisions("many") == {}
    tiles.first.hover()
    page.locator(".check").first.click()
    page.locator(".check").nth(3).click(modifiers=["Shift"])
    page.keyboard.press("k")
    expect_saved(page)
    assert grid.decisions("many") == dict.fromkeys(made.paths[:4], pb.DECISION_KEEP)


def test_filters_are_in_the_address_and_remaining_picks_are_accepted_after_a_preview(
    page: Page, grid: GridSystem
) -> None:
    made = grid.open(page, "few")
    total = page.locator("#total")
    page.get_by_role("button", name=re.compile("^Picks")).click()
    expect(total).to_have_text(f"{len(made.picked)} photos")
    page.get_by_label("Search names, cameras, dates").fill("002-")
    in_both = [path for path in made.picked if path.startswith("002-")]
    expect(page.locator(".tile")).to_have_count(len(in_both))
    page.wait_for_url("**?filter=picks&search=002-")
    page.reload()
    expect(page.locator(".tile")).to_have_count(len(in_both))

    # a photo opens in the Cull view, and Back returns to where it was
    page.locator(".tile a").first.click()
    expect(page.locator("#shots figure.current")).to_have_attribute("data-path", in_both[0])
    page.get_by_role("link", name="Grid").click()
    expect(total).to_have_text("15 photos")
    for _ in range(2):
        page.go_back()
    page.wait_for_url("**?filter=picks&search=002-&photo=*")
    expect(page.locator(f".tile[data-path='{in_both[0]}'] a")).to_be_focused()
    page.go_back()
    expect(total).to_have_text("15 photos")

    page.get_by_role("button", name="Accept picks").click()
    dialog = page.get_by_role("dialog", name="Accept all remaining picks")
    rejected = len(made.paths) - len(made.picked)
    expect(dialog).to_contain_text(
        f"This keeps {len(made.picked)} picks and rejects {rejected} of the 15 undecided photos"
    )
    assert grid.decisions("few") == {}
    dialog.get_by_role("button", name="Accept", exact=True).click()
    expect_saved(page)
    assert grid.decisions("few") == {
        path: pb.DECISION_KEEP if path in made.picked else pb.DECISION_REJECT for path in made.paths
    }
    expect(page.get_by_role("button", name="Kept 3")).to_be_visible()
    page.keyboard.press("u")
    expect_saved(page)
    assert grid.decisions("few") == {}


def test_the_grid_refuses_what_it_does_not_know(grid: GridSystem) -> None:
    address = grid.address("few")
    policy = httpx.get(address).headers["content-security-policy"]
    assert "script-src 'self';" in policy
    unknown = httpx.get(f"{address}/photos?filters=nice")
    assert unknown.status_code == 400
    assert "unknown filter 'nice'; use picks," in unknown.json()["detail"]
    wrong = address.replace(grid.runs["few"].album_id, "0" * 32)
    assert httpx.get(f"{wrong}/summary").status_code == 404
    assert httpx.get(f"{grid.url}grid/files/%2e%2e%2froutes.py").status_code == 404


TABS = {
    "Albums": ".album-card",
    "Run": ".progress",
    "What if": ".empty",
    "Compare": ".diff",
    "Decisions": ".decisions tbody tr",
    "Models": ".problem",
    "Metrics Table": ".metrics tbody tr",
    "Export": ".download",
    "View Results": ".card img",
}


def serious_faults(page: Page, **options: object) -> list[tuple[str, list[str]]]:
    answer = Axe().run(page, options={"resultTypes": ["violations"], **options}).response
    return [
        (one["id"], [node["html"] for node in one["nodes"]])
        for one in answer["violations"]
        if one["impact"] in ("serious", "critical")
    ]


def test_axe_finds_nothing_serious_in_any_view(page: Page, grid: GridSystem) -> None:
    made = grid.runs["few"]
    stub = grid.orchestrator.stub
    overrides = {"select_best": {"max_images_per_cluster": 1}}
    again = pb.ReselectRequest(run_id=made.run_id)
    again.config_overrides.update(overrides)
    stub.Reselect(again)  # to compare with
    stub.AppendDecision(
        pb.AppendDecisionRequest(
            album_id=made.album_id, action="DECISION_ACTION_KEEP", paths=made.paths[:1]
        )
    )
    found = {}
    page.goto(f"{grid.url}?album={made.album_id}&run={made.run_id}")
    page.add_style_tag(content="* { transition: none !important }")
    for tab, content in TABS.items():
        open_tab(page, tab)
        page.locator(content).locator("visible=true").first.wait_for()
        found[tab] = serious_faults(page)
        page.evaluate("document.body.classList.add('dark')")
        found[f"{tab} in the dark"] = serious_faults(page, runOnly=["color-contrast"])
        page.evaluate("document.body.classList.remove('dark')")
    page.locator(".card .name").first.click()
    page.locator(".detail .reason").wait_for()
    found["detail"] = serious_faults(page)
    run = f"{made.album_id}/{made.run_id}"
    views = [f"{view}/{run}" for view in ("grid", "cull", "pairs")]  # always dark
    for view in (*views, ""):
        page.goto(f"{grid.url}{view}")
        page.locator("body.ready" if view else ".album-card").first.wait_for()
        for size in (PHONE, DESKTOP):
            page.set_viewport_size(size)  # type: ignore[arg-type]
            found[f"{view}, {size['width']} px wide"] = serious_faults(page)
    assert not {view: faults for view, faults in found.items() if faults}


def test_an_exported_page_shows_photos_large_and_its_decisions_can_be_imported(
    page: Page, grid: GridSystem
) -> None:
    made = grid.runs["few"]
    output = grid.folder / "out"
    request = pb.ExportRunRequest(run_id=made.run_id, output_folder=str(output))
    grid.orchestrator.stub.ExportRun(request)
    page.goto((output / "index.html").as_uri())
    assert serious_faults(page) == []
    page.set_viewport_size(PHONE)
    top = page.locator(".card img").first.evaluate("image => image.getBoundingClientRect().top")
    assert top < PHONE["height"] / 3
    page.set_viewport_size(DESKTOP)
    first, second, third = made.paths[:3]
    page.get_by_role("link", name=first).click()
    large = page.get_by_role("dialog", name=first)
    expect(large).to_be_visible()
    expect(page.locator("#large")).to_have_js_property("naturalWidth", 60)
    page.keyboard.press("x")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("k")
    expect(page).to_have_url(re.compile(f"#photo={second}$"))
    page.go_back()
    expect(page.locator("#view")).to_be_hidden()
    page.goto((output / "index.html").as_uri() + f"#photo={third}")
    expect(page.get_by_role("dialog", name=third)).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#counts")).to_have_text("1 kept, 1 rejected")
    page.get_by_label("Your name").fill("Zoe")
    with page.expect_download() as downloading:
        page.get_by_role("button", name="Download decisions").click()
    entries = parse_decisions(downloading.value.path().read_text())
    assert [(entry.action, entry.photos[0].path, entry.decided_by) for entry in entries] == [
        (DecisionAction.REJECT, first, "Zoe"),
        (DecisionAction.KEEP, second, "Zoe"),
    ]
