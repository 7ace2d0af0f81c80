"""Answers to changing calls, stored in SQL so that a repeated call changes nothing."""

from __future__ import annotations

import datetime
from collections.abc import Callable

from sqlalchemy import Engine, delete, func, select

from orchestrator.storage.database import database_time, insert, is_shared
from orchestrator.storage.tables import answers
from services.common.errors import InvalidArgumentError

KEPT = datetime.timedelta(hours=24)
"""How long an answer is remembered; stated in orchestrator.proto."""


class SqlAnswers:
    """Answers by request id."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

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

    def try_lock(self, request_id: str) -> Callable[[], None] | None:
        """Reserves a request for this orchestrator; None if another one is working on it.

        PostgreSQL frees the lock when the connection ends, however this process ends. SQLite has
        one orchestrator, which orders its own calls.

        Returns:
            A function that releases it.
        """
        if not is_shared(self._engine):
            return lambda: None
        connection = self._engine.connect()
        try:
            key = func.hashtextextended(f"request {request_id}", 0)
            is_free = connection.execute(select(func.pg_try_advisory_xact_lock(key))).scalar_one()
        except BaseException:
            connection.close()
            raise
        if is_free:
            return connection.close
        connection.close()
        return None
