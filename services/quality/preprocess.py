"""Canonical image to the planes that the formulas need."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from services.common.imaging.decode import RgbImage


def luminance(pixels: RgbImage) -> NDArray[np.uint8]:
    """Converts to grey by the weights of ITU-R BT.601, as OpenCV does.

    Args:
        pixels: uint8, (height, width, 3), RGB.

    Returns:
        uint8, (height, width).
    """
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), np.uint8)
