"""Measures how long the UI takes to show many photos, compared with the orchestrator's response.

The results are made up (random scores, one thumbnail for all photos), because only their number
matters; the database, orchestrator, UI and browser are real.
"""

from __future__ import annotations

import dataclasses
import json
import re
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import grpc
import numpy as np
from bestshot.orchestrator.v1 import orchestrator_pb2 as pb
from bestshot.orchestrator.v1 import orchestrator_pb2_grpc
from PIL import Image
from playwright.sync_api import Page, sync_playwright
from prometheus_client import CollectorRegistry
from rich.console import Console
from rich.table import Table

from orchestrator.cli.supervisor import Supervisor
from orchestrator.config import PipelineConfig
from orchestrator.domain.photo import QualityScores
from orchestrator.metrics import RunMetrics
from orchestrator.records import Album, ImageRecord, Run, RunState, summarize, utc_now
from orchestrator.runs.recorded_settings import record_config
from orchestrator.runs.stored_features import thumbnail_key
from orchestrator.storage.database import open_database
from orchestrator.storage.feature_cache import SqlFeatureCache
from orchestrator.storage.run_store import SqlRunStore
from services.common.imaging.decode import encode_thumbnail
from tests.browser.conftest import CHROMIUM_FLAGS, DESKTOP, find_chromium
from tests.conftest import ROOT, draw_picture

PHOTO_COUNT = 5000
MOMENT_SIZE = 4
REPEATS = 5
TARGET = ROOT / "build" / "bench" / "ui_answers.json"


def record(index: int, rng: np.random.Generator) -> ImageRecord:
    """Returns a scored photo; the first shot of every moment is selected."""
    scores = {
        field.name: float(rng.random())
        for field in dataclasses.fields(QualityScores)
        if field.name != "ava_distribution"
    }
    scores["ava_score"] = 1 + 9 * scores["ava_score"]
    is_best = index % MOMENT_SIZE == 0
    path = f"{index:05}.jpg"
    return ImageRecord(
        path=path,
        content_digest=f"{index:064x}",
        size_bytes=4_000_000,
        width_px=4000,
        height_px=3000,
        format="JPEG",
        quality=QualityScores(**scores, ava_distribution=()),
        cluster_id=index // MOMENT_SIZE,
        person_penalty=0.0,
        composite_score=float(rng.random()),
        is_selected=is_best,
        reason_code="SELECTED_BEST" if is_best else "LOWER_SCORE",
        reason="Selected: the best." if is_best else "Not selected: score 0.40 vs 0.70.",
    )


def fill_database(folder: Path) -> None:
    """Stores one completed run of PHOTO_COUNT photos."""
    folder.mkdir(parents=True)
    engine = open_database(folder)
    store, cache = SqlRunStore(engine), SqlFeatureCache(engine, RunMetrics(CollectorRegistry()))
    album = store.add_album(Album("a" * 32, "Five thousand", str(folder), utc_now()))
    rng = np.random.default_rng(0)
    records = [record(index, rng) for index in range(PHOTO_COUNT)]
    settings = PipelineConfig(ROOT / "configs", "builtin").load()
    now = utc_now()
    run = Run(
        id="b" * 32,
        album_id=album.id,
        state=RunState.COMPLETED,
        profile="builtin",
        config=record_config(settings, (0.4, 0.32)),
        models={},
        versions={},
        create_time=now,
        start_time=now,
        end_time=now,
        summary=summarize(records, 0, 1.0),
    )
    store.save_results(run, records)
    jpeg = encode_thumbnail(draw_picture(1, 320, 240), 320)
    cache.put({thumbnail_key(entry.content_digest): jpeg for entry in records})
    Image.fromarray(draw_picture(1)).save(folder / "00000.jpg")
    engine.dispose()


def median_ms(call: Callable[[], object]) -> float:
    """Returns the median duration of a call in milliseconds."""
    taken = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        call()
        taken.append(1000 * (time.perf_counter() - began))
    return statistics.median(taken)


