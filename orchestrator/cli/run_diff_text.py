"""Formats the differences between runs as text."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from orchestrator.cli.reproduce import Reproduction
from orchestrator.domain.wording import pluralize
from orchestrator.review.run_diff import Change, Regrouping, RunDiff, Scalar
from orchestrator.scores import SCORES

SHOWN_COUNT = 20
"""Maximum number of lines per section, unless all are requested."""
_DIGEST = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_SCORES = ("faces.", *(f"{score.parent or score.name}" for score in SCORES))


def diff_lines(diff: RunDiff, *, shows_all: bool = False) -> Iterator[str]:
    """Yields the differences between two runs: inputs first, then results."""
    if diff.is_same:
        yield "no differences"
        return
    yield from _input_lines(diff, shows_all)
    yield from _section("selected only in the second run", diff.gained_paths, shows_all)
    yield from _section("selected only in the first run", diff.lost_paths, shows_all)
    yield from _section("moments", map(_regrouping, diff.regroupings), shows_all)
    scores = [change for change in diff.results if change.field.startswith(_SCORES)]
    largest = sorted(scores, key=lambda change: -abs(change.difference or 0.0))
    yield from _section("scores, largest change first", map(_change, largest), shows_all)


def reproduction_lines(found: Reproduction, *, shows_all: bool = False) -> Iterator[str]:
    """Yields the outcome of repeating a run, by photo and field."""
    diff = found.diff
    yield from _section(
        "current settings that differ from the run's (not used)",
        map(_change, found.settings_now),
        shows_all,
    )
    yield from _section("decisions that have changed", map(_change, found.decisions_now), shows_all)
    yield from _input_lines(diff, shows_all)
    changed = {change.subject for change in diff.results}
    yield from _section("results", map(_change, diff.results), shows_all)
    same = found.photo_count - len(changed | set(diff.removed_paths) | set(diff.changed_files))
    yield f"identical in every field: {same} of {pluralize(found.photo_count, 'photo')}"
    if found.cached_count:
        yield f"scores from the orchestrator's cache: {pluralize(found.cached_count, 'photo')}"
    if not diff.results and found.is_same_input:
        yield "reproduced: results are identical"
    elif not found.is_same_input:
        yield "inputs differ, as listed above"
    else:
        yield "not reproduced: inputs are identical but results differ"


def _input_lines(diff: RunDiff, shows_all: bool) -> Iterator[str]:
    yield from _section("settings", map(_change, diff.settings), shows_all)
    yield from _section("models", map(_change, diff.models), shows_all)
    yield from _section("versions", map(_change, diff.versions), shows_all)
    yield from _section("new photos", diff.added_paths, shows_all)
    yield from _section("removed photos", diff.removed_paths, shows_all)
    yield from _section("photos with changed files", diff.changed_files, shows_all)


def _section(title: str, lines: Iterator[str] | Sequence[str], shows_all: bool) -> Iterator[str]:
    found = list(lines)
    if not found:
        return
    yield f"{title}:"
    shown = found if shows_all else found[:SHOWN_COUNT]
    yield from (f"  {line}" for line in shown)
    if len(shown) < len(found):
        yield f"  ... and {len(found) - len(shown)} more (use --all to show them)"


def _change(change: Change) -> str:
    where = f"{change.subject}  " if change.subject else ""
    size = "" if change.difference is None else f" ({change.difference:+.3g})"
    return f"{where}{change.field}: {_short(change.before)} -> {_short(change.after)}{size}"


def _short(value: Scalar) -> Scalar:
    """Shortens a digest."""
    is_digest = isinstance(value, str) and _DIGEST.fullmatch(value) is not None
    return f"{str(value)[:12]}..." if is_digest else value


def _regrouping(found: Regrouping) -> str:
    return f"{found.kind}: {_moments(found.before)} -> {_moments(found.after)}"


def _moments(moments: Sequence[Sequence[str]]) -> str:
    return " + ".join(f"[{', '.join(moment)}]" for moment in moments)
