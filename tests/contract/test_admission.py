"""Callers that open a call and send nothing: they must not block the others."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import grpc
import numpy as np
import pytest
import yaml
from bestshot.quality.v1 import quality_pb2, quality_pb2_grpc
from numpy.typing import NDArray

from services.common.rpc import interceptors
from services.common.rpc.auth import new_token, token_digest
from tests.contract.servers import Running, pixels_message, running

SCORE = "/bestshot.quality.v1.QualityService/Score"


async def nothing() -> AsyncIterator[bytes]:
    await asyncio.Event().wait()
    yield b""


@contextlib.asynccontextmanager
async def idle_callers(service: Running) -> AsyncIterator[None]:
    """Twice as many calls as there are places, none of which sends its request."""
    count = 2 * interceptors.ADMITTED_MESSAGES
    calls = [service.channel.stream_unary(SCORE)(nothing()) for _ in range(count)]
    try:
        await asyncio.gather(*(call.wait_for_connection() for call in calls))
        yield
    finally:
        for call in calls:
            call.cancel()


async def score(service: Running, pixels: NDArray[np.uint8], token: str = "") -> int:
    stub = quality_pb2_grpc.QualityServiceStub(service.channel)
    request = quality_pb2.ScoreRequest(images=[pixels_message(pixels)])
    metadata = (("authorization", f"Bearer {token}"),) if token else ()
    return len((await stub.Score(request, metadata=metadata)).results)


async def test_calls_that_send_nothing_are_ended(
    picture: Callable[..., NDArray[np.uint8]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(interceptors, "REQUEST_READ_S", 0.05)
    async with running("quality") as service, idle_callers(service):
        assert await score(service, picture()) == 1


async def test_calls_without_a_token_hold_no_place(
    picture: Callable[..., NDArray[np.uint8]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    token, file = new_token(), tmp_path / "tokens.yaml"
    known = {"me": {"sha256": token_digest(token), "scope": "run"}}
    file.write_text(yaml.safe_dump({"tokens": known}))
    monkeypatch.setenv("BESTSHOT_SERVICES__SHARED__TOKENS_FILE", str(file))
    async with running("quality") as service, idle_callers(service):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await score(service, picture())
        assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED
        assert await score(service, picture(), token) == 1
