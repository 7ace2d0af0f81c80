"""Composite score: weighted quality, minus penalties for faults of the prominent faces."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from orchestrator.domain.bounds import Penalty, Share
from orchestrator.domain.photo import FaceScores, QualityScores
from orchestrator.domain.wording import pluralize


@dataclass(frozen=True, slots=True)
class QualityWeights:
    """Shares of the technical and the aesthetic score in the composite score."""

    iqa: Share
    """weight of the technical score in the composite score"""
    ava: Share
    """weight of the aesthetic score, which is first scaled to 0..1"""


@dataclass(frozen=True, slots=True)
class PersonPenalties:
    """Penalties for face faults."""

    eyes_closed: Penalty
    """added when the worst prominent face's eyes score is below `eyes_threshold`"""
    face_turned: Penalty
    """added when the worst prominent face's pose score is below `pose_threshold`"""
    not_smiling: Penalty
    """added when the worst prominent face's smile score is below `smile_threshold`"""
    max_penalty: Penalty
    """lower limit for the sum of the penalties"""
    eyes_threshold: Share
    """eyes score, 0 to 1, below which eyes count as closed"""
    pose_threshold: Share
    """pose score, 0 to 1, below which a face counts as turned away"""
    smile_threshold: Share
    """smile score, 0 to 1, below which a face counts as not smiling"""
    prominent_face_ratio: Share
    """faces count if they are at least this share of the largest face's width"""


MIN_FACE_SIZE = 0.025
"""Share of the picture's long side below which a face is too small for its scores to count."""
MIN_FACE_CONFIDENCE = 0.6
"""Below this, a face may be a statue, a poster or a false detection, so its scores do not count."""


@dataclass(frozen=True, slots=True)
class WorstFace:
    """Face-size-weighted worst case over the prominent faces of a photo, each 0 to 1."""

    pose_score: float
    eyes_score: float
    smile_score: float


class FaceFault(StrEnum):
    """A face score below its threshold; named like the penalty in the settings."""

    EYES_CLOSED = "eyes_closed"
    FACE_TURNED = "face_turned"
    NOT_SMILING = "not_smiling"


FAULT_WORDS = {
    FaceFault.EYES_CLOSED: "eyes closed",
    FaceFault.FACE_TURNED: "face turned away",
    FaceFault.NOT_SMILING: "no smile",
}
"""Words for the faults in captions and reasons."""
NO_FAULT_WORDS = {FaceFault.EYES_CLOSED: "eyes open", FaceFault.NOT_SMILING: "smiling"}
"""Words for captions if a fault is absent; a face that looks ahead is not mentioned."""


@dataclass(frozen=True, slots=True)
class FaceCheck:
    """A worst score beside its threshold, each 0 to 1, and the penalty for falling below it."""

    fault: FaceFault
    score: float
    threshold: float
    penalty: float

    @property
    def is_fault(self) -> bool:
        """Whether the score is below its threshold."""
        return self.score < self.threshold


def worst_face(faces: Sequence[FaceScores], prominent_face_ratio: float) -> WorstFace | None:
    """Aggregates the prominent faces using a size-weighted minimum.

    A face's score s counts as 1 - w (1 - s), where w is its area divided by that of the largest
    face: the largest face counts in full, and the smaller a face is, the less its faults count.
    Unlike with a mean, a good face does not make up for a bad one. Tiny and uncertain faces never
    count.

    Returns:
        The minimum of each score; None if no face counts.
    """
    counting = [face for face in faces if _counts(face)]
    if not counting:
        return None
    largest = max(counting, key=lambda face: face.area)
    prominent = [face for face in counting if face.width >= prominent_face_ratio * largest.width]
    weights = [face.area / largest.area if largest.area > 0 else 1.0 for face in prominent]

    def worst(scores: list[float]) -> float:
        return min(1 - w * (1 - s) for w, s in zip(weights, scores, strict=True))

    return WorstFace(
        pose_score=worst([face.pose_score for face in prominent]),
        eyes_score=worst([face.eyes_score for face in prominent]),
        smile_score=worst([face.smile_score for face in prominent]),
    )


def _counts(face: FaceScores) -> bool:
    """Whether a face is large and certain enough for its scores to be trusted.

    Width and height are relative to those of the picture, so the smaller of them is relative to the
    long side.
    """
    size = min(face.width, face.height)
    return size >= MIN_FACE_SIZE and face.confidence >= MIN_FACE_CONFIDENCE


def check_faces(worst: WorstFace | None, penalties: PersonPenalties) -> tuple[FaceCheck, ...]:
    """Checks the worst scores against the thresholds; empty without faces.

    This is the only place that maps scores to faults.
    """
    if worst is None:
        return ()
    return (
        FaceCheck(
            FaceFault.EYES_CLOSED,
            worst.eyes_score,
            penalties.eyes_threshold,
            penalties.eyes_closed,
        ),
        FaceCheck(
            FaceFault.FACE_TURNED,
            worst.pose_score,
            penalties.pose_threshold,
            penalties.face_turned,
        ),
        FaceCheck(
            FaceFault.NOT_SMILING,
            worst.smile_score,
            penalties.smile_threshold,
            penalties.not_smiling,
        ),
    )


def face_faults(worst: WorstFace | None, penalties: PersonPenalties) -> tuple[FaceFault, ...]:
    """Lists the faults of the prominent faces; empty without faces."""
    return tuple(check.fault for check in check_faces(worst, penalties) if check.is_fault)


def face_caption(faces: Sequence[FaceScores], faults: Sequence[FaceFault]) -> str:
    """For example "2 faces | eyes open | no smile".

    Empty without faces; just the number of faces if none of them counts.
    """
    if not faces:
        return ""
    parts = [pluralize(len(faces), "face")]
    if any(_counts(face) for face in faces):
        words = (
            FAULT_WORDS[fault] if fault in faults else NO_FAULT_WORDS.get(fault, "")
            for fault in FaceFault
        )
        parts += filter(None, words)
    return " | ".join(parts)


def person_penalty(worst: WorstFace | None, penalties: PersonPenalties) -> float:
    """Sums the penalties that apply.

    Returns:
        0.0 without faces, never below `max_penalty`.
    """
    total = 0.0
    # not sum(), which compensates for rounding: the last digit of stored penalties would change
    for check in check_faces(worst, penalties):
        if check.is_fault:
            total += check.penalty
    return max(total, penalties.max_penalty)


def normalize_ava(ava_score: float) -> float:
    """Scales a mean AVA vote, 1 to 10, to 0 to 1."""
    return (ava_score - 1.0) / 9.0


def composite_score(quality: QualityScores, weights: QualityWeights, penalty: float) -> float:
    """Adds up the weighted scores and the person penalty.

    Returns:
        iqa weight x iqa + ava weight x (ava - 1) / 9 + penalty; not clipped.
    """
    aesthetic = normalize_ava(quality.ava_score)
    return weights.iqa * quality.iqa_score + weights.ava * aesthetic + penalty
