"""Estimates the memory for decoding an image file from its header.

The figures are upper bounds for the allocations of Pillow and its decoders, measured at up to 250
megapixels; a test compares them with the real peaks. They cover the file itself, its decoded pixels
in Pillow's layout, and the decoder's other memory. The steps after decoding work in stripes
(see `decode`) and take little more.
"""

from __future__ import annotations

from PIL import BmpImagePlugin, Image, TiffImagePlugin

from services.common.imaging.damage import scan_component_count

OVERHEAD_BYTES = 48 * 2**20
"""Room for stripes of a few megapixels with their temporary arrays, and for small decoder
buffers."""

_NATIVE_BYTES = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16L": 2, "I;16B": 2, "I;16N": 2}
"""Bytes per pixel in Pillow's memory; all other modes take 4."""

_OTHER_BYTES = {"AVIF": 9, "JPEG2000": 24, "WEBP": 12}
"""Bytes per pixel. OpenJPEG keeps every sample in 4 bytes; libwebp keeps two animation canvases,
even for a still image, and a copy."""
_HEIF_BYTES, _HEIF_DEEP_BYTES = 11, 34
"""Twice the bytes per pixel of libheif's planes and copies."""
_BITS_PER_SAMPLE, _COMPRESSION, _ORIENTATION, _SAMPLES_PER_PIXEL = 258, 259, 274, 277
_ROWS_PER_STRIP, _TILE_WIDTH, _TILE_LENGTH = 278, 322, 323
_UNCOMPRESSED = 1
_BMP_MAX_SKIPPED_ROWS = 255


def decode_bytes(
    image: Image.Image, content: bytes, source_size: tuple[int, int], narrowed_pixels: int
) -> int:
    """Returns the maximum memory that decoding takes.

    Args:
        image: Opened but not loaded; if it is a JPEG, after its `draft`.
        content: The whole file.
        source_size: Width and height before any `draft`.
        narrowed_pixels: Pixels of the picture after scaling in one direction only.
    """
    native = _NATIVE_BYTES.get(image.mode, 4)
    pixels = image.width * image.height
    decoder = _decoder_bytes(image, content, source_size, native)
    return len(content) + pixels * native + decoder + 4 * narrowed_pixels + OVERHEAD_BYTES


def raw_bytes(sensor_size: tuple[int, int], content: bytes) -> int:
    """Returns the maximum memory that LibRaw takes to develop a sensor's picture at half its size.

    Args:
        sensor_size: Width and height.
        content: The whole file, of which LibRaw keeps a copy.
    """
    return 2 * len(content) + 12 * sensor_size[0] * sensor_size[1] + OVERHEAD_BYTES


def _decoder_bytes(
    image: Image.Image, content: bytes, source_size: tuple[int, int], native: int
) -> int:
    """Returns the decoder's memory in addition to the decoded pixels and the file."""
    pixels = image.width * image.height
    match image.format:
        case "JPEG" | "MPO":
            return _coefficient_bytes(image, content, source_size)
        case "PNG" if has_frames(image):
            return 2 * native * pixels  # the previous frame, and what is left after disposing of it
        case "TIFF":
            return _tiff_bytes(image, native)
        case "BMP" if _is_run_length_coded(image):
            return 3 * (pixels + _BMP_MAX_SKIPPED_ROWS * image.width)
        case "GIF":  # animated: colours, the frame, and the remains of the previous one
            return (16 if has_frames(image) else 1) * pixels
        case "HEIF":
            is_deep = image.info.get("bit_depth", 8) > 8
            return (_HEIF_DEEP_BYTES if is_deep else _HEIF_BYTES) * pixels // 2
        case _:
            return _OTHER_BYTES.get(image.format or "", 0) * pixels


def has_frames(image: Image.Image) -> bool:
    """Whether the image is an animation; a file that ends within its second frame is not."""
    try:
        return bool(getattr(image, "is_animated", False))
    except Exception:  # Pillow looks for the second frame, and may raise any exception
        return False


def _is_run_length_coded(image: Image.Image) -> bool:
    return isinstance(image, BmpImagePlugin.BmpImageFile) and any(
        tile[0] == "bmp_rle" for tile in image.tile
    )


def _coefficient_bytes(image: Image.Image, content: bytes, source_size: tuple[int, int]) -> int:
    """Returns the memory that libjpeg keeps for the whole picture, unless it has a single scan."""
    layers = getattr(image, "layer", [])
    is_sequential = not image.info.get("progressive")
    if not layers or (is_sequential and scan_component_count(content) == len(layers)):
        return 0
    samples = [(max(1, across), max(1, down)) for _, across, down, _ in layers]
    widest, tallest = max(across for across, _ in samples), max(down for _, down in samples)
    blocks = -(-source_size[0] // (8 * widest)) * -(-source_size[1] // (8 * tallest))
    return int(blocks * sum(across * down for across, down in samples) * 64 * 2)


def _tiff_bytes(image: Image.Image, native: int) -> int:
    """Returns the size of a strip or tile unpacked by libtiff, and of a rotated copy."""
    assert isinstance(image, TiffImagePlugin.TiffImageFile)
    pixels = image.width * image.height
    turned = native * pixels if _number(image, _ORIENTATION, 1) != 1 else 0
    if _number(image, _COMPRESSION, 0) == _UNCOMPRESSED and image.tile[0][0] == "raw":
        return turned
    strip = image.width * min(_number(image, _ROWS_PER_STRIP, image.height), image.height)
    tile = _number(image, _TILE_WIDTH, 0) * _number(image, _TILE_LENGTH, 0)
    bits = _number(image, _BITS_PER_SAMPLE, 8) * _number(image, _SAMPLES_PER_PIXEL, 1)
    return turned + max(strip, tile) * max(4, -(-bits // 8))


def _number(image: TiffImagePlugin.TiffImageFile, tag: int, default: int) -> int:
    """Returns the largest value of a tag; `default` if it does not have a number."""
    values = image.tag_v2.get(tag, default)
    numbers = values if isinstance(values, tuple) else (values,)
    return max((value for value in numbers if isinstance(value, int)), default=default)
