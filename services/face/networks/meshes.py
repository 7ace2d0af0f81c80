"""Networks that find the points of a face."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from services.common.inference.onnx import ModelSession, run_rows
from services.face.networks.faces import FACE_BATCH_COUNT, Mesh, Sighting, line_angle_degrees
from services.face.preprocess import Point, crop_rotated

LEFT_EYE_CORNERS, RIGHT_EYE_CORNERS = (33, 133), (362, 263)
"""Points at the two corners of each eye, left to right in the picture."""


class FaceLandmarks(Protocol):
    """Finds the points of faces."""

    def find(self, faces: Sequence[Sighting]) -> list[Mesh]:
        """Returns the points of each face."""
        ...


@dataclass(frozen=True)
class _Crop:
    """A rotated square of a picture: its centre and side in pixels, and its rotation."""

    centre: Point
    side: float
    roll_degrees: float

    def cut(self, face: Sighting, side_px: int) -> NDArray[np.float32]:
        """Cuts the square out: float32 (side_px, side_px, 3), RGB from 0 to 1."""
        pixels = crop_rotated(
            face.picture, self.centre, (self.side, self.side), self.roll_degrees, (side_px, side_px)
        )
        return np.asarray(pixels, np.float32) / 255.0

    def mesh(self, raw: NDArray[np.float32], side_px: int) -> Mesh:
        """Converts points from pixels of the crop to a mesh."""
        points = raw.reshape(-1, 3) * (self.side / side_px)
        points[:, :2] -= self.side / 2
        return Mesh(points, self.centre, self.roll_degrees)


class FaceMesh478:
    """478 points of a face (MediaPipe's face landmarks detector, version 2)."""

    SIDE_PX = 256
    SIDE_OF_FACE = 1.25

    def __init__(self, session: ModelSession) -> None:
        self._session = session

    def find(self, faces: Sequence[Sighting]) -> list[Mesh]:
        """Returns 478 points of each face; see FaceLandmarks."""
        crops = [_around(face, self.SIDE_OF_FACE) for face in faces]
        blob = np.stack(
            [crop.cut(face, self.SIDE_PX) for crop, face in zip(crops, faces, strict=True)]
        )
        answers = run_rows(self._session, blob, FACE_BATCH_COUNT)[0]
        return [crop.mesh(raw, self.SIDE_PX) for crop, raw in zip(crops, answers, strict=True)]


class FaceMesh468:
    """468 points of a face (Kartynnik et al. 2019, "Real-time Facial Surface Geometry...").

    The network was trained on video, in which the points of the previous frame determine each crop.
    A photo has no previous frame. If the detector places a crop badly, as it does for strongly
    tilted faces, the points from the first pass determine the crop for a second one.
    """

    SIDE_PX = 192
    SIDE_OF_FACE = 1.5
    """Side of the crop, relative to the detector's box or to the square around the points."""
    MAX_TURN_DEGREES = 5.0
    MAX_SIDE_RATIO = 1.25
    MAX_SHIFT = 0.1
    """Relative to the crop's side. A crop that is off by more than any of these three limits gets a
    second pass; this happens for about one in six upright faces."""

    def __init__(self, session: ModelSession) -> None:
        self._session = session

    def find(self, faces: Sequence[Sighting]) -> list[Mesh]:
        """Returns 468 points of each face; see FaceLandmarks."""
        crops = [_around(face, self.SIDE_OF_FACE) for face in faces]
        meshes = self._run(faces, crops)
        better = [self._place(mesh) for mesh in meshes]
        again = [
            index
            for index, (crop, other) in enumerate(zip(crops, better, strict=True))
            if self._is_off(crop, other)
        ]
        if again:
            second = self._run(
                [faces[index] for index in again], [better[index] for index in again]
            )
            for index, mesh in zip(again, second, strict=True):
                meshes[index] = mesh
        return meshes

    def _run(self, faces: Sequence[Sighting], crops: Sequence[_Crop]) -> list[Mesh]:
        cut = [crop.cut(face, self.SIDE_PX) for crop, face in zip(crops, faces, strict=True)]
        blob = np.ascontiguousarray(np.stack(cut).transpose(0, 3, 1, 2))
        answers = run_rows(self._session, blob, FACE_BATCH_COUNT)[0]
        return [crop.mesh(raw, self.SIDE_PX) for crop, raw in zip(crops, answers, strict=True)]

    def _is_off(self, crop: _Crop, better: _Crop) -> bool:
        """Whether a crop differs too much from the better one."""
        ratio = crop.side / better.side
        return (
            abs(better.roll_degrees - crop.roll_degrees) > self.MAX_TURN_DEGREES
            or max(ratio, 1 / ratio) > self.MAX_SIDE_RATIO
            or math.dist(crop.centre, better.centre) > self.MAX_SHIFT * better.side
        )

    def _place(self, rough: Mesh) -> _Crop:
        """Finds the square around the points, with the outer eye corners level."""
        corners = rough.points[[LEFT_EYE_CORNERS[0], RIGHT_EYE_CORNERS[1]]]
        turn = line_angle_degrees(corners[0], corners[1])
        level = Mesh(rough.points, (0.0, 0.0), -turn).in_picture(rough.points[:, :2])
        low, high = level.min(axis=0), level.max(axis=0)
        middle = Mesh(rough.points, (0.0, 0.0), turn).in_picture(((low + high) / 2)[np.newaxis])
        centre_x, centre_y = rough.in_picture(middle)[0].tolist()
        return _Crop(
            (centre_x, centre_y),
            max(self.SIDE_OF_FACE * float((high - low).max()), 1.0),
            rough.roll_degrees + turn,
        )


def _around(face: Sighting, side_of_face: float) -> _Crop:
    """Returns a square around the detector's box, level with the eyes that the detector found."""
    side = max(side_of_face * max(face.box.width, face.box.height), 1.0)
    return _Crop(face.box.centre, side, face.roll_degrees)
