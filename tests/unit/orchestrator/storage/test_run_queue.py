"""The assignment of runs to orchestrators, on both databases."""

from __future__ import annotations

import contextlib
import datetime
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, select, update

from orchestrator.data_folder import DATABASE_NAME
from orchestrator.records import ImageRecord, Run, RunState, StageProgress, utc_now
from orchestrator.storage.answers import Request, attribute_changes
from orchestrator.storage.database import is_shared, open_database
from orchestrator.storage.run_queue import MAX_TAKEOVER_COUNT, Renewal, SqlRunQueue
from orchestrator.storage.run_store import SqlRunStore
from orchestrator.storage.tables import runs
from services.common.errors import FailedPreconditionError, NotFoundError
from tests.unit.orchestrator.storage.test_storage import TIME, album, run

Make = Callable[..., SqlRunQueue]


@pytest.fixture
def store(engine: Engine) -> SqlRunStore:
    made = SqlRunStore(engine)
    made.add_album(album())
    return made


@pytest.fixture
def queue_of(engine: Engine) -> Make:
    """The queue as seen by the orchestrator with a given name."""
    return lambda owner_id, takes_over=True: SqlRunQueue(engine, owner_id, takes_over=takes_over)


def wait_for_worker(store: SqlRunStore, run_id: str, seconds: int = 0) -> None:
    time = TIME + datetime.timedelta(seconds=seconds)
    store.save_run(run(run_id, state=RunState.PENDING, create_time=time, stages=()))


