"""The memory for files is limited, no matter how many callers there are."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from tests.conftest import ROOT

pytestmark = pytest.mark.slow

PHOTO_COUNT = 40  # 350 MB for each of two callers
SIDE_PX = 1700
ROOM_BYTES, BUDGET_BYTES = 20 * 10**6, 80 * 10**6
FEW_BYTES = 160 * 10**6
"""Twice the additional memory that was measured: the allocator keeps some for each thread."""

COMPARE = """
import asyncio, pathlib, sys
from hashlib import sha256
from orchestrator.ports import ModelIdentity
from orchestrator.runs.pair_comparison import PairComparer
from orchestrator.storage.photo_io import PhotoThreads
from orchestrator.storage.photo_source import FolderPhotoSource
from services.common.imaging.decode import decode
from services.common.imaging.memory_budget import MemoryBudget
from services.common.rpc.turns import Turns

folder, room, budget = pathlib.Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
paths = sorted(path.name for path in folder.iterdir())

class Service:
    async def compare(self, images, pairs, model):
        return [0.5] * len(pairs)

class Cache:
    def put(self, entries): pass

def kilobytes(name):
    return int(pathlib.Path("/proc/self/status").read_text().split(name + ":")[1].split()[0])

async def main():
    source = FolderPhotoSource(folder, max_pixels=10**9, budget=MemoryBudget(budget))
    model = ModelIdentity("m", "1", "d", 256, (), "builtin", "", 64, (), (), "", (), {})
    threads = PhotoThreads(contents=Turns(room))
    digests = {path: sha256((folder / path).read_bytes()).hexdigest() for path in paths}
    pairs = list(zip(paths, paths[1:]))
    callers = [PairComparer(source, Cache(), Service(), model, threads) for _ in range(2)]
    decode((folder / paths[0]).read_bytes(), max_pixels=10**9)
    pathlib.Path("/proc/self/clear_refs").write_text("5")  # resets the peak
    before = kilobytes("VmRSS")
    found = await asyncio.gather(*(caller.compare(pairs, digests) for caller in callers))
    assert all(answers.keys() == set(pairs) for answers in found)
    print((kilobytes("VmHWM") - before) * 1024)

asyncio.run(main())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="peaks are read from /proc")
def test_many_comparisons_keep_few_files_in_memory(tmp_path: Path) -> None:
    for number in range(PHOTO_COUNT):
        image = Image.new("RGB", (SIDE_PX, SIDE_PX), (number, 0, 0))
        image.save(tmp_path / f"{number:02}.bmp")
    done = subprocess.run(
        [sys.executable, "-c", COMPARE, tmp_path, str(ROOM_BYTES), str(BUDGET_BYTES)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < ROOM_BYTES + BUDGET_BYTES + FEW_BYTES
