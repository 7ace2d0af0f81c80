"""Decodes image files to the canonical image that every model sees.

Canonical: upright, sRGB by its ICC profile or its code points if it has any, alpha flattened on
white, 8-bit RGB, long side at most 1024 px (area filter). All callers use this code,
so scores do not depend on who decoded a photo.
"""

from __future__ import annotations

import contextlib
import datetime
import functools
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms, UnidentifiedImageError

from services.common.errors import InvalidImageError
from services.common.imaging import nclx
from services.common.imaging.damage import find_damage
from services.common.imaging.decode_memory import decode_bytes, raw_bytes
from services.common.imaging.float_tiff import (
    MAX_LIGHT,
    develop_float_tiff,
    float_bytes,
    open_float_tiff,
)
from services.common.imaging.memory_budget import MemoryBudget
from services.common.imaging.raw import develop_raw, is_raw, open_raw
from services.common.imaging.unsupported import name_unsupported

CANONICAL_LONG_SIDE_PX = 1024
CANONICAL_VERSION = "2"
"""Keys the feature cache: raise it whenever this module returns different pixels for the same file,
and list in `_UNCHANGED` the formats whose pixels stay."""
CANONICAL_VERSIONS = ("1", "2")
"""All versions so far, oldest first."""
_UNCHANGED = {"1": ("JPEG", "MPO", "HEIF", "BMP")}
"""Formats whose pixels are those of `CANONICAL_VERSION`, by earlier version."""

