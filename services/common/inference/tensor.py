"""Converts pictures to tensors, as described in models.yaml."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from services.common.imaging.decode import RgbImage
from services.common.inference.registry import Preprocessing

_FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "box": Image.Resampling.BOX,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
}

VISION_TRANSFORMER = "vision-transformer"
"""Value of `network` in models.yaml for an embedding whose graph returns every token."""

MIN_SIDE_PX = 32
"""Graphs that accept any size halve their input five times."""


def to_full_tensor(pixels: RgbImage) -> NDArray[np.float32]:
    """Converts a picture for graphs that accept any size; only scales up sides below 32 px.

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


def to_tensor(pixels: RgbImage, preprocessing: Preprocessing) -> NDArray[np.float32]:
    """Fits a picture into the graph's square: resized, or scaled and cropped to the centre.

    Args:
        pixels: uint8, (height, width, 3), RGB.
        preprocessing: Preprocessing with which the graph was trained.

    Returns:
        float32, (1, 3, side, side) or (1, side, side, 3), (value - mean) / std.
    """
    side = preprocessing.side_px
    image = Image.fromarray(pixels)
    if preprocessing.short_side_px is None:
        square = image.resize((side, side), _FILTERS[preprocessing.resample])
    else:
        factor = preprocessing.short_side_px / min(image.size)
        size = (max(side, round(image.width * factor)), max(side, round(image.height * factor)))
        left, top = (size[0] - side) // 2, (size[1] - side) // 2
        scaled = image.resize(size, _FILTERS[preprocessing.resample])
        square = scaled.crop((left, top, left + side, top + side))
    mean, std = np.array(preprocessing.mean, np.float32), np.array(preprocessing.std, np.float32)
    values = (np.asarray(square, np.float32) - mean) / std
    if preprocessing.layout == "nchw":
        values = values.transpose(2, 0, 1)
    return np.ascontiguousarray(values)[np.newaxis]


def picture_vector(output: NDArray[np.float32], network: str | None) -> NDArray[np.float64]:
    """Selects the vector that describes a picture from the output of an embedding's graph.

    Args:
        output: Output for one picture: (1, d), or (1, tokens, d) with the class token first.
        network: The model's `network` in models.yaml.

    Returns:
        float64, (d,), not normalised.
    """
    described = output[0, 0] if network == VISION_TRANSFORMER else output[0]
    return np.asarray(described, np.float64).reshape(-1)
