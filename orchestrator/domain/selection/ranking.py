"""Ranks the photos of a moment, and lists the pairs that the comparator decides between."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from orchestrator.domain.photo import QualityScores
from orchestrator.domain.selection.parameters import SiameseParameters
from orchestrator.domain.selection.shots import Shot, by_score
from orchestrator.domain.selection.verdict import Comparisons, Pair

MAX_COMPARED_COUNT = 100
"""Maximum number of photos per moment, the best by score, that are compared with each other: a
round robin of n photos takes n (n - 1) / 2 comparisons, or 200 million for 20,000 photos."""

FACE_DIFFERENCE = 0.02
"""If the face penalties of two photos differ by at least this much, the comparator does not move
the worse photo ahead: it sees whole pictures, in which a blink is lost."""
TECHNICAL_DIFFERENCE, NOISE_DIFFERENCE = 0.05, 1.0
"""Minimum differences in scores from 0 to 1, and in noise in grey levels, for the comparator to
decide between two photos: it learned blur, noise and exposure, not what makes a shot good. Tilt is
not measured, so the score decides between photos that differ only in tilt. A heuristic."""


@dataclass(frozen=True, slots=True)
class Ranking:
    """The photos in a moment that compete, best first.

    Attributes:
        photos: Best first.
        points: Points of the compared photos by path: the sum of the probabilities that a photo is
            better than each of the others. Empty if there is no tie.
        uncompared: Paths of the tied photos beyond `MAX_COMPARED_COUNT`.
        comparisons: The comparisons that count.
    """

    photos: list[Shot]
    points: dict[str, float]
    uncompared: set[str]
    comparisons: Comparisons


def _find_tied(eligible: Sequence[Shot], parameters: SiameseParameters) -> list[Shot]:
    """Returns the photos within `tiebreaker_range` of the leader, best first.

    The comparator cannot move any of them ahead of a photo with clearly better faces.
    """
    ordered = sorted(eligible, key=by_score)
    if not ordered:
        return []
    limit = ordered[0].composite - parameters.tiebreaker_range
    worst = best = ordered[0].penalty
    tied = []
    for photo in ordered:
        if photo.composite < limit or photo.penalty > worst + FACE_DIFFERENCE:
            break  # no photo with worse faces may pass this one
        if photo.penalty >= best - FACE_DIFFERENCE:
            tied.append(photo)
            worst, best = min(worst, photo.penalty), max(best, photo.penalty)
    return tied


def rank_moment(
    eligible: Sequence[Shot], comparisons: Comparisons, parameters: SiameseParameters
) -> Ranking:
    """Ranks the photos in a moment, using a round robin for tied ones."""
    ordered = sorted(eligible, key=by_score)
    all_tied = _find_tied(ordered, parameters) if parameters.enabled else []
    tied = _cut_to_compare(all_tied)
    pairs = _find_comparable(tied)
    if not pairs:
        return Ranking(ordered, {}, set(), {})
    counting = {pair: comparisons[pair] for pair in pairs if pair in comparisons}
    points = {photo.path: 0.5 * (len(tied) - 1) for photo in tied}
    for first, second in pairs:
        lead = _better_probability(first, second, counting) - 0.5
        points[first] += lead
        points[second] -= lead
    tied.sort(key=lambda photo: (-points[photo.path], *by_score(photo)))
    others = [photo for photo in ordered if photo.path not in points]
    return Ranking(
        [*tied, *others],
        points,
        {photo.path for photo in all_tied} - points.keys(),
        counting,
    )


def find_pairs_to_compare(eligible: Sequence[Shot], parameters: SiameseParameters) -> list[Pair]:
    """Finds the pairs of a moment that the comparator decides between, sorted."""
    return _find_comparable(_cut_to_compare(_find_tied(eligible, parameters)))


def _cut_to_compare(tied: Sequence[Shot]) -> list[Shot]:
    """Returns the photos of a tied group that are compared, best first."""
    return sorted(tied, key=by_score)[:MAX_COMPARED_COUNT]


def _find_comparable(tied: Sequence[Shot]) -> list[Pair]:
    """Finds tied pairs that differ in what the comparator was trained on, sorted."""
    by_path = sorted(tied, key=lambda photo: photo.path)
    return [
        (first.path, second.path)
        for first, second in combinations(by_path, 2)
        if _differ_technically(first.candidate.quality, second.candidate.quality)
    ]


def _differ_technically(first: QualityScores, second: QualityScores) -> bool:
    noise = (first.noise_level or 0.0) - (second.noise_level or 0.0)
    differences = (
        first.sharpness - second.sharpness,
        first.focus_score - second.focus_score,
        first.exposure - second.exposure,
        first.contrast - second.contrast,
    )
    return abs(noise) >= NOISE_DIFFERENCE or any(
        abs(difference) >= TECHNICAL_DIFFERENCE for difference in differences
    )


def _better_probability(first: str, second: str, comparisons: Comparisons) -> float:
    """Returns the probability that `first` is better than `second`; 0.5 if not compared."""
    if first < second:
        return comparisons.get((first, second), 0.5)
    return 1.0 - comparisons.get((second, first), 0.5)


def decisive_probability(
    winner: str, loser: str, points: Mapping[str, float], comparisons: Comparisons
) -> float | None:
    """Returns the probability that the winner is better; None if the round robin did not decide."""
    if points.get(winner, 0.0) > points.get(loser, math.inf):
        return _better_probability(winner, loser, comparisons)
    return None
