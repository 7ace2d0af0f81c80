"""What many callers with large messages cost: memory of the quality service, and calls lost.

All callers send at once, through one connection of the client library, one uncompressed picture
almost as large as a message may be. The baseline is the memory limit of the service's container in
the Kubernetes manifest. This process needs about 0.13 GiB a caller. Argument: how many callers.
"""

from __future__ import annotations

import asyncio
import io
import json
import re
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import yaml
from bestshot_client import Addresses, AsyncClient, BestshotError, ImageError
from PIL import Image
from rich.console import Console
from rich.table import Table

from orchestrator.cli.supervisor import Supervisor
from services.common.config.sections import SharedSettings, load_section
from tests.conftest import ROOT

CALLERS = 128
FILL = 0.95
"""Size of a message, relative to the largest allowed."""
TIMEOUT_S = 1800.0
MANIFEST = ROOT / "deploy" / "kubernetes" / "base" / "model-service" / "model-service.yaml"
TARGET = ROOT / "build" / "bench" / "admission.json"
UNITS = {"Mi": 2**20, "Gi": 2**30}


def picture() -> bytes:
    """An uncompressed TIFF, 4:3, of `FILL` times the largest message."""
    shared = load_section(ROOT / "configs", "builtin", "shared", SharedSettings)
    height = int((FILL * shared.max_message_bytes / 4) ** 0.5)
    pixels = np.zeros((height, height * 4 // 3, 3), np.uint8)
    pixels[::64] = pixels[:, ::64] = 255
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "TIFF")
    return file.getvalue()


def memory_limit() -> int:
    """Bytes that the manifest allows the service's container."""
    for manifest in yaml.safe_load_all(MANIFEST.read_text()):
        if manifest["kind"] == "Deployment":
            (container,) = manifest["spec"]["template"]["spec"]["containers"]
            number, unit = re.fullmatch(
                r"(\d+)(Mi|Gi)", container["resources"]["limits"]["memory"]
            ).groups()
            return int(number) * UNITS[unit]
    raise ValueError(f"{MANIFEST} has no Deployment")


def peak_bytes(pid: int) -> int:
    """Most memory that a process has had."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"^VmHWM:\s+(\d+) kB$", status, re.MULTILINE)[1]) * 1024


async def call_at_once(address: str, callers: int) -> int:
    """Returns how many of the calls were lost."""
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


def main() -> None:
    """Measures, prints a table and writes JSON."""
    callers = int(sys.argv[1]) if len(sys.argv) > 1 else CALLERS
    with TemporaryDirectory() as logs:
        supervisor = Supervisor(Path(logs), [])
        try:
            supervisor.start("quality", ["--address", "127.0.0.1:0"])
            address = supervisor.wait_for_address("quality")
            lost = asyncio.run(call_at_once(address, callers))
            peak = peak_bytes(supervisor.process_id("quality"))
        finally:
            supervisor.stop()
    result = {
        "callers": callers,
        "peak_bytes": peak,
        "peak_ratio": peak / memory_limit(),
        "calls_lost": lost,
    }
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    TARGET.write_text(json.dumps(result, indent=2) + "\n")
    table = Table("callers", "peak memory, ratio to the manifest's limit", "calls lost")
    table.add_row(str(callers), f"{result['peak_ratio']:.2f}", str(lost))
    Console().print(table)


if __name__ == "__main__":
    main()
