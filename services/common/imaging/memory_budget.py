"""A limit on the total memory that many threads use."""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Iterator


class MemoryBudget:
    """Bytes that threads reserve before they allocate them; first come, first served.

    Smaller reservations do not overtake a large one, so it gets its turn no matter how many there
    are. A thread must not reserve again while it holds a reservation: that could deadlock.
    `rpc.turns.Turns` is a separate class, because it is for an event loop, which must not block.

    Args:
        max_bytes: Maximum number of bytes that may be reserved at any time.
    """

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self._free = max_bytes
        self._changed = threading.Condition()
        self._waiting: deque[object] = deque()

    @property
    def waiting_count(self) -> int:
        """Number of reservations that are waiting."""
        return len(self._waiting)

    @contextlib.contextmanager
    def reserve(self, count: int) -> Iterator[None]:
        """Reserves `count` bytes for the block; waits until they are free.

        Raises:
            ValueError: `count` exceeds the whole budget, so it would wait forever.
        """
        if count > self.max_bytes:
            raise ValueError(f"{count} bytes exceed the budget of {self.max_bytes}")
        turn = object()
        with self._changed:
            self._waiting.append(turn)
            try:
                self._changed.wait_for(lambda: self._waiting[0] is turn and self._free >= count)
                self._free -= count
            finally:
                self._waiting.remove(turn)
                self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                self._free += count
                self._changed.notify_all()
