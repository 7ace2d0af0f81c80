"""TIFFs with three or four floats per pixel, which Pillow cannot read; OpenCV decodes them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from services.common.errors import InvalidImageError
from services.common.imaging.tiff_tags import TIFF_MAGICS, read_tags

_WIDTH, _HEIGHT, _BITS, _SAMPLE_FORMAT, _ICC_PROFILE = 256, 257, 258, 339, 34675
_FLOAT = 3
MAX_LIGHT = 16.0
"""If any value is larger, the picture's scale is 0 to 255, not 0 to 1 with highlights above 1."""


def find_float_size(content: bytes) -> tuple[int, int] | None:
    """Returns the stored width and height of a float TIFF; None for other files."""
    if not content.startswith(TIFF_MAGICS):
        return None
    try:
        tags = read_tags(content)
        bits, formats = tags.get(_BITS, ()), tags.get(_SAMPLE_FORMAT, ())
        is_float = len(bits) in (3, 4) and set(bits) == {32} and set(formats) == {_FLOAT}
        size = int(tags[_WIDTH]), int(tags[_HEIGHT])
    except Exception:  # may raise any exception on hostile headers
        return None
    return size if is_float and min(size) > 0 else None


def develop_float_tiff(content: bytes) -> Image.Image:
    """Decodes the file, upright, to 8 bits; 1 and above is white.

    Raises:
        InvalidImageError: OpenCV cannot read the file.
    """
    import cv2

    try:
        pixels = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error as error:
        raise InvalidImageError(f"the TIFF data is damaged: {error}") from error
    if pixels is None or pixels.ndim != 3 or pixels.dtype != np.float32:
        raise InvalidImageError("the TIFF data is damaged or in an unsupported format")
    image = Image.fromarray(scale_floats(pixels[..., 2::-1]))
    if profile := read_tags(content).get(_ICC_PROFILE):
        image.info["icc_profile"] = profile
    return image


def float_bytes(size: tuple[int, int], content: bytes) -> int:
    """Returns the maximum memory that decoding takes for a picture of this width and height."""
    return 2 * len(content) + 64 * size[0] * size[1]


def scale_floats(values: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Scales floats from 0..1, or from 0..255 if they are larger, to 8 bits; NaN is black."""
    scaled = np.nan_to_num(values, copy=True, nan=0.0, posinf=MAX_LIGHT, neginf=0.0)
    if scaled.max(initial=0) <= MAX_LIGHT:
        scaled *= 255
    scaled += 0.5
    return np.clip(scaled, 0, 255, out=scaled).astype(np.uint8)
