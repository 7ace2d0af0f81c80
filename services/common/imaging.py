"""Image files to the canonical image that every model sees.

Canonical: upright by its EXIF orientation, sRGB by its ICC profile where it has one, alpha
flattened on white, 8-bit RGB, long side at most 1024 px (area filter). All callers use this code,
so scores do not depend on who decoded a photo.
"""

from __future__ import annotations

import functools
import io
import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms, UnidentifiedImageError

from services.common.damage import find_damage
from services.common.errors import InvalidImageError
from services.common.raw import is_raw, open_raw

CANONICAL_LONG_SIDE_PX = 1024
CANONICAL_VERSION = "1"
"""Rises whenever this module gives other pixels for the same file; keys the feature cache."""

FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "HEIF", "AVIF")

RgbImage = NDArray[np.uint8]
"""uint8, (height, width, 3), sRGB."""

_MAKE, _MODEL, _ORIENTATION, _BODY_SERIAL_NUMBER = 0x010F, 0x0110, 0x0112, 0xA431
_CAMERA_LENGTH = 200
_TRANSPOSE = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_SIDES_SWAPPED = (5, 6, 7, 8)
_EXIF_IFD = 0x8769
_DATE_TIME_ORIGINAL = 0x9003
_SUBSEC_TIME_ORIGINAL = 0x9291
_EXIF_TIME = re.compile(r"(\d{4})[:-](\d\d)[:-](\d\d)[ T](\d\d):(\d\d):(\d\d)")


@dataclass(frozen=True)
class CanonicalImage:
    """A decoded photo.

    Attributes:
        pixels: uint8, (height, width, 3), canonical as the module says.
        source_width_px: Width of the upright photo before scaling.
        source_height_px: Height of the upright photo before scaling.
        format: Format by the magic bytes, for example "JPEG".
        capture_time: Local time from EXIF, ISO 8601 without zone; empty where unknown.
        camera: Make, model and serial number from EXIF; empty where unknown.
        damage: What is wrong with a file that could be decoded all the same; empty for nothing.
    """

    pixels: RgbImage
    source_width_px: int
    source_height_px: int
    format: str
    capture_time: str
    camera: str
    damage: str


@dataclass(frozen=True)
class _Opened:
    """A file whose header was read, and no pixel yet."""

    image: Image.Image
    format: str
    exif: Image.Exif
    orientation: int


def decode(
    content: bytes, *, max_pixels: int, long_side_px: int = CANONICAL_LONG_SIDE_PX
) -> CanonicalImage:
    """Decodes an image file; JPEGs are scaled down within the decoder.

    Args:
        content: The whole file.
        max_pixels: Most pixels that the header may announce; checked before anything is decoded.
        long_side_px: Limit of the result; another one than the canonical is for eyes, not for
            models.

    Raises:
        InvalidImageError: The bytes are empty, no image of a known format, cut off, damaged, or too
            large; the message says which.
    """
    if not content:
        raise InvalidImageError("the file is empty (0 bytes)")
    _register_formats()
    opened = _open(content)
    image = opened.image
    width, height = image.size
    if width * height > max_pixels:
        raise InvalidImageError(
            f"{width} x {height} pixels are more than the limit of {max_pixels} pixels (max_pixels)"
        )
    orientation = opened.orientation
    try:
        image.draft("RGB", (long_side_px, long_side_px))
        image.load()
        upright = _to_srgb(image)
        if orientation in _TRANSPOSE:
            upright = upright.transpose(_TRANSPOSE[orientation])
    except Exception as error:  # decoders raise anything on damaged data
        raise InvalidImageError(f"the {opened.format} data is damaged: {error}") from error
    if orientation in _SIDES_SWAPPED:
        width, height = height, width
    return CanonicalImage(
        pixels=np.asarray(_fitted(upright, long_side_px)),
        source_width_px=width,
        source_height_px=height,
        format=opened.format,
        capture_time=_capture_time(opened.exif),
        camera=_camera(opened.exif),
        damage=find_damage(content, opened.format),
    )


def fit_long_side(pixels: RgbImage, long_side_px: int) -> RgbImage:
    """Scales down, by area, until the long side is at most `long_side_px`; 0 = no limit.

    Args:
        pixels: uint8, (height, width, 3).
        long_side_px: Limit in pixels.

    Returns:
        uint8, (new height, new width, 3); the input itself where it fits already.
    """
    if long_side_px == 0 or max(pixels.shape[:2]) <= long_side_px:
        return pixels
    return np.asarray(_fitted(Image.fromarray(pixels), long_side_px))


