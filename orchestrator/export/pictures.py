"""Renders pictures of photos for viewing."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence

import numpy as np
from PIL import Image

from orchestrator.domain.people.faces import Box
from orchestrator.domain.photo import FaceScores
from orchestrator.ports import FeatureCache
from orchestrator.records import ImageRecord
from orchestrator.runs.stored_features import thumbnail_key
from orchestrator.storage.album_folders import AlbumPhotoSource
from orchestrator.storage.photo_io import PhotoThreads
from orchestrator.storage.photo_source import FolderPhotoSource
from orchestrator.storage.rendition_files import RenditionFiles
from services.common.errors import NotFoundError
from services.common.imaging.decode import CANONICAL_VERSION, RgbImage, encode_thumbnail

MAX_LONG_SIDE_PX = 65_500
"""libjpeg's limit."""
SCREEN_PX = 2048
"""Pictures up to this size are for a first look; larger ones are for checking focus."""
FACE_MARGIN = 1.2
"""Side of the square around a face, as a multiple of the longer side of its box."""
MAX_FACE_COUNT, MAX_FACE_PX = 24, 512
"""Limits for a row of faces: their number, and the side of each."""
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
    """Returns the version of a photo that was scored, as a JPEG of at most `long_side_px`.

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


async def face_row(
    record: ImageRecord,
    source: FolderPhotoSource | AlbumPhotoSource,
    threads: PhotoThreads,
    kept: RenditionFiles,
    side_px: int,
    boxes: Sequence[FaceScores | Box],
) -> bytes:
    """Returns a JPEG with faces of a photo in a row, each in a square, in the order of `boxes`.

    They are cut from the photo itself, decoded only as large as its smallest face needs.

    Raises:
        FailedPreconditionError: The file is missing, or has changed since it was scored.
        NotFoundError: It has no faces.
    """
    faces = boxes[:MAX_FACE_COUNT]
    if not faces:
        raise NotFoundError("face", record.path)
    digest = hashlib.sha256(
        repr([(one.left, one.top, one.width, one.height) for one in faces]).encode()
    )
    key = f"{record.content_digest}-{CANONICAL_VERSION}-faces-{digest.hexdigest()[:16]}-{side_px}"
    found = await threads.looks.run(kept.get, key)
    if found is not None:
        return found
    long_side_px = _long_side_for(record, faces, side_px)
    async with (
        threads.pixels.hold(_pixel_bytes(record, long_side_px)),
        threads.hold_content(source, record.path, record.content_digest, threads.looks) as content,
    ):
        jpeg = await threads.decodes.run(
            _encode_faces, source, content, long_side_px, faces, side_px
        )
    await threads.looks.run(kept.keep, key, jpeg)
    return jpeg


def _long_side_for(record: ImageRecord, faces: Sequence[FaceScores | Box], side_px: int) -> int:
    """How large a photo must be decoded so that the square of its smallest face has all pixels."""
    width, height = record.width_px, record.height_px
    smallest = min(max(face.width * width, face.height * height) for face in faces)
    needed = side_px / max(1.0, FACE_MARGIN * smallest) * max(width, height)
    return max(1, min(math.ceil(needed), max(width, height)))


def _encode_faces(
    source: FolderPhotoSource | AlbumPhotoSource,
    content: bytes,
    long_side_px: int,
    faces: Sequence[FaceScores | Box],
    side_px: int,
) -> bytes:
    pixels = source.decode(content, long_side_px).pixels
    row = np.hstack([cut_face(pixels, face, side_px) for face in faces])
    return encode_thumbnail(row, 0, quality=90)


def cut_face(pixels: RgbImage, face: FaceScores | Box, side_px: int) -> RgbImage:
    """Cuts a square around a face, which stays within the picture.

    Args:
        pixels: uint8, (height, width, 3), the upright photo at any size.
        face: The face, or its box.
        side_px: Side of the result.

    Returns:
        uint8, (side_px, side_px, 3).
    """
    height, width = pixels.shape[:2]
    side = min(FACE_MARGIN * max(face.width * width, face.height * height), width, height)
    left = min(max(0.0, (face.left + face.width / 2) * width - side / 2), width - side)
    top = min(max(0.0, (face.top + face.height / 2) * height - side / 2), height - side)
    box = (left, top, left + side, top + side)
    cut = Image.fromarray(pixels).resize((side_px, side_px), Image.Resampling.BICUBIC, box=box)
    return np.asarray(cut)


def _pixel_bytes(record: ImageRecord, long_side_px: int) -> int:
    """Returns the memory that the decoded picture needs."""
    scale = long_side_px / max(record.width_px, record.height_px, 1)
    return round(record.width_px * record.height_px * _BYTES_PER_PIXEL * scale**2)


def _encode(
    source: FolderPhotoSource | AlbumPhotoSource, content: bytes, long_side_px: int
) -> bytes:
    pixels = source.decode(content, long_side_px).pixels
    return encode_thumbnail(pixels, long_side_px, quality=85 if long_side_px <= SCREEN_PX else 92)
