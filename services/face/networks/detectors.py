"""The published networks of the face roles: each takes a picture and returns its role's output.

Input and output conventions are those of the networks' authors; see the registry for the sources.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from services.common.imaging.decode import RgbImage
from services.common.inference.onnx import ModelSession
from services.face.preprocess import Box, crop_rotated, letterbox, to_gray

Points = NDArray[np.float32]


@dataclass(frozen=True)
class Sighting:
    """A face as detected, in pixels of the picture.

    Attributes:
        box: Where it is.
        confidence: 0 to 1.
        points: float32 (5, 2): left eye, right eye, nose, left and right mouth corner, as seen.
    """

    box: Box
    confidence: float
    points: Points

    @property
    def eye_distance(self) -> float:
        """Distance of the eyes, pixels."""
        return math.dist(self.points[0], self.points[1])

    @property
    def roll_degrees(self) -> float:
        """Angle of the line through the eyes, positive clockwise."""
        (left_x, left_y), (right_x, right_y) = self.points[:2].tolist()
        return math.degrees(math.atan2(right_y - left_y, right_x - left_x))


class YuNet:
    """Face detector: boxes and five points (Wu et al. 2023, "YuNet: A Tiny Millisecond-level...").

    The decoding follows OpenCV's FaceDetectorYN.
    """

    SIDE_PX = 640
    STRIDES = (8, 16, 32)
    MIN_CONFIDENCE = 0.7
    MAX_OVERLAP = 0.3
    """Intersection over union of two boxes above which the weaker one is dropped."""

    def __init__(self, session: ModelSession) -> None:
        self._session = session

    def find(self, pixels: RgbImage) -> list[Sighting]:
        """Finds faces of at least about 10 pixels at 640 px; in no particular order."""
        canvas, factor = letterbox(pixels, self.SIDE_PX)
        blob = canvas[..., ::-1].astype(np.float32).transpose(2, 0, 1)[np.newaxis]
        answers = self._session.run({self._session.input_names[0]: np.ascontiguousarray(blob)})
        outputs = dict(zip(self._session.output_names, answers, strict=True))
        parts = [self._decode(outputs, stride) for stride in self.STRIDES]
        scores, boxes, points = (np.concatenate(part) for part in zip(*parts, strict=True))
        likely = scores >= self.MIN_CONFIDENCE
        scores, boxes, points = scores[likely], boxes[likely], points[likely]
        kept = cv2.dnn.NMSBoxes(
            boxes.tolist(), scores.tolist(), self.MIN_CONFIDENCE, self.MAX_OVERLAP
        )
        return [
            Sighting(
                Box(*(float(value) / factor for value in boxes[index])),
                float(scores[index]),
                points[index] / factor,
            )
            for index in np.asarray(kept, int).ravel()
        ]

    def _decode(
        self, outputs: dict[str, NDArray[np.float32]], stride: int
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], Points]:
        """Scores (n,), boxes (n, 4) left, top, width, height, and points (n, 5, 2) of a grid."""
        side = self.SIDE_PX // stride
        rows, columns = np.divmod(np.arange(side * side, dtype=np.float32), side)
        cells = np.stack([columns, rows], axis=1)
        kind = np.clip(outputs[f"cls_{stride}"].reshape(-1), 0, 1)
        there = np.clip(outputs[f"obj_{stride}"].reshape(-1), 0, 1)
        raw = outputs[f"bbox_{stride}"].reshape(-1, 4)
        centres, sizes = (cells + raw[:, :2]) * stride, np.exp(raw[:, 2:]) * stride
        points = (outputs[f"kps_{stride}"].reshape(-1, 5, 2) + cells[:, np.newaxis]) * stride
        return np.sqrt(kind * there), np.hstack([centres - sizes / 2, sizes]), points


class HeadPose(Protocol):
    """Estimates where a face looks."""

    def pose(self, pixels: RgbImage, face: Sighting, points: Points) -> tuple[float, float]:
        """Yaw and pitch in degrees, positive towards the right edge and up.

        Args:
            pixels: The picture.
            face: The face in it.
            points: Its points, as of FaceMesh.
        """
        ...


class Expression(Protocol):
    """Scores whether a face smiles; arguments as for HeadPose."""

    def smile(self, pixels: RgbImage, face: Sighting, points: Points) -> float:
        """Returns how clearly it smiles, 0 to 1."""
        ...


class FsaNet:
    """Head pose: the mean of two variants (Yang et al. 2019, "FSA-Net")."""

    SIDE_PX = 64

    def __init__(self, *sessions: ModelSession) -> None:
        self._sessions = sessions

    def pose(self, pixels: RgbImage, face: Sighting, points: Points) -> tuple[float, float]:
        """Yaw and pitch; see HeadPose."""
        side = max(face.box.width, face.box.height)
        crop = crop_rotated(
            pixels, face.box.centre, (side, side), 0.0, (self.SIDE_PX, self.SIDE_PX)
        )
        blob = ((crop[..., ::-1].astype(np.float32) - 127.5) / 128.0).transpose(2, 0, 1)
        blob = np.ascontiguousarray(blob[np.newaxis])
        answers = [session.run({session.input_names[0]: blob})[0] for session in self._sessions]
        yaw, pitch, _ = np.mean(answers, axis=0).ravel().tolist()
        return -yaw, pitch


class LandmarkPose:
    """Head pose by solving for the position of a rigid face behind six points (PnP).

    Noisier than a trained network, because real faces differ from the proportions of `FACE`.
    """

    POINTS = (1, 152, 33, 263, 61, 291)
    """Of FaceMesh: nose, chin, outer corners of the eyes, corners of the mouth."""
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
    """The same points of a generic face: right, down, away from the camera; any unit."""
    FOCAL_LENGTH_PX = 4.0 * 256
    """A face is small compared with its distance: hardly any perspective within the crop."""

    def pose(self, pixels: RgbImage, face: Sighting, points: Points) -> tuple[float, float]:
        """Yaw and pitch; see HeadPose."""
        middle = FaceMesh.SIDE_PX / 2
        camera = np.array(
            [[self.FOCAL_LENGTH_PX, 0, middle], [0, self.FOCAL_LENGTH_PX, middle], [0, 0, 1]]
        )
        seen = points[list(self.POINTS), :2].astype(np.float64)
        _, turn, _ = cv2.solvePnP(self.FACE, seen, camera, None, flags=cv2.SOLVEPNP_SQPNP)
        x, y, z = (cv2.Rodrigues(turn)[0] @ (0.0, 0.0, -1.0)).tolist()  # where the nose points
        return (
            math.degrees(math.atan2(x, -z)),
            math.degrees(math.atan2(-y, math.hypot(x, z))),
        )


class Ocec:
    """Open or closed eyes (Hyodo, "OCEC: Open Closed Eyes Classification")."""

    WIDTH_PX, HEIGHT_PX = 40, 24
    WIDTH_OF_EYE_DISTANCE = 0.60
    """Of the crop; larger ones show brows and nose, and closed eyes pass for open ones."""
    MIN_EYE_DISTANCE = 0.25
    """Relative to the width of the face: in a profile the eyes overlap."""

    def __init__(self, session: ModelSession) -> None:
        self._session = session

    def openness(self, pixels: RgbImage, face: Sighting) -> float:
        """Probability that the more certain eye is open: a hidden one does not count."""
        distance = max(face.eye_distance, self.MIN_EYE_DISTANCE * face.box.width)
        width = self.WIDTH_OF_EYE_DISTANCE * distance
        size = (width, width * self.HEIGHT_PX / self.WIDTH_PX)
        crops = [
            crop_rotated(
                pixels,
                (float(x), float(y)),
                size,
                face.roll_degrees,
                (self.WIDTH_PX, self.HEIGHT_PX),
            )
            for x, y in face.points[:2]
        ]
        blob = np.stack(crops).astype(np.float32).transpose(0, 3, 1, 2) / 255.0
        (open_,) = self._session.run({self._session.input_names[0]: np.ascontiguousarray(blob)})
        return float(open_.max())


class FaceMesh:
    """478 points of a face (MediaPipe's face landmarks detector, version 2)."""

    SIDE_PX = 256
    SIDE_OF_FACE = 1.25
    POINT_COUNT = 478

    def __init__(self, session: ModelSession) -> None:
        self._session = session

    def points(self, pixels: RgbImage, face: Sighting) -> Points:
        """float32 (478, 3): x, y in pixels of a levelled 256 x 256 crop, and depth in the same."""
        side = self.SIDE_OF_FACE * max(face.box.width, face.box.height)
        crop = crop_rotated(
            pixels, face.box.centre, (side, side), face.roll_degrees, (self.SIDE_PX, self.SIDE_PX)
        )
        blob = crop.astype(np.float32)[np.newaxis] / 255.0
        return self._session.run({self._session.input_names[0]: blob})[0].reshape(-1, 3)


class MiniXception:
    """Smile as the probability of happiness among seven expressions (Arriaga et al. 2017)."""

    SIDE_PX = 64
    HAPPY = 3

    def __init__(self, session: ModelSession) -> None:
        self._session = session

    def smile(self, pixels: RgbImage, face: Sighting, points: Points) -> float:
        """Probability of happiness; see Expression."""
        side = max(face.box.width, face.box.height)
        crop = crop_rotated(
            pixels, face.box.centre, (side, side), face.roll_degrees, (self.SIDE_PX, self.SIDE_PX)
        )
        blob = to_gray(crop).astype(np.float32)[np.newaxis, np.newaxis] / 127.5 - 1.0
        return float(self._session.run({self._session.input_names[0]: blob})[0][0, self.HAPPY])


class Blendshapes:
    """Smile from the points of a face (MediaPipe's blendshapes)."""

    # The 146 points that the network reads, and the indices of its outputs: from
    # face_blendshapes_graph.cc of MediaPipe (Apache-2.0), kLandmarksSubsetIdxs, kBlendshapeNames.
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

    def smile(self, pixels: RgbImage, face: Sighting, points: Points) -> float:
        """Mean of both corners of the mouth; see Expression."""
        wanted = np.ascontiguousarray(points[np.newaxis, list(self.POINTS), :2], np.float32)
        answer = self._session.run({self._session.input_names[0]: wanted})[0].ravel()
        both = answer[[self.MOUTH_SMILE_LEFT, self.MOUTH_SMILE_RIGHT]]
        return float(np.clip(both.mean(), 0.0, 1.0))
