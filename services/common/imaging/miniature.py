"""The miniature: mean luminances of a photo's parts, precise enough to compare dark frames.

A photo's embedding describes its content; the miniature describes where it is light and dark, which
distinguishes frames of the same view from look-alikes, regardless of exposure.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

MINIATURE_SIDE = 32
"""Cells per side: a cell of a canonical image is about 32 pixels wide, which is more than a
handheld camera moves between two frames of a series, and less than two views differ."""
MINIATURE_VERSION = "1"
"""Part of the feature cache's key: increase it whenever `miniature` returns different values."""
STEPS_PER_LEVEL = 256
"""Steps per 8-bit level, so that even a nearly black frame has hundreds of distinct values."""


def miniature(picture: Image.Image) -> NDArray[np.uint16]:
    """Returns the mean luma (BT.601) of each of 32 x 32 parts, regardless of the photo's shape.

    Takes 1 ms for a canonical image. It uses sums of integers, so every machine gets equal results.

    Args:
        picture: Of any mode that Pillow converts to "L".

    Returns:
        uint16, (32, 32), in steps of 1/256 of an 8-bit level.
    """
    luma = np.asarray(picture.convert("L"))
    for axis, length in enumerate(luma.shape):
        if length < MINIATURE_SIDE:
            luma = luma.take(np.arange(MINIATURE_SIDE) * length // MINIATURE_SIDE, axis)
    rows, columns = (np.arange(MINIATURE_SIDE + 1) * side // MINIATURE_SIDE for side in luma.shape)
    sums = np.add.reduceat(luma, rows[:-1], axis=0, dtype=np.uint32)
    sums = np.add.reduceat(sums, columns[:-1], axis=1, dtype=np.uint64)
    areas = np.outer(np.diff(rows), np.diff(columns)).astype(np.uint64)
    return (sums * STEPS_PER_LEVEL // areas).astype(np.uint16)
