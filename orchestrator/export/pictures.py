"""Renders pictures of photos for viewing."""

from __future__ import annotations

from orchestrator.ports import FeatureCache
from orchestrator.records import ImageRecord
from orchestrator.runs.stored_features import thumbnail_key
from orchestrator.storage.album_folders import AlbumPhotoSource
from orchestrator.storage.photo_io import PhotoThreads
from orchestrator.storage.photo_source import FolderPhotoSource
from orchestrator.storage.rendition_files import RenditionFiles
from services.common.errors import NotFoundError
from services.common.imaging.decode import CANONICAL_VERSION, encode_thumbnail

MAX_LONG_SIDE_PX = 65_500
"""The limit of libjpeg."""
SCREEN_PX = 2048
"""Pictures up to this size are for a first look; larger ones are for checking focus."""
_BYTES_PER_PIXEL = 3


def thumbnail(cache: FeatureCache, record: ImageRecord) -> bytes:
    """Returns the JPEG made by the score stage; NotFoundError if the photo was unreadable."""
    key = thumbnail_key(record.content_digest)
    found = cache.get([key])
    if key not in found:
        raise NotFoundError("thumbnail", record.path)
    return found[key]


async def large_picture(
    record: ImageRecord,
    source: FolderPhotoSource | AlbumPhotoSource,
    threads: PhotoThreads,
    kept: RenditionFiles,
    long_side_px: int,
) -> bytes:
    """Returns a photo in its scored version, as a JPEG of at most `long_side_px`.

    The photo is decoded unless a picture of this size is already stored.

    Raises:
        FailedPreconditionError: The file is missing, or has changed since it was scored.
        NotFoundError: The photo was unreadable when it was scored, too.
    """
    if not record.is_readable:
        raise NotFoundError("picture", record.path)
    long_side_px = min(long_side_px, max(record.width_px, record.height_px) or MAX_LONG_SIDE_PX)
    key = f"{record.content_digest}-{CANONICAL_VERSION}-{long_side_px}"
    found = await threads.looks.run(kept.get, key)
    if found is not None:
        return found
    async with (
        threads.pixels.hold(_pixel_bytes(record, long_side_px)),
        threads.hold_content(source, record.path, record.content_digest, threads.looks) as content,
    ):
        jpeg = await threads.decodes.run(_encode, source, content, long_side_px)
    await threads.looks.run(kept.keep, key, jpeg)
    return jpeg


def _pixel_bytes(record: ImageRecord, long_side_px: int) -> int:
    """Memory that the decoded picture needs."""
    scale = long_side_px / max(record.width_px, record.height_px, 1)
    return round(record.width_px * record.height_px * _BYTES_PER_PIXEL * scale**2)


def _encode(
    source: FolderPhotoSource | AlbumPhotoSource, content: bytes, long_side_px: int
) -> bytes:
    pixels = source.decode(content, long_side_px).pixels
    return encode_thumbnail(pixels, long_side_px, quality=85 if long_side_px <= SCREEN_PX else 92)
