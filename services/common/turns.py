"""A bounded amount that is shared first come, first served."""

from __future__ import annotations

import asyncio
from collections import deque


class Turns:
    """An amount of something, items or bytes, of which callers take a share in turn.

    Unlike with asyncio.Semaphore, callers take any amount at once, and one that asks for a lot is
    not overtaken by those that ask for little.
    """

    def __init__(self, amount: int) -> None:
        self._free = amount
        self._waiting: deque[tuple[asyncio.Future[None], int]] = deque()

    async def take(self, amount: int) -> None:
        """Waits until `amount`, at most the whole, is free and all earlier callers have theirs."""
        if not self._waiting and amount <= self._free:
            self._free -= amount
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append((turn, amount))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # it was granted just before
                self.give_back(amount)
            else:
                self._grant()  # skips this one; those behind may ask for less
            raise

    def give_back(self, amount: int) -> None:
        """Frees an amount that was taken."""
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
