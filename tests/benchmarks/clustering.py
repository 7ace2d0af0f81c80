"""Measures how clustering scales: ours, hdbscan's generic path (the baseline) and fast_hdbscan.

Every measurement runs in a separate process, on the same vectors: scenes of a few shots each,
384-d. Time is that of the clustering alone; memory is the process's peak minus its memory
beforehand. The baseline has one BLAS thread for 20,000 photos: with two, NumPy's product of a large
matrix and its transpose crashes on some processors.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

TARGET = Path("build") / "bench" / "clustering.json"
COUNTS = (1000, 5000, 10_000, 20_000)
LARGE_COUNTS = (100_000,)
DIMENSIONS = 384

Vectors = NDArray[np.float32]


def scenes(count: int) -> Vectors:
    """Returns unit vectors around random centres, five per centre on average."""
    rng = np.random.default_rng(count)
    sizes = rng.geometric(1 / 5, count)
    owners = np.repeat(np.arange(count), sizes)[:count]
    centres = rng.normal(size=(int(owners.max()) + 1, DIMENSIONS)).astype(np.float32)
    vectors = centres[owners]
    vectors += np.float32(0.5) * rng.standard_normal((count, DIMENSIONS), dtype=np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def _captures(count: int) -> Any:
    """Simulates two cameras, used in turn for 1,000 photos: one every 20 s, none at night."""
    from orchestrator.domain.moments.capture_time import Captures

    number = np.arange(count)
    seconds = 20.0 * number + 50_000.0 * (number // 1500)
    return Captures(seconds, [str(turn % 2) for turn in (number // 1000).tolist()])


def _ours(scene_distance: float | None, time_weight: float = 0.0) -> Callable[[Vectors], Any]:
    from orchestrator.domain.moments.clustering import cluster_scenes
    from orchestrator.domain.moments.parameters import (
        WITHOUT_TIME,
        ClusterParameters,
        DbscanParameters,
    )

    wanted = ClusterParameters(
        method="hdbscan",
        metric="cosine",
        min_cluster_size=2,
        min_samples=2,
        cluster_selection_epsilon=0.0 if scene_distance is None else 0.8 * scene_distance,
        cluster_selection_method="eom",
        scene_distance=scene_distance,
        dbscan=DbscanParameters(eps=0.3, min_samples=1),
        capture_time=dataclasses.replace(WITHOUT_TIME, weight=time_weight),
        max_joint_count=None,
        compare_structure=False,
        view_weight=0.0,
    )
    return lambda vectors: cluster_scenes(vectors, wanted, _captures(len(vectors)))


def _generic() -> Callable[[Vectors], Any]:
    import hdbscan

    model = hdbscan.HDBSCAN(min_cluster_size=2, min_samples=2, metric="cosine", algorithm="generic")
    return lambda vectors: model.fit(vectors.astype(np.float64)).labels_


def _fast() -> Callable[[Vectors], Any]:
    import fast_hdbscan

    model = fast_hdbscan.HDBSCAN(min_cluster_size=2, min_samples=2)
    model.fit(scenes(300))  # compiles
    return lambda vectors: model.fit(vectors).labels_


METHODS: dict[str, Callable[[], Callable[[Vectors], Any]]] = {
    "hdbscan generic": _generic,
    "bestshot, plain": lambda: _ours(None),
    "bestshot, scene_distance": lambda: _ours(0.4),
    "bestshot, scene_distance and time": lambda: _ours(0.4, 0.12),
    "fast_hdbscan": _fast,
}


def measure(method: str, count: int) -> None:
    """Prints seconds, MiB and number of clusters of one clustering as JSON."""
    cluster = METHODS[method]()
    cluster(scenes(64))
    vectors = scenes(count)
    Path("/proc/self/clear_refs").write_text("5")  # resets the peak
    before = _memory_mib("VmRSS")
    began = time.perf_counter()
    labels = cluster(vectors)
    seconds = time.perf_counter() - began
    found = {
        "seconds": seconds,
        "mib": _memory_mib("VmHWM") - before,
        "clusters": int(labels.max()) + 1,
    }
    print(json.dumps(found))


def _memory_mib(field: str) -> float:
    status = Path("/proc/self/status").read_text()
    return int(status.split(f"{field}:")[1].split()[0]) / 1024


def _measure_in_process(python: str, method: str, count: int) -> dict[str, float] | None:
    command = [python, "-m", "tests.benchmarks.clustering", "--measure", method, str(count)]
    environment = {**os.environ, "PYTHONPATH": "."}
    if method == "hdbscan generic" and count == COUNTS[-1]:
        environment["OPENBLAS_NUM_THREADS"] = "1"
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        print(f"{method} at {count}: not measured: {done.stderr.strip().splitlines()[-1:]}")
        return None
    return dict(json.loads(done.stdout.splitlines()[-1]))


def main() -> None:
    """Measures everything, prints a table and writes JSON."""
    from tests.contract.other_pythons import installed_python

    fast_python = installed_python("fast_hdbscan", "pynndescent", "rich")
    results: dict[str, dict[int, dict[str, float]]] = {}
    for method in METHODS:
        python = str(fast_python) if method == "fast_hdbscan" else sys.executable
        counts = COUNTS + (LARGE_COUNTS if method.startswith("bestshot") else ())
        found = {count: _measure_in_process(python, method, count) for count in counts}
        results[method] = {count: one for count, one in found.items() if one}
    _print(results)
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    TARGET.write_text(json.dumps(results, indent=2))


def _print(results: dict[str, dict[int, dict[str, float]]]) -> None:
    base = results["hdbscan generic"]
    table = Table("photos", "method", "seconds", "times faster", "MiB", "times less", "clusters")
    for count in (*COUNTS, *LARGE_COUNTS):
        for method, found in results.items():
            if count not in found:
                continue
            one = found[count]
            compared = base.get(count)
            faster = f"{compared['seconds'] / one['seconds']:.1f}" if compared else ""
            less = f"{compared['mib'] / max(one['mib'], 1):.1f}" if compared else ""
            table.add_row(
                *(f"{count:,}", method, f"{one['seconds']:.2f}", faster),
                *(f"{one['mib']:.0f}", less, str(one["clusters"])),
            )
    Console().print(table)
    for method, found in results.items():
        large = sorted(found)[-2:]
        ratio = math.log(large[1] / large[0])
        seconds = math.log(found[large[1]]["seconds"] / found[large[0]]["seconds"]) / ratio
        mib = math.log(max(found[large[1]]["mib"], 1) / max(found[large[0]]["mib"], 1)) / ratio
        print(
            f"{method}: from {large[0]:,} to {large[1]:,} photos, time grows as n^{seconds:.2f}, "
            f"memory as n^{mib:.2f}"
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--measure", nargs=2, metavar=("METHOD", "COUNT"))
    wanted = parser.parse_args().measure
    if wanted:
        measure(wanted[0], int(wanted[1]))
    else:
        main()
