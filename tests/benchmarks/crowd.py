"""Measures each step that handles a whole crowd: one moment of look-alikes, such as a time-lapse.

The baseline is "all similarities once": the products of all embeddings with each other, computed in
blocks and discarded. Each step runs in a separate process; memory is the process's peak during the
step minus its memory before the step. Argument: the number of photos.
"""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray
from prometheus_client import CollectorRegistry
from rich.console import Console
from rich.table import Table

from orchestrator import features as codec
from orchestrator.config import PipelineConfig
from orchestrator.domain.moments.clustering import cluster_scenes
from orchestrator.domain.moments.time_evidence import Captures, with_time_evidence
from orchestrator.export.exporter import ExportOptions, export_run
from orchestrator.metrics import RunMetrics
from orchestrator.records import Album, ImageRecord, Run, RunState, summarize, utc_now
from orchestrator.review.explain_photo import explain_photo
from orchestrator.runs.recorded_settings import record_config
from orchestrator.runs.selection import add_verdicts, build_selection
from orchestrator.runs.stored_features import thumbnail_key
from orchestrator.storage.database import open_database
from orchestrator.storage.feature_cache import SqlFeatureCache
from orchestrator.storage.run_store import SqlRunStore
from tests.conftest import ROOT
from tests.unit.values import quality

TARGET = ROOT / "build" / "bench" / "crowd.json"
COUNT = 20_000
DIMENSIONS = 384
BLOCK_COUNT = 1024
CALIBRATION = (0.4, 0.32)
"""Scene distance and epsilon, with values that calibrating an embedding could give."""
BASELINE = "all similarities once"
MODEL = "m" * 64
EMBEDDING = {"id": "m", "description": "", "fallback_for_model_id": ""}

Vectors = NDArray[np.float32]
Step = Callable[[int, Path], Callable[[], Any]]


def crowd(count: int) -> Vectors:
    """Returns unit vectors within a cosine distance of 0.02 of each other."""
    rng = np.random.default_rng(count)
    vectors = rng.normal(size=DIMENSIONS).astype(np.float32) / np.float32(np.sqrt(DIMENSIONS))
    found = vectors + np.float32(0.003) * rng.standard_normal((count, DIMENSIONS), np.float32)
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def similarities(count: int, folder: Path) -> Callable[[], Any]:
    vectors = crowd(count)

    def multiply() -> None:
        for start in range(0, count, BLOCK_COUNT):
            for other in range(start, count, BLOCK_COUNT):
                vectors[start : start + BLOCK_COUNT] @ vectors[other : other + BLOCK_COUNT].T

    return multiply


def cluster(profile: str, count: int, folder: Path) -> Callable[[], Any]:
    parameters = settings(profile).cluster_scenes.parameters(CALIBRATION)
    cluster_scenes(crowd(64), parameters)
    vectors = crowd(count)

    def work() -> None:
        assert cluster_scenes(vectors, parameters, note=lambda note: None).max() >= 0

    return work


