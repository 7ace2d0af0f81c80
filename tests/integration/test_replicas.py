"""Two replicas of a model service under load; one of them is stopped."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
from bestshot.embedding.v1 import embedding_pb2, embedding_pb2_grpc
from bestshot.image.v1 import image_pb2

from orchestrator.cli.supervisor import Supervisor
from services.common.rpc.channels import client_options, open_channel
from tests.conftest import draw_picture
from tests.contract.servers import SHARED
from tests.waiting import LIMIT_S, wait_until

SERVICE_NAME = "bestshot.embedding.v1.EmbeddingService"
CALLERS = 6


async def call_until(
    stub: embedding_pb2_grpc.EmbeddingServiceStub,
    stop: asyncio.Event,
    seed: int,
    found: list[bytes],
) -> None:
    """Embeds one picture repeatedly; a failed call fails the test."""
    pixels = draw_picture(seed, 256, 192)
    image = image_pb2.Image(
        pixels=image_pb2.Pixels(width_px=256, height_px=192, rgb=pixels.tobytes())
    )
    while not stop.is_set():
        request = embedding_pb2.EmbedRequest(images=[image] * 3)
        answer = await stub.Embed(request, timeout=LIMIT_S)
        for result in answer.results:
            assert result.HasField("embedding"), result
            found.append(np.array(result.embedding.values, np.float32).tobytes())


def test_a_replica_stopped_under_load_ends_cleanly_and_the_other_continues(
    tmp_path: Path,
) -> None:
    supervisor = Supervisor(tmp_path / "first", [])
    other = Supervisor(tmp_path / "second", [])

    found: list[list[bytes]] = [[] for _ in range(CALLERS)]

    def have_gained(counts: list[int]) -> bool:
        return all(len(one) >= count + 9 for one, count in zip(found, counts, strict=True))

    async def scenario(addresses: list[str]) -> None:
        target = "ipv4:" + ",".join(addresses)
        async with open_channel(target, SERVICE_NAME, client_options(SHARED)) as channel:
            stub = embedding_pb2_grpc.EmbeddingServiceStub(channel)
            stop = asyncio.Event()
            callers = [
                asyncio.ensure_future(call_until(stub, stop, seed, results))
                for seed, results in enumerate(found)
            ]

            async def until(condition: Callable[[], bool]) -> None:
                def is_over() -> bool:  # a call that fails ends its caller
                    return condition() or any(caller.done() for caller in callers)

                await asyncio.to_thread(wait_until, is_over)

            await until(lambda: have_gained([0] * CALLERS))
            os.kill(supervisor.process_id("embedding"), signal.SIGTERM)
            await until(lambda: supervisor.has_died_since("embedding", 0))
            counts = [len(results) for results in found]
            await until(lambda: have_gained(counts))
            stop.set()
            await asyncio.gather(*callers)

    try:
        for one in (supervisor, other):
            one.start("embedding", ["--address", "127.0.0.1:0"])
        addresses = [one.wait_for_address("embedding") for one in (supervisor, other)]
        asyncio.run(scenario(addresses))
        assert "exit code 0" in supervisor.last_words("embedding")
    finally:
        supervisor.stop()
        other.stop()
    assert all(len(set(results)) == 1 for results in found)
    assert len({results[0] for results in found}) == CALLERS
