"""Prepares the canonical image for cascades and networks."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from services.common.imaging.decode import RgbImage, fit_long_side

Gray = NDArray[np.uint8]
Point = tuple[float, float]

DETECTION_LONG_SIDE_PX = 640
FACE_SIDE_PX = 256
MAX_SAMPLES = 16
"""Maximum number of samples per output pixel, in each direction: enough for a face that fills a
canonical image, and a limit on the memory for a box of thousands of pixels."""


@dataclass(frozen=True)
class Box:
    """A rectangle, in pixels or relative to the picture."""

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

    def scale(self, factor: float) -> Box:
        """Scales the box to a picture that is `factor` times as large."""
        return Box(self.left * factor, self.top * factor, self.width * factor, self.height * factor)

    def holds(self, point: tuple[float, float]) -> bool:
        """Whether `point` is inside."""
        x, y = point
        return self.left <= x <= self.left + self.width and self.top <= y <= self.top + self.height


def to_gray(pixels: RgbImage) -> Gray:
    """Converts uint8 RGB (height, width, 3) to grey (height, width)."""
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), np.uint8)


def to_detection_gray(pixels: RgbImage) -> Gray:
    """Converts to grey, with a long side of at most 640 px, for detection."""
    return to_gray(np.ascontiguousarray(fit_long_side(pixels, DETECTION_LONG_SIDE_PX)))


def letterbox(pixels: RgbImage, long_side_px: int, step_px: int) -> tuple[RgbImage, float]:
    """Scales a picture to a given long side, and pads it with black on the right and the bottom.

    Args:
        pixels: uint8, (height, width, 3).
        long_side_px: Its long side after scaling.
        step_px: Width and height of the result are multiples of this.

    Returns:
        The padded picture, and the scale.
    """
    height, width = pixels.shape[:2]
    factor = long_side_px / max(height, width)
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    filter_ = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
    padded = (-(-size[1] // step_px) * step_px, -(-size[0] // step_px) * step_px)
    canvas = np.zeros((*padded, 3), np.uint8)
    canvas[: size[1], : size[0]] = cv2.resize(pixels, size, interpolation=filter_)
    return canvas, factor


def crop_rotated(
    pixels: RgbImage, centre: Point, size: Point, angle_degrees: float, out_size: tuple[int, int]
) -> RgbImage:
    """Crops a rotated rectangle of the picture and makes it upright.

    Args:
        pixels: uint8, (height, width, 3); edge pixels are repeated outside it.
        centre: Centre of the rectangle, pixels.
        size: Width and height, pixels; less than one counts as one.
        angle_degrees: Angle of the rectangle's upper edge, positive clockwise.
        out_size: Width and height of the result, pixels.
    """
    angle = math.radians(angle_degrees)
    right = np.array([math.cos(angle), math.sin(angle)]) * max(size[0], 1.0)
    down = np.array([-math.sin(angle), math.cos(angle)]) * max(size[1], 1.0)
    corner = np.array(centre) - right / 2 - down / 2
    source = np.array([corner, corner + right, corner + down], np.float32)
    # warpAffine has no area filter, so sample more finely and then average
    finer = min(max(1, round(size[0] / out_size[0])), MAX_SAMPLES)
    width, height = out_size[0] * finer, out_size[1] * finer
    target = np.array([[0, 0], [width, 0], [0, height]], np.float32)
    turned = cv2.warpAffine(
        pixels,
        cv2.getAffineTransform(source, target),
        (width, height),
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return np.asarray(cv2.resize(turned, out_size, interpolation=cv2.INTER_AREA), np.uint8)


def crop_face(gray: Gray, box: Box) -> Gray:
    """Crops a face and scales it to 256 x 256, to search it for eyes and mouth."""
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


def logistic(value: float) -> float:
    """Returns the logistic function, 0 to 1; never overflows."""
    return 0.5 * (1.0 + math.tanh(value / 2))