def measure(page: Page, stub: orchestrator_pb2_grpc.OrchestratorServiceStub) -> dict[str, object]:
    """Times the UI's actions, and the orchestrator's responses to the same queries."""
    run_id = "b" * 32

    def answer(**query: object) -> float:
        request = pb.ListImagesRequest(run_id=run_id, **query)
        return median_ms(lambda: stub.ListImages(request))

    orders = iter(["AVA", "IQA", "Sharpness", "Composite", "Image"])
    filters = iter(["Selected", "Not selected", "Selected", "Not selected", "All photos"])
    pages = iter(range(2, 2 + REPEATS))

    def shows(selector: str, text: str) -> None:
        """Checks in every frame, because `expect` waits longer between checks."""
        page.wait_for_function(
            "([selector, text]) => document.querySelector(selector)?.textContent.includes(text)",
            arg=[selector, text],
        )

    def sort_table() -> None:
        title = next(orders)
        page.get_by_role("button", name=title, exact=True).click()
        shows(".metrics thead", f"{title} ▼")

    def choose_filter() -> None:
        title = next(filters)
        page.get_by_label("Show", exact=True).locator("visible=true").first.click()
        page.get_by_role("option", name=re.compile(f"^{title} ")).click()
        wanted = {"Selected": "1250", "Not selected": "3750", "All photos": "5000"}[title]
        shows(".pages", f"of {wanted},")

    def turn_page() -> None:
        number = next(pages)
        page.get_by_role("button", name="Next page").click()
        shows(".pages", f"page {number} of")

    def first_view() -> None:
        page.reload()
        page.get_by_role("tab", name="View Results").click()
        shows(".pages", "page 1 of")
        page.wait_for_function("document.querySelectorAll('.card').length === 60")

    found: dict[str, tuple[float, float]] = {}
    found["first view of results, page loaded again"] = (
        median_ms(first_view),
        answer(page_size=60, order_by="moment"),
    )
    found["next page of the gallery"] = (
        median_ms(turn_page),
        answer(page_size=60, order_by="moment", skip=60),
    )
    found["filter of the gallery"] = (
        median_ms(choose_filter),
        answer(page_size=60, order_by="moment", filters=[pb.IMAGE_FILTER_SELECTED]),
    )
    page.get_by_role("tab", name="Metrics Table").click()
    found["order of the table"] = (
        median_ms(sort_table),
        answer(page_size=50, order_by="ava_score desc"),
    )
    return {
        what: {"ui_ms": shown, "orchestrator_ms": own, "ratio": shown / own}
        for what, (shown, own) in found.items()
    }


def main() -> None:
    """Measures, prints a table and writes JSON."""
    with TemporaryDirectory() as name:
        base = Path(name)
        fill_database(base / "data")
        supervisor = Supervisor(base / "logs", [])
        address = ["--address", "127.0.0.1:0"]
        try:
            supervisor.start("orchestrator", [*address, "--data", str(base / "data")])
            orchestrator = supervisor.wait_for_address("orchestrator")
            supervisor.start("ui", [*address, "--set", f"orchestrator_address={orchestrator}"])
            url = f"http://{supervisor.wait_for_address('ui')}/"
            with sync_playwright() as playwright, grpc.insecure_channel(orchestrator) as channel:
                browser = playwright.chromium.launch(
                    executable_path=find_chromium(), args=CHROMIUM_FLAGS
                )
                page = browser.new_page(viewport=DESKTOP)  # type: ignore[arg-type]
                page.goto(url)
                stub = orchestrator_pb2_grpc.OrchestratorServiceStub(channel)
                found = measure(page, stub)
                browser.close()
        finally:
            supervisor.stop()
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    TARGET.write_text(json.dumps({"photos": PHOTO_COUNT, "answers": found}, indent=2) + "\n")
    table = Table(f"{PHOTO_COUNT} photos", "UI ms", "orchestrator ms", "ratio")
    for what, values in found.items():
        table.add_row(what, *(f"{number:.1f}" for number in dict(values).values()))  # type: ignore[call-overload]
    Console().print(table)


if __name__ == "__main__":
    main()