def time_evidence(seconds_between: float, count: int, folder: Path) -> Callable[[], Any]:
    """Prepares photos of one camera, one every `seconds_between`, with a night in the middle."""
    parameters = settings("builtin").cluster_scenes.parameters(CALIBRATION)
    time = dataclasses.replace(parameters.capture_time, enabled=True)
    seconds = np.arange(count) * seconds_between
    seconds[count // 2 :] += 86_400.0
    seconds[:: count // 10] = np.nan
    captures = Captures(seconds, ["camera"] * count)
    return partial(
        with_time_evidence, np.zeros(count, np.int64), crowd(count), captures, time, "cosine"
    )


def select(count: int, folder: Path) -> Callable[[], Any]:
    found, vectors = records(count), crowd(count)

    def work() -> None:
        add_verdicts(found, build_selection(found, vectors, settings("builtin"), {}), {})

    return work


def settings(profile: str) -> Any:
    return PipelineConfig(ROOT / "configs", "builtin").load(profile)


def records(count: int) -> list[ImageRecord]:
    return [
        ImageRecord(
            f"{number // 1000:03}/{number:06}.jpg",
            f"{number:064x}",
            1000,
            quality=quality(ava_score=4.0 + 4.0 * (number * 7919 % count) / count),
            cluster_id=0,
            machine_cluster_id=0,
        )
        for number in range(count)
    ]


@dataclasses.dataclass
class Stored:
    """A completed run in a database."""

    album: Album
    run: Run
    records: list[ImageRecord]
    store: SqlRunStore
    cache: SqlFeatureCache


def stored(count: int, folder: Path) -> Stored:
    (folder / "data").mkdir()
    (folder / "photos").mkdir()
    engine = open_database(folder / "data")
    store, cache = SqlRunStore(engine), SqlFeatureCache(engine, RunMetrics(CollectorRegistry()))
    vectors = crowd(count)
    found = records(count)
    judged = add_verdicts(found, build_selection(found, vectors, settings("builtin"), {}), {})
    for start in range(0, count, 500):
        cache.put(
            {
                key: content
                for record, vector in zip(
                    judged[start : start + 500], vectors[start : start + 500], strict=True
                )
                for key, content in (
                    ((record.content_digest, "embedding", MODEL), codec.pack_embedding(vector)),
                    (thumbnail_key(record.content_digest), os.urandom(8000)),
                )
            }
        )
    album = Album("a", "Crowd", str(folder / "photos"), utc_now())
    run = Run(
        id="r",
        album_id="a",
        state=RunState.COMPLETED,
        profile="builtin",
        config=record_config(settings("builtin"), CALIBRATION),
        models={"embedding": {**EMBEDDING, "digest": MODEL}},
        versions={},
        create_time=utc_now(),
        summary=summarize(judged, 0, 1.0),
    )
    store.add_album(album)
    store.save_results(run, judged)
    return Stored(album, run, judged, store, cache)


def export(count: int, folder: Path) -> Callable[[], Any]:
    made = stored(count, folder)
    return partial(
        export_run,
        *(made.album, made.run, made.records, made.cache, folder / "out", ExportOptions()),
    )


def explain(count: int, folder: Path) -> Callable[[], Any]:
    made = stored(count, folder)
    path = made.records[count // 2].path
    return partial(explain_photo, made.store, made.cache, made.run, path)


STEPS: dict[str, Step] = {
    BASELINE: similarities,
    "clustering, builtin": partial(cluster, "builtin"),
    "clustering, reference": partial(cluster, "reference"),
    "time evidence, a photo every 30 s": partial(time_evidence, 30.0),
    "time evidence, 20 photos a second": partial(time_evidence, 0.05),
    "selection": select,
    "export of a folder": export,
    "explanation of a photo": explain,
}


def measure(name: str, count: int) -> None:
    """Prints seconds and MiB of a step as JSON."""
    with TemporaryDirectory() as folder:
        work = STEPS[name](count, Path(folder))
        Path("/proc/self/clear_refs").write_text("5")  # resets the peak
        before = memory_mib("VmRSS")
        began = time.perf_counter()
        work()
        seconds = time.perf_counter() - began
        print(json.dumps({"seconds": seconds, "mib": memory_mib("VmHWM") - before}))


def memory_mib(field: str) -> float:
    status = Path("/proc/self/status").read_text()
    return int(status.split(f"{field}:")[1].split()[0]) / 1024


def main(count: int) -> None:
    """Measures everything, prints a table and writes JSON."""
    found: dict[str, dict[str, float]] = {}
    for name in STEPS:
        command = [sys.executable, "-m", "tests.benchmarks.crowd", str(count), name]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
        if done.returncode:
            print(f"{name}: not measured: {done.stderr.strip().splitlines()[-1:]}")
            continue
        found[name] = dict(json.loads(done.stdout.splitlines()[-1]))
        print(name, {key: round(value, 2) for key, value in found[name].items()}, flush=True)
    base = found[BASELINE]
    table = Table(f"{count:,} look-alikes", "seconds", "times the baseline", "MiB", "times")
    for name, one in found.items():
        table.add_row(
            *(name, f"{one['seconds']:.2f}", f"{one['seconds'] / base['seconds']:.1f}"),
            *(f"{one['mib']:.0f}", f"{one['mib'] / max(base['mib'], 1):.1f}"),
        )
    Console().print(table)
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    TARGET.write_text(json.dumps({"photos": count, "steps": found}, indent=2) + "\n")


if __name__ == "__main__":
    arguments = sys.argv[1:]
    if len(arguments) == 2:
        measure(arguments[1], int(arguments[0]))
    else:
        main(int(arguments[0]) if arguments else COUNT)
