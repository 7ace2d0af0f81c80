"""What pages cost while nobody uses them."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import cast

import gradio as gr
import pytest
from gradio.queueing import Queue
from gradio.state_holder import StateHolder

from ui.app import SESSION_COUNT, build_app
from ui.client import Orchestrator
from ui.server import look_rarely
from ui.uploads import UploadLimits

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


def test_gradio_remembers_few_pages() -> None:
    """A server that runs for weeks would otherwise grow by 3 GB."""

    async def build() -> gr.Blocks:
        return build_app(cast(Orchestrator, None), UploadLimits(1, 1))

    page = asyncio.run(build())  # Gradio creates locks, so it needs the event loop
    sessions = StateHolder()
    sessions.set_blocks(page)
    assert sessions.capacity == SESSION_COUNT
    sessions.capacity = 2  # each session takes a while to make
    for name in "abcd":
        sessions[name]
    assert list(sessions.session_data) == ["c", "d"]
