"""Measures how long the People view takes to open with 500 people in 500 photos of 12 megapixels.

The run, its previews and the vectors are written straight to the data folder; files, orchestrator,
UI and browser are real. The view counts as open in the first frame after all covers on the screen
have loaded; time runs from the start of the navigation, by the browser's own clock. First openings
have to cut the covers from previews; later ones find them stored, first in a new browser, then in
one that has opened the view before.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from playwright.sync_api import Browser, BrowserContext, sync_playwright
from prometheus_client import CollectorRegistry
from rich.console import Console
from rich.table import Table

from orchestrator.cli.supervisor import Supervisor
from orchestrator.domain.people.faces import Box, IdentifiedFace
from orchestrator.features import pack_identities
from orchestrator.metrics import RunMetrics
from orchestrator.storage.database import open_database
from orchestrator.storage.feature_cache import SqlFeatureCache
from orchestrator.storage.people_store import IDENTITY_ROLE, SqlPeople
from orchestrator.storage.rendition_files import RenditionFiles
from orchestrator.storage.tables import images
from orchestrator.transport.build import RENDITIONS_FOLDER
from tests.benchmarks.cull import make_pictures
from tests.browser.conftest import CHROMIUM_FLAGS, DESKTOP, find_chromium
from tests.browser.culling import SHOT_COUNT, make_run
from tests.conftest import ROOT

PERSON_COUNT = 500
FACE_COUNT = 6
"""Faces in each photo, and photos of each person."""
DIMENSIONS = 512
SIZE = (4000, 3000)
REPEATS = 5
PAUSE_MS = 1500
"""Time for the other people and the questions, which load afterwards."""
MODEL = "m"
TARGET = ROOT / "build" / "bench" / "people.json"
TARGET_MS = 500

WATCH = """
(() => {
  const onScreen = (image) => {
    const { top, bottom } = image.getBoundingClientRect();
    return bottom > 0 && top < innerHeight;
  };
  const look = () => {
    const covers = [...document.querySelectorAll(".person img")].filter(onScreen);
    if (covers.length) window.cardsMs ??= performance.now();
    if (covers.length && covers.every((one) => one.complete && one.naturalWidth)) {
      window.coversMs = performance.now();
      window.coverCount = covers.length;
      document.documentElement.classList.add("shown");
    } else requestAnimationFrame(look);
  };
  requestAnimationFrame(look);
})()
"""
"""Measures until the first frame whose covers are all loaded."""


def fill_database(data: Path, album: Path) -> None:
    """Stores a run whose photos show FACE_COUNT people each."""
    data.mkdir(parents=True)
    engine = open_database(data)
    previews = RenditionFiles(data / RENDITIONS_FOLDER, 10**9)
    moments = PERSON_COUNT // SHOT_COUNT
    make_run(engine, album, "people", moments, *make_pictures(SIZE, 85), previews=previews)
    with engine.connect() as connection:
        digests = sorted(
            connection.execute(images.select()).mappings(), key=lambda row: row["path"]
        )
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(PERSON_COUNT, DIMENSIONS)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    entries = {}
    for number, row in enumerate(digests):
        found = []
        for place in range(FACE_COUNT):
            box = Box(0.03 + 0.16 * place, 0.3, 0.09, 0.15)
            vector = vectors[(number + place) % PERSON_COUNT]
            found.append(IdentifiedFace(box, float(rng.uniform(0.5, 1.0)), vector))
        key = (row["content_digest"], IDENTITY_ROLE, MODEL)
        entries[key] = pack_identities(found)
    SqlFeatureCache(engine, RunMetrics(CollectorRegistry())).put(entries)
    people = SqlPeople(engine)
    people.use_model(MODEL, 0.4)
    assert people.count_people() == PERSON_COUNT
    engine.dispose()


def open_people(context: BrowserContext, url: str) -> dict[str, float]:
    """Opens the view, and returns when its cards and its covers were shown."""
    page = context.new_page()
    page.add_init_script(WATCH)
    page.goto(f"{url}people")
    page.locator("html.shown").wait_for()
    found = page.evaluate("({ cards: cardsMs, covers: coversMs, count: coverCount })")
    page.wait_for_timeout(PAUSE_MS)
    page.close()
    return dict(found)


def measure(
    browser: Browser, url: str, forget: Callable[[], None]
) -> dict[str, list[dict[str, float]]]:
    """Opens the view REPEATS times in each state."""
    found: dict[str, list[dict[str, float]]] = {"first": [], "covers stored": [], "again": []}
    for _ in range(REPEATS):
        forget()
        for state in ("first", "covers stored"):
            context = browser.new_context(viewport=DESKTOP)  # type: ignore[arg-type]
            found[state].append(open_people(context, url))
            if state != "first":
                found["again"].append(open_people(context, url))
            context.close()
    return found


def main() -> None:
    """Measures, prints a table and writes JSON."""
    with TemporaryDirectory() as name:
        base = Path(name)
        fill_database(base / "data", base / "album")

        def forget() -> None:
            for path in (base / "data" / RENDITIONS_FOLDER).glob("*/*-faces-*"):
                path.unlink()

        supervisor = Supervisor(base / "logs", [])
        address = ["--address", "127.0.0.1:0"]
        roots = ["--set", f"allowed_roots={json.dumps([str(base)])}"]
        try:
            supervisor.start("orchestrator", [*address, *roots, "--data", str(base / "data")])
            orchestrator = supervisor.wait_for_address("orchestrator")
            supervisor.start("ui", [*address, "--set", f"orchestrator_address={orchestrator}"])
            url = f"http://{supervisor.wait_for_address('ui')}/"
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(
                    executable_path=find_chromium(), args=CHROMIUM_FLAGS
                )
                found = measure(browser, url, forget)
                browser.close()
        finally:
            supervisor.stop()
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    TARGET.write_text(json.dumps({"people": PERSON_COUNT, "openings": found}, indent=2) + "\n")
    table = Table(f"{PERSON_COUNT} people", "cards, ms", "covers, ms", "slowest", "covers")
    for state, times in found.items():
        covers = [one["covers"] for one in times]
        table.add_row(
            state,
            f"{statistics.median(one['cards'] for one in times):.0f}",
            f"{statistics.median(covers):.0f}",
            f"{max(covers):.0f}",
            f"{times[0]['count']:.0f}",
        )
    Console().print(table)


if __name__ == "__main__":
    main()
