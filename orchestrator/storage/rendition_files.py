"""Stores photos in the sizes in which they are shown, so that no photo is decoded twice.

Runs add a preview of each photo; `viewing.pictures` adds what a page requests and is missing. Over
`orchestrator.max_rendition_mb`, the least recently read files are deleted.
"""

from __future__ import annotations

import contextlib
import logging
import os
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import IO

from services.common.imaging.decode import CANONICAL_LONG_SIDE_PX, CANONICAL_VERSION

PREVIEW_PX = CANONICAL_LONG_SIDE_PX
"""Long side of the previews that runs make from the pixels they score, for viewing at once."""

logger = logging.getLogger(__name__)


def rendition_key(content_digest: str, what: object) -> str:
    """Returns the key of a picture of a photo: its long side in pixels, or another description."""
    return f"{content_digest}-{CANONICAL_VERSION}-{what}"


class RenditionFiles:
    """Stores files by key, up to a total size; thread-safe.

    A file's modification time is set whenever it is read, and the oldest file is deleted first.
    Several processes may share the folder: each applies the limit to the files that it knows of.

    Args:
        folder: Created with the first file.
        max_bytes: Limit on the total size.
    """

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self._folder = folder
        self._max_bytes = max_bytes
        self._bytes: int | None = None
        self._lock = threading.Lock()

    def get(
        self, key: str, read: Callable[[IO[bytes]], bytes] = lambda opened: opened.read()
    ) -> bytes | None:
        """Reads a picture, or what `read` takes from its file; None if no picture is stored."""
        path = self._path(key)
        try:
            with path.open("rb") as opened:
                content = read(opened)
            os.utime(path)
        except OSError:
            return None
        return content

    def keep(self, key: str, content: bytes) -> None:
        """Writes a picture; if that fails, the picture is decoded again when it is needed."""
        path = self._path(key)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor, name = tempfile.mkstemp(dir=path.parent)
            try:
                with open(descriptor, "wb") as opened:
                    opened.write(content)
                os.replace(name, path)
            except BaseException:
                os.unlink(name)
                raise
        except OSError as error:
            logger.warning("cannot keep a picture in %s: %s", self._folder, error)
            return
        with self._lock:
            self._bytes = self._count() if self._bytes is None else self._bytes + len(content)
            if self._bytes > self._max_bytes:
                self._delete_oldest()

    def _path(self, key: str) -> Path:
        return self._folder / key[:2] / f"{key}.jpg"

    def _count(self) -> int:
        return sum(size for _, size, _ in self._files())

    def _delete_oldest(self) -> None:
        """Deletes files until a tenth of the limit is free, because listing them is slow."""
        files = sorted(self._files())
        self._bytes = sum(size for _, size, _ in files)
        for _, size, path in files:
            if self._bytes <= 0.9 * self._max_bytes:
                return
            path.unlink(missing_ok=True)
            self._bytes -= size

    def _files(self) -> list[tuple[float, int, Path]]:
        """Lists the last use, size and path of every file."""
        found = []
        for path in self._folder.glob("*/*"):
            with contextlib.suppress(FileNotFoundError):  # another process has just deleted it
                status = path.stat()
                found.append((status.st_mtime, status.st_size, path))
        return found
