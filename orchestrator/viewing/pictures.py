"""Renders photos for viewing, in the sizes that pages request (`/photos/...` in `ui/server.py`)."""

from __future__ import annotations

import hashlib
import io
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial

import numpy as np
from PIL import Image

from orchestrator.domain.people.faces import Box
from orchestrator.domain.photo import FaceScores
from orchestrator.ports import FeatureCache
from orchestrator.records import ImageRecord, StoredPhoto
from orchestrator.runs.stored_features import thumbnail_key
from orchestrator.storage.album_folders import AlbumPhotoSource
from orchestrator.storage.photo_io import PhotoThreads
from orchestrator.storage.photo_source import FolderPhotoSource
from orchestrator.storage.rendition_files import PREVIEW_PX, RenditionFiles, rendition_key
from orchestrator.viewing.shared_calls import SharedCalls
from orchestrator.viewing.tiles import Tile, pack_tiles, read_tile
from services.common.errors import InvalidArgumentError, NotFoundError
from services.common.imaging.decode import RgbImage, encode_thumbnail

Source = FolderPhotoSource | AlbumPhotoSource
Photo = ImageRecord | StoredPhoto

MAX_LONG_SIDE_PX = 65_500
"""libjpeg's limit."""
SCREEN_PX = 2048
"""Pictures up to this size are for a first look; larger ones are for checking focus."""
FACE_MARGIN = 1.2
"""Side of the square around a face, as a multiple of the longer side of its box."""
MAX_FACE_COUNT, MAX_FACE_PX = 24, 512
"""Limits for a row of faces: their number, and the side of each."""
_BYTES_PER_PIXEL = 3
_READ_COUNT = 100
"""Number of thumbnails in memory at a time, each of up to 100 kB."""


def thumbnail(cache: FeatureCache, photo: Photo) -> bytes:
    """Returns the JPEG made by the score stage; raises NotFoundError for an unreadable photo."""
    key = thumbnail_key(photo.content_digest)
    found = cache.get([key])
    if key not in found:
        raise NotFoundError("thumbnail", photo.path)
    return found[key]


def read_thumbnails(
    cache: FeatureCache, photos: Mapping[str, Photo]
) -> Iterator[tuple[str, bytes]]:
    """Yields the name and the thumbnail of each photo; errors as for `thumbnail`."""
    named = list(photos.items())
    for start in range(0, len(named), _READ_COUNT):
        part = named[start : start + _READ_COUNT]
        found = cache.get([thumbnail_key(photo.content_digest) for _, photo in part])
        for name, photo in part:
            key = thumbnail_key(photo.content_digest)
            if key not in found:
                raise NotFoundError("thumbnail", photo.path)
            yield name, found[key]


