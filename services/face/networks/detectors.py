"""Networks that find faces."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from services.common.imaging.decode import RgbImage
from services.common.inference.onnx import ModelSession, run_rows
from services.face.networks.faces import Points, Sighting
from services.face.preprocess import DETECTION_LONG_SIDE_PX, Box, letterbox

FloatArray = NDArray[np.float32]


LARGEST_SIDE_PX = 2.0 * DETECTION_LONG_SIDE_PX
"""Longest side of a box. Networks output its logarithm, so outliers would be unbounded."""


class FaceDetector(Protocol):
    """Finds faces."""

    def find(self, pictures: Sequence[RgbImage]) -> list[list[Sighting]]:
        """Returns the faces of each picture, uint8 (height, width, 3), in no particular order."""
        ...


class CenterFace:
    """Face detector: boxes and five points (Xu et al. 2019, "CenterFace: Joint Face Detection...").

    Each peak of a heat map with one cell per 4 pixels is a face; its size and points are read from
    the same cell.
    """

    SIZE_STEP_PX = 32
    STRIDE = 4
    MIN_CONFIDENCE = 0.5
    MAX_OVERLAP = 0.3
    """Intersection over union of two boxes above which the weaker one is dropped."""
    BATCH_COUNT = 4
    """Pictures per inference; each takes about 100 MB of memory during it."""

    def __init__(self, session: ModelSession) -> None:
        self._session = session

    def find(self, pictures: Sequence[RgbImage]) -> list[list[Sighting]]:
        """Finds faces of at least about 10 pixels at 640 px; see FaceDetector."""
        canvases = [letterbox(one, DETECTION_LONG_SIDE_PX, self.SIZE_STEP_PX) for one in pictures]
        by_shape: dict[tuple[int, ...], list[int]] = {}
        for index, (canvas, _) in enumerate(canvases):
            by_shape.setdefault(canvas.shape, []).append(index)
        found: list[list[Sighting]] = [[] for _ in pictures]
        for indices in by_shape.values():
            blob = np.stack([canvases[index][0] for index in indices]).astype(np.float32)
            blob = np.ascontiguousarray(blob.transpose(0, 3, 1, 2))
            maps = run_rows(self._session, blob, self.BATCH_COUNT)
            for row, index in enumerate(indices):
                found[index] = self._decode(
                    pictures[index], canvases[index][1], *(one[row] for one in maps)
                )
        return found

    def _decode(
        self,
        picture: RgbImage,
        factor: float,
        heat: FloatArray,
        sizes: FloatArray,
        offsets: FloatArray,
        points: FloatArray,
    ) -> list[Sighting]:
        """Reads the faces of one picture.

        Args:
            picture: The picture.
            factor: Its scale at detection.
            heat: (1, rows, columns), confidence.
            sizes: (2, rows, columns), logarithms of height and width in cells.
            offsets: (2, rows, columns), y and x of the centre within its cell, in cells.
            points: (10, rows, columns), y and x of each point relative to the box.
        """
        rows, columns = np.nonzero(heat[0] >= self.MIN_CONFIDENCE)
        if not len(rows):
            return []
        heights, widths = _sides(sizes[:, rows, columns], self.STRIDE)
        down, right = offsets[:, rows, columns]
        left = (columns + right + 0.5) * self.STRIDE - widths / 2
        top = (rows + down + 0.5) * self.STRIDE - heights / 2
        relative = points[:, rows, columns].T.reshape(-1, 5, 2)
        x = left[:, np.newaxis] + relative[..., 1] * widths[:, np.newaxis]
        y = top[:, np.newaxis] + relative[..., 0] * heights[:, np.newaxis]
        return strongest_sightings(
            picture,
            factor,
            heat[0, rows, columns],
            np.stack([left, top, widths, heights], axis=1),
            np.stack([x, y], axis=2),
            self.MAX_OVERLAP,
        )


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

    def find(self, pictures: Sequence[RgbImage]) -> list[list[Sighting]]:
        """Finds faces of at least about 10 pixels at 640 px; see FaceDetector."""
        return [self._find(picture) for picture in pictures]

    def _find(self, picture: RgbImage) -> list[Sighting]:
        canvas, factor = letterbox(picture, self.SIDE_PX, self.SIDE_PX)
        blob = canvas[..., ::-1].astype(np.float32).transpose(2, 0, 1)[np.newaxis]
        answers = self._session.run({self._session.input_names[0]: np.ascontiguousarray(blob)})
        outputs = dict(zip(self._session.output_names, answers, strict=True))
        parts = [self._decode(outputs, stride) for stride in self.STRIDES]
        scores, boxes, points = (np.concatenate(part) for part in zip(*parts, strict=True))
        likely = scores >= self.MIN_CONFIDENCE
        return strongest_sightings(
            picture, factor, scores[likely], boxes[likely], points[likely], self.MAX_OVERLAP
        )

    def _decode(
        self, outputs: dict[str, FloatArray], stride: int
    ) -> tuple[FloatArray, FloatArray, Points]:
        """Reads scores (n,), boxes (n, 4) left, top, width, height, and points (n, 5, 2)."""
        side = self.SIDE_PX // stride
        rows, columns = np.divmod(np.arange(side * side, dtype=np.float32), side)
        cells = np.stack([columns, rows], axis=1)
        kind = np.clip(outputs[f"cls_{stride}"].reshape(-1), 0, 1)
        there = np.clip(outputs[f"obj_{stride}"].reshape(-1), 0, 1)
        raw = outputs[f"bbox_{stride}"].reshape(-1, 4)
        centres, sizes = (cells + raw[:, :2]) * stride, _sides(raw[:, 2:], stride)
        points = (outputs[f"kps_{stride}"].reshape(-1, 5, 2) + cells[:, np.newaxis]) * stride
        return np.sqrt(kind * there), np.hstack([centres - sizes / 2, sizes]), points


def strongest_sightings(
    picture: RgbImage,
    factor: float,
    scores: FloatArray,
    boxes: FloatArray,
    points: Points,
    max_overlap: float,
) -> list[Sighting]:
    """Drops boxes that overlap a stronger one, and converts the rest to pixels of the picture.

    Args:
        picture: The picture.
        factor: Its scale at detection.
        scores: (n,), 0 to 1.
        boxes: (n, 4): left, top, width, height.
        points: (n, 5, 2).
        max_overlap: Intersection over union of two boxes above which the weaker one is dropped.
    """
    height, width = (side * factor for side in picture.shape[:2])
    centres = boxes[:, :2] + boxes[:, 2:] / 2
    is_inside = ((centres >= 0) & (centres <= (width, height))).all(axis=1)  # not in the padding
    scores, boxes, points = scores[is_inside], boxes[is_inside], points[is_inside]
    kept = cv2.dnn.NMSBoxes(boxes.tolist(), scores.tolist(), 0.0, max_overlap)
    return [
        Sighting(
            picture,
            Box(*(float(value) / factor for value in boxes[index])),
            min(float(scores[index]), 1.0),
            np.asarray(points[index] / factor, np.float32),
        )
        for index in np.asarray(kept, int).ravel()
    ]


def _sides(logarithms: FloatArray, unit_px: int) -> FloatArray:
    """Converts logarithms of sides, in units of `unit_px`, to pixels of the detection picture."""
    low, high = np.log(1 / unit_px), np.log(LARGEST_SIDE_PX / unit_px)
    return np.asarray(np.exp(np.clip(logarithms, low, high)) * unit_px, np.float32)
