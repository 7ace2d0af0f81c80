"""Composite score: quality weighted, minus what is wrong with the prominent faces."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from orchestrator.domain.bounds import Penalty, Share
from orchestrator.domain.photo import FaceScores, QualityScores


@dataclass(frozen=True, slots=True)
class QualityWeights:
    """Shares of the technical and the aesthetic score in the composite."""

    iqa: Share
    """share of the technical score in the composite"""
    ava: Share
    """share of the aesthetic score, scaled to 0 to 1"""


@dataclass(frozen=True, slots=True)
class PersonPenalties:
    """What faces cost."""

    eyes_closed: Penalty
    """added when the worst prominent face's eyes score is below `eyes_threshold`"""
    face_turned: Penalty
    """added when its pose score is below `pose_threshold`"""
    not_smiling: Penalty
    """added when its smile score is below `smile_threshold`"""
    max_penalty: Penalty
    """the sum of penalties is never lower"""
    eyes_threshold: Share
    """eyes score, 0 to 1, below which eyes count as closed"""
    pose_threshold: Share
    """pose score, 0 to 1, below which a face counts as turned away"""
    smile_threshold: Share
    """smile score, 0 to 1, below which a face counts as not smiling"""
    prominent_face_ratio: Share
    """faces at least this share of the largest one's width count"""


@dataclass(frozen=True, slots=True)
class WorstFace:
    """Face-size-weighted worst case over the prominent faces of a photo, each 0 to 1."""

    pose_score: float
    eyes_score: float
    smile_score: float


def worst_face(faces: Sequence[FaceScores], prominent_face_ratio: float) -> WorstFace | None:
    """Aggregates the prominent faces by a size-weighted minimum.

    A face's score s counts as 1 - w (1 - s), where w is its area over the largest face's: the
    largest face counts in full, a smaller one's faults the less the smaller it is, and no good face
    makes up for a bad one, as it would in a mean.

    Returns:
        The minimum of each score; None without faces.
    """
    if not faces:
        return None
    largest = max(faces, key=lambda face: face.area)
    prominent = [face for face in faces if face.width >= prominent_face_ratio * largest.width]
    weights = [face.area / largest.area if largest.area > 0 else 1.0 for face in prominent]

    def worst(scores: list[float]) -> float:
        return min(1 - w * (1 - s) for w, s in zip(weights, scores, strict=True))

    return WorstFace(
        pose_score=worst([face.pose_score for face in prominent]),
        eyes_score=worst([face.eyes_score for face in prominent]),
        smile_score=worst([face.smile_score for face in prominent]),
    )


def person_penalty(worst: WorstFace | None, penalties: PersonPenalties) -> float:
    """Sums the penalties that apply.

    Returns:
        0.0 without faces, never below `max_penalty`.
    """
    if worst is None:
        return 0.0
    total = 0.0
    if worst.eyes_score < penalties.eyes_threshold:
        total += penalties.eyes_closed
    if worst.pose_score < penalties.pose_threshold:
        total += penalties.face_turned
    if worst.smile_score < penalties.smile_threshold:
        total += penalties.not_smiling
    return max(total, penalties.max_penalty)


def composite_score(quality: QualityScores, weights: QualityWeights, penalty: float) -> float:
    """Weighs the scores and adds the person penalty.

    Returns:
        iqa weight x iqa + ava weight x (ava - 1) / 9 + penalty; not clipped.
    """
    aesthetic = (quality.ava_score - 1.0) / 9.0
    return weights.iqa * quality.iqa_score + weights.ava * aesthetic + penalty
