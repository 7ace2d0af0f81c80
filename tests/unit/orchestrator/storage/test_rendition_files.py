from __future__ import annotations

import os
from pathlib import Path

import pytest

from orchestrator.storage.rendition_files import RenditionFiles


def test_pictures_are_kept_within_the_limit_and_the_oldest_are_deleted_first(
    tmp_path: Path,
) -> None:
    kept = RenditionFiles(tmp_path / "renditions", max_bytes=1000)
    assert kept.get("aa-1") is None
    for number in range(3):
        kept.keep(f"aa-{number}", bytes([number]) * 300)
    for number, path in enumerate(sorted(tmp_path.rglob("*.jpg"))):
        os.utime(path, (number, number))
    assert kept.get("aa-0") == bytes(300)  # used now, so it is no longer the oldest
    kept.keep("bb-3", b"3" * 300)
    assert kept.get("aa-1") is None
    assert kept.get("aa-0") is not None
    assert kept.get("aa-2") is not None

    # another process starts with the existing files
    after = RenditionFiles(tmp_path / "renditions", max_bytes=1000)
    after.keep("cc-4", b"4" * 300)
    assert sum(path.stat().st_size for path in tmp_path.rglob("*.jpg")) <= 900
    assert after.get("cc-4") is not None


def test_a_folder_that_cannot_be_written_only_costs_time(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    kept = RenditionFiles(tmp_path / "file", max_bytes=1000)
    kept.keep("aa-1", b"1")
    assert kept.get("aa-1") is None
    assert "cannot keep a picture" in caplog.text
