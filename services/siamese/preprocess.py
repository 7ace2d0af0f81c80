"""Canonical image to the tensor of the comparison graph."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from services.common.imaging import RgbImage

MIN_SIDE_PX = 32
"""The graph halves its input five times."""


def to_tensor(pixels: RgbImage) -> NDArray[np.float32]:
    """Keeps size and aspect; only a side below 32 px is stretched to it.

    Args:
        pixels: uint8, (height, width, 3), RGB.

    Returns:
        float32, (1, 3, height, width), 0 to 255.
    """
    height, width = pixels.shape[:2]
    if min(height, width) < MIN_SIDE_PX:
        size = (max(width, MIN_SIDE_PX), max(height, MIN_SIDE_PX))
        pixels = np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BILINEAR))
    return np.asarray(pixels, np.float32).transpose(2, 0, 1)[np.newaxis]
