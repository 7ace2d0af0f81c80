"""Who works on which run: runs are claimed under PostgreSQL's row locks and held by a lease.

    PENDING --claim--> RUNNING --finish--> COMPLETED, FAILED, CANCELLED
       ^                  |  release (the orchestrator stops)
       +------------------+
                          |  the lease has expired (the orchestrator is gone)
                          +--claim--> RUNNING, by another orchestrator

An orchestrator that has lost its lease can store nothing of the run any more: every write asks
whether it is still the owner. SQLite has one orchestrator, so there nobody competes.
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

from orchestrator.domain.selection import Comparisons
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
"""How long a run is its orchestrator's without a word from it."""
MAX_TAKEOVER_COUNT = 3
"""A run that has outlived more orchestrators than this is thought to be what kills them."""
_UNFINISHED = tuple(state.value for state in RunState if not state.is_final)
_RESUMABLE = (RunState.FAILED.value, RunState.CANCELLED.value, RunState.INTERRUPTED.value)
_QUEUE_COLUMNS = (runs.c.owner_id, runs.c.is_cancel_requested, runs.c.takeover_count)
_OWNERLESS: dict[str, Any] = {"owner_id": None, "lease_expire_time": None}


class Renewal(enum.Enum):
    """State of the lease on a run that is in progress."""

    HELD = enum.auto()
    CANCEL_REQUESTED = enum.auto()
    LOST = enum.auto()
    """Another orchestrator has it, or its album was deleted."""


class SqlRunQueue:
    """The runs that wait and those that are worked on, as one orchestrator sees them.

    Args:
        engine: Of the database.
        owner_id: Of this orchestrator, like no other's.
        takes_over: Whether it goes on with runs whose orchestrator is gone; else they become
            INTERRUPTED.
    """

    def __init__(self, engine: Engine, owner_id: str, *, takes_over: bool) -> None:
        self._engine = engine
        self._owner_id = owner_id
        self._takes_over = takes_over
        self.is_shared = is_shared(engine)
        self._is_owner = (runs.c.owner_id == owner_id) & (runs.c.state == RunState.RUNNING.value)

    def recover(self) -> None:
        """At the start of the only orchestrator: whoever worked on a run is gone."""
        with self._engine.begin() as connection:
            if self._takes_over:
                worked_on = runs.c.state == RunState.RUNNING.value
                connection.execute(update(runs).where(worked_on).values(lease_expire_time=None))
                return
            ended = _ended(RunState.INTERRUPTED, database_time(connection))
            connection.execute(update(runs).where(runs.c.state.in_(_UNFINISHED)).values(ended))

    def claim(self) -> Run | None:
        """Takes the oldest run that waits or whose orchestrator is gone; None where there is none.

        It is RUNNING then, and this orchestrator's for as long as it renews its lease.
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
                        logger.warning("taking over run %s of %s", row.id, row.owner_id)
                    try:
                        return run_from_row(claimed)
                    except (KeyError, TypeError, ValueError) as error:
                        # an unreadable row would be claimed first forever
                        logger.exception("cannot read run %s", row.id)
                        failed = _ended(RunState.FAILED, now)
                        failed["error"] = f"its stored record cannot be read ({error!r:.200})"
                        connection.execute(update(runs).where(runs.c.id == row.id).values(failed))
        return None

    def renew(self, run: Run) -> Renewal:
        """Holds a claimed run for longer, and stores how far it has come."""
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
        """Stores the end of a claimed run and, where it has any, its results; all or nothing.

        Returns:
            Whether the run was still this orchestrator's; else nothing was stored.
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
        """Gives a claimed run back, for the next orchestrator to go on with at once."""
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
        """Ends a run that waits; asks the orchestrator of one that is worked on to end it.

        Raises:
            FailedPreconditionError: It has ended already.
        """
        wanted = update(runs).where(runs.c.id == run_id, runs.c.state.in_(_UNFINISHED))
        waits = (runs.c.id == run_id) & (runs.c.state == RunState.PENDING.value)
        with self._engine.begin() as connection:
            if earlier_change(connection) is not None:
                return
            # first the request: who moves the run between the two states meanwhile then sees it
            if connection.execute(wanted.values(is_cancel_requested=True)).rowcount == 0:
                raise FailedPreconditionError(
                    f"run {run_id} has ended already, it is {_state(connection, run_id)}"
                )
            ended = _ended(RunState.CANCELLED, database_time(connection))
            connection.execute(update(runs).where(waits).values(ended))
            record_change(connection)

    def requeue(self, run_id: str) -> Run:
        """Lets a run that did not reach its end wait once more.

        Raises:
            FailedPreconditionError: It is under way or completed.
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
        """What ends a run that shall not be worked on; None where it shall."""
        if row.is_cancel_requested:
            return _ended(RunState.CANCELLED, now)
        if row.state == RunState.PENDING.value:
            return None
        if not self._takes_over:
            return _ended(RunState.INTERRUPTED, now)
        if row.takeover_count >= MAX_TAKEOVER_COUNT:
            error = (
                f"given up: {row.takeover_count + 1} orchestrators ended, or lost the database, "
                f"while they worked on this run; their logs, and their memory, may tell why"
            )
            return {**_ended(RunState.FAILED, now), "error": error}
        return None


def _next(connection: Connection, now: datetime.datetime) -> Row[*tuple[Any, ...]] | None:
    """The oldest run that may be claimed; locked, where the database has row locks."""
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


def _ended(state: RunState, now: datetime.datetime) -> dict[str, Any]:
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
