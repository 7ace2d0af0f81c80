"""The result of every face model: faces with their position, pose, eyes and smile."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from services.common.imaging.decode import RgbImage
from services.face.preprocess import Box

FULL_TURN_DEGREES = 90.0
"""Yaw of a profile. pose_score is 1 for a face towards the camera, and falls to 0 at this angle."""


NEUTRAL_SCORE = 0.5
"""Score of eyes or a mouth that cannot be seen, as in a profile: no penalty, no bonus."""


@dataclass(frozen=True)
class Face:
    """A face; scores and angles as in face.proto.

    Attributes:
        box: Position of the face.
        confidence: Confidence of the detector, 0 to 1.
        landmarks: Points (x, y) by their name in face.proto, in lower case: "left_eye".
        yaw_degrees: Turn, positive towards the right edge of the picture.
        pitch_degrees: Nod, positive up; None if the model does not measure it.
        roll_degrees: Tilt, positive clockwise.
        pose_score: 0 (turned or nodding by 90 degrees) to 1 (facing the camera).
        eyes_score: 0 (closed) to 1 (open).
        smile_score: 0 to 1.
        identity: Unit vector that is similar for faces of one person; empty if unknown.
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
    identity: tuple[float, ...] = ()


class FaceModel(Protocol):
    """Finds and describes faces."""

    def analyze(self, pictures: Sequence[RgbImage]) -> list[list[Face]]:
        """Finds the faces of canonical images, uint8 (height, width, 3) each.

        Returns:
            The faces of each image, largest first; boxes and landmarks are relative to the image.
        """
        ...


def largest_first(faces: Sequence[Face], pixels: RgbImage) -> list[Face]:
    """Converts faces from pixels to relative coordinates, and sorts them by size."""
    height, width = pixels.shape[:2]
    relative = [_relative(face, width, height) for face in faces]
    return sorted(relative, key=lambda face: (-face.box.area, face.box.left, face.box.top))


def _relative(face: Face, width: int, height: int) -> Face:
    """Converts to relative coordinates, clipped to the picture because the API allows 0 to 1."""
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
