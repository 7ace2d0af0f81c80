"""Networks and formulas that score smiles."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from services.common.inference.onnx import ModelSession, run_rows
from services.face.networks.faces import FACE_BATCH_COUNT, Mesh, Points, Sighting
from services.face.preprocess import crop_rotated, logistic, to_gray


class Expression(Protocol):
    """Scores whether faces smile."""

    def smiles(self, faces: Sequence[Sighting], meshes: Sequence[Mesh]) -> list[float]:
        """Returns how clearly each face smiles, 0 to 1."""
        ...


class MiniXception:
    """Smile as the probability of happiness among seven expressions (Arriaga et al. 2017)."""

    SIDE_PX = 64
    HAPPY = 3

    def __init__(self, session: ModelSession) -> None:
        self._session = session

    def smiles(self, faces: Sequence[Sighting], meshes: Sequence[Mesh]) -> list[float]:
        """Returns the probability of happiness; see Expression."""
        crops = []
        for face in faces:
            side = max(face.box.width, face.box.height)
            crop = crop_rotated(
                face.picture,
                face.box.centre,
                (side, side),
                face.roll_degrees,
                (self.SIDE_PX, self.SIDE_PX),
            )
            crops.append(to_gray(crop))
        blob = np.stack(crops)[:, np.newaxis].astype(np.float32) / 127.5 - 1.0
        (answers,) = run_rows(self._session, blob, FACE_BATCH_COUNT)
        return [float(answer[self.HAPPY]) for answer in answers]


class Blendshapes:
    """Smile computed from the points of a face (MediaPipe's blendshapes)."""

    # The 146 points that the network reads, and the indices of its outputs, are copied from
    # MediaPipe's face_blendshapes_graph.cc (Apache-2.0): kLandmarksSubsetIdxs, kBlendshapeNames.
    # fmt: off
    POINTS = (
        0, 1, 4, 5, 6, 7, 8, 10, 13, 14, 17, 21, 33, 37, 39, 40, 46, 52, 53, 54, 55, 58,
        61, 63, 65, 66, 67, 70, 78, 80, 81, 82, 84, 87, 88, 91, 93, 95, 103, 105, 107,
        109, 127, 132, 133, 136, 144, 145, 146, 148, 149, 150, 152, 153, 154, 155, 157,
        158, 159, 160, 161, 162, 163, 168, 172, 173, 176, 178, 181, 185, 191, 195, 197,
        234, 246, 249, 251, 263, 267, 269, 270, 276, 282, 283, 284, 285, 288, 291, 293,
        295, 296, 297, 300, 308, 310, 311, 312, 314, 317, 318, 321, 323, 324, 332, 334,
        336, 338, 356, 361, 362, 365, 373, 374, 375, 377, 378, 379, 380, 381, 382, 384,
        385, 386, 387, 388, 389, 390, 397, 398, 400, 402, 405, 409, 415, 454, 466, 468,
        469, 470, 471, 472, 473, 474, 475, 476, 477,
    )
    # fmt: on
    MOUTH_SMILE_LEFT, MOUTH_SMILE_RIGHT = 44, 45

    def __init__(self, session: ModelSession) -> None:
        self._session = session

    def smiles(self, faces: Sequence[Sighting], meshes: Sequence[Mesh]) -> list[float]:
        """Returns the mean of the smile values of both mouth corners; see Expression."""
        points = [with_irises(mesh.points)[list(self.POINTS), :2] for mesh in meshes]
        answers = [
            run_rows(self._session, np.ascontiguousarray(one[np.newaxis]), 1)[0].ravel()
            for one in points
        ]
        both = (self.MOUTH_SMILE_LEFT, self.MOUTH_SMILE_RIGHT)
        return [float(np.clip(answer[list(both)].mean(), 0.0, 1.0)) for answer in answers]


IRISES = ((33, 133, 159, 145), (362, 263, 386, 374))
"""Points of a mesh: the corners of each eye, and the middle of its upper and lower lid."""
IRIS_RADIUS = 0.2
"""Relative to the width of the eye: an iris is 11.7 mm wide, an eye about 29 mm."""


def with_irises(points: Points) -> Points:
    """Appends iris points to a mesh of 468 points, assuming that the eyes look straight ahead."""
    if len(points) != 468:
        return points
    added = []
    for corners in IRISES:
        eye = points[list(corners)]
        centre = eye.mean(axis=0)
        radius = IRIS_RADIUS * float(np.linalg.norm(eye[1, :2] - eye[0, :2]))
        around = ((0, 0), (1, 0), (0, -1), (-1, 0), (0, 1))
        added += [centre + np.array((radius * x, radius * y, 0.0)) for x, y in around]
    return np.vstack([points, added]).astype(np.float32)


class MouthShape:
    """Smile from the shape of the mouth: a calibrated heuristic.

    A smile widens the mouth and often opens it; talking and shouting open it too, but move the chin
    away from its corners. All three are distances in 3D relative to the width of the face, so
    turning the head hardly changes them. The class needs no model file.
    """

    FACE, CORNERS, INNER_LIPS, CHIN = (234, 454), (61, 291), (13, 14), 152
    """Points of a mesh: the widest points of the face, the corners of the mouth, the middle of the
    inner edge of each lip, and the chin."""
    WIDTH_WEIGHT, OPENING_WEIGHT, CHIN_WEIGHT, INTERCEPT = 72.5, 31.5, -44.5, -14.96
    """Logistic regression on 1,156 labelled faces (SMILEsmileD); README.md has its error rates."""

    def smiles(self, faces: Sequence[Sighting], meshes: Sequence[Mesh]) -> list[float]:
        """Returns a score from the shape of each mouth; see Expression."""
        return [logistic(self._log_odds(mesh)) for mesh in meshes]

    def _log_odds(self, mesh: Mesh) -> float:
        to_chin = sum(_distance(mesh, (corner, self.CHIN)) for corner in self.CORNERS) / 2
        weighted = (
            self.WIDTH_WEIGHT * _distance(mesh, self.CORNERS)
            + self.OPENING_WEIGHT * _distance(mesh, self.INNER_LIPS)
            + self.CHIN_WEIGHT * to_chin
        )
        return weighted / _distance(mesh, self.FACE) + self.INTERCEPT


def _distance(mesh: Mesh, ends: tuple[int, int]) -> float:
    """Returns the distance between two points in 3D, in pixels; never 0."""
    left, right = mesh.points[list(ends)]
    return max(float(np.linalg.norm(left - right)), 1e-6)
