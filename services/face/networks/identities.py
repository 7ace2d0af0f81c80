"""Networks whose vectors are close for faces of the same person."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from services.common.imaging.decode import RgbImage
from services.common.inference.onnx import ModelSession, run_rows
from services.face.model import Face, FaceModel
from services.face.networks.faces import FACE_BATCH_COUNT
from services.face.preprocess import crop_rotated

Vectors = NDArray[np.float32]

ALIGNED_SIDE_PX = 112
ALIGNED_POINTS = {
    "left_eye": (38.2946, 51.6963),
    "right_eye": (73.5318, 51.5014),
    "nose": (56.0252, 71.7366),
    "left_mouth_corner": (41.5493, 92.3655),
    "right_mouth_corner": (70.7299, 92.2041),
}
"""Where an aligned crop has its landmarks, in pixels (from the code published with Deng et al.,
"ArcFace", 2019)."""


class FaceIdentity(Protocol):
    """Describes whose face it is."""

    def identify(self, faces: Sequence[tuple[RgbImage, Face]]) -> Vectors:
        """Describes faces that have the landmarks in `ALIGNED_POINTS`.

        Args:
            faces: Each with its picture, uint8 (height, width, 3); boxes and landmarks are relative
                to it.

        Returns:
            float32 (n, d), unit vectors; their dot product is the similarity of two faces.
        """
        ...


class _AlignedIdentity:
    """A network that takes aligned crops of 112 x 112 pixels."""

    def __init__(self, session: ModelSession) -> None:
        self._session = session

    def identify(self, faces: Sequence[tuple[RgbImage, Face]]) -> Vectors:
        """Describes faces; see FaceIdentity."""
        crops = np.stack([align(pixels, face) for pixels, face in faces])
        blob = np.ascontiguousarray(self.normalise(crops).transpose(0, 3, 1, 2))
        vectors = run_rows(self._session, blob, FACE_BATCH_COUNT)[0]
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        return np.asarray(vectors / np.maximum(lengths, 1e-12), np.float32)

    def normalise(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Converts RGB crops to the network's range and order of colours."""
        raise NotImplementedError


class MobileFaceNet(_AlignedIdentity):
    """128 numbers (Chen et al. 2018, "MobileFaceNets"); RGB, -1 to 1."""

    def normalise(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Scales to -1 to 1."""
        return (crops.astype(np.float32) - 127.5) / 127.5


class SFace(_AlignedIdentity):
    """128 numbers (Zhong et al. 2021, "SFace"); RGB, 0 to 255."""

    def normalise(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Changes only the type."""
        return crops.astype(np.float32)


class IdentifyingModel:
    """A face model that also fills in `Face.identity` for faces with enough landmarks."""

    def __init__(self, model: FaceModel, identity: FaceIdentity) -> None:
        self._model = model
        self._identity = identity

    def analyze(self, pictures: Sequence[RgbImage]) -> list[list[Face]]:
        """Finds, describes and identifies faces; see FaceModel."""
        found = self._model.analyze(pictures)
        seen = [
            (pixels, face)
            for pixels, faces in zip(pictures, found, strict=True)
            for face in faces
            if can_align(face)
        ]
        vectors = iter(self._identity.identify(seen).tolist() if seen else [])
        return [
            [
                replace(face, identity=tuple(next(vectors))) if can_align(face) else face
                for face in faces
            ]
            for faces in found
        ]


def can_align(face: Face) -> bool:
    """Whether a face has all landmarks that `align` needs."""
    return face.landmarks.keys() >= ALIGNED_POINTS.keys()


def align(pixels: RgbImage, face: Face) -> RgbImage:
    """Crops a face so that its landmarks are as close as possible to `ALIGNED_POINTS`.

    The crop is a rotated square: moving, scaling and rotating it, but not mirroring it, is a linear
    function of four numbers, which are fitted by least squares.

    Args:
        pixels: uint8, (height, width, 3).
        face: Its landmarks are relative to the picture.

    Returns:
        uint8, (112, 112, 3).
    """
    height, width = pixels.shape[:2]
    seen = np.array([face.landmarks[name] for name in ALIGNED_POINTS]) * (width, height)
    places = np.array(list(ALIGNED_POINTS.values()))
    x, y = places.T
    one, zero = np.ones_like(x), np.zeros_like(x)
    # seen x = a x - b y + c, seen y = b x + a y + d
    matrix = np.concatenate([np.stack([x, -y, one, zero], 1), np.stack([y, x, zero, one], 1)])
    (a, b, c, d), *_ = np.linalg.lstsq(matrix, np.concatenate([seen[:, 0], seen[:, 1]]), rcond=None)
    middle = ALIGNED_SIDE_PX / 2
    centre = (float(a * middle - b * middle + c), float(b * middle + a * middle + d))
    side = math.hypot(a, b) * ALIGNED_SIDE_PX
    return crop_rotated(
        pixels,
        centre,
        (side, side),
        math.degrees(math.atan2(b, a)),
        (ALIGNED_SIDE_PX, ALIGNED_SIDE_PX),
    )
