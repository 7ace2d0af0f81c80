"""Canonical image to the grey pictures that the cascades read."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from services.common.imaging import RgbImage, fit_long_side

Gray = NDArray[np.uint8]

DETECTION_LONG_SIDE_PX = 640
FACE_SIDE_PX = 256


@dataclass(frozen=True)
class Box:
    """A square or rectangle in pixels of some picture."""

    left: float
    top: float
    width: float
    height: float

    @property
    def area(self) -> float:
        """Area in square pixels."""
        return self.width * self.height

    @property
    def centre(self) -> tuple[float, float]:
        """Centre (x, y)."""
        return self.left + self.width / 2, self.top + self.height / 2

    def scaled(self, factor: float) -> Box:
        """The same box in a picture `factor` times as large."""
        return Box(self.left * factor, self.top * factor, self.width * factor, self.height * factor)

    def holds(self, point: tuple[float, float]) -> bool:
        """Whether `point` lies inside."""
        x, y = point
        return self.left <= x <= self.left + self.width and self.top <= y <= self.top + self.height


def to_gray(pixels: RgbImage) -> Gray:
    """Converts uint8 RGB (height, width, 3) to grey (height, width)."""
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), np.uint8)


def to_detection_gray(pixels: RgbImage) -> Gray:
    """Grey picture with its long side at most 640 px, for finding faces."""
    return to_gray(np.ascontiguousarray(fit_long_side(pixels, DETECTION_LONG_SIDE_PX)))


def crop_face(gray: Gray, box: Box) -> Gray:
    """Cuts a face out and scales it to 256 x 256, for looking at eyes and mouth."""
    height, width = gray.shape
    top, left = max(0, round(box.top)), max(0, round(box.left))
    bottom = min(height, max(top + 1, round(box.top + box.height)))
    right = min(width, max(left + 1, round(box.left + box.width)))
    crop = gray[top:bottom, left:right]
    shrink = max(crop.shape) > FACE_SIDE_PX
    interpolation = cv2.INTER_AREA if shrink else cv2.INTER_LINEAR
    return np.asarray(
        cv2.resize(crop, (FACE_SIDE_PX, FACE_SIDE_PX), interpolation=interpolation), np.uint8
    )
