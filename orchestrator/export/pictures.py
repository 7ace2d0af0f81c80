"""Renders pictures of photos for viewing."""

from __future__ import annotations

from orchestrator.ports import FeatureCache
from orchestrator.records import ImageRecord
from orchestrator.runs.pipeline import NO_MODEL, THUMBNAIL_ROLE
from orchestrator.storage.album_folders import AlbumPhotoSource
from orchestrator.storage.photo_io import PhotoThreads
from orchestrator.storage.photo_source import FolderPhotoSource
from services.common.errors import NotFoundError
from services.common.imaging.decode import encode_thumbnail

MAX_LONG_SIDE_PX = 2048


def thumbnail(cache: FeatureCache, record: ImageRecord) -> bytes:
    """Returns the JPEG that the score stage made; NotFoundError if the photo was not readable."""
    key = (record.content_digest, THUMBNAIL_ROLE, NO_MODEL)
    found = cache.get([key])
    if key not in found:
        raise NotFoundError("thumbnail", record.path)
    return found[key]


async def large_picture(
    record: ImageRecord,
    source: FolderPhotoSource | AlbumPhotoSource,
    threads: PhotoThreads,
    long_side_px: int,
) -> bytes:
    """Decodes a photo again and returns it as a JPEG of at most `long_side_px`.

    Raises:
        FailedPreconditionError: The file is gone, or has changed since it was scored.
        NotFoundError: The photo was not readable then either.
    """
    if not record.is_readable:
        raise NotFoundError("picture", record.path)
    async with threads.hold_content(
        source, record.path, record.content_digest, threads.looks
    ) as content:
        return await threads.decodes.run(_encode, source, content, long_side_px)


def _encode(
    source: FolderPhotoSource | AlbumPhotoSource, content: bytes, long_side_px: int
) -> bytes:
    return encode_thumbnail(source.decode(content, long_side_px).pixels, long_side_px)
