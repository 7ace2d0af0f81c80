"""Faces by published networks, one per role."""

from __future__ import annotations

from services.common.imaging.decode import RgbImage
from services.face.model import FULL_TURN_DEGREES, NEUTRAL_SCORE, Face, largest_first
from services.face.networks import Expression, FaceMesh, HeadPose, Ocec, Sighting, YuNet

HIDDEN_YAW_DEGREES = 45.0
"""Beyond it half of the face is hidden, and scores of eyes and mouth are guesses."""
POINT_NAMES = ("left_eye", "right_eye", "nose", "left_mouth_corner", "right_mouth_corner")


class NetworkFaceModel:
    """Finds and describes faces.

    Args:
        detector: Finds them.
        mesh: Their points.
        pose: Yaw and pitch.
        eyes: Open or closed.
        expression: Smile.
    """

    def __init__(
        self,
        *,
        detector: YuNet,
        mesh: FaceMesh,
        pose: HeadPose,
        eyes: Ocec,
        expression: Expression,
    ) -> None:
        self._detector = detector
        self._mesh = mesh
        self._pose = pose
        self._eyes = eyes
        self._expression = expression

    def analyze(self, pixels: RgbImage) -> list[Face]:
        """Finds the faces of a canonical image; see FaceModel."""
        return largest_first(
            [self._describe(pixels, seen) for seen in self._detector.find(pixels)], pixels
        )

    def _describe(self, pixels: RgbImage, seen: Sighting) -> Face:
        points = self._mesh.points(pixels, seen)
        yaw, pitch = self._pose.pose(pixels, seen, points)
        is_hidden = abs(yaw) >= HIDDEN_YAW_DEGREES
        turn = min(max(abs(yaw), abs(pitch)), FULL_TURN_DEGREES)
        return Face(
            box=seen.box,
            confidence=seen.confidence,
            landmarks={
                name: (float(x), float(y))
                for name, (x, y) in zip(POINT_NAMES, seen.points, strict=True)
            },
            yaw_degrees=yaw,
            pitch_degrees=pitch,
            roll_degrees=seen.roll_degrees,
            pose_score=1.0 - turn / FULL_TURN_DEGREES,
            eyes_score=NEUTRAL_SCORE if is_hidden else self._eyes.openness(pixels, seen),
            smile_score=(
                NEUTRAL_SCORE if is_hidden else self._expression.smile(pixels, seen, points)
            ),
        )
