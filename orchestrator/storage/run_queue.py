"""The run queue: runs are claimed under PostgreSQL's row locks and held with a lease.

    PENDING --claim--> RUNNING --finish--> COMPLETED, FAILED, CANCELLED
       ^                  |  release (the orchestrator stops)
       +------------------+
                          |  the lease has expired (the orchestrator is gone)
                          +--claim--> RUNNING, by another orchestrator

An orchestrator that has lost its lease can no longer store anything about the run: every write
checks that it is still the owner. With SQLite there is only one orchestrator, so nothing competes
for runs.
"""

from __future__ import annotations

import dataclasses
import datetime
import enum
import logging
from collections.abc import Sequence
from types import MappingProxyType
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, Row, or_, select, update

from orchestrator.domain.selection.verdict import Comparisons
from orchestrator.records import ImageRecord, Run, RunState
from orchestrator.storage.answers import earlier_change, record_change
from orchestrator.storage.database import database_time, is_shared
from orchestrator.storage.rows import (
    RUN_COLUMNS,
    replace_all_images,
    replace_comparisons,
    run_from_row,
    run_values,
)
from orchestrator.storage.tables import runs
from services.common.errors import FailedPreconditionError, NotFoundError

logger = logging.getLogger(__name__)

LEASE = datetime.timedelta(seconds=15)
"""How long an orchestrator keeps a run without renewing its lease."""
MAX_TAKEOVER_COUNT = 3
"""A run that has outlived more orchestrators than this is assumed to crash them."""
_UNFINISHED = tuple(state.value for state in RunState if not state.is_final)
_RESUMABLE = (RunState.FAILED.value, RunState.CANCELLED.value, RunState.INTERRUPTED.value)
_QUEUE_COLUMNS = (runs.c.owner_id, runs.c.is_cancel_requested, runs.c.takeover_count)
_OWNERLESS: dict[str, Any] = {"owner_id": None, "lease_expire_time": None}


class Renewal(enum.Enum):
    """State of the lease on a run that is in progress."""

    HELD = enum.auto()
    CANCEL_REQUESTED = enum.auto()
    LOST = enum.auto()
    """Another orchestrator has the run, or the run's album was deleted."""


