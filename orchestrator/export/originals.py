"""Finds photos that were replaced or edited since they were scored; exports leave them out."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from orchestrator.records import ImageRecord
from orchestrator.storage.album_folders import AlbumFolders
from orchestrator.storage.containment import open_inside
from orchestrator.storage.photo_io import report_progress
from services.common.errors import InvalidImageError

CHANGED = "it has changed since it was scored; start a new run"
_CHUNK_BYTES = 2**20


def is_unchanged(opened: IO[bytes], record: ImageRecord) -> bool:
    """Whether an open photo has the content that was scored; rewinds the file."""
    digest = hashlib.sha256()
    while chunk := opened.read(_CHUNK_BYTES):
        report_progress()
        digest.update(chunk)
    opened.seek(0)
    return digest.hexdigest() == record.content_digest


def has_changed(folders: AlbumFolders, record: ImageRecord, roots: Sequence[Path]) -> bool:
    """Whether a photo's file no longer has the content that was scored.

    False if the file cannot be read: then there are no other pixels that its scores could apply to.
    """
    folder, within = folders.locate(record.path)
    try:
        with open_inside(folder / within, folder, roots) as opened:
            return not is_unchanged(opened, record)
    except (OSError, InvalidImageError):
        return False
