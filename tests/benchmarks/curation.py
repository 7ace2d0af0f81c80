"""Compares a whole run on camera-sized photos with one process that does the same without gRPC.

The baseline is a script: it reads, decodes and analyses one photo after the other, and clusters.
The limit is the speed if everything except the models, or except the models and decoding, took no
time: their processor time, divided by the number of cores. Each measurement runs in a separate
process on the same photos; the better of two rounds counts. The Siamese model does not compare near
ties, because the script does not select.

A run with the `standard` profile is measured too, and compared with the builtin run, if its
networks are on this machine or can be fetched.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import skimage.data
from bestshot.image.v1 import image_pb2
from PIL import Image
from rich.console import Console
from rich.table import Table

from services.common.config.folders import BUILTIN_PROFILE, PROFILE_VARIABLE, config_dir
from services.common.imaging.decode import decode, fit_long_side
from services.common.inference.registry import find_entry
from tests.benchmarks.models_here import model_here
from tests.conftest import ROOT

BESTSHOT = Path(sys.executable).with_name("bestshot")
TARGET = ROOT / "build" / "bench" / "curation.json"
PHOTO_COUNT = 160
SIZE = (4000, 3000)
ROUNDS = 2
MAX_PIXELS = 250_000_000
SCENES = (
    skimage.data.astronaut,
    skimage.data.chelsea,
    skimage.data.coffee,
    skimage.data.rocket,
)


def make_album(folder: Path, count: int) -> None:
    """Makes JPEGs of 12 megapixels: enlarged crops of real pictures, with grain like a sensor's."""
    rng = np.random.default_rng(0)
    grain = rng.normal(0, 4, (SIZE[1], SIZE[0], 1)).astype(np.float32)
    for number in range(count):
        picture = Image.fromarray(SCENES[number // 4 % len(SCENES)]())
        left, top = (int(rng.integers(0, 24)) for _ in range(2))
        cut = picture.crop((left, top, picture.width - 24 + left, picture.height - 24 + top))
        large = np.asarray(cut.resize(SIZE, Image.Resampling.BICUBIC), np.float32)
        pixels = np.clip(large + np.roll(grain, number, axis=0), 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{number:03}.jpg", quality=90)


def single_process(folder: Path, profile: str) -> None:
    """Prints photos per second and processor seconds of a run without gRPC, as JSON."""
    from orchestrator.config import PipelineConfig, resolve_auto
    from orchestrator.domain.moments.clustering import cluster_scenes

    os.environ[PROFILE_VARIABLE] = profile
    config = PipelineConfig(config_dir(None), profile)
    calibration = find_entry(config_dir(None), config.model_id("embedding")).calibration
    assert calibration is not None
    parameters = resolve_auto(
        config.load().cluster_scenes,
        (calibration.scene_distance, calibration.cluster_selection_epsilon),
    )
    models = {name: model_here(name) for name in ("embedding", "quality", "face")}
    paths = sorted(folder.iterdir())

    def analysed(name: str, pixels: Any) -> Any:
        analyse, long_side_px = models[name]
        small = np.ascontiguousarray(fit_long_side(pixels, long_side_px))
        height, width = small.shape[:2]
        return analyse(
            image_pb2.Image(
                pixels=image_pb2.Pixels(width_px=width, height_px=height, rgb=small.tobytes())
            )
        )

    for name in models:
        analysed(name, decode(paths[0].read_bytes(), max_pixels=MAX_PIXELS).pixels)
    began, model_seconds, decode_seconds = time.perf_counter(), 0.0, 0.0
    embeddings = []
    for path in paths:
        content = path.read_bytes()
        before = time.process_time()
        pixels = decode(content, max_pixels=MAX_PIXELS).pixels
        decode_seconds += time.process_time() - before
        before = time.process_time()
        embeddings.append(analysed("embedding", pixels))
        analysed("quality", pixels)
        analysed("face", pixels)
        model_seconds += time.process_time() - before
    cluster_scenes(np.stack(embeddings), parameters)
    seconds = time.perf_counter() - began
    answer = {"model_seconds": model_seconds, "decode_seconds": decode_seconds}
    print(json.dumps({"per_s": len(paths) / seconds, **answer}))


def can_have(profile: str) -> bool:
    """Whether the networks of a profile are on this machine; tries to fetch them first."""
    pull = [BESTSHOT, "models", "pull", "--profile", profile]
    return subprocess.run(pull, check=False).returncode == 0


def whole_run(photos: Path, base: Path, profile: str) -> dict[str, float]:
    """Measures photos per second of `bestshot curate`, without and with process start-up."""
    without_ties = ("--set", "select_best.siamese.enabled=false")
    command = [BESTSHOT, "curate", photos, "--out", base / "out", *without_ties]
    command += ["--profile", profile]
    environment = {**os.environ, "BESTSHOT_DATA_DIR": str(base / "data")}
    began = time.perf_counter()
    subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL)
    command_seconds = time.perf_counter() - began
    run = json.loads((base / "out" / "run.json").read_text())
    count = run["summary"]["photo_count"]
    return {
        "per_s": count / run["summary"]["elapsed_seconds"],
        "command_per_s": count / command_seconds,
    }


def decoding(photos: Path) -> dict[str, float]:
    """Measures photos per second: our decoder, which scales while decoding, and plain Pillow."""
    contents = [path.read_bytes() for path in sorted(photos.iterdir())[:24]]

    def full_size(content: bytes) -> None:
        image = Image.open(io.BytesIO(content)).convert("RGB")
        image.thumbnail((1024, 1024), Image.Resampling.BOX)

    def rate(one: Callable[[bytes], object]) -> float:
        began = time.perf_counter()
        for content in contents:
            one(content)
        return len(contents) / (time.perf_counter() - began)

    return {
        "ours_per_s": max(rate(lambda one: decode(one, max_pixels=MAX_PIXELS)) for _ in range(2)),
        "full_size_per_s": max(rate(full_size) for _ in range(2)),
    }


def _baseline(photos: Path, profile: str) -> dict[str, float]:
    command = [sys.executable, "-m", "tests.benchmarks.curation", "--single-process", str(photos)]
    command += ["--profile", profile]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def main() -> None:
    """Measures everything, prints a table and writes JSON."""
    with TemporaryDirectory() as folder:
        photos = Path(folder) / "photos"
        photos.mkdir()
        make_album(photos, PHOTO_COUNT)
        has_standard = can_have("standard")
        baselines, runs, standard, standard_baselines = [], [], [], []
        for number in range(ROUNDS):
            base_folder = Path(folder) / str(number)
            baselines.append(_baseline(photos, BUILTIN_PROFILE))
            runs.append(whole_run(photos, base_folder / "builtin", "builtin"))
            if has_standard:
                standard_baselines.append(_baseline(photos, "standard"))
                standard.append(whole_run(photos, base_folder / "standard", "standard"))
        decoded = decoding(photos)
    base = max(baselines, key=lambda one: one["per_s"])
    run = max(runs, key=lambda one: one["per_s"])
    cores = len(os.sched_getaffinity(0))
    limit = cores * PHOTO_COUNT / min(one["model_seconds"] for one in baselines)
    results = {
        "photos": PHOTO_COUNT,
        "megapixels": SIZE[0] * SIZE[1] / 1e6,
        "cores": cores,
        "single_process_per_s": base["per_s"],
        "model_limit_per_s": limit,
        "run_per_s": run["per_s"],
        "command_per_s": run["command_per_s"],
        "run_to_single_process": run["per_s"] / base["per_s"],
        "run_to_model_limit": run["per_s"] / limit,
        "decode_per_s": decoded["ours_per_s"],
        "decode_to_full_size": decoded["ours_per_s"] / decoded["full_size_per_s"],
    }
    if has_standard:
        results["standard_per_s"] = max(one["per_s"] for one in standard)
        results["standard_to_builtin"] = results["standard_per_s"] / run["per_s"]
        needed = min(one["model_seconds"] + one["decode_seconds"] for one in standard_baselines)
        results["standard_to_limit"] = results["standard_per_s"] * needed / cores / PHOTO_COUNT
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    TARGET.write_text(json.dumps(results, indent=2) + "\n")
    table = Table("what", "value")
    for name, value in results.items():
        table.add_row(name, f"{value:.2f}" if isinstance(value, float) else str(value))
    Console().print(table)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--single-process", type=Path, metavar="PHOTOS")
    parser.add_argument("--profile", default=BUILTIN_PROFILE)
    given = parser.parse_args()
    if given.single_process:
        single_process(given.single_process, given.profile)
    else:
        main()
