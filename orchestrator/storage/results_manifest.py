"""Reads the manifest of an output folder, which lists the files that bestshot wrote there."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from services.common.platform.files import Folder, open_folder
from services.common.user_files import open_regular

MANIFEST_NAME = ".bestshot-manifest.json"
FORMAT_VERSION = 1
_MAX_BYTES = 2**29
_MAX_ALBUM_BYTES = 2**24
"""Limit for a manifest in an album, which others may have put there; enough for about 100,000
files. Reading a manifest takes up to 30 times as much memory."""

Entry = dict[str, Any]
"""A written file: {"sha256", "size"}, {"symlink": target}, {"hardlink": source} or {"log":
True}."""


def read_manifest(folder: Folder, limit: int = _MAX_BYTES) -> dict[str, list[Entry]] | None:
    """Reads the manifest of an open folder.

    Returns:
        None if it does not exist, is not ours, or has more than `limit` bytes.
    """
    try:
        with open_regular(MANIFEST_NAME, follow=False, folder=folder) as opened:
            found = json.loads(opened.read(limit))
        if found["written_by"] != "bestshot" or found["format"] != FORMAT_VERSION:
            return None
        files = found["files"].items()
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None
    return {
        name: [entry for entry in entries if isinstance(entry, dict)]
        for name, entries in files
        if is_plain(name) and isinstance(entries, list)
    }


def is_plain(name: str) -> bool:
    """Whether this is a valid relative path without empty, "." or ".." parts."""
    try:
        os.fsencode(name)
    except UnicodeEncodeError:
        return False
    return "\0" not in name and all(part not in ("", ".", "..") for part in name.split("/"))


def copies_in_results(folder: Path) -> frozenset[str]:
    """Finds the copies of photos that bestshot wrote to an output folder; returns absolute paths.

    Skips a copy that was edited afterwards, and a hard link whose original is gone, because no
    other file has their content.
    """
    try:
        with open_folder(folder) as opened:
            manifest = read_manifest(opened, _MAX_ALBUM_BYTES) or {}
    except OSError:
        return frozenset()
    paths = {str(folder / name): entries for name, entries in manifest.items()}
    return frozenset(path for path, entries in paths.items() if _is_copy(path, entries))


def _is_copy(path: str, entries: list[Entry]) -> bool:
    try:
        status = os.lstat(path)
    except OSError:
        return False
    if any("hardlink" in entry for entry in entries):
        return status.st_nlink > 1
    return any("symlink" in entry or entry.get("size") == status.st_size for entry in entries)
