"""Every kind of statement on a SQLite file that is full, locked, damaged or write-protected."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from sqlalchemy import Engine, text

from orchestrator.data_folder import DATABASE_NAME
from orchestrator.domain.decisions import DecisionAction
from orchestrator.metrics import RunMetrics
from orchestrator.records import RunState
from orchestrator.storage.database import (
    DatabaseFullError,
    DatabaseUnavailableError,
    DatabaseUnusableError,
    open_database,
)
from orchestrator.storage.decision_log import SqlDecisionLog
from orchestrator.storage.feature_cache import SqlFeatureCache
from orchestrator.storage.run_queue import SqlRunQueue
from orchestrator.storage.run_store import SqlRunStore
from services.common.errors import BestshotError, ConfigError
from tests.unit.orchestrator.storage.test_storage import album, image, run
from tests.unit.values import entry

BIG = "x" * 200_000
"""More than the free space in the pages of a small database."""


class Stores:
    """The operations on a database, by kind of statement."""

    def __init__(self, engine: Engine) -> None:
        self.store, self.log = SqlRunStore(engine), SqlDecisionLog(engine)
        self.queue = SqlRunQueue(engine, "me", takes_over=True)
        self.cache = SqlFeatureCache(engine, RunMetrics(CollectorRegistry()))
        self.running = run("running", state=RunState.RUNNING)

    def fill(self) -> None:
        self.store.add_album(album())
        self.store.save_run(run("pending", state=RunState.PENDING))
        claimed = self.queue.claim()
        assert claimed is not None
        self.running = claimed
        self.store.save_run(run("waits", state=RunState.PENDING))

    @property
    def writes(self) -> dict[str, Callable[[], Any]]:
        records = [image("a.jpg", error=BIG)]
        finished = self.running.revise(state=RunState.COMPLETED, error=BIG)
        return {
            "add an album": lambda: self.store.add_album(album(BIG)),
            "save a run": lambda: self.store.save_run(run("new", profile=BIG)),
            "cache": lambda: self.cache.put({("d", "facts", "m"): b'"' + BIG.encode() + b'"'}),
            "decide": lambda: self.log.append("a", [entry(BIG, DecisionAction.KEEP, "d")]),
            "finish a run": lambda: self.queue.finish(finished, records),
        }

    @property
    def small_writes(self) -> dict[str, Callable[[], Any]]:
        return {
            "claim": self.queue.claim,
            "renew": lambda: self.queue.renew(self.running),
            "release": lambda: self.queue.release(self.running),
            "cancel": lambda: self.queue.cancel("waits"),
            "recover": self.queue.recover,
            "delete an album": lambda: self.store.delete_album("a"),
        }

    @property
    def reads(self) -> dict[str, Callable[[], Any]]:
        return {
            "an album": lambda: self.store.album("a"),
            "a run": lambda: self.store.run("pending"),
            "images": lambda: self.store.images("pending"),
            "clusters": lambda: self.store.clusters("pending"),
            "a count": lambda: self.store.count_images("pending"),
            "features": lambda: self.cache.get([("d", "face", "m")]),
            "the log": lambda: self.log.entries("a"),
        }


@pytest.fixture
def engine(sqlite_folder: Path) -> Iterator[Engine]:
    opened = open_database(sqlite_folder, busy_timeout_s=0.01)
    yield opened
    opened.dispose()


@pytest.fixture
def stores(engine: Engine) -> Stores:
    made = Stores(engine)
    made.fill()
    return made


def refused(
    calls: dict[str, Callable[[], Any]], kind: type[BestshotError], path: Path
) -> list[str]:
    """Makes every call, which must fail as `kind` and name the file; returns the messages."""
    messages = []
    for name, call in calls.items():
        with pytest.raises(kind) as caught:
            call()
        assert str(path / DATABASE_NAME) in caught.value.message, name
        messages.append(caught.value.message)
    return messages


def test_every_write_reports_a_full_disk_until_there_is_space(
    engine: Engine, stores: Stores, tmp_path: Path
) -> None:
    with engine.connect() as connection:
        pages = connection.execute(text("PRAGMA page_count")).scalar_one()
        connection.execute(text(f"PRAGMA max_page_count = {pages}"))
    for message in refused(stores.writes, DatabaseFullError, tmp_path):
        assert "MB free" in message
        assert "free some space" in message
    assert stores.store.run("pending").state is RunState.RUNNING
    with engine.connect() as connection:
        connection.execute(text("PRAGMA max_page_count = 1000000"))
    for call in stores.writes.values():
        call()
    assert stores.store.run("pending").state is RunState.COMPLETED


def test_every_write_reports_a_locked_file_until_it_is_free(stores: Stores, tmp_path: Path) -> None:
    with contextlib.closing(sqlite3.connect(tmp_path / DATABASE_NAME)) as other:
        other.execute("BEGIN EXCLUSIVE")
        calls = {**stores.writes, **stores.small_writes}
        for message in refused(calls, DatabaseUnavailableError, tmp_path):
            assert "another program has locked" in message
        for call in stores.reads.values():  # in WAL mode a writer does not block readers
            call()
        other.rollback()
    for call in (*stores.writes.values(), *stores.small_writes.values()):
        call()


def test_every_statement_reports_a_damaged_file(
    engine: Engine, stores: Stores, tmp_path: Path
) -> None:
    with engine.connect() as connection:
        connection.execute(text("PRAGMA wal_checkpoint(TRUNCATE)"))
    engine.dispose()
    path = tmp_path / DATABASE_NAME
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(4096)  # keeps the header: every table is damaged, but the file opens
        file.write(b"\xa5" * (size - 4096))
    for message in refused(
        {**stores.reads, **stores.small_writes}, DatabaseUnusableError, tmp_path
    ):
        assert "is damaged" in message
        assert "restore a backup" in message


@pytest.mark.parametrize("content", [b"Dear all, this is no database. " * 200, b"\0" * 8192])
def test_a_file_that_is_not_a_database_fails_the_start_with_one_line(
    content: bytes, tmp_path: Path
) -> None:
    (tmp_path / DATABASE_NAME).write_bytes(content)
    with pytest.raises(ConfigError, match=r"bestshot\.db is damaged .*restore a backup") as caught:
        open_database(tmp_path)
    assert "\n" not in caught.value.message


def test_a_locked_file_fails_the_start_with_one_line(tmp_path: Path) -> None:
    with contextlib.closing(sqlite3.connect(tmp_path / DATABASE_NAME)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(ConfigError, match="another program has locked the database"):
            open_database(tmp_path, busy_timeout_s=0.01)


def test_every_write_reports_a_write_protected_database(
    engine: Engine, stores: Stores, tmp_path: Path
) -> None:
    with engine.connect() as connection:
        connection.execute(text("PRAGMA query_only = ON"))
    for message in refused(stores.writes, DatabaseUnusableError, tmp_path):
        assert "writable" in message
