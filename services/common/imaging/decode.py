"""Decodes image files to the canonical image that every model sees.

Canonical: upright, converted to sRGB using the ICC profile or code points if there are any, alpha
flattened onto white, 8-bit RGB, long side at most 1024 px (area filter). All callers use this code,
so a photo's scores do not depend on which of them decoded it.
"""

from __future__ import annotations

import contextlib
import functools
import io
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms, UnidentifiedImageError

from services.common.errors import InvalidImageError
from services.common.imaging import nclx
from services.common.imaging.damage import find_damage
from services.common.imaging.decode_memory import decode_bytes, has_frames, raw_bytes
from services.common.imaging.float_tiff import (
    MAX_LIGHT,
    develop_float_tiff,
    find_float_size,
    float_bytes,
)
from services.common.imaging.memory_budget import MemoryBudget
from services.common.imaging.raw import develop_raw, is_raw, open_raw
from services.common.imaging.unsupported import find_unsupported

CANONICAL_LONG_SIDE_PX = 1024
CANONICAL_VERSION = "3"
"""Part of the feature cache's key: increase it whenever this module returns different pixels for
the same file, and list the formats whose pixels do not change in `_UNCHANGED`."""
CANONICAL_VERSIONS = ("1", "2", "3")
"""All versions so far, oldest first."""
_UNCHANGED = {
    "1": ("JPEG", "MPO", "HEIF", "BMP"),
    "2": ("JPEG", "MPO", "WEBP", "BMP", "GIF", "HEIF", "AVIF", "JPEG2000", "PSD", "RAW"),
}
"""For each earlier version, the formats whose pixels are the same as in `CANONICAL_VERSION`."""

