"""Pictures of photos from their files, which are decoded once for any number of calls."""

from __future__ import annotations

import asyncio
import hashlib
import io
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pillow_heif
import pytest
from PIL import Image

from orchestrator.domain.people.faces import Box
from orchestrator.records import ImageRecord
from orchestrator.storage.photo_io import PhotoThreads
from orchestrator.storage.photo_source import FolderPhotoSource
from orchestrator.storage.rendition_files import PREVIEW_PX, RenditionFiles, rendition_key
from orchestrator.viewing.pictures import PhotoPictures, cut_face
from orchestrator.viewing.tiles import TILE_PX, Tile
from services.common.errors import FailedPreconditionError, InvalidArgumentError, NotFoundError
from services.common.imaging.decode import CanonicalImage, RgbImage, encode_thumbnail
from tests.conftest import draw_picture
from tests.raw_files import dng
from tests.unit.values import quality

WIDTH, HEIGHT = 700, 530
TILES = [Tile(column, row) for row in range(2) for column in range(2)]


class CountedSource(FolderPhotoSource):
    """Counts the photos that it decodes."""

    decoded_count = 0
    decoding: threading.Event

    def decode(self, content: bytes, long_side_px: int = 1024) -> CanonicalImage:
        self.decoded_count += 1
        self.decoding.set()
        return super().decode(content, long_side_px)


class Viewed:
    """A folder with one photo, and the pictures of it."""

    def __init__(self, base: Path, content: bytes, max_bytes: int = 10**8) -> None:
        self.folder = base / "photos"
        self.folder.mkdir()
        (self.folder / "a").write_bytes(content)
        self.source = CountedSource(self.folder, max_pixels=10**7)
        self.source.decoding = threading.Event()
        self.pictures = PhotoPictures(PhotoThreads(), RenditionFiles(base / "kept", max_bytes))
        decoded = self.source.decode(content, WIDTH)
        self.pixels = decoded.pixels
        self.source.decoded_count = 0
        self.source.decoding.clear()
        self.record = ImageRecord(
            "a",
            hashlib.sha256(content).hexdigest(),
            len(content),
            width_px=decoded.source_width_px,
            height_px=decoded.source_height_px,
            quality=quality(),
        )

    async def tile(self, tile: Tile) -> RgbImage:
        jpeg = await self.pictures.tile(self.record, self.source, tile)
        return np.asarray(Image.open(io.BytesIO(jpeg)))


def saved(image_format: str, size: tuple[int, int] = (WIDTH, HEIGHT), **options: object) -> bytes:
    target = io.BytesIO()
    picture = Image.fromarray(draw_picture(1, *size))
    picture.save(target, image_format, **options)
    return target.getvalue()


def turned() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    target = io.BytesIO()
    stored = Image.fromarray(draw_picture(1, WIDTH, HEIGHT)).transpose(Image.Transpose.ROTATE_90)
    stored.save(target, "JPEG", quality=95, exif=exif)
    return target.getvalue()


def heic() -> bytes:
    pillow_heif.register_heif_opener()
    return saved("HEIF", quality=90)


@pytest.mark.parametrize(
    "make",
    [
        turned,
        lambda: saved("TIFF"),
        lambda: saved("PNG"),
        heic,
        lambda: dng(draw_picture(1, WIDTH, HEIGHT)),
    ],
    ids=["turned JPEG", "TIFF", "PNG", "HEIC", "RAW"],
)
async def test_tiles_together_are_the_upright_photo_from_one_decode(
    tmp_path: Path, make: Callable[[], bytes]
) -> None:
    viewed = Viewed(tmp_path, make())
    assert viewed.pixels.shape == (HEIGHT, WIDTH, 3)
    tiles = await asyncio.gather(*map(viewed.tile, TILES))
    rows = [np.hstack(tiles[:2]), np.hstack(tiles[2:])]
    difference = np.vstack(rows).astype(int) - viewed.pixels
    assert np.abs(difference).mean() < 3
    assert tiles[0].shape == (TILE_PX, TILE_PX, 3)
    await viewed.tile(TILES[3])
    assert viewed.source.decoded_count == 1


async def test_a_face_is_cut_from_the_preview_if_that_shows_it_large_enough(tmp_path: Path) -> None:
    content = saved("JPEG", (2000, 1500))
    viewed = Viewed(tmp_path, content)
    large, small = Box(0.1, 0.1, 0.4, 0.5), Box(0.1, 0.1, 0.02, 0.02)
    preview = encode_thumbnail(viewed.source.decode(content).pixels, PREVIEW_PX)
    viewed.source.decoded_count = 0
    whole = np.asarray(Image.open(io.BytesIO(content)))
    kept = RenditionFiles(tmp_path / "kept", 10**8)
    kept.keep(rendition_key(viewed.record.content_digest, PREVIEW_PX), preview)
    for box, decoded_count in ((large, 0), (large, 0), (small, 1), (small, 1)):
        jpeg = await viewed.pictures.face(viewed.record, viewed.source, 128, box)
        assert viewed.source.decoded_count == decoded_count
        shown = np.asarray(Image.open(io.BytesIO(jpeg))).astype(int)
        assert np.abs(shown - cut_face(whole, box, 128)).mean() < 8


async def test_a_tile_that_cannot_be_made_is_refused_with_its_reason(tmp_path: Path) -> None:
    viewed = Viewed(tmp_path, saved("JPEG"))
    for column, row in ((2, 0), (0, 2), (-1, 0)):
        with pytest.raises(InvalidArgumentError, match="outside the photo of 700 x 530 pixels"):
            await viewed.tile(Tile(column, row))
    viewed.record = ImageRecord("a", viewed.record.content_digest, 1, error="damaged")
    with pytest.raises(NotFoundError):
        await viewed.tile(TILES[0])
    assert viewed.source.decoded_count == 0
    viewed = Viewed(tmp_path / "photos", saved("JPEG"))
    (viewed.folder / "a").write_bytes(saved("PNG"))
    with pytest.raises(FailedPreconditionError, match="has changed"):
        await viewed.tile(TILES[0])


async def test_one_decode_makes_the_preview_and_the_screen_size(tmp_path: Path) -> None:
    viewed = Viewed(tmp_path, saved("JPEG", (1100, 700)))
    found = await asyncio.gather(
        *(viewed.pictures.whole(viewed.record, viewed.source, size) for size in (1024, 2048))
    )
    assert [max(Image.open(io.BytesIO(jpeg)).size) for jpeg in found] == [1024, 1100]
    assert viewed.source.decoded_count == 1


async def test_a_decode_goes_on_while_one_of_its_callers_waits(tmp_path: Path) -> None:
    viewed = Viewed(tmp_path, saved("JPEG"))
    leaving, staying = (asyncio.create_task(viewed.tile(tile)) for tile in TILES[:2])
    await asyncio.to_thread(viewed.source.decoding.wait)
    leaving.cancel()
    assert len(await staying) == TILE_PX
    assert viewed.source.decoded_count == 1
