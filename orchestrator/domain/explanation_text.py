"""An explanation in lines for people."""

from __future__ import annotations

from collections.abc import Iterator

from orchestrator.domain.explanation import Explanation, Match

_PENALTY_NAMES = {
    "eyes_closed": "eyes",
    "face_turned": "pose",
    "not_smiling": "smile",
}


def explanation_lines(found: Explanation) -> Iterator[str]:
    """Yields the reason, then the numbers that led to it."""
    yield found.reason
    yield _score(found)
    if found.penalties:
        yield _faces(found)
    if found.moment_size > 1:
        yield f"Rank {found.rank} of {found.moment_size} in its moment."
    if found.points is not None:
        is_one = found.tied_count == 1
        others = "another" if is_one else f"{found.tied_count} others"
        points = f"{found.points:.2f} of {found.tied_count} {'point' if is_one else 'points'}"
        yield (
            f"Tied with {others} within {found.tiebreaker_range:g} of the highest score, so the "
            f"direct comparisons decide: it has {points}."
        )
    yield from map(_match, found.matches)
    yield found.grouping_text
    if found.neighbours:
        near = ", ".join(
            f"{one.path} {one.similarity:.3f}" + ("" if one.is_same_moment else " (another moment)")
            for one in found.neighbours
        )
        yield f"Most similar: {near}."
    if found.decisions:
        yield f"Your decisions: {'; '.join(found.decisions)}."


def _score(found: Explanation) -> str:
    parts = [f"{term.weight:g} x {term.value:.4f} ({term.name})" for term in found.terms]
    penalty = f" {_signed(found.person_penalty)} (faces)" if found.penalties else ""
    return f"Score {found.composite_score:.4f} = {' + '.join(parts)}{penalty}."


def _faces(found: Explanation) -> str:
    applied = [penalty for penalty in found.penalties if penalty.is_applied]
    if not applied:
        scores = ", ".join(
            f"{_PENALTY_NAMES[penalty.name]} {penalty.score:.2f}" for penalty in found.penalties
        )
        return f"Faces cost nothing: at worst {scores}, none below its threshold."
    costs = ", ".join(
        f"{_signed(penalty.penalty)} {penalty.name.replace('_', ' ')} "
        f"({_PENALTY_NAMES[penalty.name]} {penalty.score:.2f}, below {penalty.threshold:g})"
        for penalty in applied
    )
    total = sum(penalty.penalty for penalty in applied)
    floor = f", at most {found.max_penalty:g}" if total < found.max_penalty else ""
    return f"Faces: {costs}{floor}."


def _match(match: Match) -> str:
    if match.probability == 0.5:
        return f"Even with {match.path}."
    verb = "Won against" if match.is_won else "Lost to"
    return f"{verb} {match.path}: better with a probability of {match.probability:.3f}."


def _signed(value: float) -> str:
    return f"- {-value:g}" if value < 0 else f"+ {value:g}"
