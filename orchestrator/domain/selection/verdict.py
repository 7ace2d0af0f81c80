"""The outcome for a photo, and the comparisons that it may depend on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from orchestrator.domain.copies import CopyRule
from orchestrator.domain.goal import Coverage
from orchestrator.domain.people.everybody import BroughtIn
from orchestrator.domain.photo import Reason
from orchestrator.domain.scoring import WorstFace

Pair = tuple[str, str]
"""Paths of two photos, first < second."""
Comparisons = Mapping[Pair, float]
"""Probability that the first path's photo is the better one."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The outcome for one photo.

    Attributes:
        path: The photo.
        worst: Worst face scores, weighted by face size; None without faces.
        person_penalty: 0 or below.
        composite_score: The score by which it is ranked.
        is_selected: Whether it was picked.
        reason: Why it was picked or not.
        lost_to: Path of the preferred photo; None if there is none.
        similarity: Cosine similarity to `lost_to`, if it decided.
        probability: Probability that `lost_to` is better, if the comparator decided.
        tied_count: Number of other photos with about the same score that it was compared with.
        uncompared_count: Number of photos with about the leader's score that are ranked by score
            alone, because there are more than `MAX_COMPARED_COUNT`; 0 if this photo was not tied.
        points: Sum of its win probabilities against the tied photos; None if it was not tied.
        rank: Place in its moment, from 1.
        moment_size: Number of photos in its moment.
        copy_rule: Why `lost_to` is preferred, if it is the original of this copy; None if the user
            keeps it.
        outranked: Path of the best photo that ranks higher by score or comparison, but stays behind
            this pick of an earlier run; None if there is none.
        coverage: How it did in the competition for a limited number of picks; None if it took no
            part.
        judged: The faces that count; see `find_judged`.
        brought_in: Why it was picked in addition for a person; None if it was not.
    """

    path: str
    worst: WorstFace | None
    person_penalty: float
    composite_score: float
    is_selected: bool
    reason: Reason
    lost_to: str | None
    similarity: float | None
    probability: float | None
    tied_count: int
    uncompared_count: int
    points: float | None
    rank: int
    moment_size: int
    copy_rule: CopyRule | None = None
    outranked: str | None = None
    coverage: Coverage | None = None
    judged: tuple[int, ...] = ()
    brought_in: BroughtIn | None = None