class SqlRunQueue:
    """The run queue, as one orchestrator uses it.

    Args:
        engine: The database.
        owner_id: Unique id of this orchestrator.
        takes_over: Whether this orchestrator resumes runs that another one has abandoned; otherwise
            they become INTERRUPTED.
    """

    def __init__(self, engine: Engine, owner_id: str, *, takes_over: bool) -> None:
        self._engine = engine
        self._owner_id = owner_id
        self._takes_over = takes_over
        self.is_shared = is_shared(engine)
        self._is_owner = (runs.c.owner_id == owner_id) & (runs.c.state == RunState.RUNNING.value)

    def recover(self) -> None:
        """Releases or ends unfinished runs; called when the only orchestrator starts."""
        with self._engine.begin() as connection:
            if self._takes_over:
                worked_on = runs.c.state == RunState.RUNNING.value
                connection.execute(update(runs).where(worked_on).values(lease_expire_time=None))
                return
            ended = _end_values(RunState.INTERRUPTED, database_time(connection))
            connection.execute(update(runs).where(runs.c.state.in_(_UNFINISHED)).values(ended))

    def claim(self) -> Run | None:
        """Claims the oldest run that is queued or has lost its orchestrator; None if there is none.

        The run is then RUNNING and belongs to this orchestrator for as long as it renews the lease.
        """
        with self._engine.begin() as connection:
            now = database_time(connection)
            while row := _next(connection, now):
                end = self._end_instead(row, now)
                changes = end or {
                    "state": RunState.RUNNING.value,
                    "start_time": now,
                    "stages": [],
                    "revision": row.revision + 1,
                    "owner_id": self._owner_id,
                    "lease_expire_time": now + LEASE,
                    "takeover_count": row.takeover_count + (row.state == RunState.RUNNING.value),
                }
                unchanged = (runs.c.id == row.id) & (runs.c.revision == row.revision)
                statement = update(runs).where(unchanged).values(changes).returning(*RUN_COLUMNS)
                claimed = connection.execute(statement).one_or_none()
                if end is None and claimed is not None:
                    if row.state == RunState.RUNNING.value:
                        logger.warning("taking over run %s from %s", row.id, row.owner_id)
                    try:
                        return run_from_row(claimed)
                    except (KeyError, TypeError, ValueError) as error:
                        # otherwise, an unreadable row would always be claimed first
                        logger.exception("cannot read run %s", row.id)
                        failed = _end_values(RunState.FAILED, now)
                        failed["error"] = f"its stored record cannot be read ({error!r:.200})"
                        connection.execute(update(runs).where(runs.c.id == row.id).values(failed))
        return None

    def renew(self, run: Run) -> Renewal:
        """Renews the lease on a claimed run, and stores its progress."""
        progress = [dataclasses.asdict(stage) for stage in run.stages]
        with self._engine.begin() as connection:
            values = {
                "lease_expire_time": database_time(connection) + LEASE,
                "stages": progress,
                "revision": run.revision,
            }
            held = update(runs).where(runs.c.id == run.id, self._is_owner).values(values)
            row = connection.execute(held.returning(runs.c.is_cancel_requested)).one_or_none()
        if row is None:
            return Renewal.LOST
        return Renewal.CANCEL_REQUESTED if row.is_cancel_requested else Renewal.HELD

    def finish(
        self,
        run: Run,
        records: Sequence[ImageRecord] | None,
        comparisons: Comparisons = MappingProxyType({}),
    ) -> bool:
        """Stores the final state of a claimed run and its results, if any; all or nothing.

        Returns:
            Whether this orchestrator still owned the run; if not, nothing was stored.
        """
        values = {**run_values(run), **_OWNERLESS}
        with self._engine.begin() as connection:
            ended = update(runs).where(runs.c.id == run.id, self._is_owner).values(values)
            if connection.execute(ended).rowcount == 0:
                return False
            if records is not None:
                replace_all_images(connection, run.id, records)
                replace_comparisons(connection, run.id, None, comparisons)
        return True

    def release(self, run: Run) -> None:
        """Returns a claimed run to the queue, for the next orchestrator to resume at once."""
        values = {
            "state": RunState.PENDING.value,
            "revision": run.revision + 1,
            **_OWNERLESS,
        }
        with self._engine.begin() as connection:
            connection.execute(
                update(runs).where(runs.c.id == run.id, self._is_owner).values(values)
            )

    def cancel(self, run_id: str) -> None:
        """Cancels a queued run; asks the orchestrator of a running one to stop it.

        Raises:
            FailedPreconditionError: The run has already ended.
        """
        wanted = update(runs).where(runs.c.id == run_id, runs.c.state.in_(_UNFINISHED))
        waits = (runs.c.id == run_id) & (runs.c.state == RunState.PENDING.value)
        with self._engine.begin() as connection:
            if earlier_change(connection) is not None:
                return
            # the request is stored first, so that a concurrent change of state sees it
            if connection.execute(wanted.values(is_cancel_requested=True)).rowcount == 0:
                raise FailedPreconditionError(
                    f"run {run_id} has already ended: it is {_state(connection, run_id)}"
                )
            ended = _end_values(RunState.CANCELLED, database_time(connection))
            connection.execute(update(runs).where(waits).values(ended))
            record_change(connection)

    def requeue(self, run_id: str) -> Run:
        """Queues an unfinished run again.

        Raises:
            FailedPreconditionError: The run is in progress or completed.
        """
        values: dict[str, Any] = {
            "state": RunState.PENDING.value,
            "stages": [],
            "error": "",
            "end_time": None,
            "revision": runs.c.revision + 1,
            "is_cancel_requested": False,
            "takeover_count": 0,
        }
        resumable = (runs.c.id == run_id) & runs.c.state.in_(_RESUMABLE)
        statement = update(runs).where(resumable).values(values).returning(*RUN_COLUMNS)
        if_repeated = select(*RUN_COLUMNS).where(runs.c.id == run_id)
        with self._engine.begin() as connection:
            is_repeated = earlier_change(connection) is not None
            row = connection.execute(if_repeated if is_repeated else statement).one_or_none()
            if row is None:
                raise FailedPreconditionError(
                    f"run {run_id} is {_state(connection, run_id)}; only one that failed, was "
                    f"cancelled or was interrupted can be resumed"
                )
            record_change(connection)
        return run_from_row(row)

    def _end_instead(self, row: Row[Any], now: datetime.datetime) -> dict[str, Any] | None:
        """Returns values that end a run instead of claiming it; None if it should be claimed."""
        if row.is_cancel_requested:
            return _end_values(RunState.CANCELLED, now)
        if row.state == RunState.PENDING.value:
            return None
        if not self._takes_over:
            return _end_values(RunState.INTERRUPTED, now)
        if row.takeover_count >= MAX_TAKEOVER_COUNT:
            error = (
                f"gave up: {row.takeover_count + 1} orchestrators ended, or lost the database, "
                f"while working on this run; check their logs and memory limits"
            )
            return {**_end_values(RunState.FAILED, now), "error": error}
        return None


def _next(connection: Connection, now: datetime.datetime) -> Row[*tuple[Any, ...]] | None:
    """Returns the oldest claimable run, locked if the database has row locks."""
    expired = runs.c.lease_expire_time < now
    ownerless: ColumnElement[bool] = or_(runs.c.lease_expire_time.is_(None), expired)
    abandoned = (runs.c.state == RunState.RUNNING.value) & ownerless
    query = (
        select(*RUN_COLUMNS, *_QUEUE_COLUMNS)
        .where(or_(runs.c.state == RunState.PENDING.value, abandoned))
        .order_by(runs.c.create_time, runs.c.id)
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    return connection.execute(query).one_or_none()


def _end_values(state: RunState, now: datetime.datetime) -> dict[str, Any]:
    return {
        "state": state.value,
        "end_time": now,
        "revision": runs.c.revision + 1,
        **_OWNERLESS,
    }


def _state(connection: Connection, run_id: str) -> str:
    found = connection.execute(select(runs.c.state).where(runs.c.id == run_id)).scalar_one_or_none()
    if found is None:
        raise NotFoundError("run", run_id)
    return str(found)