class PhotoPictures:
    """Renders photos from their files, and stores the results.

    Every method decodes the photo unless the picture is stored, and raises:
        FailedPreconditionError: The file is missing, or has changed since it was scored.
        NotFoundError: The photo was already unreadable when it was scored.

    Args:
        threads: The threads that read and decode, and the limits on memory.
        kept: Stores pictures.
    """

    def __init__(self, threads: PhotoThreads, kept: RenditionFiles) -> None:
        self._threads = threads
        self._kept = kept
        self._calls = SharedCalls[dict[str, bytes]]()

    async def whole(self, photo: Photo, source: Source, long_side_px: int) -> bytes:
        """Returns a JPEG of a photo of up to `long_side_px`, from the pixels that were scored."""
        largest = max(photo.width_px, photo.height_px) or MAX_LONG_SIDE_PX
        wanted = min(long_side_px, largest)
        key = rendition_key(photo.content_digest, wanted)
        found = await self._threads.looks.run(self._kept.get, key)
        if found is not None:
            return found
        # viewers load these two one after the other, so one decode makes both
        screen = sorted({min(PREVIEW_PX, largest), min(SCREEN_PX, largest)})
        sizes = screen if wanted in screen else [wanted]

        def encode(pixels: RgbImage) -> dict[str, bytes]:
            return {
                rendition_key(photo.content_digest, size): encode_thumbnail(
                    pixels, size, quality=85 if size <= SCREEN_PX else 92
                )
                for size in sizes
            }

        call = rendition_key(photo.content_digest, sizes[-1])
        return (await self._make(call, photo, source, sizes[-1], encode))[key]

    async def faces(
        self,
        photo: Photo,
        source: Source,
        side_px: int,
        boxes: Sequence[FaceScores | Box],
    ) -> bytes:
        """Returns a JPEG of a photo's faces in a row, each in a square, in the order of `boxes`.

        They are cut from the photo itself, decoded only as large as the smallest face requires.

        Raises:
            NotFoundError: The photo has no faces.
        """
        faces = boxes[:MAX_FACE_COUNT]
        if not faces:
            raise NotFoundError("face", photo.path)
        key = _faces_key(photo, faces, side_px)
        found = await self._threads.looks.run(self._kept.get, key)
        if found is not None:
            return found

        def encode(pixels: RgbImage) -> dict[str, bytes]:
            row = np.hstack([cut_face(pixels, face, side_px) for face in faces])
            return {key: encode_thumbnail(row, 0, quality=90)}

        long_side_px = _long_side_for(photo, faces, side_px)
        return (await self._make(key, photo, source, long_side_px, encode))[key]

    async def face(self, photo: Photo, source: Source, side_px: int, box: Box) -> bytes:
        """Returns a JPEG of the square around a face.

        It is cut from the photo's preview if that is stored and shows the face at half of `side_px`
        or more: decoding the photo takes ten times as long.
        """
        key = _faces_key(photo, [box], side_px)
        found = await self._threads.looks.run(self._kept.get, key)
        if found is None and _long_side_for(photo, [box], side_px / 2) <= PREVIEW_PX:
            found = await self._threads.views.run(self._cut_from_preview, key, photo, box, side_px)
        return found or await self.faces(photo, source, side_px, [box])

    def _cut_from_preview(self, key: str, photo: Photo, box: Box, side_px: int) -> bytes | None:
        long_side_px = min(PREVIEW_PX, max(photo.width_px, photo.height_px))
        preview = self._kept.get(rendition_key(photo.content_digest, long_side_px))
        if preview is None:
            return None
        with Image.open(io.BytesIO(preview)) as opened:
            left, _, right, _ = _square(opened.size, box)
            scale = min(1.0, side_px / (right - left))
            opened.draft("RGB", (round(opened.width * scale), round(opened.height * scale)))
            cut = _cut(opened, box, side_px)
        jpeg = encode_thumbnail(np.asarray(cut.convert("RGB")), 0, quality=90)
        self._kept.keep(key, jpeg)
        return jpeg

    async def tile(self, photo: Photo, source: Source, tile: Tile) -> bytes:
        """Returns a JPEG of a tile of the photo at full size.

        Raises:
            InvalidArgumentError: The photo has no such tile.
        """
        if photo.is_readable and not tile.is_in(photo.width_px, photo.height_px):
            size = f"{photo.width_px} x {photo.height_px} pixels"
            raise InvalidArgumentError(
                "tile", f"column {tile.column}, row {tile.row} is outside the photo of {size}"
            )
        key = rendition_key(photo.content_digest, "tiles")
        read = partial(read_tile, tile=tile)
        found = await self._threads.looks.run(self._kept.get, key, read)
        if found is not None:
            return found

        def encode(pixels: RgbImage) -> dict[str, bytes]:
            return {key: pack_tiles(pixels)}

        long_side_px = max(photo.width_px, photo.height_px)
        made = await self._make(key, photo, source, long_side_px, encode)
        return read(io.BytesIO(made[key]))

    async def _make(
        self,
        call: str,
        photo: Photo,
        source: Source,
        long_side_px: int,
        encode: Callable[[RgbImage], dict[str, bytes]],
    ) -> dict[str, bytes]:
        """Decodes a photo at a size, and stores the pictures that `encode` makes from it, by key.

        Callers with the same `call` at the same time share one decode.
        """
        if not photo.is_readable:
            raise NotFoundError("picture", photo.path)

        def decode(content: bytes) -> dict[str, bytes]:
            return encode(source.decode(content, long_side_px).pixels)

        async def make() -> dict[str, bytes]:
            threads = self._threads
            async with (
                threads.pixels.hold(_pixel_bytes(photo, long_side_px)),
                threads.hold_content(
                    source, photo.path, photo.content_digest, threads.looks, threads.views
                ) as content,
            ):
                made = await threads.views.run(decode, content)
            for key, jpeg in made.items():
                await threads.looks.run(self._kept.keep, key, jpeg)
            return made

        return await self._calls.run(call, make)


def _faces_key(photo: Photo, faces: Sequence[FaceScores | Box], side_px: int) -> str:
    places = repr([(one.left, one.top, one.width, one.height) for one in faces])
    digest = hashlib.sha256(places.encode()).hexdigest()[:16]
    return rendition_key(photo.content_digest, f"faces-{digest}-{side_px}")


def _long_side_for(photo: Photo, faces: Sequence[FaceScores | Box], side_px: float) -> int:
    """Returns the long side at which the square around the smallest face has `side_px` pixels."""
    width, height = photo.width_px, photo.height_px
    smallest = min(max(face.width * width, face.height * height) for face in faces)
    needed = side_px / max(1.0, FACE_MARGIN * smallest) * max(width, height)
    return max(1, min(math.ceil(needed), max(width, height)))


def cut_face(pixels: RgbImage, face: FaceScores | Box, side_px: int) -> RgbImage:
    """Cuts a square around a face; the square stays within the picture.

    Args:
        pixels: uint8, (height, width, 3), the upright photo at any size.
        face: The face, or its box.
        side_px: Side of the result.

    Returns:
        uint8, (side_px, side_px, 3).
    """
    return np.asarray(_cut(Image.fromarray(pixels), face, side_px))


def _cut(picture: Image.Image, face: FaceScores | Box, side_px: int) -> Image.Image:
    size = (side_px, side_px)
    return picture.resize(size, Image.Resampling.BICUBIC, box=_square(picture.size, face))


def _square(size: tuple[int, int], face: FaceScores | Box) -> tuple[float, float, float, float]:
    """Returns left, top, right and bottom of the square around a face, in pixels."""
    width, height = size
    side = min(FACE_MARGIN * max(face.width * width, face.height * height), width, height)
    left = min(max(0.0, (face.left + face.width / 2) * width - side / 2), width - side)
    top = min(max(0.0, (face.top + face.height / 2) * height - side / 2), height - side)
    return left, top, left + side, top + side


def _pixel_bytes(photo: Photo, long_side_px: int) -> int:
    """Returns the memory that the decoded picture needs."""
    scale = long_side_px / max(photo.width_px, photo.height_px, 1)
    return round(photo.width_px * photo.height_px * _BYTES_PER_PIXEL * scale**2)
