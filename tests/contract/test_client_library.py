"""What the client library does when a server is busy or fails, and that it covers the whole API."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import re
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from bestshot.orchestrator.v1 import orchestrator_pb2 as pb
from bestshot.orchestrator.v1 import orchestrator_pb2_grpc
from bestshot_client import Addresses, AsyncClient, BestshotError, Client
from bestshot_client import _async_runtime as async_runtime
from bestshot_client import _sync_runtime as sync_runtime
from bestshot_client._errors import error_of
from grpc_status import rpc_status

from services.common.errors import (
    BestshotError as ServerError,
)
from services.common.errors import (
    InvalidArgumentError,
    NotFoundError,
    ResourceExhaustedError,
)
from services.common.rpc import status
from tests.conftest import ROOT
from tests.waiting import LIMIT_S

SERVICE = pb.DESCRIPTOR.services_by_name["OrchestratorService"]


class Servicer(orchestrator_pb2_grpc.OrchestratorServiceServicer):
    """Fails each call with the next error, then answers."""

    def __init__(self, *errors: ServerError) -> None:
        self.errors = list(errors)
        self.requests: list[Any] = []

    async def _fail(self, request: Any, context: grpc.aio.ServicerContext) -> None:
        self.requests.append(request)
        if self.errors:
            await context.abort_with_status(
                rpc_status.to_status(status.to_status(self.errors.pop(0)))
            )

    async def GetRun(self, request: Any, context: Any) -> pb.GetRunResponse:
        await self._fail(request, context)
        return pb.GetRunResponse(run=pb.Run(id=request.run_id))

    async def StartRun(self, request: Any, context: Any) -> pb.StartRunResponse:
        await self._fail(request, context)
        return pb.StartRunResponse(run=pb.Run(id="new"))

    async def DownloadRun(self, request: Any, context: Any) -> AsyncIterator[Any]:
        yield pb.DownloadRunResponse(filename="results.csv")
        yield pb.DownloadRunResponse(chunk=b"begin")
        await self._fail(request, context)
        yield pb.DownloadRunResponse(chunk=b" and end")


@contextlib.asynccontextmanager
async def serving(servicer: Servicer) -> AsyncIterator[Addresses]:
    server = grpc.aio.server()
    orchestrator_pb2_grpc.add_OrchestratorServiceServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield Addresses(orchestrator=f"127.0.0.1:{port}")
    finally:
        await server.stop(None)


@pytest.fixture
def no_delay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(status, "RETRY_DELAY_S", 0)


async def test_a_busy_server_is_called_again_after_its_delay(no_delay: None) -> None:
    servicer = Servicer(ResourceExhaustedError("busy"), ResourceExhaustedError("busy"))
    async with serving(servicer) as addresses:
        async with AsyncClient(addresses) as client:
            assert (await client.start_run("a")).id == "new"
        assert len({request.request_id for request in servicer.requests}) == 1
        servicer.errors = [ResourceExhaustedError("busy")]

        def block() -> str:
            with Client(addresses) as client:
                return str(client.get_run("r").id)

        assert await asyncio.to_thread(block) == "r"
    assert len(servicer.requests) == 5


async def test_a_busy_server_is_given_up_once_the_time_is_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(status, "RETRY_DELAY_S", 3600)
    async with (
        serving(Servicer(ResourceExhaustedError("busy"))) as addresses,
        AsyncClient(addresses, timeout_s=LIMIT_S) as client,
    ):
        with pytest.raises(BestshotError) as caught:
            await client.start_run("a")
    assert caught.value.retry_delay_s == 3600
    assert caught.value.reason == "LIMIT_REACHED"


async def test_an_error_has_its_reason_field_and_metadata() -> None:
    errors = (InvalidArgumentError("album_id", "is wrong"), NotFoundError("album", "a"))
    async with serving(Servicer(*errors)) as addresses, AsyncClient(addresses) as client:
        with pytest.raises(BestshotError) as wrong:
            await client.start_run("a")
        with pytest.raises(BestshotError) as missing:
            await client.start_run("a")
    assert (wrong.value.reason, wrong.value.field) == ("ARGUMENT_INVALID", "album_id")
    assert wrong.value.retry_delay_s is None
    assert missing.value.code is grpc.StatusCode.NOT_FOUND
    assert missing.value.metadata == {"resource_type": "album", "resource_name": "a"}


async def test_a_download_appears_only_once_it_is_complete(tmp_path: Path) -> None:
    target = tmp_path / "kept.csv"
    target.write_text("old")
    servicer = Servicer(NotFoundError("run", "r"))
    async with serving(servicer) as addresses, AsyncClient(addresses) as client:
        with pytest.raises(BestshotError):
            await client.download_to("r", pb.DOWNLOAD_FORMAT_CSV, target)
        assert [path.name for path in tmp_path.iterdir()] == ["kept.csv"]
        assert target.read_text() == "old"
        assert await client.download_to("r", pb.DOWNLOAD_FORMAT_CSV, target) == target
        assert target.read_text() == "begin and end"
        named = await client.download_to("r", pb.DOWNLOAD_FORMAT_CSV, tmp_path)
        assert named == tmp_path / "results.csv"
    assert len(list(tmp_path.iterdir())) == 2


def test_an_error_without_details_is_translated_too() -> None:
    class Failed(grpc.RpcError):
        def code(self) -> grpc.StatusCode:
            return grpc.StatusCode.UNAVAILABLE

        def details(self) -> str:
            return ""

        def trailing_metadata(self) -> None:
            return None

    found = error_of(Failed())
    assert found.message.startswith("no server responds: UNAVAILABLE. Check the address")
    assert (found.reason, found.field) == ("", "")


async def test_calls_are_made_at_the_same_time_but_not_too_many() -> None:
    running, most = 0, 0
    all_busy = asyncio.Event()

    async def call(number: int) -> int:
        nonlocal running, most
        running += 1
        most = max(most, running)
        if running == 3:
            all_busy.set()
        await all_busy.wait()
        running -= 1
        return number

    assert await async_runtime.map_ordered(call, iter(range(1, 11)), 3) == list(range(1, 11))
    assert most == 3


def test_blocking_calls_are_made_at_the_same_time_but_not_too_many() -> None:
    meeting = threading.Barrier(3)

    def call(number: int) -> int:
        if number <= 3:
            meeting.wait(LIMIT_S)  # passes only if three calls are in progress
        return number

    assert sync_runtime.map_ordered(call, iter(range(1, 11)), 3) == list(range(1, 11))


async def test_the_first_error_ends_all_calls() -> None:
    cancelled: list[int] = []
    built: list[int] = []

    def requests() -> Iterator[int]:
        for number in range(1, 100):
            built.append(number)
            yield number

    async def call(number: int) -> int:
        if number == 1:
            raise ValueError("no")
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(number)
            raise
        return number

    with pytest.raises(ValueError, match="no"):
        await async_runtime.map_ordered(call, requests(), 4)
    assert len(built) <= 5
    assert set(cancelled) <= {2, 3, 4}


def test_every_method_of_the_api_is_called() -> None:
    folder = ROOT / "client" / "bestshot_client" / "_async"
    source = "".join(path.read_text() for path in folder.glob("*.py"))
    called = set(re.findall(r"_orchestrator\.(\w+)", source))
    assert called == {method.name for method in SERVICE.methods}


def test_both_clients_have_the_same_documented_methods() -> None:
    def methods(kind: type) -> dict[str, list[str]]:
        found = {name: member for name, member in inspect.getmembers(kind) if name[0] != "_"}
        assert all(member.__doc__ for member in found.values())
        return {name: list(inspect.signature(member).parameters) for name, member in found.items()}

    assert methods(Client) == methods(AsyncClient)
    assert len(methods(Client)) > 45
