"""Faces with the data needed to recognize people."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from orchestrator.domain.photo import FaceScores
from orchestrator.domain.scoring import rate_trust

Vector = NDArray[np.float32]
"""float32, (d,), unit length."""

ROUNDING = 1e-6
TURNED_POSE, FACING_POSE = 0.3, 0.6
"""Pose scores: up to TURNED_POSE, a face is turned too far to tell whose it is; from FACING_POSE
on, it counts in full. A heuristic."""


@dataclass(frozen=True, slots=True)
class Box:
    """Position of a face, relative to the picture (0 to 1)."""

    left: float
    top: float
    width: float
    height: float

    @classmethod
    def of(cls, face: FaceScores) -> Box:
        """Returns the box of a face."""
        return cls(face.left, face.top, face.width, face.height)

    def is_in_picture(self) -> bool:
        """Whether it has an area and lies within the picture; False if a value is not a number."""
        is_within = self.left >= 0 and self.top >= 0
        is_within = is_within and self.left + self.width <= 1 + ROUNDING
        is_within = is_within and self.top + self.height <= 1 + ROUNDING
        return is_within and self.width > 0 and self.height > 0

    def overlap(self, other: Box) -> float:
        """Returns the intersection over union with another box, 0 to 1."""
        width = min(self.left + self.width, other.left + other.width) - max(self.left, other.left)
        height = min(self.top + self.height, other.top + other.height) - max(self.top, other.top)
        shared = max(0.0, width) * max(0.0, height)
        union = self.width * self.height + other.width * other.height - shared
        return shared / union if union > 0 else 0.0


@dataclass(frozen=True, slots=True)
class IdentifiedFace:
    """A face with its vector, which is biometric data.

    Attributes:
        clarity: How well the face shows whose it is; see `rate_clarity`.
    """

    box: Box
    clarity: float
    vector: Vector


def identified_face(face: FaceScores, vector: Vector) -> IdentifiedFace:
    """Combines a face's box and clarity with its vector."""
    return IdentifiedFace(Box.of(face), rate_clarity(face), vector)


def rate_clarity(face: FaceScores) -> float:
    """Returns how well a face shows whose it is, 0 to 1; 0 if it is small, turned or uncertain."""
    facing = (face.pose_score - TURNED_POSE) / (FACING_POSE - TURNED_POSE)
    return rate_trust(face) * min(1.0, max(0.0, facing))