def encode_thumbnail(pixels: RgbImage, long_side_px: int) -> bytes:
    """Encodes a small JPEG of `pixels`."""
    target = io.BytesIO()
    Image.fromarray(fit_long_side(pixels, long_side_px)).save(target, "JPEG", quality=85)
    return target.getvalue()


def _fitted(image: Image.Image, long_side_px: int) -> Image.Image:
    if max(image.size) <= long_side_px:
        return image
    scale = long_side_px / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return image.resize(size, Image.Resampling.BOX)


@functools.cache
def _register_formats() -> None:
    import pillow_heif

    Image.init()
    pillow_heif.register_heif_opener()
    Image.MAX_IMAGE_PIXELS = None  # `decode` checks the header against its own, stated limit


def _open(content: bytes) -> _Opened:
    if is_raw(content):
        raw = open_raw(content)
        return _Opened(raw.image, "RAW", raw.exif, raw.orientation)
    try:
        image = Image.open(io.BytesIO(content), formats=FORMATS)
    except UnidentifiedImageError as error:
        known = ", ".join((*FORMATS, "RAW"))
        raise InvalidImageError(f"not an image of a known format ({known})") from error
    except Exception as error:  # decoders raise anything on hostile headers
        raise InvalidImageError(f"the image header is damaged: {error}") from error
    try:
        exif = image.getexif()
    except Exception:  # a damaged EXIF block does not make the picture unreadable
        exif = Image.Exif()
    return _Opened(image, image.format or "unknown", exif, _orientation(exif))


def _orientation(exif: Image.Exif) -> int:
    """Returns the EXIF orientation, 1 to 8, or 0 where there is none or EXIF is damaged."""
    try:
        value = exif.get(_ORIENTATION, 0)
    except Exception:  # as above
        return 0
    return value if isinstance(value, int) and 1 <= value <= 8 else 0


def _camera(exif: Image.Exif) -> str:
    try:
        number = exif.get_ifd(_EXIF_IFD).get(_BODY_SERIAL_NUMBER, "")
        parts = [exif.get(_MAKE, ""), exif.get(_MODEL, ""), number]
    except Exception:  # as above
        return ""
    make, model, serial = (str(part).strip("\0 ") for part in parts)
    name = model if model.startswith(make) else f"{make} {model}"
    words = f"{name} {serial}".split()
    return " ".join(word for word in words if word.isprintable())[:_CAMERA_LENGTH]


def _capture_time(exif: Image.Exif) -> str:
    try:
        tags = exif.get_ifd(_EXIF_IFD)
        match = _EXIF_TIME.match(str(tags.get(_DATE_TIME_ORIGINAL, "")))
        fraction = str(tags.get(_SUBSEC_TIME_ORIGINAL, "")).strip()
    except Exception:  # as above
        return ""
    if match is None:
        return ""
    year, month, day, hour, minute, second = match.groups()
    time = f"{year}-{month}-{day}T{hour}:{minute}:{second}"
    return f"{time}.{fraction}" if fraction.isdigit() else time


def _to_srgb(image: Image.Image) -> Image.Image:
    profile = image.info.get("icc_profile")
    image = _to_8_bit(image)
    if "A" in image.getbands() or "transparency" in image.info:
        rgba = image.convert("RGBA")
        image = Image.new("RGBA", rgba.size, "white")
        image.alpha_composite(rgba)
        image = image.convert("RGB")
    if profile:
        image = _apply_profile(image, profile)
    return image.convert("RGB")


def _to_8_bit(image: Image.Image) -> Image.Image:
    """Brings integer and float greys to 0..255; other modes pass."""
    if image.mode.startswith("I;16"):
        values: NDArray[Any] = np.asarray(image).astype(np.float64) / 257.0
    elif image.mode == "I":
        values = np.asarray(image).astype(np.float64)
        values = values / 257.0 if values.max(initial=0) > 255 else values
    elif image.mode == "F":
        values = np.asarray(image).astype(np.float64)
        values = values * 255.0 if values.max(initial=0) <= 1 else values
    else:
        return image
    return Image.fromarray(np.clip(values + 0.5, 0, 255).astype(np.uint8))


def _apply_profile(image: Image.Image, profile: bytes) -> Image.Image:
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if "sRGB" in ImageCms.getProfileDescription(source):
            return image
        converted = ImageCms.profileToProfile(
            image, source, ImageCms.createProfile("sRGB"), outputMode="RGB"
        )
    except (ImageCms.PyCMSError, OSError, ValueError):
        return image  # a broken profile, or one of another colour model: the pixels as they stand
    return converted if converted is not None else image
