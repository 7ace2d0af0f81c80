"""Photos of a folder: the PhotoSource port on a file system."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from orchestrator.ports import PhotoFile
from orchestrator.results import Album
from services.common import imaging
from services.common.errors import InvalidArgumentError, InvalidImageError
from services.common.imaging import CanonicalImage

PHOTO_SUFFIXES = frozenset(
    {
        *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".tif", ".tiff", ".bmp", ".gif"),
        *(".heic", ".heif", ".hif", ".avif"),
    }
)
"""Files that are looked at; what they really are, their magic bytes decide."""


class FolderPhotoSource:
    """The photos below a folder; hidden files and folders are left out."""

    def __init__(self, folder: Path, *, max_pixels: int) -> None:
        self._folder = folder
        self._max_pixels = max_pixels

    def list_photos(self) -> list[PhotoFile]:
        """Finds the photos, ordered by path.

        Raises:
            InvalidArgumentError: The folder is missing, cannot be read, or holds no photo.
        """
        check_folder(self._folder)
        found = []
        for root, folders, names in os.walk(self._folder):
            folders[:] = [name for name in folders if not name.startswith(".")]
            for name in names:
                path = Path(root, name)
                if path.suffix.lower() in PHOTO_SUFFIXES and not name.startswith("."):
                    relative = _printable(path.relative_to(self._folder).as_posix())
                    found.append(PhotoFile(relative, _size(path)))
        if not found:
            raise InvalidArgumentError(
                "folder",
                f"{self._folder} holds no photos (looked for files ending in "
                f"{', '.join(sorted(PHOTO_SUFFIXES))}, in sub-folders too)",
            )
        return sorted(found, key=lambda photo: photo.path)

    def read(self, path: str) -> bytes:
        """Reads a photo whole."""
        try:
            return (self._folder / path).read_bytes()
        except OSError as error:
            raise InvalidImageError(f"the file cannot be read: {error.strerror}") from error

    def decode(
        self, content: bytes, long_side_px: int = imaging.CANONICAL_LONG_SIDE_PX
    ) -> CanonicalImage:
        """Decodes a photo."""
        return imaging.decode(content, max_pixels=self._max_pixels, long_side_px=long_side_px)


OpenSource = Callable[[Album], FolderPhotoSource]
"""Opens the photos of an album."""


def check_folder(folder: Path) -> None:
    """Refuses what is no readable folder."""
    if not folder.exists():
        raise InvalidArgumentError("folder", f"{folder} does not exist")
    if not folder.is_dir():
        raise InvalidArgumentError("folder", f"{folder} is a file, not a folder")
    if not os.access(folder, os.R_OK | os.X_OK):
        raise InvalidArgumentError("folder", f"{folder} cannot be read: permission denied")


def check_allowed(folder: Path, allowed_roots: Sequence[Path], *, field: str) -> Path:
    """Resolves `folder`, symlinks and all, and refuses it outside the allowed roots.

    Args:
        folder: From a request.
        allowed_roots: "~" is the home of the user that the orchestrator runs as.
        field: Name of the request's field, for the error.

    Raises:
        InvalidArgumentError: The path is not absolute, or lies under no allowed root.
    """
    if not folder.is_absolute():
        raise InvalidArgumentError(field, f"{folder} is not an absolute path")
    resolved = folder.resolve()
    roots = [root.expanduser().resolve() for root in allowed_roots]
    if not any(resolved.is_relative_to(root) for root in roots):
        raise InvalidArgumentError(
            field,
            f"{folder} lies under none of the allowed roots "
            f"({', '.join(str(root) for root in roots)}); see orchestrator.allowed_roots",
        )
    return resolved


def _printable(path: str) -> str:
    """Replaces bytes that are no UTF-8; such a file is then reported as not readable."""
    return os.fsencode(path).decode("utf-8", "replace")


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:  # a dangling link: reading it will say so
        return 0
