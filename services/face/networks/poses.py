"""Networks and formulas that estimate the direction of faces."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

import cv2
import numpy as np

from services.common.inference.onnx import ModelSession, run_rows
from services.face.networks.faces import FACE_BATCH_COUNT, Mesh, Pose, Sighting
from services.face.preprocess import crop_rotated


class HeadPose(Protocol):
    """Estimates the direction of faces."""

    def poses(self, faces: Sequence[Sighting], meshes: Sequence[Mesh]) -> list[Pose]:
        """Returns the pose of each face."""
        ...


class FsaNet:
    """Yaw and pitch, averaged over the given variants (Yang et al. 2019, "FSA-Net").

    Its roll is unreliable for tilted faces, so the roll comes from the detector's eyes.
    """

    SIDE_PX = 64

    def __init__(self, *sessions: ModelSession) -> None:
        self._sessions = sessions

    def poses(self, faces: Sequence[Sighting], meshes: Sequence[Mesh]) -> list[Pose]:
        """Returns yaw and pitch from the networks; see HeadPose."""
        crops = []
        for face in faces:
            side = max(face.box.width, face.box.height)
            crops.append(
                crop_rotated(
                    face.picture, face.box.centre, (side, side), 0.0, (self.SIDE_PX, self.SIDE_PX)
                )
            )
        blob = (np.stack(crops)[..., ::-1].astype(np.float32) - 127.5) / 128.0
        blob = np.ascontiguousarray(blob.transpose(0, 3, 1, 2))
        answers = [run_rows(session, blob, FACE_BATCH_COUNT)[0] for session in self._sessions]
        return [
            Pose(_clip_angle(-yaw), _clip_angle(pitch), face.roll_degrees)
            for face, (yaw, pitch, _) in zip(
                faces, np.mean(answers, axis=0).reshape(-1, 3).tolist(), strict=True
            )
        ]


class LandmarkPose:
    """Head pose from six points: fits a rigid generic face to them (PnP).

    The result is noisier than a trained network's, because real faces do not have exactly the
    proportions of `FACE`.
    """

    POINTS = (1, 152, 33, 263, 61, 291)
    """Points of a mesh: nose, chin, outer corners of the eyes, corners of the mouth."""
    FACE = np.array(
        [
            (0, 0, 0),
            (0, 330, 65),
            (-225, -170, 135),
            (225, -170, 135),
            (-150, 150, 125),
            (150, 150, 125),
        ],
        np.float64,
    )
    """The same points of a generic face, in any unit; axes: right, down, away from the camera."""
    LEVEL_DEGREES = 10.0
    """Correction to the pitch. Without it, the median of 698 portraits (UTKFace) looks down by 12
    degrees; with it, by 2."""
    FOCAL_LENGTH = 4.0
    """Relative to the side of a square around the face. A long focal length gives little
    perspective, as when the face is small compared with its distance from the camera."""

    def poses(self, faces: Sequence[Sighting], meshes: Sequence[Mesh]) -> list[Pose]:
        """Returns the pose of the rigid face; see HeadPose."""
        return [self._pose(mesh) for mesh in meshes]

    def _pose(self, mesh: Mesh) -> Pose:
        seen = mesh.points[list(self.POINTS), :2].astype(np.float64)
        size = max(float(np.ptp(mesh.points[:, :2], axis=0).max()), 1e-6)
        camera = np.diag([self.FOCAL_LENGTH, self.FOCAL_LENGTH, 1.0])
        try:
            _, turn, _ = cv2.solvePnP(
                self.FACE, seen / size, camera, None, flags=cv2.SOLVEPNP_SQPNP
            )
        except cv2.error:  # the points coincide, which never happens for a real face
            return Pose(0.0, 0.0, _wrap_angle(mesh.roll_degrees))
        matrix = cv2.Rodrigues(turn)[0]
        if not np.isfinite(matrix).all():
            return Pose(0.0, 0.0, _wrap_angle(mesh.roll_degrees))
        right_x, right_y, _ = (matrix @ (1.0, 0.0, 0.0)).tolist()
        roll = math.atan2(right_y, right_x)
        down = math.radians(self.LEVEL_DEGREES)
        nose_x, nose_y, nose_z = (matrix @ (0.0, -math.sin(down), -math.cos(down))).tolist()
        x = nose_x * math.cos(roll) + nose_y * math.sin(roll)
        y = nose_y * math.cos(roll) - nose_x * math.sin(roll)
        return Pose(
            _clip_angle(math.degrees(math.atan2(x, -nose_z))),
            math.degrees(math.atan2(-y, math.hypot(x, nose_z))),
            _wrap_angle(mesh.roll_degrees + math.degrees(roll)),
        )


def _clip_angle(degrees: float) -> float:
    """Clips to -90 to 90, because the API cannot represent faces that look away from the camera."""
    return min(max(degrees, -90.0), 90.0)


def _wrap_angle(degrees: float) -> float:
    """Wraps an angle to -180 to 180."""
    return (degrees + 180.0) % 360.0 - 180.0
