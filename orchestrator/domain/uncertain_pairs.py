"""Chooses the pairs of shots to show to the user: "which one is better?".

The pairs for the Siamese model are chosen in `selection.ranking`.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from orchestrator.domain.selection.verdict import Comparisons

SCORE_SCALE = 0.05
"""A lead of this much in the composite score makes a photo the better one with odds of e to 1, or
73%. A heuristic, equal to the default of `tiebreaker_range`, within which scores are a tie."""
MAX_SHOT_COUNT = 8
"""Maximum number of shots per moment, the best by score, that form pairs: a choice between the
worst of a burst says nothing about the picks."""
MIN_DIFFERENCE = 0.02
"""Two shots whose scores all differ by less look the same to the algorithm, so an answer about them
cannot change any weight."""


@dataclass(frozen=True, slots=True)
class Shot:
    """A usable shot of a moment.

    Attributes:
        path: Relative to the album; unique.
        content_digest: Identifies the photo in answers.
        moment: Identifies its moment.
        terms: Its parts of the composite score; see `score_terms`.
        composite: Its composite score.
        kin: Identifies the set or group of versions that it belongs to, which counts as one photo;
            empty if it does not belong to any.
    """

    path: str
    content_digest: str
    moment: str
    terms: Mapping[str, float]
    composite: float
    kin: str = ""


@dataclass(frozen=True, slots=True)
class ShotPair:
    """Two shots of one moment.

    Attributes:
        left: The shot to show on the left; sides depend on the content, not on the scores.
        right: The other one.
        left_better_probability: Probability, according to the algorithm, that `left` is better.
    """

    left: Shot
    right: Shot
    left_better_probability: float

    @property
    def certainty(self) -> float:
        """How sure the algorithm is, 0 to 0.5."""
        return abs(self.left_better_probability - 0.5)


def better_probability(lead: float) -> float:
    """Returns the probability that a photo whose composite score leads by `lead` is better."""
    return 1.0 / (1.0 + math.exp(-max(-500.0, min(500.0, lead / SCORE_SCALE))))


def choose_pairs(
    shots: Sequence[Shot],
    comparisons: Comparisons,
    answered: Collection[frozenset[str]],
    tiebreaker_range: float,
) -> list[ShotPair]:
    """Lists all pairs worth asking about, the least certain first, taking turns between moments.

    Each moment's least certain pair comes before any moment's second one; pairs that the user has
    answered count as earlier turns, so the order stays the same as answers arrive.

    Args:
        shots: Usable shots of all moments.
        comparisons: Results of the comparator; they count where it may decide, between shots whose
            scores are at most `tiebreaker_range` apart.
        answered: Pairs of content digests that are not asked about again.
        tiebreaker_range: The setting of that name.
    """
    turns: list[tuple[int, ShotPair]] = []
    for moment in _group(shots):
        digests = {shot.content_digest for shot in moment}
        pairs = _find_pairs(moment, comparisons, tiebreaker_range)
        asked = [pair for pair in pairs if _digests(pair) not in answered]
        first = sum(known <= digests for known in answered)
        turns.extend(enumerate(asked, start=first))
    return [pair for _, pair in sorted(turns, key=lambda turn: (turn[0], *_order(turn[1])))]


def _group(shots: Sequence[Shot]) -> list[list[Shot]]:
    """Lists the best shots of each moment, best first; identical files count once."""
    moments: dict[str, dict[str, Shot]] = {}
    for shot in sorted(shots, key=lambda shot: (-shot.composite, shot.path)):
        moments.setdefault(shot.moment, {}).setdefault(shot.content_digest, shot)
    return [list(found.values())[:MAX_SHOT_COUNT] for found in moments.values()]


def _find_pairs(
    moment: Sequence[Shot], comparisons: Comparisons, tiebreaker_range: float
) -> list[ShotPair]:
    """Finds the pairs in a moment that are worth asking about, the least certain first."""
    pairs = [
        _make_pair(first, second, comparisons, tiebreaker_range)
        for first, second in combinations(moment, 2)
        if not (first.kin and first.kin == second.kin) and _differ(first, second)
    ]
    return sorted(pairs, key=_order)


def _make_pair(
    first: Shot, second: Shot, comparisons: Comparisons, tiebreaker_range: float
) -> ShotPair:
    left, right = sorted((first, second), key=lambda shot: shot.content_digest)
    lead = left.composite - right.composite
    probability = better_probability(lead)
    low, high = sorted((left.path, right.path))
    if abs(lead) <= tiebreaker_range and (low, high) in comparisons:
        compared = comparisons[low, high]
        probability = compared if low == left.path else 1.0 - compared
    return ShotPair(left, right, probability)


def _differ(first: Shot, second: Shot) -> bool:
    return any(
        abs(value - second.terms[name]) >= MIN_DIFFERENCE for name, value in first.terms.items()
    )


def _digests(pair: ShotPair) -> frozenset[str]:
    return frozenset((pair.left.content_digest, pair.right.content_digest))


def _order(pair: ShotPair) -> tuple[float, str, str]:
    return pair.certainty, pair.left.path, pair.right.path
