"""Composite score: weighted quality, minus penalties for faults of the prominent faces."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from orchestrator.domain.bounds import Penalty, Share
from orchestrator.domain.photo import FaceScores, QualityScores
from orchestrator.domain.wording import pluralize


@dataclass(frozen=True, slots=True)
class QualityWeights:
    """Shares of the technical and the aesthetic score in the composite score."""

    iqa: Share
    """weight of the technical score in the composite score; both defaults come from the earlier
    system; `bestshot tune` fits them to your decisions"""
    ava: Share
    """weight of the aesthetic score, which is first scaled to 0..1"""


@dataclass(frozen=True, slots=True)
class PersonPenalties:
    """Penalties for face faults."""

    eyes_closed: Penalty
    """added when the worst prominent face's eyes score is below `eyes_threshold`: in full if the
    score is at most half of the threshold and all faces are as bad, about half if the others are
    good"""
    face_turned: Penalty
    """added when the worst prominent face's pose score is below `pose_threshold`, in full or in
    part as for `eyes_closed`"""
    not_smiling: Penalty
    """added when the worst prominent face's smile score is below `smile_threshold`, in full or in
    part as for `eyes_closed`"""
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


MIN_FACE_SIZE, FULL_FACE_SIZE = 0.025, 0.05
"""Shares of the picture's long side: up to MIN_FACE_SIZE, a face is too small for its scores to
count; at FULL_FACE_SIZE and above, they count in full. On a canonical image these are 26 and 51
pixels; the networks see eyes at 64 x 64."""
MIN_FACE_CONFIDENCE, FULL_FACE_CONFIDENCE = 0.6, 0.8
"""Up to MIN_FACE_CONFIDENCE, a face may be a statue, a poster or a false detection, and its scores
do not count; at FULL_FACE_CONFIDENCE and above, they count in full."""
LEVEL_PITCH_DEGREES, LOWERED_PITCH_DEGREES = -12.0, -24.0
"""At LOWERED_PITCH_DEGREES or lower, a head is lowered so far that its eyes look closed from above,
so their state is unknown. The measured pitch of frontal faces is within 11 degrees of level."""
SURELY_CLOSED, UNSURELY_CLOSED = 0.05, 0.25
"""Up to an eyes score of SURELY_CLOSED, eyes are closed even in a laughing face; at
UNSURELY_CLOSED and above, the laugh may have narrowed them, so their state is unknown. Closed eyes
score 0.00 to 0.02."""
SMILE, LAUGH = 0.5, 0.9
"""Smile scores between which a smile becomes a laugh."""
CANNOT_TELL = 0.5
"""Score of eyes whose state is unknown: at the default thresholds it is not a fault."""
SURE_SHARE = 0.5
"""Share of a threshold at which a fault is certain; from there to the threshold, its penalty falls
to zero, so that a tiny difference does not decide."""
SINGLE_SHARE = 0.5
"""Share of a penalty that a single face costs, no matter how many others there are; the rest grows
with the share of faces that are as bad, so of two shots of a group, the one with fewer closed eyes
wins."""


@dataclass(frozen=True, slots=True)
class WorstFace:
    """The worst scores among a photo's prominent faces, weighted by face size; each 0 to 1.

    An extent is the weighted mean of how far the faces fall short of a full score, divided by how
    far the worst one does: 1 if all are equally bad, and lower if fewer are.
    """

    pose_score: float
    eyes_score: float
    smile_score: float
    pose_extent: float = 1.0
    eyes_extent: float = 1.0
    smile_extent: float = 1.0


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
"""Words for captions if a fault is absent; a face that looks at the camera is not mentioned."""


@dataclass(frozen=True, slots=True)
class FaceCheck:
    """A worst score with its threshold, each 0 to 1, and the penalty for falling below it.

    Attributes:
        fault: What a low score means.
        score: The worst score.
        extent: How many faces are as bad; see `WorstFace`.
        threshold: Lower scores are a fault.
        penalty: The setting, 0 or below.
    """

    fault: FaceFault
    score: float
    extent: float
    threshold: float
    penalty: float

    @property
    def is_fault(self) -> bool:
        """Whether the score is below its threshold."""
        return self.score < self.threshold

    @property
    def cost(self) -> float:
        """What the fault costs: `penalty` if it is certain and affects all faces, or else less."""
        if not self.is_fault:
            return 0.0
        sure = _ramp(self.threshold - self.score, 0.0, self.threshold * (1 - SURE_SHARE))
        return self.penalty * sure * (SINGLE_SHARE + (1 - SINGLE_SHARE) * self.extent)


def find_shown(
    faces: Sequence[FaceScores], person_ids: Sequence[str], chosen: Collection[str]
) -> frozenset[str]:
    """Finds the chosen persons whose faces are large and certain enough to count."""
    return frozenset(
        person
        for face, person in zip(faces, person_ids, strict=False)
        if person in chosen and rate_trust(face) > 0
    )


def find_judged(
    faces: Sequence[FaceScores], person_ids: Sequence[str], important: Collection[str]
) -> tuple[int, ...]:
    """Finds the faces that count in a photo whose moment shows important persons.

    Only the faces of important persons count. If an important person seems to be missing,
    unrecognized faces count too, because one of them may be that person's. If that leaves no face
    that counts, all faces do.

    Args:
        faces: The faces.
        person_ids: The person of each face, "" if unknown; empty if nobody was recognized.
        important: The important persons in the moment.

    Returns:
        Positions in `faces`; empty if all count.
    """
    if not important:
        return ()
    people = person_ids or [""] * len(faces)
    is_missing = find_shown(faces, people, important) != frozenset(important)
    judged = [
        place
        for place, person in enumerate(people)
        if person in important or (is_missing and not person)
    ]
    is_empty = not any(rate_trust(faces[place]) > 0 for place in judged)
    return () if is_empty or len(judged) == len(faces) else tuple(judged)


def take_judged(faces: Sequence[FaceScores], judged: Sequence[int]) -> Sequence[FaceScores]:
    """Returns the faces that count; `judged` is as returned by `find_judged`."""
    return [faces[place] for place in judged] if judged else faces


def worst_face(faces: Sequence[FaceScores], prominent_face_ratio: float) -> WorstFace | None:
    """Aggregates the prominent faces by a weighted minimum.

    A face's score s counts as 1 - w (1 - s). The weight w is its area relative to the largest
    face's, and lower for a tiny or uncertain face: the smaller or less certain a face is, the less
    its faults count. Unlike in a mean, a good face does not make up for a bad one. Eyes whose state
    is unknown, in a lowered or laughing face, are neither open nor closed.

    Returns:
        The minimum of each score, and how many faces are as bad; None if no faces count.
    """
    counting = [face for face in faces if rate_trust(face) > 0]
    if not counting:
        return None
    largest = max(counting, key=lambda face: face.area)
    prominent = [face for face in counting if face.width >= prominent_face_ratio * largest.width]
    weights = [
        (face.area / largest.area if largest.area > 0 else 1.0) * rate_trust(face)
        for face in prominent
    ]
    pose, pose_extent = _aggregate(weights, [face.pose_score for face in prominent])
    eyes, eyes_extent = _aggregate(weights, [_adjust_eyes_score(face) for face in prominent])
    smile, smile_extent = _aggregate(weights, [face.smile_score for face in prominent])
    return WorstFace(pose, eyes, smile, pose_extent, eyes_extent, smile_extent)


def _aggregate(weights: Sequence[float], scores: Sequence[float]) -> tuple[float, float]:
    """Returns the weighted minimum of scores, and its extent."""
    lacks = [w * (1 - s) for w, s in zip(weights, scores, strict=True)]
    most, total = max(lacks), sum(weights)
    extent = sum(lacks) / total / most * max(weights) if most > 0 and total > 0 else 1.0
    return 1 - most, min(1.0, extent)


def _adjust_eyes_score(face: FaceScores) -> float:
    """Returns the eyes score, adjusted where the state of the eyes is uncertain."""
    lowered = _ramp(face.pitch_degrees or 0.0, LEVEL_PITCH_DEGREES, LOWERED_PITCH_DEGREES)
    laughing = _ramp(face.smile_score, SMILE, LAUGH) * _ramp(
        face.eyes_score, SURELY_CLOSED, UNSURELY_CLOSED
    )
    doubt = max(lowered, laughing)
    return face.eyes_score + doubt * max(0.0, CANNOT_TELL - face.eyes_score)


def rate_trust(face: FaceScores) -> float:
    """Returns how much a face's scores count, given its size and certainty, 0 to 1.

    Width and height are relative to those of the picture, so the smaller of them is relative to the
    long side.
    """
    size = _ramp(min(face.width, face.height), MIN_FACE_SIZE, FULL_FACE_SIZE)
    return size * _ramp(face.confidence, MIN_FACE_CONFIDENCE, FULL_FACE_CONFIDENCE)


def _ramp(value: float, start: float, end: float) -> float:
    """Rises linearly from 0 at `start` to 1 at `end`, which may be below `start`."""
    if start == end:
        return float(value >= end)
    return min(1.0, max(0.0, (value - start) / (end - start)))


@dataclass(frozen=True, slots=True)
class FaceSigns:
    """What is known about one face; named as in orchestrator.proto.

    Attributes:
        eyes: "open", "closed", or empty if unknown.
        smile: "smiling", "not_smiling", or empty if unknown.
        is_prominent: Whether it counts for the scores of its photo.
        person_id: The person whose face it is; empty if unknown.
        person_name: The person's name; empty if unknown.
        is_important: Whether the person is important to the user.
    """

    eyes: str
    smile: str
    is_prominent: bool
    person_id: str = ""
    person_name: str = ""
    is_important: bool = False


def read_signs(
    faces: Sequence[FaceScores], penalties: PersonPenalties, judged: Sequence[int] = ()
) -> tuple[FaceSigns, ...]:
    """Interprets each face's scores by the thresholds of a run, in the order of the faces.

    For faces that are too small or too uncertain to count, the signs are unknown; so is the state
    of eyes whose low score may come from a lowered head or a laugh. `judged` is as returned by
    `find_judged`.
    """
    counting = [face.width for face in take_judged(faces, judged) if rate_trust(face) > 0]
    min_width = penalties.prominent_face_ratio * max(counting, default=0.0)
    return tuple(
        _signs_of(face, penalties, min_width if not judged or place in judged else math.inf)
        for place, face in enumerate(faces)
    )


def _signs_of(face: FaceScores, penalties: PersonPenalties, prominent_width: float) -> FaceSigns:
    if rate_trust(face) == 0:
        return FaceSigns("", "", is_prominent=False)
    eyes = "open"
    if face.eyes_score < penalties.eyes_threshold:
        eyes = "closed" if _adjust_eyes_score(face) < penalties.eyes_threshold else ""
    smile = "smiling" if face.smile_score >= penalties.smile_threshold else "not_smiling"
    return FaceSigns(eyes, smile, is_prominent=face.width >= prominent_width)


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
            worst.eyes_extent,
            penalties.eyes_threshold,
            penalties.eyes_closed,
        ),
        FaceCheck(
            FaceFault.FACE_TURNED,
            worst.pose_score,
            worst.pose_extent,
            penalties.pose_threshold,
            penalties.face_turned,
        ),
        FaceCheck(
            FaceFault.NOT_SMILING,
            worst.smile_score,
            worst.smile_extent,
            penalties.smile_threshold,
            penalties.not_smiling,
        ),
    )


def face_faults(worst: WorstFace | None, penalties: PersonPenalties) -> tuple[FaceFault, ...]:
    """Lists the faults of the prominent faces; empty without faces."""
    return tuple(check.fault for check in check_faces(worst, penalties) if check.is_fault)


def face_caption(faces: Sequence[FaceScores], faults: Sequence[FaceFault]) -> str:
    """Builds a caption, for example "2 faces | eyes open | no smile".

    Empty without faces; only the number of faces if none of them counts.
    """
    if not faces:
        return ""
    parts = [pluralize(len(faces), "face")]
    if any(rate_trust(face) > 0 for face in faces):
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
        total += check.cost
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


def score_terms(
    quality: QualityScores, worst: WorstFace | None, penalties: PersonPenalties
) -> dict[str, float]:
    """Returns the factor of each weight and penalty in the composite score, by name.

    The sum of weights times factors is the composite score unless `max_penalty` limits it. A photo
    without faces has 0 for each fault.
    """
    unit = replace(penalties, eyes_closed=-1.0, face_turned=-1.0, not_smiling=-1.0)
    extents = {check.fault: -check.cost for check in check_faces(worst, unit)}
    return {
        "iqa": quality.iqa_score,
        "ava": normalize_ava(quality.ava_score),
        **{fault.value: extents.get(fault, 0.0) for fault in FaceFault},
    }
