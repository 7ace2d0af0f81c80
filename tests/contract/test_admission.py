"""Callers that send nothing, too much or too often must not harm the service or other callers."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

import grpc
import numpy as np
import pytest
import yaml
from bestshot.quality.v1 import quality_pb2, quality_pb2_grpc
from google.protobuf.wrappers_pb2 import StringValue
from grpc_health.v1 import health_pb2, health_pb2_grpc
from numpy.typing import NDArray

from orchestrator.cli.supervisor import Supervisor
from services.common.rpc import admission
from services.common.rpc.admission import ADMITTED_MESSAGES
from services.common.rpc.auth import new_token, token_digest
from services.common.rpc.status import is_queue_full
from tests.contract.servers import Running, pixels_message, running
from tests.waiting import LIMIT_S

SCORE = "/bestshot.quality.v1.QualityService/Score"
IDLE_CALLS = 64


@contextlib.asynccontextmanager
async def connection(service: Running) -> AsyncIterator[grpc.aio.Channel]:
    """Opens a separate connection; by default the channels of a process share one."""
    options = [("grpc.use_local_subchannel_pool", 1)]
    async with grpc.aio.insecure_channel(service.server.address, options=options) as channel:
        yield channel


@contextlib.asynccontextmanager
async def idle_calls(
    *channels: grpc.aio.Channel, token: str = ""
) -> AsyncIterator[Sequence[grpc.aio.StreamUnaryCall]]:
    """Opens `IDLE_CALLS` calls on each channel; none of them sends its request."""
    calls = [
        channel.stream_unary(SCORE)(nothing(), metadata=metadata(token))
        for channel in channels
        for _ in range(IDLE_CALLS)
    ]
    try:
        await asyncio.gather(*(call.wait_for_connection() for call in calls))
        for channel in channels:
            # The server accepts a connection's calls in order, so it has all calls before this one.
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
    """Keeps places occupied, so that no call is admitted because another was ended."""
    monkeypatch.setattr(admission, "REQUEST_READ_S", 2 * LIMIT_S)


async def test_calls_that_send_nothing_are_ended(
    picture: Callable[..., NDArray[np.uint8]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admission, "REQUEST_READ_S", 0.05)
    async with running("quality") as service, idle_calls(service.channel) as idle:
        assert await score(service.channel, picture()) == 1
        assert await idle[0].code() is grpc.StatusCode.UNAVAILABLE
        assert await idle[0].details() == "the request did not arrive within 0.05 s"


async def test_calls_without_a_token_take_no_place(
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


async def test_excess_calls_are_refused_with_a_retry_delay(
    picture: Callable[..., NDArray[np.uint8]], monkeypatch: pytest.MonkeyPatch
) -> None:
    count = IDLE_CALLS + 1  # a connection's own limit leaves room for a health check
    monkeypatch.setenv("BESTSHOT_SERVICES__SHARED__MAX_CONCURRENT_CALLS", str(count))
    async with running("quality") as service, connection(service) as other:
        health = health_pb2_grpc.HealthStub(other)
        async with idle_calls(service.channel):
            last = other.stream_unary(SCORE)(nothing())
            await last.wait_for_connection()
            await health.Check(health_pb2.HealthCheckRequest())
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await score(other, picture())
            assert is_queue_full(refused.value)
            await health.Check(health_pb2.HealthCheckRequest())  # has separate places
            last.cancel()


@pytest.mark.parametrize(
    "method",
    [
        "/bestshot.quality.v1.QualityService/GetModelInfo",
        "/grpc.health.v1.Health/Check",
        "/grpc.health.v1.Health/Watch",
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
    ],
)
async def test_only_methods_with_pictures_or_lists_take_large_requests(method: str) -> None:
    async with running("quality") as service:
        unknown_field = (
            StringValue(value="x" * 2**21).SerializeToString().replace(b"\n", b"\x7a", 1)
        )
        call = service.channel.stream_stream(method)(sent(unknown_field))
        assert await call.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert "at most 1048576 are allowed" in await call.details()


async def sent(content: bytes) -> AsyncIterator[bytes]:
    yield content


@pytest.mark.skipif(sys.platform != "linux", reason="peaks are read from /proc")
@pytest.mark.parametrize(
    "method", ["bestshot.siamese.v1.SiameseService/Compare", "grpc.health.v1.Health/Check"]
)
def test_many_large_requests_take_no_more_memory_than_a_few(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    largest = 8 * 2**20
    monkeypatch.setenv("BESTSHOT_SERVICES__SHARED__MAX_MESSAGE_BYTES", str(largest))
    supervisor = Supervisor(tmp_path, [])
    try:
        supervisor.start("siamese", ["--address", "127.0.0.1:0"])
        address = supervisor.wait_for_address("siamese")
        status = Path(f"/proc/{supervisor.process_id('siamese')}/status")
        before = read_bytes(status, "VmRSS")
        codes = asyncio.run(flood(address, f"/{method}", bytes(largest - 64)))
        peak = read_bytes(status, "VmHWM")
    finally:
        supervisor.stop()
    assert codes == {grpc.StatusCode.INVALID_ARGUMENT}
    # each is in memory up to three times: as received data, as bytes, as a message
    assert peak - before < 3 * ADMITTED_MESSAGES * largest + FEW_BYTES


FLOOD_CALLS = 64
FEW_BYTES = 32 * 2**20


async def flood(address: str, method: str, content: bytes) -> set[grpc.StatusCode]:
    """Calls through several connections, which count as peers; returns how the calls ended."""
    options = [("grpc.use_local_subchannel_pool", 1), ("grpc.max_send_message_length", -1)]
    channels = [grpc.aio.insecure_channel(address, options=options) for _ in range(4)]
    calls = [channels[n % 4].unary_unary(method)(content) for n in range(FLOOD_CALLS)]
    codes = {await call.code() for call in calls}
    for channel in channels:
        await channel.close()
    return codes


def read_bytes(status: Path, field: str) -> int:
    return int(status.read_text().split(f"{field}:")[1].split()[0]) * 1024
