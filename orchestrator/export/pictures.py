"""Renders pictures of photos for viewing."""

from __future__ import annotations

import hashlib

from orchestrator.ports import FeatureCache
from orchestrator.records import Album, ImageRecord
from orchestrator.runs.pipeline import NO_MODEL, THUMBNAIL_ROLE
from orchestrator.storage.photo_io import PhotoThreads
from orchestrator.storage.photo_source import FolderPhotoSource
from services.common.errors import FailedPreconditionError, NotFoundError
from services.common.imaging.decode import encode_thumbnail

MAX_LONG_SIDE_PX = 2048


def thumbnail(cache: FeatureCache, record: ImageRecord) -> bytes:
    """Returns the JPEG made by the score stage; NotFoundError if the photo was unreadable."""
    key = (record.content_digest, THUMBNAIL_ROLE, NO_MODEL)
    found = cache.get([key])
    if key not in found:
        raise NotFoundError("thumbnail", record.path)
    return found[key]


async def large_picture(
    album: Album,
    record: ImageRecord,
    source: FolderPhotoSource,
    threads: PhotoThreads,
    long_side_px: int,
) -> bytes:
    """Decodes a photo again and returns it as a JPEG of at most `long_side_px`.

    Raises:
        FailedPreconditionError: The file is missing, or has changed since it was scored.
        NotFoundError: The photo was unreadable when it was scored, too.
    """
    if not record.is_readable:
        raise NotFoundError("picture", record.path)
    async with threads.hold_content(source, record.path, threads.looks) as content:
        if await threads.decodes.run(_digest, content) != record.content_digest:
            raise FailedPreconditionError(
                f"{record.path} in {album.folder} has changed since it was scored; start a new run"
            )
        return await threads.decodes.run(_encode, source, content, long_side_px)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _encode(source: FolderPhotoSource, content: bytes, long_side_px: int) -> bytes:
    return encode_thumbnail(source.decode(content, long_side_px).pixels, long_side_px)
