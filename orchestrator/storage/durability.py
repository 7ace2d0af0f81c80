"""Makes written files survive a power cut."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path


def sync_folder(folder: Path) -> None:
    """Writes a folder's names to the disk: new ones, and those that were renamed or removed."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        sync(descriptor)
    finally:
        os.close(descriptor)


def sync(descriptor: int) -> None:
    """Writes an opened file or folder to the disk, where the file system can."""
    with contextlib.suppress(OSError):  # some network file systems refuse it for folders
        os.fsync(descriptor)
