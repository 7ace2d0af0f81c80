"""Answers to changing calls, stored in SQL so that a repeated call changes nothing."""

from __future__ import annotations

import datetime
import threading

from sqlalchemy import Connection, Engine, delete, event, func, select
from sqlalchemy.sql.functions import Function

from orchestrator.storage.database import database_time, insert, is_shared
from orchestrator.storage.tables import answers
from services.common.errors import InvalidArgumentError

KEPT = datetime.timedelta(hours=24)
"""How long an answer is remembered; stated in orchestrator.proto."""


class SqlAnswers:
    """Answers by request id."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._locks: Connection | None = None
        self._locks_guard = threading.Lock()
        event.listen(engine, "engine_disposed", lambda _: self._close_locks())

    def find(self, request_id: str, request_digest: str) -> bytes | None:
        """The answer to a request; None if it has none yet, or its answer has expired.

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
        return bytes(found.answer)

    def remember(self, request_id: str, request_digest: str, answer: bytes) -> None:
        """Stores an answer, and deletes those that have expired."""
        with self._engine.begin() as connection:
            now = database_time(connection)
            connection.execute(delete(answers).where(answers.c.create_time < now - KEPT))
            new = insert(connection, answers).values(
                request_id=request_id,
                request_digest=request_digest,
                answer=answer,
                create_time=now,
            )
            connection.execute(new.on_conflict_do_nothing())

    def try_lock(self, request_id: str) -> bool:
        """Reserves a request for this orchestrator; whether no other one is working on it.

        PostgreSQL frees the lock when the connection ends, however this process ends. SQLite has
        one orchestrator, which orders its own calls.
        """
        if not is_shared(self._engine):
            return True
        return self._call_lock(func.pg_try_advisory_lock(_key(request_id)))

    def unlock(self, request_id: str) -> None:
        """Frees what `try_lock` reserved."""
        if is_shared(self._engine):
            self._call_lock(func.pg_advisory_unlock(_key(request_id)))

    def _call_lock(self, call: Function[bool]) -> bool:
        """Calls a lock function on the one connection that has all locks of this process.

        With a connection for each, as many calls as the pool has connections would hold them all
        and wait for one more.
        """
        with self._locks_guard:
            if self._locks is None:
                opened = self._engine.connect()
                self._locks = opened.execution_options(isolation_level="AUTOCOMMIT")
            try:
                return bool(self._locks.execute(select(call)).scalar_one())
            except BaseException:
                self._locks.invalidate()  # its locks are free then
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
