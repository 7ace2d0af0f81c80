"""Decisions of the user's: put into the log, and heeded at once by a run."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from orchestrator import rejudging
from orchestrator.domain.decisions import (
    CORRECTIONS,
    DecidedPhoto,
    DecisionAction,
    DecisionEntry,
    last_undoable,
)
from orchestrator.ports import FeatureCache
from orchestrator.results import ImageRecord, Run, RunState, utc_now
from orchestrator.storage.decision_log import SqlDecisionLog
from orchestrator.storage.run_store import SqlRunStore
from services.common.errors import FailedPreconditionError, InvalidArgumentError


@dataclass(frozen=True)
class DecisionStores:
    """Where decisions are kept, and what it takes to heed them."""

    runs: SqlRunStore
    log: SqlDecisionLog
    cache: FeatureCache


def new_entry(
    runs: SqlRunStore,
    album_id: str,
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
    return DecisionEntry(uuid.uuid4().hex, action, tuple(photos), utc_now(), target)


def undo_entry(log: Sequence[DecisionEntry], entry_id: str) -> DecisionEntry:
    """Makes an entry that takes another one back; without an id, the newest that can be.

    Raises:
        FailedPreconditionError: There is nothing to undo.
    """
    newest = last_undoable(log)
    if not entry_id and newest is None:
        raise FailedPreconditionError("there is no decision to undo")
    undone = entry_id or (newest.id if newest else "")
    return DecisionEntry(uuid.uuid4().hex, DecisionAction.UNDO, (), utc_now(), undone_id=undone)


def decide(
    stores: DecisionStores, album_id: str, entries: Sequence[DecisionEntry], run: Run | None
) -> tuple[int, list[ImageRecord]]:
    """Adds entries to an album's log.

    Args:
        stores: Of this orchestrator.
        album_id: The album.
        entries: In order; those that the log has already are passed over.
        run: Completed run of the album whose results shall heed them at once; None = none.

    Returns:
        Number of entries added, and the photos of the run that stand otherwise now.

    Raises:
        InvalidArgumentError: An entry makes no sense, or the run is another album's.
        FailedPreconditionError: The run is not completed.
    """
    check_heeding(album_id, run)
    added = stores.log.append(album_id, entries)
    if run is None or not added:
        return added, []
    with stores.runs.locked(run.id):
        current = stores.runs.run(run.id)
        return added, _heed(stores, current, stores.log.entries(album_id), entries)


def check_heeding(album_id: str, run: Run | None) -> None:
    """Refuses a run that cannot heed decisions about an album."""
    if run is not None and run.album_id != album_id:
        raise InvalidArgumentError("run_id", f"run {run.id} is of another album")
    if run is not None and run.state is not RunState.COMPLETED:
        raise FailedPreconditionError(f"run {run.id} is {run.state.value}, not completed")


def _heed(
    stores: DecisionStores,
    run: Run,
    log: Sequence[DecisionEntry],
    added: Sequence[DecisionEntry],
) -> list[ImageRecord]:
    known = {entry.id: entry for entry in log}
    concerned = [_undone(entry, known) for entry in added]
    changed: dict[str, ImageRecord] = {}
    if any(entry.action in CORRECTIONS for entry in concerned):
        found = rejudging.heed_corrections(stores.runs, stores.log, stores.cache, run)
        changed = {record.path: record for record in found}
        run = stores.runs.run(run.id)
    digests = sorted(
        {
            digest
            for entry in concerned
            if entry.action not in CORRECTIONS
            for digest in entry.content_digests
        }
    )
    if digests:
        found = rejudging.heed_decisions(stores.runs, stores.log, stores.cache, run, digests)
        changed.update((record.path, record) for record in found)
    return [changed[path] for path in sorted(changed)]


def _undone(entry: DecisionEntry, known: dict[str, DecisionEntry]) -> DecisionEntry:
    """What an entry is about in the end: an undo, what it takes back."""
    while entry.action is DecisionAction.UNDO:
        entry = known[entry.undone_id]
    return entry
