"""Canonical image to the tensor of the embedding graph."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.registry import Preprocessing
from services.common.imaging import RgbImage

_FILTERS = {
    "box": Image.Resampling.BOX,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
}


def to_tensor(pixels: RgbImage, wanted: Preprocessing) -> NDArray[np.float32]:
    """Squashes the whole picture to the graph's square; nothing is cropped away.

    Args:
        pixels: uint8, (height, width, 3), RGB.
        wanted: What the graph was trained on.

    Returns:
        float32, (1, 3, side, side) or (1, side, side, 3), (value - mean) / std.
    """
    size = (wanted.side_px, wanted.side_px)
    squashed = Image.fromarray(pixels).resize(size, _FILTERS[wanted.resample])
    mean, std = np.array(wanted.mean, np.float32), np.array(wanted.std, np.float32)
    values = (np.asarray(squashed, np.float32) - mean) / std
    if wanted.layout == "nchw":
        values = values.transpose(2, 0, 1)
    return np.ascontiguousarray(values)[np.newaxis]
