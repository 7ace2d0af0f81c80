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

    def analyze(self, pixels: RgbImage) -> list[Face]:
        """Finds the faces of a canonical image, uint8 (height, width, 3).

        Returns:
            Faces, largest first, boxes and landmarks relative to the picture.
        """
        ...


def largest_first(faces: Sequence[Face], pixels: RgbImage) -> list[Face]:
    """Orders faces given in pixels of a picture, and converts them to relative coordinates."""
    height, width = pixels.shape[:2]
    ordered = sorted(faces, key=lambda face: (-face.box.area, face.box.left, face.box.top))
    return [_relative(face, width, height) for face in ordered]


def _relative(face: Face, width: int, height: int) -> Face:
    box = face.box
    left, top = max(0.0, box.left / width), max(0.0, box.top / height)
    return replace(
        face,
        box=Box(
            left,
            top,
            min(1.0, (box.left + box.width) / width) - left,
            min(1.0, (box.top + box.height) / height) - top,
        ),
        landmarks={name: (x / width, y / height) for name, (x, y) in face.landmarks.items()},
    )
