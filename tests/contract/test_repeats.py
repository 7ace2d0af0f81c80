"""The calls that each of our clients repeats when there is no response."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
import pytest
from bestshot.orchestrator.v1 import orchestrator_pb2 as pb
from bestshot.orchestrator.v1 import orchestrator_pb2_grpc
from bestshot_client import Addresses, AsyncClient, BestshotError

from orchestrator.transport.repeats import deduplicate
from orchestrator.transport.servicer import OrchestratorServicer
from services.common.rpc.channels import call_once, client_options, open_channel, safe_methods
from tests.contract.servers import SHARED

SERVICE = pb.DESCRIPTOR.services_by_name["OrchestratorService"]


class LosingServicer(orchestrator_pb2_grpc.OrchestratorServiceServicer):
    """Executes every call, but loses the response."""

    def __init__(self) -> None:
        self.requests: list[Any] = []


def losing(name: str) -> Callable[..., Any]:
    async def method(self: LosingServicer, request: Any, context: Any) -> None:
        if hasattr(request, "__aiter__"):
            messages = [message async for message in request]
            request = messages[0].header
        self.requests.append(request)
        await context.abort(grpc.StatusCode.UNAVAILABLE, "connection reset")

    return method


for rpc in SERVICE.methods:
    setattr(LosingServicer, rpc.name, losing(rpc.name))


@contextlib.asynccontextmanager
async def losing_server() -> AsyncIterator[tuple[LosingServicer, str]]:
    server, servicer = grpc.aio.server(), LosingServicer()
    orchestrator_pb2_grpc.add_OrchestratorServiceServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield servicer, f"127.0.0.1:{port}"
    finally:
        await server.stop(None)


async def test_our_parts_repeat_reads_and_changes_that_have_an_id() -> None:
    options = client_options(SHARED)
    async with (
        losing_server() as (servicer, address),
        open_channel(address, SERVICE.full_name, options) as channel,
    ):
        stub = orchestrator_pb2_grpc.OrchestratorServiceStub(channel)
        with pytest.raises(grpc.aio.AioRpcError):
            await stub.UndoDecision(pb.UndoDecisionRequest(album_id="a"))
        assert len(servicer.requests) == 1
        with pytest.raises(grpc.aio.AioRpcError):
            await call_once(stub.UndoDecision, pb.UndoDecisionRequest(album_id="a"), 20, options)
        sent = [request.request_id for request in servicer.requests[1:]]
        assert len(sent) == 4
        assert len(set(sent)) == 1
        servicer.requests.clear()
        with pytest.raises(grpc.aio.AioRpcError):
            await stub.GetRun(pb.GetRunRequest(run_id="r"))
        assert len(servicer.requests) == 4


async def test_the_client_library_repeats_the_same_calls() -> None:
    async with (
        losing_server() as (servicer, address),
        AsyncClient(Addresses(orchestrator=address)) as client,
    ):
        with pytest.raises(BestshotError):
            await client.run("album")
        with pytest.raises(BestshotError):
            await client.upload("Holidays", [])
        sent = [request.request_id for request in servicer.requests]
        assert [len(set(sent[:4])), len(set(sent[4:]))] == [1, 1]
        assert len(sent) == 8
        assert all(sent)


def test_every_method_is_safe_to_repeat_or_takes_a_request_id() -> None:
    safe = safe_methods(SERVICE.full_name)
    assert "ListImages" in safe
    for method in SERVICE.methods:
        request = method.input_type.fields_by_name
        if "header" in request:
            request = request["header"].message_type.fields_by_name
        assert ("request_id" in request) == (method.name not in safe), method.name
        handler = getattr(OrchestratorServicer, method.name)
        is_wrapped = handler.__code__ is deduplicate(handler).__code__
        assert is_wrapped == (method.name not in safe and method.name != "UploadAlbum")


@pytest.mark.parametrize("part", ["embedding", "quality", "face", "siamese"])
def test_every_call_of_a_model_service_is_safe_to_repeat(part: str) -> None:
    assert len(safe_methods(f"bestshot.{part}.v1.{part.capitalize()}Service")) == 2
