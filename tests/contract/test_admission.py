"""Callers that open calls and send nothing: they must not block the others."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

import grpc
import numpy as np
import pytest
import yaml
from bestshot.quality.v1 import quality_pb2, quality_pb2_grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from numpy.typing import NDArray

from services.common.rpc import admission
from services.common.rpc.auth import new_token, token_digest
from tests.contract.servers import Running, pixels_message, running
from tests.waiting import LIMIT_S

SCORE = "/bestshot.quality.v1.QualityService/Score"
IDLE_CALLS = 64


@contextlib.asynccontextmanager
async def connection(service: Running) -> AsyncIterator[grpc.aio.Channel]:
    """A connection of its own; channels of one process share theirs otherwise."""
    options = [("grpc.use_local_subchannel_pool", 1)]
    async with grpc.aio.insecure_channel(service.server.address, options=options) as channel:
        yield channel


@contextlib.asynccontextmanager
async def idle_calls(
    *channels: grpc.aio.Channel, token: str = ""
) -> AsyncIterator[Sequence[grpc.aio.StreamUnaryCall]]:
    """`IDLE_CALLS` on each channel that the server knows of; none sends its request."""
    calls = [
        channel.stream_unary(SCORE)(nothing(), metadata=metadata(token))
        for channel in channels
        for _ in range(IDLE_CALLS)
    ]
    try:
        await asyncio.gather(*(call.wait_for_connection() for call in calls))
        for channel in channels:
            # The server takes up the calls of a connection in order: it has those before this one.
            await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
        yield calls
    finally:
        for call in calls:
            call.cancel()


async def nothing() -> AsyncIterator[bytes]:
    await asyncio.Event().wait()
    yield b""


async def score(channel: grpc.aio.Channel, pixels: NDArray[np.uint8], token: str = "") -> int:
    stub = quality_pb2_grpc.QualityServiceStub(channel)
    request = quality_pb2.ScoreRequest(images=[pixels_message(pixels)])
    answer = await stub.Score(request, metadata=metadata(token), timeout=LIMIT_S)
    return len(answer.results)


def metadata(token: str) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {token}"),) if token else ()


@pytest.fixture
def tokens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, str]:
    """The tokens of two callers."""
    pair = new_token(), new_token()
    file = tmp_path / "tokens.yaml"
    known = {
        f"caller-{number}": {"sha256": token_digest(token), "scope": "run"}
        for number, token in enumerate(pair)
    }
    file.write_text(yaml.safe_dump({"tokens": known}))
    monkeypatch.setenv("BESTSHOT_SERVICES__SHARED__TOKENS_FILE", str(file))
    return pair


@pytest.fixture
def no_read_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keeps places held: nobody gets in because a call was ended."""
    monkeypatch.setattr(admission, "REQUEST_READ_S", 2 * LIMIT_S)


async def test_calls_that_send_nothing_are_ended(
    picture: Callable[..., NDArray[np.uint8]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admission, "REQUEST_READ_S", 0.05)
    async with running("quality") as service, idle_calls(service.channel) as idle:
        assert await score(service.channel, picture()) == 1
        assert await idle[0].code() is grpc.StatusCode.UNAVAILABLE
        assert await idle[0].details() == "the request did not arrive within 0.05 s"


async def test_calls_without_a_token_hold_no_place(
    picture: Callable[..., NDArray[np.uint8]], tokens: tuple[str, str]
) -> None:
    async with running("quality") as service, idle_calls(service.channel):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await score(service.channel, picture())
        assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED
        assert await score(service.channel, picture(), tokens[0]) == 1


@pytest.mark.usefixtures("no_read_limit")
async def test_idle_calls_of_one_connection_leave_room_for_another(
    picture: Callable[..., NDArray[np.uint8]],
) -> None:
    async with (
        running("quality") as service,
        connection(service) as other,
        idle_calls(service.channel) as idle,
    ):
        assert await score(other, picture()) == 1
        assert not any(call.done() for call in idle)


@pytest.mark.usefixtures("no_read_limit")
async def test_idle_calls_with_one_token_leave_room_for_another_token(
    picture: Callable[..., NDArray[np.uint8]], tokens: tuple[str, str]
) -> None:
    async with (
        running("quality") as service,
        connection(service) as second,
        idle_calls(service.channel, second, token=tokens[0]) as idle,
    ):
        assert await score(second, picture(), tokens[1]) == 1
        assert not any(call.done() for call in idle)


async def test_a_call_that_ends_without_a_request_is_invalid() -> None:
    async def end() -> AsyncIterator[bytes]:
        return
        yield b""

    async with running("quality") as service:
        call = service.channel.stream_unary(SCORE)(end())
        assert await call.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert await call.details() == "the call has no request"
