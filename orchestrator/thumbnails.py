"""Thumbnails as the score stage made them."""

from __future__ import annotations

from orchestrator.pipeline import NO_MODEL, THUMBNAIL_ROLE
from orchestrator.ports import FeatureCache
from orchestrator.results import ImageRecord
from services.common.errors import NotFoundError


def thumbnail(cache: FeatureCache, record: ImageRecord) -> bytes:
    """Returns a photo's thumbnail as a JPEG file; NotFoundError where it could not be read."""
    key = (record.content_digest, THUMBNAIL_ROLE, NO_MODEL)
    found = cache.get([key])
    if key not in found:
        raise NotFoundError("thumbnail of", record.path)
    return found[key]
