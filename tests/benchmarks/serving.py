"""Measures the cost of serving: each service compared with its model in this process.

Both get the same pictures. The model in this process is the baseline: it prepares and infers one
picture after the other, on as many threads as the service has workers.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import grpc
import numpy as np
from bestshot.embedding.v1 import embedding_pb2, embedding_pb2_grpc
from bestshot.face.v1 import face_pb2, face_pb2_grpc
from bestshot.image.v1 import image_pb2
from bestshot.quality.v1 import quality_pb2, quality_pb2_grpc
from bestshot.siamese.v1 import siamese_pb2, siamese_pb2_grpc
from rich.console import Console
from rich.table import Table
from sklearn.datasets import load_sample_images

from orchestrator.cli.supervisor import Supervisor
from services.common.imaging.decode import RgbImage, fit_long_side
from tests.benchmarks.models_here import model_here
from tests.conftest import ROOT

COUNT = {"embedding": 256, "quality": 128, "face": 32, "siamese": 64}
BATCH = 8
CALLERS = 8
REPEATS = 3
WORKERS = 1
TARGET = ROOT / "build" / "bench" / "serving.json"

Call = Callable[[Any, list[image_pb2.Image]], Awaitable[Any]]


def _pairs(images: list[image_pb2.Image]) -> siamese_pb2.CompareRequest:
    pairs = [siamese_pb2.Pair(first=index, second=0) for index in range(len(images))]
    return siamese_pb2.CompareRequest(images=images, pairs=pairs)


STUBS: dict[str, Any] = {
    "embedding": embedding_pb2_grpc.EmbeddingServiceStub,
    "quality": quality_pb2_grpc.QualityServiceStub,
    "face": face_pb2_grpc.FaceServiceStub,
    "siamese": siamese_pb2_grpc.SiameseServiceStub,
}
CALLS: dict[str, Call] = {
    "embedding": lambda stub, images: stub.Embed(embedding_pb2.EmbedRequest(images=images)),
    "quality": lambda stub, images: stub.Score(quality_pb2.ScoreRequest(images=images)),
    "face": lambda stub, images: stub.Analyze(face_pb2.AnalyzeRequest(images=images)),
    "siamese": lambda stub, images: stub.Compare(_pairs(images)),
}


def pictures(count: int) -> list[RgbImage]:
    """Returns crops of scikit-learn's photos, 512 pixels wide."""
    whole = load_sample_images().images
    rng = np.random.default_rng(0)
    found = []
    for index in range(count):
        picture = whole[index % len(whole)]
        top, left = (int(rng.integers(0, 40)) for _ in range(2))
        found.append(fit_long_side(np.ascontiguousarray(picture[top:, left:]), 512))
    return found


def message(pixels: RgbImage, long_side_px: int) -> image_pb2.Image:
    """Builds the message that the orchestrator sends, in the size that the service requests."""
    small = np.ascontiguousarray(fit_long_side(pixels, long_side_px))
    height, width = small.shape[:2]
    return image_pb2.Image(
        pixels=image_pb2.Pixels(width_px=width, height_px=height, rgb=small.tobytes())
    )


def in_process(name: str, images: list[image_pb2.Image]) -> float:
    """Returns pictures per second with the servicer's own prepare and infer, without gRPC."""
    analyse, _ = model_here(name, WORKERS)

    def once() -> float:
        with ThreadPoolExecutor(WORKERS) as pool:
            began = time.perf_counter()
            list(pool.map(analyse, images))
            return len(images) / (time.perf_counter() - began)

    once()
    return statistics.median(once() for _ in range(REPEATS))


async def measure_calls(
    name: str, address: str, images: list[image_pb2.Image], callers: int, batch: int
) -> float:
    """Measures pictures per second over gRPC: `callers` concurrent calls of `batch` pictures."""
    async with grpc.aio.insecure_channel(address) as channel:
        stub, call = STUBS[name](channel), CALLS[name]
        parts = [images[start : start + batch] for start in range(0, len(images), batch)]

        async def once() -> float:
            queue = list(parts)

            async def caller() -> None:
                while queue:
                    answer = await call(stub, queue.pop())
                    assert not any(result.HasField("error") for result in answer.results)

            began = time.perf_counter()
            await asyncio.gather(*(caller() for _ in range(callers)))
            return len(images) / (time.perf_counter() - began)

        await once()
        return statistics.median([await once() for _ in range(REPEATS)])


def measure(name: str, logs: str) -> dict[str, float]:
    """Measures one service: saturated, with one caller, and with merged calls."""
    side = {"embedding": 256, "siamese": 512}.get(name, 0)
    images = [message(pixels, side) for pixels in pictures(COUNT[name])]
    baseline = in_process(name, images)
    found = {"in_process_per_s": baseline}
    variants = {
        "saturated": (CALLERS, BATCH, ()),
        "one_caller": (1, 1, ()),
        "eight_callers_alone": (CALLERS, 1, ()),
        "eight_callers_merged": (CALLERS, 1, ("--set", "preferred_batch_count=8")),
    }
    for variant, (callers, batch, flags) in variants.items():
        supervisor = Supervisor(Path(logs), [])
        arguments = ["--address", "127.0.0.1:0", "--set", f"worker_threads={WORKERS}", *flags]
        try:
            supervisor.start(name, arguments)
            address = supervisor.wait_for_address(name)
            found[f"{variant}_per_s"] = asyncio.run(
                measure_calls(name, address, images, callers, batch)
            )
        finally:
            supervisor.stop()
    found["saturated_ratio"] = found["saturated_per_s"] / baseline
    found["one_caller_added_ms"] = 1000 / found["one_caller_per_s"] - 1000 / baseline
    found["merged_ratio"] = found["eight_callers_merged_per_s"] / found["eight_callers_alone_per_s"]
    return found


def main() -> None:
    """Measures every service, prints a table and writes JSON."""
    with TemporaryDirectory() as logs:
        results = {name: measure(name, logs) for name in STUBS}
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    TARGET.write_text(json.dumps(results, indent=2) + "\n")
    table = Table(
        "service",
        "in process, 1/s",
        "saturated, ratio",
        "one caller, added ms",
        "8 callers merged, ratio",
    )
    for name, found in results.items():
        table.add_row(
            name,
            f"{found['in_process_per_s']:.1f}",
            f"{found['saturated_ratio']:.2f}",
            f"{found['one_caller_added_ms']:.1f}",
            f"{found['merged_ratio']:.2f}",
        )
    Console().print(table)


if __name__ == "__main__":
    main()
