"""Keeps picks of an earlier run unless another photo is better by a margin."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace

from orchestrator.domain.photo import Reason
from orchestrator.domain.selection.ranking import FACE_DIFFERENCE
from orchestrator.domain.selection.shots import Shot
from orchestrator.domain.selection.verdict import Verdict

_BY_RANK = (Reason.SELECTED_BEST, Reason.SELECTED_DISTINCT, Reason.SELECTED_FOR_GOAL)


def move_up_earlier_picks(
    ranked: Sequence[Shot], earlier_picks: AbstractSet[str], margin: float
) -> tuple[list[Shot], dict[str, list[str]]]:
    """Moves an earlier run's picks ahead of photos that are not better by the margin.

    Args:
        ranked: The photos of a moment, best first.
        earlier_picks: Content digests of the earlier picks.
        margin: See `SelectionParameters.stability_margin`.

    Returns:
        The photos in their new order; and, for each pick that moved up, the paths of the photos
        that it passed, best first.
    """
    found: list[Shot] = []
    passed: dict[str, list[str]] = {}
    for photo in ranked:
        place = len(found)
        if photo.candidate.content_digest in earlier_picks:
            while place and _may_pass(photo, found[place - 1], earlier_picks, margin):
                place -= 1
            if place < len(found):
                passed[photo.path] = [other.path for other in found[place:]]
        found.insert(place, photo)
    return found, passed


def _may_pass(pick: Shot, other: Shot, earlier_picks: AbstractSet[str], margin: float) -> bool:
    return (
        other.candidate.content_digest not in earlier_picks
        and other.composite - pick.composite < margin
        and other.penalty <= pick.penalty + FACE_DIFFERENCE
    )


def respect_earlier_picks(
    verdict: Verdict, taken: Sequence[Shot], passed: Mapping[str, Sequence[str]]
) -> Verdict:
    """Adds the earlier pick that a photo lost to, or the better photo that a pick stays ahead of.

    Reasons that do not depend on the rank stay as they are.
    """
    own = passed.get(verdict.path)
    if own and verdict.reason in _BY_RANK:
        return replace(verdict, reason=Reason.KEPT_FROM_LAST_RUN, outranked=own[0])
    if verdict.reason in (Reason.LOWER_SCORE, Reason.LOST_COMPARISON):
        for photo in taken:
            if verdict.path in passed.get(photo.path, ()):
                return replace(verdict, reason=Reason.NOT_BETTER_ENOUGH, lost_to=photo.path)
    return verdict
