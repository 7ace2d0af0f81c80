"""Measures the quality service under many callers: memory, lost calls, and calls per caller.

First each caller has a separate connection and sends photos of 12 megapixels, one after the other,
for some time. Then some of them simultaneously send, through one connection of the client library,
an uncompressed picture of almost the maximum message size; this process needs about 0.13 GiB for
each. The baseline is the memory limit of the service's container in the Kubernetes manifest.
Arguments: the number of callers, and how many of them send the largest messages.
"""

from __future__ import annotations

import asyncio
import io
import json
import re
import sys
import time
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

import grpc
import numpy as np
import yaml
from bestshot.image.v1 import image_pb2
from bestshot.quality.v1 import quality_pb2, quality_pb2_grpc
from bestshot_client import Addresses, AsyncClient, BestshotError, ImageError
from PIL import Image
from rich.console import Console
from rich.table import Table

from orchestrator.cli.supervisor import Supervisor
from services.common.config.sections import SharedSettings, load_section
from services.common.rpc.status import is_queue_full
from tests.conftest import ROOT

CALLERS, LARGE_CALLERS = 128, 24
FILL = 0.95
"""Size of a message, relative to the maximum."""
TIMEOUT_S = 1800.0
SECONDS = 20.0
MANIFEST = ROOT / "deploy" / "kubernetes" / "base" / "model-service" / "model-service.yaml"
TARGET = ROOT / "build" / "bench" / "admission.json"
UNITS = {"Mi": 2**20, "Gi": 2**30}


def picture() -> bytes:
    """Returns an uncompressed TIFF, 4:3, with `FILL` times the maximum message size."""
    shared = load_section(ROOT / "configs", "builtin", "shared", SharedSettings)
    height = int((FILL * shared.max_message_bytes / 4) ** 0.5)
    pixels = np.zeros((height, height * 4 // 3, 3), np.uint8)
    pixels[::64] = pixels[:, ::64] = 255
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "TIFF")
    return file.getvalue()


def photo() -> bytes:
    """Returns a JPEG of 12 megapixels."""
    rows, columns = np.mgrid[0:3000, 0:4000]
    pixels = np.stack([rows % 256, columns % 256, (rows * columns) % 251], axis=2)
    file = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(file, "JPEG", quality=85)
    return file.getvalue()


def memory_limit() -> int:
    """Returns the memory limit of the service's container in the manifest, bytes."""
    for manifest in yaml.safe_load_all(MANIFEST.read_text()):
        if manifest["kind"] == "Deployment":
            (container,) = manifest["spec"]["template"]["spec"]["containers"]
            number, unit = re.fullmatch(
                r"(\d+)(Mi|Gi)", container["resources"]["limits"]["memory"]
            ).groups()
            return int(number) * UNITS[unit]
    raise ValueError(f"{MANIFEST} has no Deployment")


def peak_bytes(pid: int) -> int:
    """Returns the peak memory of a process."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"^VmHWM:\s+(\d+) kB$", status, re.MULTILINE)[1]) * 1024


async def call_at_once(address: str, callers: int) -> int:
    """Makes all calls simultaneously; returns how many of them were lost."""
    content = picture()

    async with AsyncClient(Addresses(quality=address), timeout_s=TIMEOUT_S) as client:

        async def call() -> bool:
            try:
                (result,) = await client.score([content])
            except BestshotError as error:
                print(f"lost: {error}", file=sys.stderr)
                return False
            return not isinstance(result, ImageError)

        return callers - sum(await asyncio.gather(*(call() for _ in range(callers))))


async def call_for(address: str, callers: int, seconds: float) -> dict[str, float]:
    """Makes each caller send for some time; returns how many calls they completed and lost."""
    request = quality_pb2.ScoreRequest(images=[image_pb2.Image(encoded=photo())])
    options = [("grpc.use_local_subchannel_pool", 1), ("grpc.max_send_message_length", -1)]
    end = time.monotonic() + seconds
    lost: list[str] = []

    async def caller() -> int:
        done = 0
        async with grpc.aio.insecure_channel(address, options=options) as channel:
            stub = quality_pb2_grpc.QualityServiceStub(channel)
            while time.monotonic() < end:
                try:
                    await stub.Score(request, timeout=TIMEOUT_S)
                    done += 1
                except grpc.aio.AioRpcError as error:
                    lost.append(f"{error.code().name} {is_queue_full(error)}")
        return done

    done = await asyncio.gather(*(caller() for _ in range(callers)))
    print("lost", Counter(lost))
    return {
        "fewest": min(done),
        "most": max(done),
        "per_second": sum(done) / seconds,
        "lost": len(lost),
    }


def main() -> None:
    """Measures, prints a table and writes JSON."""
    given = [int(argument) for argument in sys.argv[1:]]
    callers, large_callers = (*given, *(CALLERS, LARGE_CALLERS)[len(given) :])
    with TemporaryDirectory() as logs:
        supervisor = Supervisor(Path(logs), [])
        try:
            supervisor.start("quality", ["--address", "127.0.0.1:0"])
            address = supervisor.wait_for_address("quality")
            steady = asyncio.run(call_for(address, callers, SECONDS))
            steady_peak = peak_bytes(supervisor.process_id("quality"))
            lost = asyncio.run(call_at_once(address, large_callers))
            peak = peak_bytes(supervisor.process_id("quality"))
        finally:
            supervisor.stop()
    result = {
        "callers": callers,
        "large_callers": large_callers,
        "peak_bytes": peak,
        "peak_ratio": peak / memory_limit(),
        "calls_lost": lost,
        "steady": {**steady, "peak_ratio": steady_peak / memory_limit()},
    }
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    TARGET.write_text(json.dumps(result, indent=2) + "\n")
    ratio = "peak memory, ratio to the manifest's limit"
    table = Table(f"{callers} callers", ratio, "lost calls", "calls per caller")
    calls = f"{steady['fewest']} to {steady['most']}"
    table.add_row(
        f"photos, {SECONDS:g} s", f"{steady_peak / memory_limit():.2f}", str(steady["lost"]), calls
    )
    table.add_row(
        f"{large_callers} of the largest requests", f"{result['peak_ratio']:.2f}", str(lost), "1"
    )
    Console().print(table)


if __name__ == "__main__":
    main()
