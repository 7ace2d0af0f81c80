"""Measures how long a key takes to show the next photo and the badge, on 24-megapixel files.

The run and its previews are written straight to the data folder; files, orchestrator, UI and
browser are real. The next photo counts as shown in the first frame with its preview of 1024
pixels, which nearly fills the view, and as sharp in the first frame with the picture of 2048
pixels, which is made from the file. Keys are pressed at a human pace first, then each as soon as
the badge of the previous one appears, then at a human pace while processes keep all cores busy. A
second run of small photos shows how many keys a hundred moments take, and how much memory 2,000
actions leave behind.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from PIL import Image
from playwright.sync_api import Page, sync_playwright
from rich.console import Console
from rich.table import Table

from orchestrator.cli.supervisor import Supervisor
from orchestrator.storage.database import open_database
from orchestrator.storage.rendition_files import RenditionFiles
from orchestrator.transport.build import RENDITIONS_FOLDER
from services.common.imaging.decode import encode_thumbnail
from tests.browser.conftest import CHROMIUM_FLAGS, DESKTOP, find_chromium
from tests.browser.culling import Made, make_run
from tests.conftest import ROOT, draw_picture

MOMENT_COUNT = 17
HUNDRED = 100
ACTIONS = 2000
SIZE = (6000, 4000)
PICTURES = 4
HUMAN_PAUSE_MS = 700
IDLE_S = 10.0
TARGET = ROOT / "build" / "bench" / "cull.json"
Times = dict[str, list[float]]
BEFORE = {"a key to the next photo": 1000}
"""Milliseconds in 0.1.0, as a photographer measured them; no other figure was recorded then."""

WATCH = """
() => {
  window.times = { photo: [], sharp: [], badge: [] };
  const shown = () => document.querySelector("#shots figure.current");
  document.addEventListener("keydown", (event) => {
    const began = performance.now();
    if (event.key !== "k" && event.key !== "x") return;
    const path = shown().dataset.path;
    const look = () => {
      const thumb = document.querySelector(`#strip [data-path="${CSS.escape(path)}"]`);
      if (!look.badge && (!thumb || /kept|rejected/.test(thumb.className))) {
        look.badge = true;
        window.times.badge.push(performance.now() - began);
      }
      const image = shown().querySelector("img");
      const is_next = shown().dataset.path !== path;
      const has = (width) => look.badge && is_next && image.complete && image.naturalWidth > width;
      if (!look.photo && has(1000)) {
        look.photo = true;
        window.times.photo.push(performance.now() - began);
      }
      if (has(2000)) window.times.sharp.push(performance.now() - began);
      else requestAnimationFrame(look);
    };
    requestAnimationFrame(look);
  }, true);
}
"""
"""Measures until the first frame that shows the decoded picture in the figure."""


def make_pictures(size: tuple[int, int], quality: int) -> list[bytes]:
    """Makes JPEG files, with grain so that they are as large as a camera's.

    Args:
        size: Width and height.
        quality: Of the JPEG.
    """
    found = []
    for seed in range(PICTURES):
        target = io.BytesIO()
        noise = Image.effect_noise(size, 24).convert("RGB")
        picture = Image.fromarray(draw_picture(seed, *size))
        Image.blend(picture, noise, 0.2).save(target, "JPEG", quality=quality)
        found.append(target.getvalue())
    return found


def press(page: Page, made: Made, start: int, count: int, pause_ms: int) -> Times:
    """Decides on photos with keys, and returns the measurements."""
    page.evaluate("window.times = { photo: [], sharp: [], badge: [] }")
    for number in range(start, start + count):
        page.keyboard.press("x" if number % 3 else "k")
        if pause_ms:
            page.wait_for_timeout(pause_ms)
        else:
            _wait_for_count(page, "badge", number - start + 1)
    if pause_ms:
        _wait_for_count(page, "sharp", count)
    return dict(page.evaluate("window.times"))


def _wait_for_count(page: Page, what: str, count: int) -> None:
    while int(page.evaluate(f"window.times.{what}.length")) < count:
        time.sleep(0.002)


def measure_view(page: Page, url: str, made: Made, process_id: int) -> dict[str, Any]:
    """Measures the Cull view."""
    sizes: list[int] = []
    page.on("requestfinished", lambda request: sizes.append(request.sizes()["responseBodySize"]))
    began = time.perf_counter()
    page.goto(f"{url}/{made.address}")
    page.locator("body.ready").wait_for()
    page.locator("#shots img:not([src*='/320/'])").first.wait_for()
    first_view_ms = 1000 * (time.perf_counter() - began)
    page.wait_for_timeout(3000)
    page.evaluate(f"({WATCH})()")
    human = press(page, made, 0, 30, HUMAN_PAUSE_MS)
    fast = press(page, made, 30, 25, 0)
    with busy_cores():
        busy = press(page, made, 55, 25, HUMAN_PAUSE_MS)
    page.locator("#saving", has_text="Saved").wait_for()
    _wait_until_quiet(page, sizes)
    loaded, kilobytes = len(sizes), sum(sizes) / 1000
    cpu = _cpu_s(process_id)
    page.wait_for_timeout(1000 * IDLE_S)
    return {
        "human": human,
        "fast": fast,
        "busy": busy,
        "first_view_ms": first_view_ms,
        "requests_per_photo": loaded / len(made.paths),
        "kilobytes_per_photo": kilobytes / len(made.paths),
        "idle_requests": len(sizes) - loaded,
        "idle_ui_core_share": (_cpu_s(process_id) - cpu) / IDLE_S,
    }


@contextlib.contextmanager
def busy_cores() -> Iterator[None]:
    """Keeps every core busy."""
    spin = [sys.executable, "-c", "while True: pass"]
    spinning = [subprocess.Popen(spin) for _ in range(os.cpu_count() or 1)]
    try:
        yield
    finally:
        for process in spinning:
            process.kill()
            process.wait()


def measure_many_actions(page: Page, url: str, made: Made) -> dict[str, Any]:
    """Counts the keys for a hundred moments, and the memory after many more actions."""
    page.goto(f"{url}/{made.address}")
    page.locator("body.ready").wait_for()
    before = _heap_megabytes(page)
    keys = 0
    for moment in range(HUNDRED):
        wanted = ["Space"] if moment % 2 else ["ArrowRight", "Shift+K"]
        for key in wanted:
            page.keyboard.press(key)
        keys += len(wanted)
    page.locator("#undecided", has_text="0 undecided").wait_for()
    page.keyboard.press("Home")
    for number in range(ACTIONS - keys):
        page.keyboard.press(("k", "x", "c", "ArrowRight", "u", "n", "ArrowDown", "4")[number % 8])
    page.locator("#saving", has_text="Saved").wait_for()
    after = _heap_megabytes(page)
    return {"keys_for_100_moments": keys, "heap_mb_before": before, "heap_mb_after_2000": after}


def _heap_megabytes(page: Page) -> float:
    """Returns the size of Chromium's heap after a garbage collection."""
    session = page.context.new_cdp_session(page)
    session.send("HeapProfiler.enable")
    session.send("HeapProfiler.collectGarbage")
    used = session.send("Runtime.getHeapUsage")["usedSize"]
    session.detach()
    return float(used) / 1e6


