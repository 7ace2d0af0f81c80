"""The user's decisions: an append-only log, and the decisions in force.

`orchestrator.storage.decision_log` stores them; `orchestrator.runs.worker` reads them for a run.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from orchestrator.domain.moments.labels import labels_of
from orchestrator.domain.moments.parameters import NOISE
from orchestrator.domain.photo import MAX_STARS, ColourLabel, Decision, UserMark
from orchestrator.domain.wording import pluralize

Labels = NDArray[np.int64]


class DecisionAction(StrEnum):
    """The kind of a log entry; named as in orchestrator.proto."""

    KEEP = "keep"
    REJECT = "reject"
    CLEAR = "clear"
    MOVE = "move"
    SPLIT = "split"
    MERGE = "merge"
    UNDO = "undo"
    RATE = "rate"
    LABEL = "label"
    PREFER = "prefer"
    UNSURE = "unsure"


CORRECTIONS = (DecisionAction.MOVE, DecisionAction.SPLIT, DecisionAction.MERGE)
"""Actions on moments; all other actions concern single photos."""
MARKS = (DecisionAction.RATE, DecisionAction.LABEL)
ANSWERS = (DecisionAction.PREFER, DecisionAction.UNSURE)
"""Answers to "which one is better?"; the selection ignores both these and MARKS."""
FIRST_YEAR, LAST_YEAR = 1970, 2999
"""Range of an entry's time: time zone conversion fails near the years 1 and 9999."""
_DECISIONS = {
    DecisionAction.KEEP: Decision.KEEP,
    DecisionAction.REJECT: Decision.REJECT,
    DecisionAction.CLEAR: None,
}


@dataclass(frozen=True, slots=True)
class DecidedPhoto:
    """A photo in an entry, identified by its content; the path at that time is for display."""

    content_digest: str
    path: str


@dataclass(frozen=True, slots=True)
class DecisionEntry:
    """An entry in an album's log.

    Attributes:
        id: Unique.
        action: KEEP, REJECT and CLEAR (the algorithm decides again) apply to each of `photos`. MOVE
            puts them into the moment of `target`, SPLIT puts them into a separate moment, MERGE
            merges all moments that contain one of them. RATE gives them `stars`, LABEL gives them
            `label`. PREFER says that the first of two photos is better than the second, UNSURE that
            the user cannot tell. UNDO reverts `undone_id`, which may itself be an UNDO.
        photos: Empty for UNDO.
        create_time: When the user decided.
        target: Target of a MOVE; None otherwise.
        undone_id: The entry reverted by an UNDO; empty otherwise.
        decided_by: Who decided, as reported by the program that stored the entry; empty if unknown.
        stars: With RATE, 1 to 5, or 0 to remove the stars; 0 otherwise.
        label: With LABEL, a `ColourLabel`, or empty to remove the label; empty otherwise.
        run_id: With PREFER or UNSURE, the run whose photos were shown, if known; empty otherwise.
    """

    id: str
    action: DecisionAction
    photos: tuple[DecidedPhoto, ...]
    create_time: datetime.datetime
    target: DecidedPhoto | None = None
    undone_id: str = ""
    decided_by: str = ""
    stars: int = 0
    label: str = ""
    run_id: str = ""

    @property
    def content_digests(self) -> tuple[str, ...]:
        """Content digests of the photos."""
        return tuple(photo.content_digest for photo in self.photos)


@dataclass(frozen=True, slots=True)
class Correction:
    """A MOVE, SPLIT or MERGE in the form that is applied to a run.

    Attributes:
        action: MOVE, SPLIT or MERGE.
        content_digests: The photos.
        target_digest: Target of a MOVE; empty otherwise.
    """

    action: DecisionAction
    content_digests: tuple[str, ...]
    target_digest: str = ""


@dataclass(frozen=True, slots=True)
class UserDecisions:
    """The decisions in force in an album's log, in the form that a run applies.

    Attributes:
        photos: Photos to keep or reject, by content digest; applied by `Selection`.
        corrections: Changes of moments, in order; applied by `correct_moments`.
    """

    photos: Mapping[str, Decision]
    corrections: tuple[Correction, ...]

    @classmethod
    def from_log(cls, log: Sequence[DecisionEntry]) -> UserDecisions:
        """Reads the decisions in force."""
        return cls(decisions_in(log), corrections_in(log))


