"""Limits calls in progress, and the memory for their requests, which peers share fairly.

The gRPC servers and the JSON API follow the same rules.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter, deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass

import grpc
from google.protobuf.message import Message

from services.common.errors import ResourceExhaustedError, UnavailableError

ADMITTED_MESSAGES = 4
"""How many requests of the maximum size, or smaller ones of the same total size, are in memory at
the same time. That is enough to keep the workers busy; further requests wait at their clients."""
REQUEST_READ_S = 60.0
"""Time for a request to arrive; one of the maximum size takes less at 10 Mbit/s."""
SMALL_REQUEST_BYTES = 2**20
"""Maximum size of a request that has neither pictures nor long lists; a larger one is refused,
but only after it has been read."""
SMALL_MESSAGES = 2
"""Like `ADMITTED_MESSAGES`, for small requests; once read, they no longer count."""
SMALL_READ_S = 10.0
PROBE_READ_S = 2.0


def peer_of(token_name: str, context: grpc.aio.ServicerContext) -> str:
    """Returns the peer to which a call is attributed.

    This is the name of its token, on all connections that send it. Without tokens, it is the
    connection's address and port, "ipv4:10.0.0.7:51234"; all callers of a Unix socket are one peer,
    "unix:". So without tokens a caller that opens many connections counts as many peers.
    """
    return f"token:{token_name}" if token_name else context.peer()


class Places:
    """Counts calls in progress.

    Args:
        count: Maximum number of them.
    """

    def __init__(self, count: int) -> None:
        self._count = self._free = count

    @contextlib.contextmanager
    def take(self) -> Iterator[None]:
        """Takes a place within the block.

        Raises:
            ResourceExhaustedError: All places are taken.
        """
        if not self._free:
            raise ResourceExhaustedError(
                f"{self._count} calls are in progress, which is the limit "
                f"(shared.max_concurrent_calls)"
            )
        self._free -= 1
        try:
            yield
        finally:
            self._free += 1


@dataclass(frozen=True)
class Received:
    """A request.

    Attributes:
        message: The request.
        size_bytes: Its size as received; to compute it, protobuf would serialize the message.
    """

    message: Message
    size_bytes: int


class Admission:
    """Admits requests into memory; peers take turns.

    A request counts as the maximum size until it is read, and as its actual size until its call
    ends. At most half of the requests being read may come from one peer. Among waiting peers, the
    next is the one that was served least recently; the requests of one peer are served in order.

    Args:
        max_message_bytes: Maximum size of one request.
        is_small: Whether the requests have at most `SMALL_REQUEST_BYTES`; otherwise the limits for
            large requests apply.
        read_s: Time for a request to arrive.
    """

    def __init__(
        self, max_message_bytes: int, *, is_small: bool = False, read_s: float | None = None
    ) -> None:
        self._is_small = is_small
        self._read_s = read_s
        count = SMALL_MESSAGES if is_small else ADMITTED_MESSAGES
        # A request that is never sent holds its place for `read_s`, so a peer that took all places
        # would block the other peers for that long.
        self._max_reading = count // 2
        self._largest = max_message_bytes
        self._free = count * max_message_bytes
        self._reading: Counter[str] = Counter()
        # Ordered by turn: a peer moves to the end when it is served.
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}

    @contextlib.asynccontextmanager
    async def read(
        self, read_message: Callable[[], Awaitable[object]], peer: str
    ) -> AsyncIterator[object]:
        """Waits for room, reads a request of a call, and holds the room within the block.

        Args:
            read_message: Returns a `Received` request, bytes, or something that takes no memory,
                such as `grpc.aio.EOF`; it is taken from the network only when this is called.
            peer: See `peer_of`.

        Raises:
            UnavailableError: The request did not arrive in time.
        """
        await self._enter(peer)
        held = self._largest
        try:
            try:
                request = await self._read(read_message)
                held = self._size(request)
            finally:
                self._leave_reading(peer, self._largest - held)
            yield request
        finally:
            self._free += held
            self._grant()

    async def _read(self, read_message: Callable[[], Awaitable[object]]) -> object:
        limit_s = self._read_s or REQUEST_READ_S
        try:
            async with asyncio.timeout(limit_s):
                return await read_message()
        except TimeoutError:
            raise UnavailableError(f"the request did not arrive within {limit_s:g} s") from None

    def _size(self, request: object) -> int:
        if self._is_small:
            return 0
        if isinstance(request, bytes):
            return len(request)
        return request.size_bytes if isinstance(request, Received) else 0

    async def _enter(self, peer: str) -> None:
        turn = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(peer, deque()).append(turn)
        self._grant()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.cancelled():
                self._forget(peer, turn)
            else:  # the turn was granted just before
                self._leave_reading(peer, self._largest)
            raise

    def _forget(self, peer: str, turn: asyncio.Future[None]) -> None:
        turns = self._waiting.get(peer, deque())
        if turn in turns:
            turns.remove(turn)
            if not turns:
                del self._waiting[peer]

    def _leave_reading(self, peer: str, freed: int) -> None:
        self._reading -= Counter({peer: 1})  # subtracting in place also drops the peer at zero
        self._free += freed
        self._grant()

    def _grant(self) -> None:
        while self._free >= self._largest and (peer := self._next_peer()) is not None:
            turns = self._waiting.pop(peer)
            turn = turns.popleft()
            if turns:
                self._waiting[peer] = turns
            if not turn.cancelled():  # otherwise its call has ended, but `_forget` has not run yet
                self._free -= self._largest
                self._reading[peer] += 1
                turn.set_result(None)

    def _next_peer(self) -> str | None:
        # Looks at few peers: at most two can be at their limit.
        return next(
            (peer for peer in self._waiting if self._reading[peer] < self._max_reading), None
        )
