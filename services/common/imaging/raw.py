"""Reads the embedded previews of camera RAW files with LibRaw (rawpy, the `raw` extra)."""

from __future__ import annotations

import contextlib
import io
from dataclasses import dataclass

from PIL import Image

from services.common.errors import InvalidImageError
from services.common.imaging.tiff_tags import TIFF_MAGICS, Tags, read_tags

_MAGICS = (
    b"FUJIFILMCCD-RAW",
    *(b"IIU\0", b"IIRO", b"IIRS", b"MMOR"),
    *(b"FOVb", b"\0MRM"),
)
"""Fujifilm; Panasonic, Olympus; Sigma, Minolta. All others but Canon's CRW and CR3 are TIFFs."""
_CRW = b"HEAPCCDR"
_PHOTOMETRIC, _COMPRESSION = 0x0106, 0x0103
_SENSOR_DATA = 32803
"""A picture with a colour filter (TIFF/EP)."""
_RAW_COMPRESSIONS = (32767, 32769, 32770, 32772, 34713, 65000, 65535)
"""Used by Sony, Samsung (three), Nikon, Kodak and Pentax."""
_DNG_VERSION, _NEW_SUBFILE_TYPE, _SUB_IFDS = 0xC612, 0x00FE, 0x014A
_ORIENTATION = 0x0112
_DATA_TAGS = ((0x0111, 0x0117), (0x0144, 0x0145))
"""Offsets and byte counts of strips, and of tiles."""
_MAX_FOLDERS = 32
_ORIENTATIONS = (1, 2, 4, 3, 5, 8, 6, 7)
"""EXIF orientation by LibRaw flip: 1 mirrors, 2 turns upside down, 4 swaps the axes first."""


@dataclass(frozen=True)
class RawPicture:
    """The image to use for a RAW file.

    Attributes:
        image: The preview; None if there is none and `develop_raw` is needed.
        sensor_size: Width and height of the sensor image.
        orientation: EXIF orientation that still has to be applied to `image`.
        encoded: The preview's JPEG file; empty for other previews.
        damage: A description of the damage; empty if none was found.
    """

    image: Image.Image | None
    sensor_size: tuple[int, int]
    orientation: int
    encoded: bytes = b""
    damage: str = ""


def is_raw(content: bytes) -> bool:
    """Whether the magic bytes, or the tags of a TIFF, are those of a RAW file."""
    if content.startswith(_MAGICS) or content[6:14] == _CRW or content[4:12] == b"ftypcrx ":
        return True
    if not content.startswith(TIFF_MAGICS):
        return False
    if content[8:10] == b"CR":  # Canon's CR2
        return True
    try:
        tags = read_tags(content)
        is_preview = tags.get(_NEW_SUBFILE_TYPE) == 1 and _SUB_IFDS in tags
        return _DNG_VERSION in tags or is_preview or _has_sensor_data(content, tags)
    except Exception:  # may raise any exception on hostile headers
        return False


def _has_sensor_data(content: bytes, first: Tags) -> bool:
    """Whether a TIFF contains sensor data, in its first directory or a subdirectory."""
    below = (read_tags(content, place) for place in _numbers(first.get(_SUB_IFDS))[:_MAX_FOLDERS])
    return any(
        tags.get(_PHOTOMETRIC) == _SENSOR_DATA or tags.get(_COMPRESSION) in _RAW_COMPRESSIONS
        for tags in (first, *below)
    )


def open_raw(content: bytes) -> RawPicture:
    """Opens the preview of a RAW file; usually a JPEG, which is not decoded yet.

    Raises:
        InvalidImageError: rawpy is not installed, or LibRaw cannot read the file.
    """
    try:
        import rawpy
    except ImportError as error:
        raise InvalidImageError("RAW files need rawpy: install 'bestshot[raw]'") from error
    missing = _count_missing_bytes(content)
    damage = f"the file is truncated: {missing} bytes are missing at the end" if missing else ""
    try:
        with rawpy.imread(io.BytesIO(content)) as raw:
            flip = _ORIENTATIONS[raw.sizes.flip & 7]
            sensor = (raw.sizes.raw_width, raw.sizes.raw_height)
            try:
                preview = raw.extract_thumb()
            except (rawpy.LibRawNoThumbnailError, rawpy.LibRawUnsupportedThumbnailError):
                if damage:  # LibRaw would develop a black picture
                    raise InvalidImageError(damage) from None
                return RawPicture(None, sensor, 1)
            if not isinstance(preview.data, bytes):
                image = Image.fromarray(preview.data)
                return RawPicture(image, sensor, flip, damage=damage)
            is_wide = raw.sizes.width >= raw.sizes.height
    except rawpy.LibRawError as error:
        raise _translate_error(error) from error
    image = Image.open(io.BytesIO(preview.data), formats=["JPEG"])
    own = image.getexif()
    is_upright_already = (image.width >= image.height) != is_wide
    orientation = 1 if is_upright_already else flip
    if own.get(_ORIENTATION) in range(1, 9):
        orientation = own[_ORIENTATION]
    return RawPicture(image, sensor, orientation, preview.data, damage)


def develop_raw(content: bytes) -> Image.Image:
    """Develops the sensor data into an upright image at half its size.

    Raises:
        InvalidImageError: LibRaw cannot read the file, or finds no data in it.
    """
    import rawpy

    try:
        with rawpy.imread(io.BytesIO(content)) as raw:
            pixels = raw.postprocess(half_size=True, use_camera_wb=True)
    except rawpy.LibRawError as error:
        raise _translate_error(error) from error
    if not pixels.any():  # LibRaw fills in zeros for missing data, whereas a real sensor has noise
        raise InvalidImageError("the RAW file has no picture data")
    return Image.fromarray(pixels)


def _count_missing_bytes(content: bytes) -> int:
    """Counts the bytes that a DNG's tags place beyond the end of the file; 0 for other files."""
    if not content.startswith(TIFF_MAGICS):
        return 0
    waiting: list[int | None] = [None]
    end, is_dng = 0, False
    for number in range(_MAX_FOLDERS):
        if not waiting:
            break
        with contextlib.suppress(Exception):  # hostile tags may raise any exception
            tags = read_tags(content, waiting.pop(0))
            is_dng = is_dng or (number == 0 and _DNG_VERSION in tags)
            for offsets, counts in _DATA_TAGS:
                data = zip(_numbers(tags.get(offsets)), _numbers(tags.get(counts)), strict=False)
                end = max([end, *(offset + count for offset, count in data)])
            waiting += _numbers(tags.get(_SUB_IFDS))
    return max(0, end - len(content)) if is_dng else 0


def _numbers(value: object) -> list[int]:
    values = value if isinstance(value, tuple) else (value,)
    return [number for number in values if isinstance(number, int)]


def _translate_error(error: Exception) -> InvalidImageError:
    problem = error.args[0].decode() if isinstance(error.args[0], bytes) else error
    return InvalidImageError(f"the RAW file cannot be read: {problem}")
