"""Data that the parts of a face model exchange."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.common.imaging.decode import RgbImage
from services.face.preprocess import Box

Points = NDArray[np.float32]

FACE_BATCH_COUNT = 16
"""Faces per inference of the networks that see crops of faces: limits their memory for photos of
crowds."""


@dataclass(frozen=True)
class Sighting:
    """A face as detected, in pixels of its picture.

    Attributes:
        picture: uint8, (height, width, 3), the picture in which it was found.
        box: Position; may extend beyond the picture.
        confidence: 0 to 1.
        points: float32 (5, 2): left eye, right eye, nose, left and right mouth corner, as seen.
    """

    picture: RgbImage
    box: Box
    confidence: float
    points: Points

    @property
    def eye_distance(self) -> float:
        """Distance between the eyes, pixels."""
        return math.dist(self.points[0], self.points[1])

    @property
    def roll_degrees(self) -> float:
        """Angle of the line through the eyes, positive clockwise."""
        return line_angle_degrees(self.points[0], self.points[1])


@dataclass(frozen=True)
class Mesh:
    """The points of a face, rotated so that the eyes are level.

    Attributes:
        points: float32 (468 or 478, 3): x and y in pixels of the picture, measured from
            `centre` along the rotated axes, and depth in the same unit, larger = farther away. The
            order is MediaPipe's; of 478 points, the last ten belong to the irises.
        centre: Position of the origin in the picture, pixels.
        roll_degrees: Rotation of the axes, positive clockwise.
    """

    points: Points
    centre: tuple[float, float]
    roll_degrees: float

    def in_picture(self, levelled: Points) -> Points:
        """Converts x and y (n, 2) from the rotated axes to pixels of the picture."""
        angle = math.radians(self.roll_degrees)
        right = np.array([math.cos(angle), math.sin(angle)], np.float32)
        down = np.array([-math.sin(angle), math.cos(angle)], np.float32)
        turned = levelled[:, :1] * right + levelled[:, 1:2] * down
        return np.asarray(turned + np.array(self.centre, np.float32), np.float32)


@dataclass(frozen=True)
class Pose:
    """The direction of a face, in degrees with the signs of face.proto."""

    yaw_degrees: float
    pitch_degrees: float
    roll_degrees: float


def line_angle_degrees(left: Points, right: Points) -> float:
    """Returns the angle of the line from `left` to `right`, (x, y) each; positive clockwise."""
    return math.degrees(math.atan2(float(right[1] - left[1]), float(right[0] - left[0])))
