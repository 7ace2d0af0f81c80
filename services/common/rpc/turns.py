"""Shares a limited amount among callers, first come, first served."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator


class Turns:
    """A number of items or bytes that callers share, first come, first served.

    Unlike with asyncio.Semaphore, callers take any amount at once, and small requests do not
    overtake large ones. `imaging.memory_budget.MemoryBudget` is a separate class, because it is for
    threads, which block while they wait.
    """

    def __init__(self, amount: int) -> None:
        self._amount = self._free = amount
        self._waiting: deque[tuple[asyncio.Future[None], int]] = deque()

    async def take(self, amount: int) -> None:
        """Waits until `amount` (at most the total) is free and all earlier callers have theirs."""
        if not self._waiting and amount <= self._free:
            self._free -= amount
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append((turn, amount))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # the turn was granted just before
                self.release(amount)
            else:
                self._grant()  # skips this one, because those behind it may need less
            raise

    @contextlib.asynccontextmanager
    async def hold(self, amount: int) -> AsyncIterator[None]:
        """Holds `amount`, or the total if that is less, within the block."""
        amount = min(amount, self._amount)
        await self.take(amount)
        try:
            yield
        finally:
            self.release(amount)

    def release(self, amount: int) -> None:
        """Releases a taken amount."""
        self._free += amount
        self._grant()

    def _grant(self) -> None:
        while self._waiting:
            turn, amount = self._waiting[0]
            if not turn.done():
                if amount > self._free:
                    return
                self._free -= amount
                turn.set_result(None)
            self._waiting.popleft()
