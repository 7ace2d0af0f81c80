"""OpenCV's cascades, which return a weight with each detection."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path

import cv2

from services.common.errors import ConfigError
from services.face.preprocess import Box, Gray


@dataclass(frozen=True)
class Detection:
    """A hit of a cascade.

    Attributes:
        box: Position in pixels of the searched picture.
        weight: Sum of the last stage that it reached (the "level weight"): higher = more certain,
            on a scale that differs between cascades.
    """

    box: Box
    weight: float


class Cascade:
    """A cascade file. Classifiers keep state during a search, so each thread has its own."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._local = threading.local()
        self._classifier()

    def _classifier(self) -> cv2.CascadeClassifier:
        if not hasattr(self._local, "classifier"):
            classifier = cv2.CascadeClassifier(str(self._path))
            if classifier.empty():
                raise ConfigError(f"{self._path} is not a cascade that OpenCV can read")
            self._local.classifier = classifier
        loaded: cv2.CascadeClassifier = self._local.classifier
        return loaded

    def find(
        self, gray: Gray, *, scale_step: float, neighbours: int, min_side_px: int
    ) -> list[Detection]:
        """Searches `gray`; returns the most certain hit first, ties ordered by position.

        Args:
            gray: uint8, (height, width).
            scale_step: Factor between the sizes that are tried, above 1.
            neighbours: Minimum number of overlapping raw hits per detection.
            min_side_px: Smallest box side.
        """
        boxes, _, weights = self._classifier().detectMultiScale3(
            gray,
            scaleFactor=scale_step,
            minNeighbors=neighbours,
            minSize=(min_side_px, min_side_px),
            outputRejectLevels=True,
        )
        found = [
            Detection(Box(*(float(value) for value in box)), float(weight))
            for box, weight in zip(boxes, weights, strict=True)
        ]
        return sorted(found, key=lambda hit: (-hit.weight, hit.box.left, hit.box.top))
