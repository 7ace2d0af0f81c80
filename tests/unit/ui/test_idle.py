"""The page's load on the processor while nobody uses it."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest
from gradio.queueing import Queue

from ui.server import look_rarely

pytestmark = pytest.mark.slow

MAX_WAKEUPS_PER_S = 25


def test_gradios_queue_rarely_wakes_while_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: Counter[str] = Counter()
    sleep = asyncio.sleep

    async def run() -> None:
        queue = Queue(True, 1, 1, None, None)  # creates its locks, so it needs the event loop
        look_rarely(queue)

        async def count(seconds: float) -> None:
            assert seconds >= 1 / MAX_WAKEUPS_PER_S
            caller = asyncio.current_task()
            assert caller is not None
            slept[caller.get_name()] += 1
            queue.stopped = len(slept) == 2  # both loops have slept
            await sleep(0)

        monkeypatch.setattr(asyncio, "sleep", count)
        await asyncio.gather(queue.start_processing(), queue.start_progress_updates())

    asyncio.run(run())
    assert len(slept) == 2
