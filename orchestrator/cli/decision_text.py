"""Describes decisions in words, for the command line."""

from __future__ import annotations

from collections.abc import Sequence

from orchestrator.domain.decisions import DecisionAction, DecisionEntry, find_origins
from orchestrator.domain.wording import pluralize

UNDOS_SPELLED_OUT = 3


def describe_log(log: Sequence[DecisionEntry]) -> dict[str, str]:
    """Returns a description of every entry, keyed by ID."""
    return {entry_id: _describe(*origin) for entry_id, origin in find_origins(log).items()}


def _describe(entry: DecisionEntry, undo_count: int) -> str:
    if undo_count > UNDOS_SPELLED_OUT:
        return f"undo ({undo_count} in a row): {_describe(entry, 0)}"
    return "undo: " * undo_count + _describe_decision(entry)


def _describe_decision(entry: DecisionEntry) -> str:
    names = [photo.path or photo.content_digest[:12] for photo in entry.photos]
    photos = ", ".join(names)
    match entry.action:
        case DecisionAction.MOVE:
            assert entry.target is not None
            return f"move {photos} to the moment of {entry.target.path}"
        case DecisionAction.SPLIT:
            return f"split off {photos}"
        case DecisionAction.MERGE:
            return f"merge the moments of {photos}"
        case DecisionAction.CLEAR:
            return f"clear the decision on {photos}"
        case DecisionAction.RATE if entry.stars:
            return f"give {pluralize(entry.stars, 'star')} to {photos}"
        case DecisionAction.RATE:
            return f"remove the stars from {photos}"
        case DecisionAction.LABEL if entry.label:
            return f"apply the {entry.label} label to {photos}"
        case DecisionAction.LABEL:
            return f"remove the label from {photos}"
        case DecisionAction.PREFER | DecisionAction.UNSURE:
            is_sure = entry.action is DecisionAction.PREFER
            better = f"prefer {' to '.join(names)}"
            return better if is_sure else f"cannot tell which is better: {photos}"
        case _:
            return f"{entry.action} {photos}"