class LogChecker:
    """Checks new entries of a log; the time per entry does not depend on the log's length."""

    def __init__(self, log: Iterable[DecisionEntry] = ()) -> None:
        self._undoers: dict[str, list[str]] = {}
        for entry in log:
            self.add(entry)

    def add(self, entry: DecisionEntry) -> None:
        """Appends a valid entry."""
        self._undoers[entry.id] = []
        if entry.undone_id:
            self._undoers[entry.undone_id].append(entry.id)

    def find_fault(self, entry: DecisionEntry) -> str:
        """Describes why an entry cannot be the next one; empty if it can."""
        if (problem := _find_own_fault(entry)) or entry.action is not DecisionAction.UNDO:
            return problem
        if entry.undone_id not in self._undoers:
            return f"there is no earlier entry {entry.undone_id!r} to undo"
        if not self._is_in_force(entry.undone_id):
            return f"the entry {entry.undone_id} is already undone"
        return ""

    def _is_in_force(self, entry_id: str) -> bool:
        # Undo entries form a tree, because each names one entry; visit each once, children first.
        order = [entry_id]
        for visited in order:
            order.extend(self._undoers[visited])
        undone: set[str] = set()
        for visited in reversed(order):
            if any(undoer not in undone for undoer in self._undoers[visited]):
                undone.add(visited)
        return entry_id not in undone


def find_time_fault(time: datetime.datetime) -> str:
    """Describes why the time of an entry is invalid; empty if it is valid."""
    if FIRST_YEAR <= time.year <= LAST_YEAR:
        return ""
    return f"create_time must be in the years {FIRST_YEAR} to {LAST_YEAR} (got {time.year})"


def _find_own_fault(entry: DecisionEntry) -> str:
    """Describes why an entry is invalid regardless of earlier ones; empty if it is valid."""
    if problem := find_time_fault(entry.create_time):
        return problem
    fewest = {DecisionAction.UNDO: 0, DecisionAction.MERGE: 2}.get(entry.action, 1)
    count = len(set(entry.content_digests))
    if count < fewest:
        return f"{entry.action} needs at least {pluralize(fewest, 'photo')} (got {count})"
    if entry.action is DecisionAction.MOVE and entry.target is None:
        return "move needs a target"
    if entry.action is not DecisionAction.MOVE and entry.target is not None:
        return f"{entry.action} takes no target"
    if entry.target is not None and entry.target.content_digest in entry.content_digests:
        return f"{entry.target.path} cannot be moved to its own moment"
    if problem := _find_mark_fault(entry) or _find_answer_fault(entry):
        return problem
    if entry.action is not DecisionAction.UNDO:
        return f"{entry.action} takes no undone_id" if entry.undone_id else ""
    return "undo takes no photos" if entry.photos else ""


def _find_mark_fault(entry: DecisionEntry) -> str:
    """Describes why an entry's stars or label are invalid; empty if they are valid."""
    if entry.stars and entry.action is not DecisionAction.RATE:
        return f"{entry.action} takes no stars"
    if entry.label and entry.action is not DecisionAction.LABEL:
        return f"{entry.action} takes no label"
    if not 0 <= entry.stars <= MAX_STARS:
        return f"stars must be 0 to {MAX_STARS} (got {entry.stars})"
    if entry.label and entry.label not in list(ColourLabel):
        return f"label must be one of {', '.join(ColourLabel)}, or empty (got {entry.label!r})"
    return ""


def _find_answer_fault(entry: DecisionEntry) -> str:
    """Describes why an answer about a pair is invalid; empty if it is valid."""
    if entry.action not in ANSWERS:
        return f"{entry.action} takes no run_id" if entry.run_id else ""
    if len(entry.photos) != 2 or len(set(entry.content_digests)) != 2:
        return f"{entry.action} needs two different photos (got {len(set(entry.content_digests))})"
    return ""


def find_origins(log: Sequence[DecisionEntry]) -> dict[str, tuple[DecisionEntry, int]]:
    """Maps each id to the entry at the end of its chain of undos, and the length of the chain."""
    found: dict[str, tuple[DecisionEntry, int]] = {}
    for entry in log:
        if entry.action is DecisionAction.UNDO:
            origin, count = found[entry.undone_id]
            found[entry.id] = (origin, count + 1)
        else:
            found[entry.id] = (entry, 0)
    return found


