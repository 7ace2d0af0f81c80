"""Networks and formulas that score whether eyes are open."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from services.common.imaging.decode import RgbImage
from services.common.inference.onnx import ModelSession, run_rows
from services.face.networks.faces import FACE_BATCH_COUNT, Mesh, Points, Sighting
from services.face.networks.meshes import LEFT_EYE_CORNERS, RIGHT_EYE_CORNERS
from services.face.preprocess import crop_rotated, logistic

EYE_BATCH_COUNT = 2 * FACE_BATCH_COUNT
MIN_EYE_WIDTH_PX = 4.0
"""Avoids a division by zero for a degenerate contour; real eyes are about 28 of the 64 pixels wide,
because the crop is 2.3 times as wide as the eye."""


class EyeState(Protocol):
    """Scores whether eyes are open."""

    def openness(self, faces: Sequence[Sighting], meshes: Sequence[Mesh]) -> list[float]:
        """Returns how open the eyes of each face are, 0 to 1."""
        ...


class Ocec:
    """Open or closed eyes (Hyodo, "OCEC: Open Closed Eyes Classification")."""

    WIDTH_PX, HEIGHT_PX = 40, 24
    WIDTH_OF_EYE_DISTANCE = 0.60
    """Width of the crop. Wider crops include the brows and nose, and then closed eyes are mistaken
    for open ones."""
    MIN_EYE_DISTANCE = 0.25
    """Lower limit, relative to the width of the face; in a profile the eyes nearly coincide."""

    def __init__(self, session: ModelSession) -> None:
        self._session = session

    def openness(self, faces: Sequence[Sighting], meshes: Sequence[Mesh]) -> list[float]:
        """Returns the probability that the more certain eye is open, which ignores hidden eyes."""
        crops = [crop for face in faces for crop in self._crops(face)]
        blob = np.stack(crops).astype(np.float32).transpose(0, 3, 1, 2) / 255.0
        (answers,) = run_rows(self._session, np.ascontiguousarray(blob), EYE_BATCH_COUNT)
        return [float(both.max()) for both in answers.reshape(-1, 2)]

    def _crops(self, face: Sighting) -> list[RgbImage]:
        distance = max(face.eye_distance, self.MIN_EYE_DISTANCE * face.box.width)
        width = self.WIDTH_OF_EYE_DISTANCE * distance
        size = (width, width * self.HEIGHT_PX / self.WIDTH_PX)
        return [
            crop_rotated(
                face.picture,
                (float(x), float(y)),
                size,
                face.roll_degrees,
                (self.WIDTH_PX, self.HEIGHT_PX),
            )
            for x, y in face.points[:2]
        ]


class IrisContour:
    """Open or closed eyes from the contour of the lids: a calibrated heuristic.

    MediaPipe's iris network finds the contour. The openness of an eye is half the mean gap between
    its lids plus the mean height of the upper lid above the line through the corners, both relative
    to the eye's width. A laughing eye has a narrow gap, but its upper lid stays above that line;
    that of a closed eye drops to the line or below.
    """

    SIDE_PX = 64
    SIDE_OF_EYE = 2.3
    """Side of the crop relative to the eye's width, as in the network's training."""
    CORNERS = (0, 8)
    LOWER_LID, UPPER_LID = slice(1, 8), slice(9, 16)
    """Points of the contour between the corners; both lids run from the first corner."""
    MIDDLE, SCALE = 0.14, 0.015
    """Logistic of the mean openness of both eyes, fitted on 279 faces with closed eyes (Closed Eyes
    in the Wild, at least 110 px wide) and 698 with open eyes (UTKFace); README.md has its
    error rates."""

    def __init__(self, session: ModelSession) -> None:
        self._session = session

    def openness(self, faces: Sequence[Sighting], meshes: Sequence[Mesh]) -> list[float]:
        """Returns a score from the mean openness of both eyes; see EyeState."""
        crops = []
        for face, mesh in zip(faces, meshes, strict=True):
            left = self._crop(face, mesh, LEFT_EYE_CORNERS)
            right = self._crop(face, mesh, RIGHT_EYE_CORNERS)
            crops += [left, right[:, ::-1]]  # the network was trained on left eyes only
        blob = np.stack(crops).astype(np.float32).transpose(0, 3, 1, 2) / 255.0
        contours = run_rows(self._session, np.ascontiguousarray(blob), EYE_BATCH_COUNT)[0]
        opened = contour_openness(contours.reshape(len(crops), -1, 3)[..., :2])
        return [
            logistic((float(both.mean()) - self.MIDDLE) / self.SCALE)
            for both in opened.reshape(-1, 2)
        ]

    def _crop(self, face: Sighting, mesh: Mesh, corners: tuple[int, int]) -> RgbImage:
        ends = mesh.points[list(corners), :2]
        side = self.SIDE_OF_EYE * float(np.linalg.norm(ends[1] - ends[0]))
        ((x, y),) = mesh.in_picture(ends.mean(axis=0, keepdims=True)).tolist()
        return crop_rotated(
            face.picture,
            (x, y),
            (side, side),
            mesh.roll_degrees,
            (self.SIDE_PX, self.SIDE_PX),
        )


def contour_openness(contours: Points) -> Points:
    """Measures how open eyes are, relative to their width; see IrisContour.

    Args:
        contours: float32 (eyes, 71, 2), levelled, in any unit.

    Returns:
        float32 (eyes,): about -0.1 (closed) to 0.4 (wide open).
    """
    first, last = (contours[:, corner] for corner in IrisContour.CORNERS)
    lower, upper = contours[:, IrisContour.LOWER_LID], contours[:, IrisContour.UPPER_LID]
    widths = np.maximum(np.linalg.norm(last - first, axis=1), MIN_EYE_WIDTH_PX)
    gaps = np.linalg.norm(lower - upper, axis=2).mean(axis=1)
    heights = (first[:, 1] + last[:, 1]) / 2 - upper[..., 1].mean(axis=1)
    return np.asarray(np.clip((gaps / 2 + heights) / widths, -1.0, 1.0), np.float32)
