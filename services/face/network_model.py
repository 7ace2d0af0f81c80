"""Finds and describes faces with networks, one per role."""

from __future__ import annotations

from collections.abc import Sequence

from services.common.imaging.decode import RgbImage
from services.face.model import FULL_TURN_DEGREES, NEUTRAL_SCORE, Face, largest_first
from services.face.networks.detectors import FaceDetector
from services.face.networks.expressions import Expression
from services.face.networks.eyes import EyeState
from services.face.networks.faces import Pose, Sighting
from services.face.networks.meshes import FaceLandmarks
from services.face.networks.poses import HeadPose

HIDDEN_YAW_DEGREES = 45.0
"""At larger yaws half of the face is hidden, and eye and mouth scores would be guesses."""
POINT_NAMES = ("left_eye", "right_eye", "nose", "left_mouth_corner", "right_mouth_corner")


class NetworkFaceModel:
    """Finds and describes faces.

    Args:
        detector: Finds faces.
        landmarks: Finds the points of each face.
        pose: Estimates yaw, pitch and roll.
        eyes: Scores whether eyes are open.
        expression: Scores smiles.
    """

    def __init__(
        self,
        *,
        detector: FaceDetector,
        landmarks: FaceLandmarks,
        pose: HeadPose,
        eyes: EyeState,
        expression: Expression,
    ) -> None:
        self._detector = detector
        self._landmarks = landmarks
        self._pose = pose
        self._eyes = eyes
        self._expression = expression

    def analyze(self, pictures: Sequence[RgbImage]) -> list[list[Face]]:
        """Finds the faces in canonical images; see FaceModel. All images share batches."""
        found = self._detector.find(pictures)
        described = iter(self._describe([seen for faces in found for seen in faces]))
        return [
            largest_first([next(described) for _ in faces], pixels)
            for pixels, faces in zip(pictures, found, strict=True)
        ]

    def _describe(self, faces: Sequence[Sighting]) -> list[Face]:
        if not faces:
            return []
        meshes = self._landmarks.find(faces)
        poses = self._pose.poses(faces, meshes)
        visible = [
            index for index, pose in enumerate(poses) if abs(pose.yaw_degrees) < HIDDEN_YAW_DEGREES
        ]
        eyes, smiles = [NEUTRAL_SCORE] * len(faces), [NEUTRAL_SCORE] * len(faces)
        if visible:
            seen = [faces[index] for index in visible]
            points = [meshes[index] for index in visible]
            for scores, values in (
                (eyes, self._eyes.openness(seen, points)),
                (smiles, self._expression.smiles(seen, points)),
            ):
                for index, value in zip(visible, values, strict=True):
                    scores[index] = value
        return [_face(*parts) for parts in zip(faces, poses, eyes, smiles, strict=True)]


def _face(seen: Sighting, pose: Pose, eyes_score: float, smile_score: float) -> Face:
    turn = min(max(abs(pose.yaw_degrees), abs(pose.pitch_degrees)), FULL_TURN_DEGREES)
    return Face(
        box=seen.box,
        confidence=seen.confidence,
        landmarks={
            name: (float(x), float(y))
            for name, (x, y) in zip(POINT_NAMES, seen.points, strict=True)
        },
        yaw_degrees=pose.yaw_degrees,
        pitch_degrees=pose.pitch_degrees,
        roll_degrees=pose.roll_degrees,
        pose_score=1.0 - turn / FULL_TURN_DEGREES,
        eyes_score=eyes_score,
        smile_score=smile_score,
    )
