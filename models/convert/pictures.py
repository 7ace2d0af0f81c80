"""Real pictures for checking converted networks; they ship with scikit-learn."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from services.common.imaging.decode import RgbImage
from services.common.inference.registry import Preprocessing
from services.common.inference.tensor import to_tensor

MIN_DIFFERENCE = 1e-4
"""Minimum difference between the outputs for different pictures; a graph that ignores its input
has none."""


def photo_paths() -> list[Path]:
    """Finds the paths of the two photos."""
    package = importlib.util.find_spec("sklearn")  # importing it would take seconds
    assert package is not None
    assert package.origin is not None
    folder = Path(package.origin).parent / "datasets" / "images"
    return [folder / "china.jpg", folder / "flower.jpg"]


def real_pictures() -> list[RgbImage]:
    """Returns four crops of each photo, (320, 480, 3)."""
    found = []
    for path in photo_paths():
        with Image.open(path) as opened:
            picture = np.asarray(opened.convert("RGB"))
        found += [
            np.ascontiguousarray(picture[top : top + 320, left : left + 480])
            for top in (0, 100)
            for left in (0, 160)
        ]
    return found


def worse_pictures() -> list[RgbImage]:
    """Returns two versions of each of `real_pictures`: blurred, and heavily compressed."""
    return [degrade(picture) for picture in real_pictures() for degrade in (_blur, _crush)]


def tensors_of(pictures: list[RgbImage], preprocessing: Preprocessing) -> NDArray[np.float32]:
    """Returns the input of a graph, with one row per picture."""
    return np.concatenate([to_tensor(picture, preprocessing) for picture in pictures])


def preferred_answer(margins: NDArray[np.float32]) -> tuple[int, float]:
    """Determines which output of a comparator means "the first is better", from known pairs.

    Both orders are averaged, which cancels any bias of the head towards one output.

    Args:
        margins: Probability of output 1 for (better, worse) minus that for (worse, better), (n,).

    Returns:
        The output, 0 or 1, and the share of pairs on which it is right.
    """
    share = float((margins > 0).mean())
    return (1, share) if share >= 0.5 else (0, 1.0 - share)


def _blur(picture: RgbImage) -> RgbImage:
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), 4.0), np.uint8)


def _crush(picture: RgbImage) -> RgbImage:
    _, content = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 5])
    return np.asarray(cv2.imdecode(content, cv2.IMREAD_COLOR), np.uint8)
