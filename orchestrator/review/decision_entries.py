"""Turns the user's decisions into log entries, and applies them to a run."""

from __future__ import annotations

import uuid
from collections.abc import Sequence

from orchestrator.domain.decisions import (
    DecidedPhoto,
    DecisionAction,
    DecisionEntry,
    find_last_undoable,
)
from orchestrator.records import Run, RunState, utc_now
from orchestrator.review.reselection import RunUpdate, Stores, apply_entries
from orchestrator.storage.run_store import SqlRunStore
from services.common.errors import FailedPreconditionError, InvalidArgumentError


def new_entry(
    runs: SqlRunStore,
    album_id: str,
    entry_id: str,
    action: DecisionAction,
    paths: Sequence[str],
    target_path: str = "",
    decided_by: str = "",
) -> DecisionEntry:
    """Creates an entry about photos of an album.

    The newest run that contains a photo determines its content.

    Raises:
        NotFoundError: One of the photos is not in any run of the album.
    """
    photos = [DecidedPhoto(runs.content_digest(album_id, path), path) for path in paths]
    target = None
    if target_path:
        target = DecidedPhoto(runs.content_digest(album_id, target_path), target_path)
    return DecisionEntry(entry_id, action, tuple(photos), utc_now(), target, decided_by=decided_by)


def undo_entry(
    log: Sequence[DecisionEntry], entry_id: str, new_id: str = "", decided_by: str = ""
) -> DecisionEntry:
    """Creates an entry that undoes an earlier one.

    Args:
        log: The album's log.
        entry_id: The entry to undo; empty = the newest one that can be undone.
        new_id: Id of the new entry; empty = a random one. If the log already contains an entry
            with this id, that entry is returned.
        decided_by: Who undoes it; empty if unknown.

    Raises:
        FailedPreconditionError: There is nothing to undo.
    """
    for known in log:
        if known.id == new_id:
            return known
    newest = find_last_undoable(log)
    if not entry_id and newest is None:
        raise FailedPreconditionError("there is no decision to undo")
    undone = entry_id or (newest.id if newest else "")
    new_id = new_id or uuid.uuid4().hex
    return DecisionEntry(
        new_id, DecisionAction.UNDO, (), utc_now(), undone_id=undone, decided_by=decided_by
    )


def add_decisions(
    stores: Stores, album_id: str, entries: Sequence[DecisionEntry], run: Run | None
) -> tuple[int, RunUpdate]:
    """Adds entries to an album's log, for later runs, and applies them to a run.

    Args:
        stores: The stores of this orchestrator.
        album_id: The album.
        entries: In order; those that are already in the log are skipped.
        run: Completed run of the album to apply them to immediately, if any.

    Returns:
        Number of entries added to the log, and their changes to the run.

    Raises:
        InvalidArgumentError: An entry is invalid, or the run belongs to another album.
        FailedPreconditionError: The run is not completed.
    """
    if run is not None and run.album_id != album_id:
        raise InvalidArgumentError("run_id", f"run {run.id} belongs to another album")
    if run is not None and run.state is not RunState.COMPLETED:
        raise FailedPreconditionError(f"run {run.id} is {run.state.value}, not completed")
    added_count = stores.log.append(album_id, entries)
    if run is None or not added_count:
        return added_count, RunUpdate([], [])
    return added_count, apply_entries(stores, run.id, entries)
