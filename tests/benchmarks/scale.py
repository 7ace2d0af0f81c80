"""Measures how a run scales with the number of photos, with model services that answer at once.

Only the orchestrator's work remains: listing, reading, decoding small files, the database,
clustering, selection, and the calls. Every photo is a different file of 64 x 48 pixels. Arguments:
numbers of photos, each of which is measured.
"""

from __future__ import annotations

import io
import json
import math
import os
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from google.protobuf import struct_pb2
from PIL import Image
from rich.console import Console
from rich.table import Table

from tests.conftest import ROOT, draw_picture
from tests.integration.parts import Orchestrator, orchestrator

TARGET = ROOT / "build" / "bench" / "scale.json"
COUNTS = (1000, 5000, 10_000)
AGAIN: dict[str, dict[str, object]] = {
    "run with nothing new": {},
    "run with another setting": {"select_best": {"max_images_per_cluster": 1}},
}
Found = dict[str, float]


def make_photos(folder: Path, count: int) -> None:
    """Makes files with the same pixels but different comments."""
    buffer = io.BytesIO()
    Image.fromarray(draw_picture(1, 64, 48)).save(buffer, "JPEG")
    content = buffer.getvalue()
    for number in range(count):
        comment = f"{number:08}".encode()
        segment = b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment
        part = folder / f"{number // 1000:03}"
        part.mkdir(exist_ok=True)
        (part / f"{number:06}.jpg").write_bytes(content[:2] + segment + content[2:])


def measure(count: int) -> Found:
    """Returns the seconds per stage, and the orchestrator's peak memory and the database size in
    MiB."""
    command = [sys.executable, "-m", "tests.fakes.model_services"]
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'protos' / 'gen'}"}
    with (
        TemporaryDirectory() as name,
        subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
            cwd=ROOT,
        ) as services,
    ):
        assert services.stdout is not None
        assert services.stdin is not None
        address = json.loads(services.stdout.readline())["address"]
        base = Path(name)
        photos = base / "photos"
        photos.mkdir()
        make_photos(photos, count)
        addresses = dict.fromkeys(("embedding", "quality", "face", "siamese"), address)
        with orchestrator(base / "orchestrator", addresses, photos) as part:
            run_id = part.begin()
            run = part.end(run_id, timeout_s=7200)
            assert run.summary.photo_count == count, run.error
            found = {stage.stage: stage.elapsed_seconds for stage in run.stages}
            found["run"] = run.summary.elapsed_seconds
            for name, settings in AGAIN.items():
                found[name] = measure_again(part, settings, count)
            found["orchestrator_mib"] = part.peak_memory_mib
            data = base / "orchestrator" / "data"
            found["database_mib"] = sum(one.stat().st_size for one in data.glob("*.db*")) / 2**20
        services.stdin.close()
    return found


def measure_again(part: Orchestrator, settings: dict[str, object], count: int) -> float:
    """Returns the seconds from the start of a second run to its summary."""
    overrides = struct_pb2.Struct()
    overrides.update(settings)
    started = time.perf_counter()
    run = part.end(part.begin(overrides), timeout_s=7200)
    assert run.summary.cached_count == count, run.error
    return time.perf_counter() - started


def main() -> None:
    """Measures, prints a table and writes JSON."""
    counts = [int(one) for one in sys.argv[1:]] or list(COUNTS)
    results = {}
    for count in counts:
        results[count] = measure(count)
        print(count, {name: round(value, 2) for name, value in results[count].items()}, flush=True)
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    TARGET.write_text(json.dumps(results, indent=2) + "\n")
    table = Table("what", *(f"{count:,}" for count in counts), "grows as n^")
    for name in results[counts[-1]]:
        values = [results[count].get(name, 0.0) for count in counts]
        small, large = max(values[-2], 1e-3), max(values[-1], 1e-3)
        exponent = math.log(large / small) / math.log(counts[-1] / counts[-2])
        table.add_row(name, *(f"{value:.1f}" for value in values), f"{exponent:.2f}")
    Console().print(table)


if __name__ == "__main__":
    main()
