"""Canonical image to the tensor of the embedding graph."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from services.common.imaging import RgbImage

INPUT_SIDE_PX = 128


def to_tensor(pixels: RgbImage) -> NDArray[np.float32]:
    """Squashes the whole picture to the graph's square by area; nothing is cropped away.

    Args:
        pixels: uint8, (height, width, 3), RGB.

    Returns:
        float32, (1, 3, 128, 128), 0 to 255.
    """
    squashed = Image.fromarray(pixels).resize((INPUT_SIDE_PX, INPUT_SIDE_PX), Image.Resampling.BOX)
    return np.asarray(squashed, np.float32).transpose(2, 0, 1)[np.newaxis]
