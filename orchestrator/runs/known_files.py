"""The files of an album whose content is known from earlier runs, and what has changed since.

A file is read again unless its size, times and inode are the same as when its content was hashed.
Sidecars are always read, because they are small.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from orchestrator.metadata.reader import FileMetadata, read_sidecar
from orchestrator.metadata.sidecars import SIDECAR_LIMIT_BYTES, order_sidecars
from orchestrator.ports import PhotoFile, PhotoSource
from orchestrator.storage.file_stamps import HashedFile, SqlFileStamps
from services.common.errors import InvalidArgumentError, InvalidImageError


@dataclass(frozen=True, slots=True)
class Sidecars:
    """The sidecars of one photo.

    Attributes:
        readable: What each states, by path, the most important first.
        unused: Why each of the others cannot be used, by path.
    """

    readable: Mapping[str, FileMetadata]
    unused: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class UnchangedPhoto:
    """A photo whose content is known without reading it.

    Attributes:
        photo: The photo, with its current size.
        content_digest: Its sha256.
        sidecars: Its sidecars, as they are now.
    """

    photo: PhotoFile
    content_digest: str
    sidecars: Sidecars


class KnownFiles:
    """The hashed files of one album, during one run.

    Args:
        stamps: Keeps digests and stamps of files between runs.
        album_id: The album.
    """

    def __init__(self, stamps: SqlFileStamps, album_id: str) -> None:
        self._stamps = stamps
        self._album_id = album_id
        self._known: dict[str, HashedFile] = {}
        self._changes: dict[str, HashedFile | None] = {}

    def load(self) -> None:
        """Reads what earlier runs have stored."""
        self._known = self._stamps.find(self._album_id)

    def find_unchanged(
        self, source: PhotoSource, photos: Sequence[PhotoFile]
    ) -> list[UnchangedPhoto]:
        """Finds the photos whose files have not changed since they were hashed."""
        known = [photo for photo in photos if photo.path in self._known]
        stamps = source.stamps([photo.path for photo in known])
        return [
            UnchangedPhoto(
                dataclasses.replace(photo, size_bytes=hashed.stamp.size_bytes),
                hashed.content_digest,
                read_sidecars(source, photo),
            )
            for photo in known
            if (hashed := self._known[photo.path]).stamp == stamps.get(photo.path)
        ]

    def read(self, source: PhotoSource, path: str, size: int) -> tuple[bytes, str]:
        """Reads a photo and remembers it, unless its file is so new that it may still change.

        Returns:
            The content and its sha256.
        """
        began_ns = self._stamps.now_ns()
        content, stamp = source.read_stamped(path, size)
        digest = hashlib.sha256(content).hexdigest()
        is_settled = stamp is not None and stamp.is_settled(began_ns)
        self._changes[path] = HashedFile(stamp, digest) if stamp and is_settled else None
        return content, digest

    def store(self, paths: Sequence[str]) -> None:
        """Stores what was read, and forgets files that are not in `paths`, the album's photos."""
        gone = dict.fromkeys(self._known.keys() - set(paths))
        self._stamps.replace(self._album_id, {**gone, **self._changes})


def read_sidecars(source: PhotoSource, photo: PhotoFile) -> Sidecars:
    """Reads a photo's sidecars.

    Raises:
        UnavailableError: The whole album is gone.
    """
    readable: dict[str, FileMetadata] = {}
    unused: dict[str, str] = {}
    for path in order_sidecars(photo.path, photo.companion_paths):
        try:
            readable[path] = read_sidecar(source.read(path, SIDECAR_LIMIT_BYTES), path)
        except (InvalidArgumentError, InvalidImageError) as error:
            unused[path] = error.message
    return Sidecars(readable, unused)
