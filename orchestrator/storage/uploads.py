"""Uploaded photos: one folder per album, in the data folder."""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO

from orchestrator.storage.companions import PHOTO_SUFFIXES
from orchestrator.storage.containment import resolved_roots
from services.common.errors import FailedPreconditionError, InvalidArgumentError
from services.common.platform.files import sync_folder

UPLOADS_NAME = "uploads"
_PARTIAL_SUFFIX = ".partial"
_MARK_NAME = ".no-album-yet"
"""Marker file in a folder until its album is stored. Without this file a folder is never removed:
its album may be in a database that was moved away."""
_MAX_NAME_BYTES = 200


def album_roots(allowed_roots: Sequence[Path], data_folder: Path) -> tuple[Path, ...]:
    """Returns the folders that an album's links may point into: allowed roots and uploads."""
    return resolved_roots([*allowed_roots, data_folder / UPLOADS_NAME])


class Upload:
    """Receives the photos of one album; as a context manager, it leaves no partial upload behind.

    Once the album is stored, call `keep`.

    Args:
        data_folder: Contains the folder of all uploads.
        name: Name of the album's folder.
        max_bytes: Maximum total size of the photos.
    """

    def __init__(self, data_folder: Path, name: str, max_bytes: int) -> None:
        self._max_bytes = self._bytes_left = max_bytes
        self.folder = data_folder / UPLOADS_NAME / name
        self.photo_count = 0
        self._partial = self.folder.with_name(name + _PARTIAL_SUFFIX)
        self._open: IO[bytes] | None = None

    def __enter__(self) -> Upload:
        try:
            self._partial.mkdir(parents=True)
            (self._partial / _MARK_NAME).touch()
        except OSError as error:
            raise self._not_stored(error) from error
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._close()
        shutil.rmtree(self._partial, ignore_errors=True)
        if isinstance(error, OSError):
            raise self._not_stored(error) from error

    def begin(self, filename: str) -> None:
        """Begins a photo.

        Raises:
            InvalidArgumentError: The name is not that of a photo.
        """
        self._close()
        first = path = self._partial / _safe_name(filename)
        count = 1
        while path.exists():
            count += 1
            path = first.with_stem(f"{first.stem} ({count})")
        self._open = path.open("xb")
        self.photo_count += 1

    def write(self, chunk: bytes) -> None:
        """Appends to the current photo.

        Raises:
            InvalidArgumentError: No photo was begun, or the upload is too large.
        """
        if self._open is None:
            raise InvalidArgumentError("chunk", "comes before any filename")
        self._bytes_left -= len(chunk)
        if self._bytes_left < 0:
            raise InvalidArgumentError(
                "chunk",
                f"the upload is larger than the limit of {self._max_bytes // 10**6} MB "
                f"(orchestrator.max_upload_mb)",
            )
        self._open.write(chunk)

    def finish(self) -> None:
        """Puts the folder in place.

        Raises:
            InvalidArgumentError: No photo was uploaded.
        """
        if not self.photo_count:
            raise InvalidArgumentError("filename", "the upload has no photos")
        self._close()
        sync_folder(self._partial)
        self._partial.rename(self.folder)
        sync_folder(self.folder.parent)

    def keep(self) -> None:
        """Marks the folder as an album's; an unmarked folder is removed at the next start."""
        (self.folder / _MARK_NAME).unlink(missing_ok=True)

    def _not_stored(self, error: OSError) -> FailedPreconditionError:
        return FailedPreconditionError(
            f"the upload cannot be stored in {self.folder.parent}: {error.strerror}"
        )

    def _close(self) -> None:
        if self._open is not None:
            self._open.flush()
            os.fsync(self._open.fileno())
            self._open.close()
            self._open = None


def count_photos(folder: Path) -> int:
    """Returns the number of photos that were uploaded into a folder; 0 if it is gone."""
    try:
        return sum(path.name != _MARK_NAME for path in folder.iterdir())
    except OSError:
        return 0


def remove_abandoned_uploads(
    data_folder: Path, album_folders: Callable[[], Iterable[str]], *, untouched_s: float
) -> None:
    """Removes uploads left by killed orchestrators: folders without an album.

    Args:
        data_folder: Contains the folder of all uploads.
        album_folders: Returns the folders of all albums; none of these is removed.
        untouched_s: Idle time after which an upload counts as abandoned.
    """
    uploads = data_folder / UPLOADS_NAME
    marked = [mark.parent for mark in uploads.glob(f"*/{_MARK_NAME}")]
    partial = [folder for folder in uploads.glob(f"*{_PARTIAL_SUFFIX}") if folder.is_dir()]
    if not marked and not partial:
        return
    # by name: the data folder may have had another path when the album was stored
    named = {Path(folder).name for folder in album_folders()}
    for folder in {*marked, *partial}:
        if folder.name in named:
            (folder / _MARK_NAME).unlink(missing_ok=True)
            continue
        newest = max(path.stat().st_mtime for path in (folder, *folder.iterdir()))
        if time.time() - newest >= untouched_s:
            shutil.rmtree(folder, ignore_errors=True)


def _safe_name(filename: str) -> str:
    """Strips folders, control characters and leading dots from a name."""
    name = re.sub(r"[\x00-\x1f/\\:]", "_", filename).strip().lstrip(".")
    if Path(name).suffix.lower() not in PHOTO_SUFFIXES:
        raise InvalidArgumentError(
            "filename",
            f"{filename!r} is not the name of a photo: it must end in one of "
            f"{', '.join(sorted(PHOTO_SUFFIXES))}",
        )
    stem, suffix = Path(name).stem, Path(name).suffix
    while len((stem + suffix).encode()) > _MAX_NAME_BYTES:
        stem = stem[:-1]
    return stem + suffix