def _wait_until_quiet(page: Page, sizes: list[int]) -> None:
    """Waits until all pictures that the server prepares ahead are finished."""
    count = -1
    while count != len(sizes):
        count = len(sizes)
        page.wait_for_timeout(3000)


def _cpu_s(process_id: int) -> float:
    fields = Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def summary(times: list[float]) -> tuple[float, float]:
    """Returns the median and 95th percentile."""
    return statistics.median(times), statistics.quantiles(times, n=20)[-1]


def main() -> None:
    """Measures, prints a table and writes JSON."""
    with TemporaryDirectory() as name:
        base = Path(name)
        (base / "data").mkdir()
        engine = open_database(base / "data")
        pictures = make_pictures(SIZE, 90)
        previews = RenditionFiles(base / "data" / RENDITIONS_FOLDER, 10**9)
        made = make_run(engine, base / "view", "view", MOMENT_COUNT, *pictures, previews=previews)
        small = encode_thumbnail(draw_picture(1, 320, 240), 320)
        hundred = make_run(engine, base / "hundred", "hundred", HUNDRED, small)
        engine.dispose()
        supervisor = Supervisor(base / "logs", [])
        address = ["--address", "127.0.0.1:0"]
        try:
            roots = f"allowed_roots={[str(base)]}"
            data = ["--data", str(base / "data"), "--set", roots]
            supervisor.start("orchestrator", [*address, *data])
            orchestrator = supervisor.wait_for_address("orchestrator")
            supervisor.start("ui", [*address, "--set", f"orchestrator_address={orchestrator}"])
            url = f"http://{supervisor.wait_for_address('ui')}"
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(
                    executable_path=find_chromium(), args=CHROMIUM_FLAGS
                )
                page = browser.new_page(viewport=DESKTOP)  # type: ignore[arg-type]
                view = measure_view(page, url, made, supervisor.process_id("ui"))
                view |= measure_many_actions(page, url, hundred)
                browser.close()
        finally:
            supervisor.stop()
    report(view, len(pictures[0]) / 1e6)


def report(view: dict[str, Any], megabytes: float) -> None:
    """Prints the table and writes JSON."""
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    TARGET.write_text(json.dumps(view, indent=2) + "\n")
    title = f"24 megapixels, {megabytes:.1f} MB a file"
    table = Table(title, "median ms", "95% within ms", "0.1.0 ms")
    rows = {
        "a key to the next photo": view["human"]["photo"],
        "a key to the sharp picture": view["human"]["sharp"],
        "a key to the badge": view["human"]["badge"],
        "the same, as fast as keys go": view["fast"]["badge"],
        "a key to the next photo, all cores busy": view["busy"]["photo"],
        "a key to the sharp picture, all cores busy": view["busy"]["sharp"],
        "a key to the badge, all cores busy": view["busy"]["badge"],
    }
    for what, times in rows.items():
        numbers = [f"{number:.0f}" for number in summary(times)]
        table.add_row(what, *numbers, str(BEFORE.get(what, "")))
    console = Console()
    console.print(table)
    for key, value in view.items():
        if isinstance(value, float | int):
            console.print(f"{key}: {value:.3g}")


if __name__ == "__main__":
    main()
