"""Pictures of photos for people to look at."""

from __future__ import annotations

import hashlib

from orchestrator.pipeline import NO_MODEL, THUMBNAIL_ROLE
from orchestrator.ports import FeatureCache
from orchestrator.results import Album, ImageRecord
from orchestrator.storage.photo_source import FolderPhotoSource
from services.common.errors import FailedPreconditionError, NotFoundError
from services.common.imaging import encode_thumbnail

MAX_LONG_SIDE_PX = 2048


def thumbnail(cache: FeatureCache, record: ImageRecord) -> bytes:
    """Returns the JPEG that the score stage made; NotFoundError where the photo was not read."""
    key = (record.content_digest, THUMBNAIL_ROLE, NO_MODEL)
    found = cache.get([key])
    if key not in found:
        raise NotFoundError("thumbnail of", record.path)
    return found[key]


def large_picture(
    album: Album, record: ImageRecord, source: FolderPhotoSource, long_side_px: int
) -> bytes:
    """Decodes a photo anew and returns it as a JPEG of at most `long_side_px`.

    Raises:
        FailedPreconditionError: The file is not there any more, or not as it was scored.
        NotFoundError: The photo was not read then either.
    """
    if not record.is_readable:
        raise NotFoundError("picture of", record.path)
    content = source.read(record.path)
    if hashlib.sha256(content).hexdigest() != record.content_digest:
        raise FailedPreconditionError(
            f"{record.path} in {album.folder} has changed since it was scored; start a new run"
        )
    return encode_thumbnail(source.decode(content, long_side_px).pixels, long_side_px)
