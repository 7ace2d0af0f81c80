"""The stream of events for open pages."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import cast

from ui.client import Orchestrator
from ui.news import News


class FakeApi:
    """Counts the questions about each album and about models."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()
        self.answer = asyncio.Event()

    async def models(self) -> list[str]:
        self.asked["models"] += 1
        await self.answer.wait()
        return ["quality"]

    async def runs(self, album_id: str, count: int) -> list[str]:
        self.asked[album_id] += 1
        await self.answer.wait()
        return [f"the newest of {count}"]


def test_all_pages_share_one_watcher_of_each_thing() -> None:
    async def open_pages() -> Counter[str]:
        api = FakeApi()
        news = News(cast(Orchestrator, api))
        pages = [news.follow("a"), news.follow("a"), news.follow("b"), news.follow("")]
        first = [asyncio.ensure_future(anext(page)) for page in pages]
        await asyncio.sleep(0)
        api.answer.set()
        events = [await event for event in first]
        events += [await anext(page) for page in pages[:3]]
        late = news.follow("a")
        events += [await anext(late) for _ in range(2)]
        assert Counter(events) == {"event: run\ndata:\n\n": 4, "event: models\ndata:\n\n": 5}
        asked = Counter(api.asked)
        for page in [*pages, late]:
            await page.aclose()
        await asyncio.sleep(0)  # lets the cancelled watchers end
        assert len(asyncio.all_tasks()) == 1, "nobody follows, so nobody asks"
        again = news.follow("a")
        assert await anext(again)
        await again.aclose()
        return asked

    assert asyncio.run(open_pages()) == {"models": 1, "a": 1, "b": 1}
