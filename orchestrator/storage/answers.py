"""Answers to calls that change data, stored in SQL so that a repeated call changes nothing.

Some changes (a delete, a cancellation) leave no trace that a repeated call could recognize.
These are recorded in their own transaction, with `record_change`. If the process dies before the
answer is stored, the repeated call finds the record with `earlier_change`, changes nothing, and
rebuilds its answer.

The table is bounded: see `KEPT`, `MAX_ANSWER_COUNT` and `MAX_ANSWERS_BYTES`. An answer larger than
`MAX_ANSWER_BYTES` is not stored; if the call is repeated, it is rebuilt.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import threading
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Engine, delete, event, func, or_, select
from sqlalchemy.sql.functions import Function

from orchestrator.storage.database import database_time, insert, is_shared
from orchestrator.storage.tables import answers
from services.common.errors import InvalidArgumentError

KEPT = datetime.timedelta(hours=24)
"""How long an answer is kept; this and the next two limits are documented in orchestrator.proto."""
MAX_ANSWER_COUNT = 10_000
"""Maximum number of stored answers; the oldest are dropped first."""
MAX_ANSWERS_BYTES = 64 * 2**20
"""Maximum total size of stored answers; the oldest are dropped first."""
MAX_ANSWER_BYTES = 2**20
"""Maximum size of a stored answer."""


@dataclass(frozen=True)
class Request:
    """A call that changes data and has a request_id."""

    id: str
    digest: str


_current: ContextVar[Request | None] = ContextVar("current_request", default=None)


@contextlib.contextmanager
def attribute_changes(request: Request) -> Iterator[None]:
    """Attributes changes within the block, including those on other threads, to this request."""
    token = _current.set(request)
    try:
        yield
    finally:
        _current.reset(token)


def earlier_change(connection: Connection) -> dict[str, Any] | None:
    """Returns what an earlier attempt at the current request recorded; None if it changed nothing.

    Also None for a call without a request_id.
    """
    request = _current.get()
    if request is None:
        return None
    query = select(answers.c.changes).where(answers.c.request_id == request.id)
    found = connection.execute(query).scalar_one_or_none()
    return None if found is None else dict(json.loads(found or b"{}"))


def record_change(connection: Connection, **values: object) -> None:
    """Records that the current request has made its change, in the change's own transaction.

    Args:
        connection: The connection with the transaction.
        values: JSON data that the answer needs but the tables will no longer contain. Added to
            any data recorded earlier.
    """
    request = _current.get()
    if request is None:
        return
    changes = json.dumps({**(earlier_change(connection) or {}), **values}).encode()
    _upsert(connection, request, {"answer": b"", "changes": changes})


def _upsert(connection: Connection, request: Request, values: dict[str, bytes]) -> None:
    new = insert(connection, answers).values(
        request_id=request.id,
        request_digest=request.digest,
        create_time=database_time(connection),
        **values,
    )
    changed = {name: new.excluded[name] for name in ("create_time", *values)}
    connection.execute(new.on_conflict_do_update(index_elements=["request_id"], set_=changed))


class SqlAnswers:
    """Stored answers, keyed by request id.

    Args:
        engine: The database.
        max_count: Maximum number of answers.
        max_bytes: Maximum total size of all answers.
        max_answer_bytes: Maximum size of a stored answer.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        max_count: int = MAX_ANSWER_COUNT,
        max_bytes: int = MAX_ANSWERS_BYTES,
        max_answer_bytes: int = MAX_ANSWER_BYTES,
    ) -> None:
        self._max_count = max_count
        self._max_bytes = max_bytes
        self._max_answer_bytes = max_answer_bytes
        self._engine = engine
        self._locks: Connection | None = None
        self._locks_guard = threading.Lock()
        event.listen(engine, "engine_disposed", lambda _: self._close_locks())

    def find(self, request_id: str, request_digest: str) -> bytes | None:
        """Returns the stored answer to a request; None if there is none or it has expired.

        Raises:
            InvalidArgumentError: The id was used for a different request.
        """
        query = select(answers.c.request_digest, answers.c.answer)
        with self._engine.connect() as connection:
            fresh = answers.c.create_time >= database_time(connection) - KEPT
            found = connection.execute(
                query.where(answers.c.request_id == request_id, fresh)
            ).one_or_none()
        if found is None:
            return None
        if found.request_digest != request_digest:
            raise InvalidArgumentError(
                "request_id",
                f"{request_id} was used for a different request; use a new UUID for each change",
            )
        # empty if only the change was recorded: its handler then rebuilds the answer
        return bytes(found.answer) or None

    def remember(self, request_id: str, request_digest: str, answer: bytes) -> None:
        """Stores an answer unless it is too large, and deletes the oldest ones over the limits."""
        request = Request(request_id, request_digest)
        with self._engine.begin() as connection:
            if len(answer) <= self._max_answer_bytes:
                _upsert(connection, request, {"answer": answer, "changes": b""})
            self._drop_oldest(connection)

    def _drop_oldest(self, connection: Connection) -> None:
        size = func.length(answers.c.answer) + func.length(answers.c.changes)
        newest_first = (answers.c.create_time.desc(), answers.c.request_id)
        ranked = select(
            answers.c.request_id,
            answers.c.create_time,
            func.row_number().over(order_by=newest_first).label("place"),
            func.sum(size).over(order_by=newest_first).label("bytes"),
        ).subquery()
        dropped = or_(
            ranked.c.create_time < database_time(connection) - KEPT,
            ranked.c.place > self._max_count,
            ranked.c.bytes > self._max_bytes,
        )
        connection.execute(
            delete(answers).where(
                answers.c.request_id.in_(select(ranked.c.request_id).where(dropped))
            )
        )

    def try_lock(self, request_id: str) -> bool:
        """Reserves a request for this orchestrator; returns False if another one is working on it.

        PostgreSQL frees the lock when the connection ends, however this process ends. With SQLite
        there is only one orchestrator, which serializes its own calls.
        """
        if not is_shared(self._engine):
            return True
        return self._call_lock(func.pg_try_advisory_lock(_key(request_id)))

    def unlock(self, request_id: str) -> None:
        """Releases the lock taken by `try_lock`."""
        if is_shared(self._engine):
            self._call_lock(func.pg_advisory_unlock(_key(request_id)))

    def _call_lock(self, call: Function[bool]) -> bool:
        """Calls a lock function on the one connection that holds all locks of this process.

        If each call held its own connection, concurrent calls could exhaust the pool and then wait
        forever for the second connection that each of them needs.
        """
        with self._locks_guard:
            if self._locks is None:
                opened = self._engine.connect()
                self._locks = opened.execution_options(isolation_level="AUTOCOMMIT")
            try:
                return bool(self._locks.execute(select(call)).scalar_one())
            except BaseException:
                self._locks.invalidate()  # the connection is gone, so its locks are free
                self._locks.close()
                self._locks = None
                raise

    def _close_locks(self) -> None:
        with self._locks_guard:
            if self._locks is not None:
                self._locks.invalidate()
                self._locks.close()
                self._locks = None


def _key(request_id: str) -> Function[int]:
    return func.hashtextextended(f"request {request_id}", 0)
