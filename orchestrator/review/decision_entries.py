"""Decisions of the user's: put into the log, and heeded at once by a run."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from orchestrator.domain.decisions import (
    CORRECTIONS,
    DecidedPhoto,
    DecisionAction,
    DecisionEntry,
    last_undoable,
    origins,
)
from orchestrator.records import ImageRecord, Run, RunState, utc_now
from orchestrator.review import reselection
from orchestrator.review.reselection import Stores
from orchestrator.storage.run_store import SqlRunStore
from services.common.errors import FailedPreconditionError, InvalidArgumentError


@dataclass(frozen=True)
class Outcome:
    """What decisions changed.

    Attributes:
        added_count: Entries that the log got.
        changed: Photos of the run that stand otherwise now, ordered by path.
        missing_pairs: As in Rejudgement.
    """

    added_count: int
    changed: list[ImageRecord]
    missing_pairs: list[tuple[str, str]]


def new_entry(
    runs: SqlRunStore,
    album_id: str,
    entry_id: str,
    action: DecisionAction,
    paths: Sequence[str],
    target_path: str = "",
) -> DecisionEntry:
    """Makes an entry about photos of an album, as its newest run that has them knows them.

    Raises:
        NotFoundError: No run of the album has one of the photos.
    """
    photos = [DecidedPhoto(runs.content_digest(album_id, path), path) for path in paths]
    target = None
    if target_path:
        target = DecidedPhoto(runs.content_digest(album_id, target_path), target_path)
    return DecisionEntry(entry_id, action, tuple(photos), utc_now(), target)


def undo_entry(log: Sequence[DecisionEntry], entry_id: str, new_id: str = "") -> DecisionEntry:
    """Makes an entry that undoes another one.

    Args:
        log: The album's log.
        entry_id: The entry to undo; empty = the newest one that can be undone.
        new_id: Id of the new entry; empty = a random one. If the log already has it, that entry is
            returned.

    Raises:
        FailedPreconditionError: There is nothing to undo.
    """
    for known in log:
        if known.id == new_id:
            return known
    newest = last_undoable(log)
    if not entry_id and newest is None:
        raise FailedPreconditionError("there is no decision to undo")
    undone = entry_id or (newest.id if newest else "")
    new_id = new_id or uuid.uuid4().hex
    return DecisionEntry(new_id, DecisionAction.UNDO, (), utc_now(), undone_id=undone)


def decide(
    stores: Stores, album_id: str, entries: Sequence[DecisionEntry], run: Run | None
) -> Outcome:
    """Adds entries to an album's log.

    Args:
        stores: Of this orchestrator.
        album_id: The album.
        entries: In order; those that the log has already are passed over.
        run: Completed run of the album whose results shall heed them at once; None = none.

    Raises:
        InvalidArgumentError: An entry makes no sense, or the run is another album's.
        FailedPreconditionError: The run is not completed.
    """
    check_heeding(album_id, run)
    added = stores.log.append(album_id, entries)
    if run is None or not added:
        return Outcome(added, [], [])
    changed, missing = heed(stores, run.id, entries)
    return Outcome(added, changed, missing)


def heed(
    stores: Stores, run_id: str, entries: Sequence[DecisionEntry]
) -> tuple[list[ImageRecord], list[tuple[str, str]]]:
    """Has a run heed entries of its album's log.

    Returns:
        What has changed, ordered by path, and the missing pairs as in Rejudgement.
    """
    with stores.runs.locked(run_id):
        run = stores.runs.run(run_id)
        known = origins(stores.log.entries(run.album_id))
        concerned = [known[entry.id][0] for entry in entries]
        found = []
        if any(entry.action in CORRECTIONS for entry in concerned):
            found.append(reselection.heed_corrections(stores, run))
            run = stores.runs.run(run_id)
        wishes = [entry for entry in concerned if entry.action not in CORRECTIONS]
        digests = sorted({digest for entry in wishes for digest in entry.content_digests})
        if digests:
            found.append(reselection.heed_decisions(stores, run, digests))
    changed = {record.path: record for one in found for record in one.changed}
    missing = {pair for one in found for pair in one.missing_pairs}
    return [changed[path] for path in sorted(changed)], sorted(missing)


def rejudge(stores: Stores, run_id: str, content_digests: Sequence[str]) -> list[ImageRecord]:
    """Judges the moments of photos of a run once more; returns what has changed."""
    with stores.runs.locked(run_id):
        run = stores.runs.run(run_id)
        return reselection.heed_decisions(stores, run, content_digests).changed


def check_heeding(album_id: str, run: Run | None) -> None:
    """Refuses a run that cannot heed decisions about an album."""
    if run is not None and run.album_id != album_id:
        raise InvalidArgumentError("run_id", f"run {run.id} is of another album")
    if run is not None and run.state is not RunState.COMPLETED:
        raise FailedPreconditionError(f"run {run.id} is {run.state.value}, not completed")