def expire_leases(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(update(runs).values(lease_expire_time=TIME))


def ended(claimed: Run | None, state: RunState = RunState.COMPLETED, **changes: Any) -> Run:
    assert claimed is not None
    return claimed.revise(state=state, end_time=utc_now(), **changes)


def test_the_oldest_run_is_claimed_first_and_only_once(store: SqlRunStore, queue_of: Make) -> None:
    wait_for_worker(store, "second", seconds=1)
    wait_for_worker(store, "first")
    claimed = queue_of("a").claim()
    assert claimed is not None
    assert (claimed.id, claimed.state) == ("first", RunState.RUNNING)
    assert claimed.start_time is not None
    assert abs(utc_now() - claimed.start_time) < datetime.timedelta(minutes=1)
    assert store.run("first") == claimed
    other = queue_of("b").claim()
    assert other is not None
    assert other.id == "second"
    assert queue_of("c").claim() is None


def test_every_run_is_claimed_once_by_many_orchestrators(
    engine: Engine, store: SqlRunStore, queue_of: Make
) -> None:
    if not is_shared(engine):
        pytest.skip("SQLite supports one orchestrator")
    for number in range(40):
        wait_for_worker(store, f"run{number}")

    def work(name: str) -> list[str]:
        queue = queue_of(name)
        return [claimed.id for claimed in iter(queue.claim, None)]

    with ThreadPoolExecutor(8) as threads:
        found = [name for names in threads.map(work, "abcdefgh") for name in names]
    assert sorted(found) == sorted(f"run{number}" for number in range(40))


def test_a_claimed_run_is_renewed_with_its_progress_and_finished(
    store: SqlRunStore, queue_of: Make
) -> None:
    wait_for_worker(store, "r")
    queue = queue_of("a")
    claimed = queue.claim()
    assert claimed is not None
    working = claimed.revise(stages=(StageProgress("score", 3, 5),))
    assert queue.renew(working) is Renewal.HELD
    assert store.run("r") == working
    records = [ImageRecord("a.jpg", "digest", 1)]
    assert queue.finish(ended(working), records)
    assert store.run("r").state is RunState.COMPLETED
    assert store.images("r") == records
    assert queue.claim() is None
    assert queue.renew(working) is Renewal.LOST


def test_a_run_with_an_expired_lease_is_taken_over_and_its_former_owner_stores_nothing(
    engine: Engine, store: SqlRunStore, queue_of: Make
) -> None:
    wait_for_worker(store, "r")
    dead, living = queue_of("dead"), queue_of("living")
    first = dead.claim()
    assert living.claim() is None
    expire_leases(engine)
    second = living.claim()
    assert first is not None
    assert second is not None
    assert second.revision > first.revision
    assert dead.renew(first) is Renewal.LOST
    assert not dead.finish(ended(first), [ImageRecord("stale.jpg", "digest", 1)])
    dead.release(first)
    assert store.run("r") == second
    assert store.images("r") == []
    assert living.finish(ended(second), [])


def test_a_run_that_outlives_several_orchestrators_fails(
    engine: Engine, store: SqlRunStore, queue_of: Make
) -> None:
    wait_for_worker(store, "r")
    queue = queue_of("a")
    for _ in range(MAX_TAKEOVER_COUNT + 1):
        assert queue.claim() is not None
        expire_leases(engine)
    assert queue.claim() is None
    assert store.run("r").state is RunState.FAILED
    assert "4 orchestrators ended" in store.run("r").error
    queue.requeue("r")
    assert queue.claim() is not None  # resuming it allows another try


def test_an_abandoned_run_is_interrupted_if_runs_are_not_resumed(
    engine: Engine, store: SqlRunStore, queue_of: Make
) -> None:
    wait_for_worker(store, "abandoned")
    wait_for_worker(store, "waiting", seconds=1)
    queue_of("dead").claim()
    expire_leases(engine)
    claimed = queue_of("a", takes_over=False).claim()
    assert claimed is not None
    assert claimed.id == "waiting"
    assert store.run("abandoned").state is RunState.INTERRUPTED


def test_a_released_run_continues_at_once_elsewhere(store: SqlRunStore, queue_of: Make) -> None:
    wait_for_worker(store, "r")
    first = queue_of("a").claim()
    assert first is not None
    queue_of("a").release(first)
    assert store.run("r").state is RunState.PENDING
    again = queue_of("b").claim()
    assert again is not None
    assert again.revision > first.revision


def test_a_waiting_run_is_cancelled_at_once_and_an_active_one_by_its_owner(
    store: SqlRunStore, queue_of: Make
) -> None:
    wait_for_worker(store, "working")
    wait_for_worker(store, "waiting", seconds=1)
    owner, other = queue_of("owner"), queue_of("other")
    claimed = owner.claim()
    assert claimed is not None
    other.cancel("waiting")
    other.cancel("working")
    assert store.run("waiting").state is RunState.CANCELLED
    assert store.run("working").state is RunState.RUNNING
    assert owner.renew(claimed) is Renewal.CANCEL_REQUESTED
    owner.release(claimed)  # the owner stops before it has cancelled the run
    assert other.claim() is None
    assert store.run("working").state is RunState.CANCELLED
    with pytest.raises(FailedPreconditionError, match="already ended: it is CANCELLED"):
        owner.cancel("working")
    with pytest.raises(NotFoundError):
        owner.cancel("none")


def test_a_repeated_request_neither_cancels_nor_queues_a_run_twice(
    store: SqlRunStore, queue_of: Make
) -> None:
    queue = queue_of("a")
    wait_for_worker(store, "r")
    for _ in range(2):
        with attribute_changes(Request("cancel", "d")):
            queue.cancel("r")
    with pytest.raises(FailedPreconditionError, match="has already ended"):
        queue.cancel("r")
    for _ in range(2):
        with attribute_changes(Request("resume", "d")):
            assert queue.requeue("r").state is RunState.PENDING
    claimed = queue.claim()
    assert claimed is not None
    assert queue.finish(ended(claimed), [])
    with attribute_changes(Request("resume", "d")):
        assert queue.requeue("r").state is RunState.COMPLETED
    with attribute_changes(Request("cancel", "d")):
        queue.cancel("r")
    assert store.run("r").state is RunState.COMPLETED


def test_only_unfinished_runs_are_queued_again(store: SqlRunStore, queue_of: Make) -> None:
    queue = queue_of("a")
    for state in RunState:
        store.save_run(run(state.value, state=state, error="gone"))
    for state in (RunState.FAILED, RunState.CANCELLED, RunState.INTERRUPTED):
        again = queue.requeue(state.value)
        assert (again.state, again.error, again.stages) == (RunState.PENDING, "", ())
    for state in (RunState.PENDING, RunState.RUNNING, RunState.COMPLETED):
        with pytest.raises(FailedPreconditionError, match="can be resumed"):
            queue.requeue(state.value)
    with pytest.raises(NotFoundError):
        queue.requeue("none")


@pytest.mark.parametrize("takes_over", [True, False])
def test_a_single_orchestrator_takes_over_or_interrupts_earlier_runs(
    store: SqlRunStore, queue_of: Make, takes_over: bool
) -> None:
    wait_for_worker(store, "working")
    wait_for_worker(store, "waiting", seconds=1)
    queue_of("dead").claim()
    queue = queue_of("new", takes_over)
    queue.recover()
    claimed = [found.id for found in iter(queue.claim, None)]
    if takes_over:
        assert claimed == ["working", "waiting"]
    else:
        assert claimed == []
        states = {store.run(name).state for name in ("working", "waiting")}
        assert states == {RunState.INTERRUPTED}


def test_the_run_of_a_deleted_album_is_lost(store: SqlRunStore, queue_of: Make) -> None:
    wait_for_worker(store, "r")
    queue = queue_of("a")
    claimed = queue.claim()
    assert claimed is not None
    assert store.is_active("a")
    store.delete_album("a")
    assert not store.is_active("a")
    assert queue.renew(claimed) is Renewal.LOST
    assert not queue.finish(ended(claimed), [ImageRecord("a.jpg", "digest", 1)])


@pytest.mark.parametrize(
    ("takes_over", "state"), [(True, RunState.RUNNING), (False, RunState.INTERRUPTED)]
)
def test_a_run_in_progress_in_a_backup_is_taken_over_or_can_be_resumed(
    takes_over: bool, state: RunState, sqlite_folder: Path
) -> None:
    engine = open_database(sqlite_folder)
    store = SqlRunStore(engine)
    store.add_album(album())
    wait_for_worker(store, "r")
    assert SqlRunQueue(engine, "before", takes_over=takes_over).claim() is not None
    (sqlite_folder / "copy").mkdir()
    with (
        contextlib.closing(sqlite3.connect(sqlite_folder / DATABASE_NAME)) as source,
        contextlib.closing(sqlite3.connect(sqlite_folder / "copy" / DATABASE_NAME)) as copy,
    ):
        source.backup(copy)
    engine.dispose()
    restored = open_database(sqlite_folder / "copy")
    queue = SqlRunQueue(restored, "after", takes_over=takes_over)
    queue.recover()
    claimed = queue.claim()
    assert SqlRunStore(restored).run("r").state is state
    if not takes_over:
        assert claimed is None
        queue.requeue("r")
        claimed = queue.claim()
    assert claimed is not None
    assert claimed.id == "r"
    restored.dispose()


def test_a_run_whose_record_cannot_be_read_does_not_block_others(
    engine: Engine, store: SqlRunStore, queue_of: Make
) -> None:
    wait_for_worker(store, "broken")
    wait_for_worker(store, "sound", seconds=1)
    with engine.begin() as connection:
        broken = update(runs).where(runs.c.id == "broken")
        connection.execute(broken.values(summary={"unknown": 1}))
    claimed = queue_of("a").claim()
    assert claimed is not None
    assert claimed.id == "sound"
    with engine.connect() as connection:
        query = select(runs.c.state, runs.c.error).where(runs.c.id == "broken")
        row = connection.execute(query).one()
    assert row.state == RunState.FAILED.value
    assert "its stored record cannot be read" in row.error