class LogEntry(Protocol):
    """An entry in any log that supports undo."""

    @property
    def id(self) -> str:
        """Unique."""
        ...

    @property
    def undone_id(self) -> str:
        """The entry that this one reverts; empty if it is not an undo."""
        ...


EntryT = TypeVar("EntryT", bound=LogEntry)


def find_in_force(log: Sequence[EntryT]) -> list[EntryT]:
    """Returns the entries that have not been undone, in order."""
    found: list[EntryT] = []
    undone: set[str] = set()
    for entry in reversed(log):
        if entry.id not in undone:
            found.append(entry)
            undone.add(entry.undone_id)
    return found[::-1]


def find_last_undoable(log: Sequence[DecisionEntry]) -> DecisionEntry | None:
    """Returns the newest entry in force that is not an undo."""
    found = [entry for entry in find_in_force(log) if entry.action is not DecisionAction.UNDO]
    return found[-1] if found else None


def decisions_in(log: Sequence[DecisionEntry]) -> dict[str, Decision]:
    """Returns the decisions on photos by content digest; the last entry in force counts."""
    found: dict[str, Decision] = {}
    for entry in find_in_force(log):
        if entry.action not in _DECISIONS:
            continue
        decision = _DECISIONS[entry.action]
        for digest in entry.content_digests:
            if decision is None:
                found.pop(digest, None)
            else:
                found[digest] = decision
    return found


def marks_in(log: Sequence[DecisionEntry]) -> dict[str, UserMark]:
    """Returns stars and labels by content digest; for each, the last entry in force counts."""
    found: dict[str, UserMark] = {}
    for entry in find_in_force(log):
        if entry.action not in MARKS:
            continue
        for digest in entry.content_digests:
            mark = found.get(digest, UserMark())
            if entry.action is DecisionAction.RATE:
                found[digest] = replace(mark, stars=entry.stars)
            else:
                found[digest] = replace(mark, label=entry.label)
    return {digest: mark for digest, mark in found.items() if mark != UserMark()}


def answers_in(log: Sequence[DecisionEntry]) -> list[DecisionEntry]:
    """Lists the last answer in force for each pair, in the order of the first answers."""
    found = {
        frozenset(entry.content_digests): entry
        for entry in find_in_force(log)
        if entry.action in ANSWERS
    }
    return list(found.values())


def corrections_in(log: Sequence[DecisionEntry]) -> tuple[Correction, ...]:
    """Returns the user's corrections of moments, in order."""
    return tuple(
        Correction(
            entry.action,
            entry.content_digests,
            entry.target.content_digest if entry.target else "",
        )
        for entry in find_in_force(log)
        if entry.action in CORRECTIONS
    )


def correct_moments(
    labels: Labels, content_digests: Sequence[str], corrections: Sequence[Correction]
) -> Labels:
    """Applies corrections to the moments that the algorithm found.

    Photos that are not in the run are skipped; a MOVE whose target is missing does nothing. If only
    one photo is left in a moment, it becomes noise, like a single shot.

    Args:
        labels: int64, (n,), NOISE for single shots.
        content_digests: (n,); files with the same content stay together.
        corrections: In order.

    Returns:
        int64, (n,), clusters numbered from 0 in the order of their first photos; `labels` itself if
        there are no corrections.
    """
    if not corrections:
        return labels
    moment = np.where(
        labels == NOISE, labels.max(initial=NOISE) + 1 + np.arange(len(labels)), labels
    )
    places: dict[str, list[int]] = {}
    for index, digest in enumerate(content_digests):
        places.setdefault(digest, []).append(index)
    for correction in corrections:
        _apply(moment, places, correction)
    return labels_of(moment)


def _apply(moment: Labels, places: Mapping[str, Sequence[int]], correction: Correction) -> None:
    """Changes `moment` in place; the resulting numbers are in no particular order."""
    chosen = [place for digest in correction.content_digests for place in places.get(digest, ())]
    if not chosen:
        return
    match correction.action:
        case DecisionAction.MOVE:
            targets = places.get(correction.target_digest, ())
            if targets:
                moment[chosen] = moment[targets[0]]
        case DecisionAction.SPLIT:
            moment[chosen] = moment.max() + 1
        case DecisionAction.MERGE:
            moment[np.isin(moment, moment[chosen])] = moment[chosen[0]]