FORMATS = (
    *("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "HEIF", "AVIF"),
    *("JPEG2000", "PSD"),
)

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
_VERY_TALL = 100
_STRIPE_PIXELS = 2**20
"""Pixels converted at a time: the temporaries of a stripe are small compared with the photo."""
_SRGB_TOLERANCE = 4
"""Of 255. The profiles of cameras and programs that are called sRGB differ from it by 1."""
_END_OF_JPEG = b"\xff\xd9"
_ANIMATED = ("GIF", "WEBP", "PNG", "AVIF")
_MAX_BLANK_FRAMES = 100
_BLANK_RANGE = 8
"""Of 255: compression adds noise to a blank frame."""
_GARBAGE = 0.01
"""Share of a JPEG's pixels that libjpeg may make up if no data follow its header."""
_EXIF_IFD = 0x8769
_DATE_TIME_ORIGINAL = 0x9003
_SUBSEC_TIME_ORIGINAL = 0x9291
_EXIF_TIME = re.compile(r"(\d{4})[:-](\d\d)[:-](\d\d)[ T](\d\d):(\d\d):(\d\d)")


@dataclass(frozen=True)
class CanonicalImage:
    """A decoded photo.

    Attributes:
        pixels: uint8, (height, width, 3), canonical as described above.
        source_width_px: Width of the upright photo before scaling.
        source_height_px: Height of the upright photo before scaling.
        format: Format by the magic bytes, for example "JPEG".
        capture_time: Local time from EXIF, ISO 8601 without zone; empty if unknown.
        camera: Make, model and serial number from EXIF; empty if unknown.
        damage: What is wrong with a file that could still be decoded; empty if nothing.
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
    """A file whose header has been read, but no pixel yet.

    Attributes:
        image: None for a RAW file without a preview or a TIFF of floats, which are developed.
        size: Width and height as stored.
        format: Format by the magic bytes.
        raw_exif: EXIF of a file that is not opened by Pillow; None if `image` has it.
        raw_orientation: EXIF orientation of a RAW file.
        encoded: The file that `image` was opened from.
        damage: What is wrong with a RAW file; empty if nothing was found.
    """

    image: Image.Image | None
    size: tuple[int, int]
    format: str
    raw_exif: Image.Exif | None = None
    raw_orientation: int = 0
    encoded: bytes = b""
    damage: str = ""


def decode(
    content: bytes,
    *,
    max_pixels: int,
    budget: MemoryBudget | None = None,
    long_side_px: int = CANONICAL_LONG_SIDE_PX,
) -> CanonicalImage:
    """Decodes an image file; JPEGs are scaled down within the decoder.

    Args:
        content: The whole file.
        max_pixels: Maximum number of pixels in the header; checked before anything is decoded.
        budget: Memory of all decodes in this process; a decode waits until its share is free.
            None = no bound.
        long_side_px: Limit of the result; a value other than the canonical one is for people, not
            for models.

    Raises:
        InvalidImageError: The bytes are empty, not an image of a known format, cut off, damaged, or
            too large for `max_pixels` or `budget`; the message says which.
    """
    if not content:
        raise InvalidImageError("the file is empty (0 bytes)")
    _register_formats()
    opened = _open(content)
    width, height = opened.size
    if width * height > max_pixels:
        raise InvalidImageError(
            f"{width} x {height} pixels exceed the limit of {max_pixels} pixels (max_pixels)"
        )
    with _reserve(budget, _memory(opened, content, long_side_px), opened):
        try:
            if opened.image is None:
                develop = develop_float_tiff if opened.format == "TIFF" else develop_raw
                image, damage = develop(content), ""
            else:
                image, damage = _load(opened.image, opened.encoded, long_side_px)
            if opened.image is None or opened.format == "TIFF":  # upright, unlike the header
                width, height = image.size
            exif, orientation = _exif(opened, image)
            convert = _Conversion(image, nclx.find_conversion(image, content))
            fitted = _canonical(image, convert, orientation, long_side_px)
        except InvalidImageError:
            raise
        except MemoryError as error:
            raise InvalidImageError("not enough memory to decode it") from error
        except Exception as error:  # decoders may raise any exception on damaged data
            raise InvalidImageError(f"the {opened.format} data is damaged: {error}") from error
    if orientation in _SIDES_SWAPPED:
        width, height = height, width
    return CanonicalImage(
        pixels=np.asarray(fitted),
        source_width_px=width,
        source_height_px=height,
        format=opened.format,
        capture_time=_capture_time(exif),
        camera=_camera(exif),
        damage=opened.damage or damage or find_damage(content, opened.format),
    )


def is_canonical(image_format: str, version: str) -> bool:
    """Whether pixels of an earlier version, for a photo of that format, are still canonical."""
    return version == CANONICAL_VERSION or image_format in _UNCHANGED.get(version, ())


def fit_long_side(pixels: RgbImage, long_side_px: int) -> RgbImage:
    """Scales down, by area, until the long side is at most `long_side_px`; 0 = no limit.

    Args:
        pixels: uint8, (height, width, 3).
        long_side_px: Limit in pixels.

    Returns:
        uint8, (new height, new width, 3); the input itself if it already fits.
    """
    if long_side_px == 0 or max(pixels.shape[:2]) <= long_side_px:
        return pixels
    return np.asarray(_fit(Image.fromarray(pixels), long_side_px))


def encode_thumbnail(pixels: RgbImage, long_side_px: int, *, quality: int = 85) -> bytes:
    """Encodes a JPEG of `pixels`, scaled down to `long_side_px`."""
    target = io.BytesIO()
    Image.fromarray(fit_long_side(pixels, long_side_px)).save(target, "JPEG", quality=quality)
    return target.getvalue()


def _fit(image: Image.Image, long_side_px: int) -> Image.Image:
    size = _fitted_size(image.size, long_side_px)
    return image if size == image.size else image.resize(size, Image.Resampling.BOX)


def _fitted_size(size: tuple[int, int], long_side_px: int) -> tuple[int, int]:
    if max(size) <= long_side_px:
        return size
    scale = long_side_px / max(size)
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def _narrowed_width(size: tuple[int, int], long_side_px: int) -> int:
    """Width once the rows are scaled; Pillow scales those of very tall pictures last."""
    is_very_tall = size[1] > _VERY_TALL * size[0]
    return size[0] if is_very_tall else _fitted_size(size, long_side_px)[0]


@functools.cache
def _register_formats() -> None:
    import pillow_heif

    Image.init()
    pillow_heif.register_heif_opener()
    Image.MAX_IMAGE_PIXELS = None  # `decode` checks the header against its own, stated limit


def _open(content: bytes) -> _Opened:
    if is_raw(content):
        raw = open_raw(content)
        size = raw.sensor_size if raw.image is None else raw.image.size
        return _Opened(raw.image, size, "RAW", raw.exif, raw.orientation, raw.encoded, raw.damage)
    if floats := open_float_tiff(content):
        return _Opened(None, floats.size, "TIFF", floats.exif)
    try:
        image = Image.open(io.BytesIO(content), formats=FORMATS)
    except UnidentifiedImageError as error:
        known = ", ".join((*FORMATS, "RAW"))
        reason = name_unsupported(content) or f"not an image of a known format ({known})"
        raise InvalidImageError(reason) from error
    except Exception as error:  # decoders may raise any exception on hostile headers
        if reason := name_unsupported(content):
            raise InvalidImageError(reason) from error
        raise InvalidImageError(f"the image header is damaged: {error}") from error
    return _Opened(image, image.size, image.format or "unknown", encoded=content)


def _load(image: Image.Image, encoded: bytes, long_side_px: int) -> tuple[Image.Image, str]:
    """Decodes an image; returns it, or a new one, and what is wrong with the file.

    A JPEG that ends early is read as far as it goes, as by other programs: libjpeg fills up what is
    missing once it finds an end mark.
    """
    _draft(image, long_side_px)
    try:
        image.load()
    except OSError as error:
        if image.format not in ("JPEG", "MPO") or "truncated" not in str(error):
            raise
        image = Image.open(io.BytesIO(encoded + _END_OF_JPEG), formats=["JPEG"])
        _draft(image, long_side_px)
        image.load()
        if _is_blank(image, ignored=_GARBAGE):
            raise
        return image, "the file ends early, so the end of the picture may be missing"
    if image.format in _ANIMATED and getattr(image, "is_animated", False):
        _seek_content(image)
    return image, ""


def _draft(image: Image.Image, long_side_px: int) -> None:
    """Lets a JPEG be scaled down by 2, 4 or 8 while it is decoded.

    Pillow looks at the short side too. Canonical images are made from at least `long_side_px`
    there, which their version fixes; pictures for people need no more than the result has.
    """
    is_canonical_size = long_side_px == CANONICAL_LONG_SIDE_PX
    square = (long_side_px, long_side_px)
    image.draft("RGB", square if is_canonical_size else _fitted_size(image.size, long_side_px))


def _seek_content(image: Image.Image) -> None:
    """Goes on from the first frame of an animation to the first one that is not of one colour."""
    for frame in range(1, _MAX_BLANK_FRAMES):
        if not _is_blank(image):
            return
        try:
            image.seek(frame)
        except EOFError:
            break
        image.load()
    if _is_blank(image):
        image.seek(0)
        image.load()


def _is_blank(image: Image.Image, ignored: float = 0.0) -> bool:
    """Whether all pixels, but for the given shares of the darkest and brightest, look the same."""
    counts = np.array(image.convert("RGB").histogram()).reshape(3, 256)
    shares = counts.cumsum(axis=1) / (image.width * image.height)
    darkest, brightest = (shares <= ignored).sum(axis=1), (shares < 1 - ignored).sum(axis=1)
    return bool((brightest - darkest <= _BLANK_RANGE).all())


def _memory(opened: _Opened, content: bytes, long_side_px: int) -> int:
    """Maximum number of bytes that the decode takes."""
    if opened.image is None and opened.format == "TIFF":
        return float_bytes(opened.size, content)
    if opened.image is None:
        return raw_bytes(opened.size, content)
    if opened.image.format in ("JPEG", "MPO"):
        _draft(opened.image, long_side_px)  # decodes nothing
    width, height = opened.image.size
    narrowed = max(  # rotated or not
        _narrowed_width((width, height), long_side_px) * height,
        _narrowed_width((height, width), long_side_px) * width,
    )
    return decode_bytes(opened.image, content, opened.size, narrowed)


@contextlib.contextmanager
def _reserve(budget: MemoryBudget | None, count: int, opened: _Opened) -> Iterator[None]:
    if budget is None:
        yield
        return
    if count > budget.max_bytes:
        raise InvalidImageError(
            f"decoding {opened.size[0]} x {opened.size[1]} pixels of this {opened.format} file "
            f"takes up to {-(-count // 10**6)} MB of memory, more than the limit of "
            f"{budget.max_bytes // 10**6} MB (max_decode_mb)"
        )
    with budget.reserve(count):
        yield


def _exif(opened: _Opened, image: Image.Image) -> tuple[Image.Exif, int]:
    """EXIF, and the orientation that still has to be applied to the loaded `image`.

    This is the only place that decides it. Only once loaded does an image say what is left to do:
    Pillow turns a TIFF, and libheif a HEIF, while loading, and both then drop the orientation from
    the EXIF and the XMP. OpenCV turns a TIFF of floats. Pillow reads the XMP if the EXIF has no
    orientation.
    """
    if opened.raw_exif is not None:
        return opened.raw_exif, opened.raw_orientation
    if opened.format == "AVIF":  # irot and imir, which Pillow returns as EXIF, override the XMP
        image.info.pop("xmp", None)
    try:
        exif = image.getexif()
    except Exception:  # a damaged EXIF block does not make the picture unreadable
        exif = Image.Exif()
    return exif, _orientation(exif)


def _orientation(exif: Image.Exif) -> int:
    """Returns the EXIF orientation, 1 to 8, or 0 if there is none or EXIF is damaged."""
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
    try:
        datetime.datetime.fromisoformat(time)
    except ValueError:  # cameras whose clock was never set write 0000:00:00
        return ""
    return f"{time}.{fraction}" if fraction.isdigit() else time


def _canonical(
    image: Image.Image, convert: _Conversion, orientation: int, long_side_px: int
) -> Image.Image:
    """Rotates upright, converts to sRGB and scales down; the stripes do not affect the pixels.

    As in Pillow's own `resize`, the rows are scaled first, which needs no other rows.
    """
    is_swapped = orientation in _SIDES_SWAPPED
    width, height = image.size[::-1] if is_swapped else image.size
    narrowed_width = _narrowed_width((width, height), long_side_px)
    narrowed = Image.new("RGB", (narrowed_width, height))
    rows = max(1, _STRIPE_PIXELS // width)
    for top in range(0, height, rows):
        bottom = min(height, top + rows)
        stripe = convert(image.crop(_to_stored_box(image.size, orientation, top, bottom)))
        if orientation in _TRANSPOSE:
            stripe = stripe.transpose(_TRANSPOSE[orientation])
        stripe = stripe.resize((narrowed_width, bottom - top), Image.Resampling.BOX)
        narrowed.paste(stripe, (0, top))
    fitted = _fitted_size((width, height), long_side_px)
    return narrowed if narrowed.size == fitted else narrowed.resize(fitted, Image.Resampling.BOX)


def _to_stored_box(
    size: tuple[int, int], orientation: int, top: int, bottom: int
) -> tuple[int, int, int, int]:
    """Where the rows `top` to `bottom` of the upright picture are in the stored one."""
    width, height = size
    match orientation:
        case 3 | 4:
            return 0, height - bottom, width, height - top
        case 5 | 6:
            return top, 0, bottom, height
        case 7 | 8:
            return width - bottom, 0, width - top, height
        case _:
            return 0, top, width, bottom


class _Conversion:
    """Converts stripes of one image to sRGB, all in the same way.

    Args:
        image: Loaded.
        convert_rgb: Converts RGB to sRGB where the image has no profile; None = it is sRGB.
    """

    def __init__(self, image: Image.Image, convert_rgb: nclx.Convert | None) -> None:
        self._convert_rgb = convert_rgb
        self._profile: bytes = image.info.get("icc_profile") or b""
        self._factor = _grey_factor(image)
        self._transform: ImageCms.ImageCmsTransform | None = None
        self._has_transform = not self._profile

    def __call__(self, stripe: Image.Image) -> Image.Image:
        stripe = self._to_8_bit(stripe)
        if "A" in stripe.getbands() or "transparency" in stripe.info:
            rgba = stripe.convert("RGBA")
            stripe = Image.new("RGBA", rgba.size, "white")
            stripe.alpha_composite(rgba)
            stripe = stripe.convert("RGB")
        if stripe.mode == "P":  # its profile is that of the palette's colours
            stripe = stripe.convert("RGB")
        if not self._has_transform:
            self._transform = _transform_to_srgb(self._profile, stripe.mode)
            self._has_transform = True
        if self._transform is not None:
            stripe = ImageCms.applyTransform(stripe, self._transform) or stripe
        stripe = stripe.convert("RGB")
        if self._convert_rgb is not None and not self._profile:
            stripe = Image.fromarray(self._convert_rgb(np.asarray(stripe)))
        return stripe

    def _to_8_bit(self, stripe: Image.Image) -> Image.Image:
        """Scales integer and float greys to 0..255; other modes pass through."""
        if self._factor is None:
            return stripe
        values = np.asarray(stripe).astype(np.float64)
        if stripe.mode == "F":
            values *= self._factor
        else:
            values /= self._factor
        rounded = np.clip(np.nan_to_num(values) + 0.5, 0, 255)
        return Image.fromarray(rounded.astype(np.uint8))


def _grey_factor(image: Image.Image) -> float | None:
    """Divisor of integer greys, or factor of float greys; None for 8-bit modes."""
    if image.mode.startswith("I;16"):
        return 257.0
    if image.mode not in ("I", "F"):
        return None
    largest = np.float64(0)
    rows = max(1, _STRIPE_PIXELS // image.width)
    for top in range(0, image.height, rows):
        stripe = image.crop((0, top, image.width, min(image.height, top + rows)))
        largest = np.fmax(largest, np.fmax.reduce(np.asarray(stripe), axis=None, initial=0))
    if image.mode == "I":
        return 257.0 if largest > 255 else 1.0
    return 255.0 if largest <= MAX_LIGHT else 1.0


def _transform_to_srgb(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """None if the pixels are already sRGB, or the profile is broken or for another colour model."""
    if mode == "RGB" and _is_srgb(profile):
        return None
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        return ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), mode, "RGB")
    except (ImageCms.PyCMSError, OSError, ValueError):
        return None


@functools.lru_cache(maxsize=16)
def _is_srgb(profile: bytes) -> bool:
    """Whether a profile called sRGB changes no colour noticeably.

    The name alone does not say so: there are linear profiles called sRGB. A profile that is sRGB
    under another name is applied, which changes a channel by at most 1.
    """
    levels = np.linspace(0, 255, 9).round().astype(np.uint8)
    colours = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(27, 27, 3)
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if "sRGB" not in ImageCms.getProfileDescription(source):
            return False
        transform = ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), "RGB", "RGB")
        applied = ImageCms.applyTransform(Image.fromarray(colours), transform)
    except (ImageCms.PyCMSError, OSError, ValueError):
        return False
    difference = np.asarray(applied).astype(int) - colours
    return int(np.abs(difference).max()) <= _SRGB_TOLERANCE
