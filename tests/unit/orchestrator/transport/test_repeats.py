"""A request with an id is processed once, on both databases."""

from __future__ import annotations

import asyncio
import datetime
import uuid

import pytest
from bestshot.orchestrator.v1 import orchestrator_pb2 as pb
from sqlalchemy import Engine, func, select, update

from orchestrator.storage.answers import (
    KEPT,
    Request,
    SqlAnswers,
    attribute_changes,
    earlier_change,
    record_change,
)
from orchestrator.storage.run_store import SqlRunStore
from orchestrator.storage.tables import answers
from orchestrator.transport.repeats import Repeats
from services.common.errors import FailedPreconditionError, InvalidArgumentError


def test_all_callers_of_a_request_get_the_same_response(engine: Engine) -> None:
    done: list[int] = []
    request = pb.UpdateAlbumRequest(album_id="a", request_id=str(uuid.uuid4()))

    async def check() -> None:
        began, may_end = asyncio.Event(), asyncio.Event()

        async def work() -> pb.UpdateAlbumResponse:
            began.set()
            await may_end.wait()
            done.append(1)
            return pb.UpdateAlbumResponse(album=pb.Album(id=str(len(done))))

        # two orchestrators on one database; SQLite supports one
        first = Repeats(SqlAnswers(engine))
        second = Repeats(SqlAnswers(engine)) if engine.dialect.name == "postgresql" else first

        def ask(repeats: Repeats, asked: pb.UpdateAlbumRequest = request) -> asyncio.Task[object]:
            run_once = repeats.run_once("UpdateAlbum", asked, asked.request_id, work)
            return asyncio.ensure_future(repeats.shield(run_once))

        gone = ask(first)
        await began.wait()
        gone.cancel()  # as if its caller's connection had broken
        waiting = [ask(first), ask(second)]
        may_end.set()
        found = [await task for task in (*waiting, ask(second))]
        assert found == [pb.UpdateAlbumResponse(album=pb.Album(id="1"))] * 3
        assert done == [1]
        for wrong in (
            pb.UpdateAlbumRequest(album_id="b", request_id=request.request_id),
            pb.UpdateAlbumRequest(album_id="a", request_id="7"),
        ):
            with pytest.raises(InvalidArgumentError, match="request_id"):
                await ask(first, wrong)
        with engine.begin() as connection:
            long_ago = datetime.datetime.now(datetime.UTC) - 2 * KEPT
            connection.execute(update(answers).values(create_time=long_ago))
        await ask(first)
        assert done == [1, 1]

    asyncio.run(check())


def test_a_failed_request_may_be_retried(engine: Engine) -> None:
    request = pb.CancelRunRequest(run_id="r", request_id=str(uuid.uuid4()))

    async def fail() -> pb.CancelRunResponse:
        raise FailedPreconditionError("not yet")

    async def succeed() -> pb.CancelRunResponse:
        return pb.CancelRunResponse()

    async def check() -> None:
        repeats = Repeats(SqlAnswers(engine))
        with pytest.raises(FailedPreconditionError):
            await repeats.run_once("CancelRun", request, request.request_id, fail)
        assert await repeats.run_once("CancelRun", request, request.request_id, succeed) is not None

    asyncio.run(check())


def test_more_requests_than_database_connections_do_not_block_each_other(engine: Engine) -> None:
    """Each also needs a connection for its work, on PostgreSQL in addition to its lock."""
    count = 50

    async def check() -> None:
        repeats, store = Repeats(SqlAnswers(engine)), SqlRunStore(engine)
        all_began, began = asyncio.Event(), 0

        async def work() -> pb.ListAlbumsResponse:
            nonlocal began
            began += 1
            if began == count:
                all_began.set()
            await all_began.wait()
            albums = await asyncio.to_thread(store.list_albums, 1, 0)
            return pb.ListAlbumsResponse(next_page_token=str(len(albums)))

        requests = [pb.CancelRunRequest(request_id=str(uuid.uuid4())) for _ in range(count)]
        found = await asyncio.gather(
            *(repeats.run_once("ListAlbums", asked, asked.request_id, work) for asked in requests)
        )
        assert len(found) == count

    asyncio.run(check())


def test_the_oldest_responses_are_dropped_beyond_a_count_and_a_size(engine: Engine) -> None:
    def kept(bounded: SqlAnswers, sizes: list[int]) -> list[int]:
        ids = [str(uuid.uuid4()) for _ in sizes]
        for request_id, size in zip(ids, sizes, strict=True):
            bounded.remember(request_id, "d", bytes(size))
        return [len(found) for one in ids if (found := bounded.find(one, "d")) is not None]

    assert kept(SqlAnswers(engine, max_count=3), [1, 2, 3, 4, 5]) == [3, 4, 5]
    assert kept(SqlAnswers(engine, max_bytes=100), [10, 40, 30, 30]) == [40, 30, 30]
    assert kept(SqlAnswers(engine, max_answer_bytes=20), [20, 21]) == [20]
    with engine.connect() as connection:
        total = select(func.sum(func.length(answers.c.answer)))
        assert connection.execute(total).scalar_one() <= 100 + 20


def test_a_response_that_is_too_large_to_store_is_rebuilt_without_repeating_the_change(
    engine: Engine,
) -> None:
    made: list[int] = []
    request = pb.CancelRunRequest(run_id="r", request_id=str(uuid.uuid4()))

    async def work() -> pb.CancelRunResponse:
        with engine.begin() as connection:
            if earlier_change(connection) is None:
                made.append(1)
                record_change(connection)
        return pb.CancelRunResponse(run=pb.Run(error="x" * 1000))

    async def check() -> None:
        repeats = Repeats(SqlAnswers(engine, max_answer_bytes=100))
        first = await repeats.run_once("CancelRun", request, request.request_id, work)
        assert await repeats.run_once("CancelRun", request, request.request_id, work) == first
        other = pb.CancelRunRequest(run_id="s", request_id=request.request_id)
        with pytest.raises(InvalidArgumentError, match="different request"):
            await repeats.run_once("CancelRun", other, request.request_id, work)

    asyncio.run(check())
    assert made == [1]


def test_a_change_that_is_rolled_back_is_not_applied(engine: Engine) -> None:
    with attribute_changes(Request(str(uuid.uuid4()), "d")):
        with engine.connect() as connection:
            record_change(connection, added_count=1)
            connection.rollback()
        with engine.begin() as connection:
            assert earlier_change(connection) is None
            record_change(connection, added_count=2)
            record_change(connection, changed_paths=["a"])
        with engine.connect() as connection:
            assert earlier_change(connection) == {"added_count": 2, "changed_paths": ["a"]}
    with engine.connect() as connection:
        assert earlier_change(connection) is None
