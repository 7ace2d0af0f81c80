from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping
from pathlib import Path

import pytest
from PIL import Image

from orchestrator.ports import ModelIdentity
from orchestrator.runs.pair_comparison import PairComparer
from orchestrator.storage.photo_io import PhotoThreads
from orchestrator.storage.photo_source import FolderPhotoSource
from services.common.errors import FailedPreconditionError
from tests.conftest import draw_picture


class Even:
    """Finds all photos equally good; also acts as a cache."""

    def __init__(self) -> None:
        self.entries: dict[tuple[str, str, str], bytes] = {}

    async def compare(self, images: object, pairs: list[object], model: object) -> list[float]:
        return [0.5] * len(pairs)

    def put(self, entries: Mapping[tuple[str, str, str], bytes]) -> None:
        self.entries.update(entries)


def test_no_answer_is_stored_for_a_file_that_was_replaced(tmp_path: Path) -> None:
    names = ("a.bmp", "b.bmp")
    for seed, name in enumerate(names):
        Image.fromarray(draw_picture(seed)).save(tmp_path / name)
    digests = {name: hashlib.sha256((tmp_path / name).read_bytes()).hexdigest() for name in names}
    model = ModelIdentity("m", "1", "d", 256, (), "builtin", "", 64, (), (), "", (), {})
    service, source = Even(), FolderPhotoSource(tmp_path, max_pixels=10**6)

    def compare() -> dict[tuple[str, str], float]:
        threads = PhotoThreads()
        comparer = PairComparer(source, service, service, model, threads, kept_bytes=0)  # type: ignore[arg-type]
        return asyncio.run(comparer.compare([names], digests))

    assert compare() == {names: 0.5}
    service.entries.clear()
    Image.fromarray(draw_picture(9)).save(tmp_path / "b.bmp")
    with pytest.raises(FailedPreconditionError, match=r"b\.bmp has changed since it was scored"):
        compare()
    assert not service.entries
