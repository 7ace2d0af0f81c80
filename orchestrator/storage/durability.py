"""Makes written files survive a power cut."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path


def sync_file(folder: int, name: str) -> None:
    """Flushes a file's content to the disk; a symbolic link has no content.

    Args:
        folder: Descriptor of the file's folder.
        name: The file's name in it.

    Raises:
        OSError: The disk failed or is full.
    """
    try:
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
    except OSError:  # a link, or a file that only its owner may read
        return
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_folder(folder: Path | str, parent: int | None = None) -> None:
    """Flushes a folder's entries to the disk, which makes additions, renames and deletions durable.

    Args:
        folder: The folder.
        parent: Descriptor of the folder that a relative path starts from.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=parent)
    try:
        with contextlib.suppress(OSError):  # some network file systems refuse to sync a folder
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
