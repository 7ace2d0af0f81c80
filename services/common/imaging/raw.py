"""Camera RAW files: their embedded preview, by LibRaw (rawpy, the extra `raw`)."""

from __future__ import annotations

import contextlib
import io
from dataclasses import dataclass

from PIL import Image, TiffImagePlugin

from services.common.errors import InvalidImageError

_MAGICS = (
    b"FUJIFILMCCD-RAW",
    *(b"IIU\0", b"IIRO", b"IIRS", b"MMOR"),
    *(b"FOVb", b"\0MRM"),
)
"""Fujifilm; Panasonic, Olympus; Sigma, Minolta. The others are TIFFs, except Canon's CR3."""
_TIFF_MAGICS = (b"II*\0", b"MM\0*")
_DNG_VERSION, _NEW_SUBFILE_TYPE, _SUB_IFDS = 0xC612, 0x00FE, 0x014A
_ORIENTATION = 0x0112
_ORIENTATIONS = (1, 2, 4, 3, 5, 8, 6, 7)
"""EXIF's orientation by LibRaw's flip: 1 mirrors, 2 turns upside down, 4 swaps the axes first."""


@dataclass(frozen=True)
class RawPicture:
    """The image to use for a RAW file.

    Attributes:
        image: The preview; None if there is none and `develop_raw` is needed.
        sensor_size: Width and height of the sensor's picture.
        exif: EXIF of the file, as far as known.
        orientation: EXIF orientation that still has to be applied to `image`.
    """

    image: Image.Image | None
    sensor_size: tuple[int, int]
    exif: Image.Exif
    orientation: int


def is_raw(content: bytes) -> bool:
    """Whether the magic bytes, or the tags of a TIFF, are those of a RAW file."""
    if content.startswith(_MAGICS) or (content[4:8] == b"ftyp" and content[8:12] == b"crx "):
        return True
    if not content.startswith(_TIFF_MAGICS):
        return False
    if content[8:10] == b"CR":  # Canon's CR2
        return True
    tags = TiffImagePlugin.ImageFileDirectory_v2(content[:8])
    opened = io.BytesIO(content)
    try:
        opened.seek(tags.next)
        tags.load(opened)
    except Exception:  # may raise any exception on hostile headers
        return False
    is_preview = tags.get(_NEW_SUBFILE_TYPE) == 1 and _SUB_IFDS in tags
    return _DNG_VERSION in tags or is_preview


def open_raw(content: bytes) -> RawPicture:
    """Opens the preview of a RAW file; usually a JPEG, which is not decoded yet.

    Raises:
        InvalidImageError: rawpy is not installed, or LibRaw cannot read the file.
    """
    try:
        import rawpy
    except ImportError as error:
        raise InvalidImageError("RAW files need rawpy: install 'bestshot[raw]'") from error
    try:
        with rawpy.imread(io.BytesIO(content)) as raw:
            flip = _ORIENTATIONS[raw.sizes.flip & 7]
            sensor = (raw.sizes.raw_width, raw.sizes.raw_height)
            try:
                preview = raw.extract_thumb()
            except (rawpy.LibRawNoThumbnailError, rawpy.LibRawUnsupportedThumbnailError):
                return RawPicture(None, sensor, _exif(content), 1)
            if not isinstance(preview.data, bytes):
                return RawPicture(Image.fromarray(preview.data), sensor, _exif(content), flip)
            is_wide = raw.sizes.width >= raw.sizes.height
    except rawpy.LibRawError as error:
        raise _translate_error(error) from error
    image = Image.open(io.BytesIO(preview.data), formats=["JPEG"])
    own = image.getexif()
    exif = _exif(content) or own
    if own.get(_ORIENTATION) in range(1, 9):
        return RawPicture(image, sensor, exif, own[_ORIENTATION])
    is_upright_already = (image.width >= image.height) != is_wide
    return RawPicture(image, sensor, exif, 1 if is_upright_already else flip)


def develop_raw(content: bytes) -> Image.Image:
    """Develops the sensor's picture, upright and at half its size.

    Raises:
        InvalidImageError: LibRaw cannot read the file.
    """
    import rawpy

    try:
        with rawpy.imread(io.BytesIO(content)) as raw:
            return Image.fromarray(raw.postprocess(half_size=True, use_camera_wb=True))
    except rawpy.LibRawError as error:
        raise _translate_error(error) from error


def _translate_error(error: Exception) -> InvalidImageError:
    problem = error.args[0].decode() if isinstance(error.args[0], bytes) else error
    return InvalidImageError(f"the RAW file cannot be read: {problem}")


def _exif(content: bytes) -> Image.Exif:
    """EXIF of a RAW file that is a TIFF; empty for others."""
    exif = Image.Exif()
    if content.startswith(_TIFF_MAGICS):
        with contextlib.suppress(Exception):  # as above
            exif.load(content)
    return exif
