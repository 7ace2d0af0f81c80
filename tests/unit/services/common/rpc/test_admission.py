"""The turns of peers, and the memory that their requests take."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
from google.protobuf.empty_pb2 import Empty

from services.common.rpc.admission import ADMITTED_MESSAGES, Admission, Received

LARGEST = 1000


class Caller:
    """A call that sends its request, and ends, under the test's control."""

    def __init__(self, admission: Admission, peer: str, order: list[str]) -> None:
        self._request: asyncio.Future[Received] = asyncio.get_running_loop().create_future()
        self._end = asyncio.Event()
        self.is_read = asyncio.Event()
        self.is_admitted = asyncio.Event()
        self.task = asyncio.ensure_future(self._run(admission, peer, order))

    async def _run(self, admission: Admission, peer: str, order: list[str]) -> None:
        async with admission.read(lambda: self._read(peer, order), peer):
            self.is_read.set()
            await self._end.wait()

    async def _read(self, peer: str, order: list[str]) -> Received:
        order.append(peer)
        self.is_admitted.set()
        return await self._request

    async def send(self, size: int) -> None:
        self._request.set_result(Received(Empty(), size))
        await self.is_read.wait()

    async def end(self) -> None:
        self._end.set()
        await self.task

    async def cancel(self) -> None:
        self.task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self.task


async def settle() -> None:
    """Lets every task run until it waits."""
    for _ in range(20):
        await asyncio.sleep(0)


@pytest.fixture
def order() -> list[str]:
    """The peers of the admitted calls, in order."""
    return []


async def test_one_peer_takes_at_most_half_of_the_places(order: list[str]) -> None:
    admission = Admission(LARGEST)
    calls = [Caller(admission, "busy", order) for _ in range(10)]
    await settle()
    assert order == ["busy"] * (ADMITTED_MESSAGES // 2)
    other = Caller(admission, "other", order)
    await other.is_admitted.wait()
    for call in (*calls, other):
        await call.cancel()


async def test_waiting_peers_take_turns(order: list[str]) -> None:
    admission = Admission(LARGEST)
    full = [Caller(admission, f"early-{number}", order) for number in range(ADMITTED_MESSAGES)]
    await settle()
    order.clear()
    waiting = [Caller(admission, peer, order) for peer in ("a", "a", "a", "b", "c", "c")]
    await settle()
    assert order == []
    for call in full:
        await call.cancel()
        await settle()
    assert order == ["a", "b", "c", "a"]
    for call in waiting:
        await call.cancel()


async def test_small_requests_make_room_once_they_are_read(order: list[str]) -> None:
    admission = Admission(LARGEST)
    calls = [Caller(admission, "one", order) for _ in range(20)]
    for call in calls:
        await call.send(10)
    assert len(order) == len(calls)
    for call in calls:
        await call.end()


async def test_requests_hold_their_size_until_their_calls_end(
    order: list[str],
) -> None:
    admission = Admission(LARGEST)
    calls = [Caller(admission, "one", order) for _ in range(ADMITTED_MESSAGES)]
    for call in calls:
        await call.send(400)
    order.clear()
    late = [Caller(admission, f"late-{number}", order) for number in range(3)]
    await settle()
    assert order == ["late-0", "late-1"]
    await calls[0].end()
    await settle()
    assert order == ["late-0", "late-1"]  # 791 bytes are free
    await calls[1].end()
    await late[2].is_admitted.wait()
    for call in (*calls[2:], *late):
        await call.cancel()


async def test_cancelled_calls_release_everything(order: list[str]) -> None:
    admission = Admission(LARGEST)
    for _ in range(3):
        calls = [Caller(admission, f"peer-{number % 3}", order) for number in range(30)]
        await settle()
        for call in calls:
            call.task.cancel()
        await asyncio.wait([call.task for call in calls])
    order.clear()
    last = [Caller(admission, f"peer-{number}", order) for number in range(ADMITTED_MESSAGES)]
    await settle()
    assert len(order) == ADMITTED_MESSAGES
    for call in last:
        await call.cancel()
