"""What every face model returns: faces with position, pose, eyes and smile."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from services.common.imaging.decode import RgbImage
from services.face.preprocess import Box

FULL_TURN_DEGREES = 90.0
"""Yaw of a profile: pose_score falls from 1 to 0 from facing the camera to it."""


NEUTRAL_SCORE = 0.5
"""Eyes or mouth that cannot be seen (profile): neither penalised nor praised."""


@dataclass(frozen=True)
class Face:
    """A face; scores and angles as in face.proto.

    Attributes:
        box: Where it is.
        confidence: Of the detector, 0 to 1.
        landmarks: Points (x, y) by their name in face.proto, in lower case: "left_eye".
        yaw_degrees: Turn, positive towards the right edge.
        pitch_degrees: Nod, positive up; None if the model does not measure it.
        roll_degrees: Tilt, positive clockwise.
        pose_score: 0 (profile) to 1 (frontal).
        eyes_score: 0 (closed) to 1 (open).
        smile_score: 0 to 1.
    """

    box: Box
    confidence: float
    landmarks: dict[str, tuple[float, float]]
    yaw_degrees: float
    pitch_degrees: float | None
    roll_degrees: float
    pose_score: float
    eyes_score: float
    smile_score: float


class FaceModel(Protocol):
    """Finds and describes faces."""

    def analyze(self, pictures: Sequence[RgbImage]) -> list[list[Face]]:
        """Finds the faces of canonical images, uint8 (height, width, 3) each.

        Returns:
            Faces of each, largest first, boxes and landmarks relative to the picture.
        """
        ...


def largest_first(faces: Sequence[Face], pixels: RgbImage) -> list[Face]:
    """Converts faces given in pixels of a picture to relative coordinates, and orders them."""
    height, width = pixels.shape[:2]
    relative = [_relative(face, width, height) for face in faces]
    return sorted(relative, key=lambda face: (-face.box.area, face.box.left, face.box.top))


def _relative(face: Face, width: int, height: int) -> Face:
    """Cuts off what is beyond the picture's edges: the contract knows no such places."""
    box = face.box
    left, right = _share(box.left, width), _share(box.left + box.width, width)
    top, bottom = _share(box.top, height), _share(box.top + box.height, height)
    return replace(
        face,
        box=Box(left, top, right - left, bottom - top),
        landmarks={
            name: (_share(x, width), _share(y, height)) for name, (x, y) in face.landmarks.items()
        },
    )


def _share(place: float, length: int) -> float:
    return min(max(place / length, 0.0), 1.0)
