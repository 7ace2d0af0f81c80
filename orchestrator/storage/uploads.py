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

from orchestrator.storage.containment import resolved_roots
from services.common.errors import FailedPreconditionError, InvalidArgumentError
from services.common.platform.files import sync_folder
from services.common.suffixes import PHOTO_SUFFIXES, UPLOAD_SUFFIXES

UPLOADS_NAME = "uploads"
_PARTIAL_SUFFIX = ".partial"
_MARK_NAME = ".no-album-yet"
"""Marks a folder whose album is not stored yet. A folder without this file is never removed: its
album may be in a database that was moved away."""
_MAX_NAME_BYTES = 200
_MAX_DEPTH = 12


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
        """Begins a photo or a sidecar; its name may contain folders.

        Raises:
            InvalidArgumentError: The name is not that of a photo or a sidecar.
        """
        self._close()
        first = path = self._partial / _safe_path(filename)
        path.parent.mkdir(parents=True, exist_ok=True)
        count = 1
        while path.exists():
            count += 1
            path = first.with_stem(f"{first.stem} ({count})")
        self._open = path.open("xb")
        self.photo_count += is_photo(path)

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
        for folder in (self._partial, *_subfolders(self._partial)):
            sync_folder(folder)
        self._partial.rename(self.folder)
        sync_folder(self.folder.parent)

    def keep(self) -> None:
        """Removes the marker once the album is stored, so that the next start keeps the folder."""
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
    return sum(is_photo(path) and path.is_file() for path in folder.rglob("*"))


def is_photo(path: Path) -> bool:
    """Whether a file is a photo, by its suffix, and not a sidecar."""
    return path.suffix.lower() in PHOTO_SUFFIXES


def _subfolders(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_dir()]


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
        newest = max(path.stat().st_mtime for path in (folder, *folder.rglob("*")))
        if time.time() - newest >= untouched_s:
            shutil.rmtree(folder, ignore_errors=True)


def _safe_path(filename: str) -> Path:
    """Returns a path below the upload's folder, without "..", control characters or leading dots.

    Raises:
        InvalidArgumentError: The name is not that of a photo or a sidecar, or has too many folders.
    """
    parts = [_safe_name(part) for part in re.split(r"[/\\]", filename)]
    parts = [part for part in parts if part]
    if not parts or Path(parts[-1]).suffix.lower() not in UPLOAD_SUFFIXES:
        raise InvalidArgumentError(
            "filename",
            f"{filename!r} is not the name of a photo: it must end in one of "
            f"{', '.join(sorted(UPLOAD_SUFFIXES))}",
        )
    if len(parts) > _MAX_DEPTH:
        raise InvalidArgumentError(
            "filename",
            f"{filename!r} is in {len(parts) - 1} folders; at most {_MAX_DEPTH - 1} are allowed",
        )
    return Path(*parts)


def _safe_name(part: str) -> str:
    name = Path(re.sub(r"[\x00-\x1f:]", "_", part).strip().lstrip(".") or ".")
    stem, suffix = name.stem, name.suffix
    while len((stem + suffix).encode()) > _MAX_NAME_BYTES:
        stem, suffix = (stem[:-1], suffix) if stem else (suffix[:-1], "")
    return stem + suffix