FORMATS = (
    *("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "HEIF", "AVIF"),
    *("JPEG2000", "PSD"),
)

RgbImage = NDArray[np.uint8]
"""uint8, (height, width, 3), sRGB."""

_ORIENTATION = 0x0112
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
"""Number of pixels converted at a time: a stripe's temporary arrays are small compared with the
photo."""
_SMALL_PIXELS = 2**23
"""Photos of at most this size are rotated as a whole: the copy fits into `OVERHEAD_BYTES`."""
_SRGB_TOLERANCE = 4
"""Out of 255. The sRGB profiles that cameras and programs use differ from sRGB by 1."""
_END_OF_JPEG = b"\xff\xd9"
_ANIMATED = ("GIF", "WEBP", "PNG", "AVIF")
_MAX_BLANK_FRAMES = 100
_BLANK_RANGE = 8
"""Out of 255; not 0, because compression adds noise to a blank frame."""
_GARBAGE = 0.01
"""Share of a JPEG's pixels that libjpeg may make up if no data follows its header."""


@dataclass(frozen=True)
class CanonicalImage:
    """A decoded photo.

    Attributes:
        pixels: uint8, (height, width, 3), canonical as described above.
        source_width_px: Width of the upright photo before scaling.
        source_height_px: Height of the upright photo before scaling.
        format: Format according to the magic bytes, for example "JPEG".
        damage: The damage in a file that could still be decoded; empty if there is none.
        is_animated: Whether the file contains an animation, of which one frame was decoded.
    """

    pixels: RgbImage
    source_width_px: int
    source_height_px: int
    format: str
    damage: str
    is_animated: bool = False

    @functools.cached_property
    def picture(self) -> Image.Image:
        """The pixels as a Pillow image; cached, because Pillow copies them."""
        return Image.fromarray(self.pixels)

    def fit(self, long_side_px: int) -> RgbImage:
        """Returns the pixels scaled down; see `fit_long_side`."""
        fitted = _fit(self.picture, long_side_px)
        return self.pixels if fitted is self.picture else np.asarray(fitted)


@dataclass(frozen=True)
class _Opened:
    """A file whose header has been read, but whose pixels have not.

    Attributes:
        image: None for a RAW file without a preview or a TIFF of floats, which are developed.
        size: Width and height as stored.
        format: Format according to the magic bytes.
        orientation: EXIF orientation of a file that Pillow does not open; None if `image` has it.
        encoded: The file that `image` was opened from.
        damage: The damage in a RAW file; empty if none was found.
    """

    image: Image.Image | None
    size: tuple[int, int]
    format: str
    orientation: int | None = None
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
        budget: Memory for all decodes in this process; a decode waits until its share is free.
            None = no limit.
        long_side_px: Limit for the result; a value other than the canonical one is for display,
            not for models.

    Raises:
        InvalidImageError: The bytes are empty, not an image of a known format, cut off, damaged, or
            too large for `max_pixels` or `budget`; the message says which.
    """
    if not content:
        raise InvalidImageError("the file is empty (0 bytes)")
    register_formats()
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
            orientation = _orientation(opened, image)
            convert = _Conversion(
                image,
                nclx.find_conversion(image, content),
                uses_profile=not nclx.overrides_profile(image, content),
            )
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
        damage=opened.damage or damage or find_damage(content, opened.format),
        is_animated=opened.image is not None and _is_animated(opened.image),
    )


def is_canonical(image_format: str, version: str) -> bool:
    """Whether the pixels that an earlier version returned for a format are still canonical."""
    return version == CANONICAL_VERSION or image_format in _UNCHANGED.get(version, ())


def fit_long_side(pixels: RgbImage, long_side_px: int) -> RgbImage:
    """Scales down, by area, until the long side is at most `long_side_px`; 0 = no limit.

    Args:
        pixels: uint8, (height, width, 3).
        long_side_px: Limit in pixels.

    Returns:
        uint8, (new height, new width, 3); the input itself if it already fits.
    """
    if _fitted_size(pixels.shape[:2], long_side_px) == pixels.shape[:2]:
        return pixels
    return np.asarray(_fit(Image.fromarray(pixels), long_side_px))


def encode_thumbnail(
    pixels: RgbImage | Image.Image, long_side_px: int, *, quality: int = 85
) -> bytes:
    """Encodes a JPEG of `pixels`, scaled down as in `fit_long_side`."""
    picture = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    target = io.BytesIO()
    _fit(picture, long_side_px).save(target, "JPEG", quality=quality)
    return target.getvalue()


def _fit(image: Image.Image, long_side_px: int) -> Image.Image:
    size = _fitted_size(image.size, long_side_px)
    return image if size == image.size else image.resize(size, Image.Resampling.BOX)


def _fitted_size(size: tuple[int, int], long_side_px: int) -> tuple[int, int]:
    if long_side_px == 0 or max(size) <= long_side_px:
        return size
    scale = long_side_px / max(size)
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def _narrowed_width(size: tuple[int, int], long_side_px: int) -> int:
    """Finds the width after rows are scaled; in very tall pictures, Pillow scales rows last."""
    is_very_tall = size[1] > _VERY_TALL * size[0]
    return size[0] if is_very_tall else _fitted_size(size, long_side_px)[0]


@functools.cache
def register_formats() -> None:
    """Registers all of `FORMATS` with Pillow."""
    import pillow_heif

    Image.init()
    pillow_heif.register_heif_opener()
    Image.MAX_IMAGE_PIXELS = None  # `decode` checks the header against its own limit


def _open(content: bytes) -> _Opened:
    if is_raw(content):
        raw = open_raw(content)
        size = raw.sensor_size if raw.image is None else raw.image.size
        return _Opened(raw.image, size, "RAW", raw.orientation, raw.encoded, raw.damage)
    if float_size := find_float_size(content):
        return _Opened(None, float_size, "TIFF", orientation=0)
    try:
        image = Image.open(io.BytesIO(content), formats=FORMATS)
    except UnidentifiedImageError as error:
        known = ", ".join((*FORMATS, "RAW"))
        unknown = InvalidImageError(f"not an image of a known format ({known})")
        raise find_unsupported(content) or unknown from error
    except Exception as error:  # decoders may raise any exception on hostile headers
        damaged = InvalidImageError(f"the image header is damaged: {error}")
        raise find_unsupported(content) or damaged from error
    return _Opened(image, image.size, image.format or "unknown", encoded=content)


def _load(image: Image.Image, encoded: bytes, long_side_px: int) -> tuple[Image.Image, str]:
    """Decodes an image; returns it, or a new one, and a description of any damage.

    A JPEG that ends early is partially read, as other programs do: given an end marker, libjpeg
    fills in the missing data.
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
    if _is_animated(image):
        _seek_content(image)
    return image, ""


def _draft(image: Image.Image, long_side_px: int) -> None:
    """Lets a JPEG be scaled down by 2, 4 or 8 while it is decoded.

    Pillow also looks at the short side. A canonical image keeps at least `long_side_px` there;
    changing that would change its pixels, and so its version. A picture for display needs only as
    many pixels as the result has.
    """
    is_canonical_size = long_side_px == CANONICAL_LONG_SIDE_PX
    square = (long_side_px, long_side_px)
    image.draft("RGB", square if is_canonical_size else _fitted_size(image.size, long_side_px))


def _is_animated(image: Image.Image) -> bool:
    return image.format in _ANIMATED and has_frames(image)


def _seek_content(image: Image.Image) -> None:
    """Skips to the animation's first frame that has more than one colour."""
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
    """Whether all pixels look the same, ignoring the given shares of the darkest and brightest."""
    counts = np.array(image.convert("RGB").histogram()).reshape(3, 256)
    shares = counts.cumsum(axis=1) / (image.width * image.height)
    darkest, brightest = (shares <= ignored).sum(axis=1), (shares < 1 - ignored).sum(axis=1)
    return bool((brightest - darkest <= _BLANK_RANGE).all())


def _memory(opened: _Opened, content: bytes, long_side_px: int) -> int:
    """Returns the maximum number of bytes that decoding takes."""
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


def _orientation(opened: _Opened, image: Image.Image) -> int:
    """Finds the EXIF orientation, 1 to 8, to apply to the loaded `image`; 0 if there is none.

    This is the only place that decides it. Only the metadata of a loaded image shows what is left
    to do: Pillow rotates a TIFF, and libheif a HEIF, while loading, and both then drop the
    orientation from the EXIF and the XMP. OpenCV rotates a TIFF of floats. Pillow reads the XMP if
    the EXIF has no orientation.
    """
    if opened.orientation is not None:
        return opened.orientation
    if opened.format == "AVIF":  # irot and imir, which Pillow returns as EXIF, override the XMP
        image.info.pop("xmp", None)
    try:
        value = image.getexif().get(_ORIENTATION, 0)
    except Exception:  # a damaged EXIF block does not make the picture unreadable
        return 0
    return value if isinstance(value, int) and 1 <= value <= 8 else 0


def _canonical(
    image: Image.Image, convert: _Conversion, orientation: int, long_side_px: int
) -> Image.Image:
    """Rotates upright, converts to sRGB and scales down; the stripes do not affect the pixels.

    As in Pillow's own `resize`, rows are scaled first; each row is independent of the others.
    """
    is_small = image.width * image.height <= _SMALL_PIXELS
    if convert.keeps(image) and (is_small or orientation not in _TRANSPOSE):
        return _fit(_rotate(image, orientation), long_side_px)  # copies less than stripes
    is_swapped = orientation in _SIDES_SWAPPED
    width, height = image.size[::-1] if is_swapped else image.size
    narrowed_width = _narrowed_width((width, height), long_side_px)
    narrowed = Image.new("RGB", (narrowed_width, height))
    rows = max(1, _STRIPE_PIXELS // width)
    for top in range(0, height, rows):
        bottom = min(height, top + rows)
        stripe = convert(image.crop(_to_stored_box(image.size, orientation, top, bottom)))
        stripe = _rotate(stripe, orientation)
        stripe = stripe.resize((narrowed_width, bottom - top), Image.Resampling.BOX)
        narrowed.paste(stripe, (0, top))
    fitted = _fitted_size((width, height), long_side_px)
    return narrowed if narrowed.size == fitted else narrowed.resize(fitted, Image.Resampling.BOX)


def _rotate(image: Image.Image, orientation: int) -> Image.Image:
    return image.transpose(_TRANSPOSE[orientation]) if orientation in _TRANSPOSE else image


def _to_stored_box(
    size: tuple[int, int], orientation: int, top: int, bottom: int
) -> tuple[int, int, int, int]:
    """Finds where the rows `top` to `bottom` of the upright picture are in the stored one."""
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
    """Converts stripes of one image to sRGB, all of them in the same way.

    Args:
        image: Loaded.
        convert_rgb: Converts RGB to sRGB if no profile is used; None = it is already sRGB.
        uses_profile: Apply the image's profile, if it has one.
    """

    def __init__(
        self, image: Image.Image, convert_rgb: nclx.Convert | None, *, uses_profile: bool
    ) -> None:
        self._convert_rgb = convert_rgb
        self._profile: bytes = (uses_profile and image.info.get("icc_profile")) or b""
        self._factor = _grey_factor(image)

    def __call__(self, stripe: Image.Image) -> Image.Image:
        stripe = self._to_8_bit(stripe)
        if "A" in stripe.getbands() or "transparency" in stripe.info:
            rgba = stripe.convert("RGBA")
            stripe = Image.new("RGBA", rgba.size, "white")
            stripe.alpha_composite(rgba)
            stripe = stripe.convert("RGB")
        if stripe.mode == "P":  # the profile applies to the palette's colours
            stripe = stripe.convert("RGB")
        transform = self._transform(stripe.mode)
        if transform is not None:
            stripe = ImageCms.applyTransform(stripe, transform) or stripe
        if stripe.mode != "RGB":
            stripe = stripe.convert("RGB")
        if self._convert_rgb is not None and not self._profile:
            stripe = Image.fromarray(self._convert_rgb(np.asarray(stripe)))
        return stripe

    def keeps(self, image: Image.Image) -> bool:
        """Whether the image is in sRGB already."""
        is_rgb = image.mode == "RGB" and "transparency" not in image.info
        is_srgb = self._transform("RGB") is None and (self._convert_rgb is None or self._profile)
        return is_rgb and bool(is_srgb)

    def _transform(self, mode: str) -> ImageCms.ImageCmsTransform | None:
        return _transform_to_srgb(self._profile, mode) if self._profile else None

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
    """Returns the divisor of integer greys, or factor of float greys; None for 8-bit modes."""
    if image.mode.startswith("I;16"):
        return 257.0
    if image.mode not in ("I", "F"):
        return None
    largest = np.float64(0)
    rows = max(1, _STRIPE_PIXELS // image.width)
    for top in range(0, image.height, rows):
        stripe = np.asarray(image.crop((0, top, image.width, min(image.height, top + rows))))
        finite = np.isfinite(stripe)  # infinity is a highlight, as in `scale_floats`
        largest = np.maximum(largest, stripe.max(initial=0, where=finite))
    if image.mode == "I":
        return 257.0 if largest > 255 else 1.0
    return 255.0 if largest <= MAX_LIGHT else 1.0


@functools.lru_cache(maxsize=16)  # threads may share a transform: lcms keeps no state in it
def _transform_to_srgb(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """Builds the transform; None if the profile is sRGB, broken or for a different colour model."""
    if mode == "RGB" and _is_srgb(profile):
        return None
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        srgb = ImageCms.createProfile("sRGB")
        intent = _intent(profile, mode)
        return ImageCms.buildTransform(source, srgb, mode, "RGB", renderingIntent=intent)
    except (ImageCms.PyCMSError, OSError, ValueError):
        return None


def _intent(profile: bytes, mode: str) -> ImageCms.Intent:
    """Returns the rendering intent for a profile.

    With the perceptual one, LittleCMS compensates for a black point, as printers need. It looks for
    it at (0, 0, 0), which is not black in XYB.
    """
    is_printer = mode != "RGB" or profile[12:16] == b"prtr"
    return ImageCms.Intent.PERCEPTUAL if is_printer else ImageCms.Intent.RELATIVE_COLORIMETRIC


def _is_srgb(profile: bytes) -> bool:
    """Whether a profile with sRGB in its name leaves all colours visually unchanged.

    The name alone is not enough, because linear profiles can have it too. A profile that is sRGB
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
