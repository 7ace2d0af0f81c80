"""Lets callers that need the same result at the same time share one call."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

ResultT = TypeVar("ResultT")


@dataclass
class _Call(Generic[ResultT]):
    task: asyncio.Task[ResultT]
    waiting_count: int = 0


class SharedCalls(Generic[ResultT]):
    """Runs at most one call per key at a time; for use in a single event loop."""

    def __init__(self) -> None:
        self._calls: dict[str, _Call[ResultT]] = {}

    async def run(self, key: str, start: Callable[[], Coroutine[Any, Any, ResultT]]) -> ResultT:
        """Awaits the call in progress for a key, or starts one; cancelled once no caller waits."""
        call = self._calls.get(key)
        if call is None:
            call = self._calls[key] = _Call(asyncio.create_task(start()))
        call.waiting_count += 1
        try:
            return await asyncio.shield(call.task)
        finally:
            call.waiting_count -= 1
            if call.waiting_count == 0 or call.task.done():
                call.task.cancel()  # does nothing to a call that has ended
                if self._calls.get(key) is call:
                    del self._calls[key]
