"""Tells open pages when runs or models have changed, as server-sent events."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator

from fastapi import APIRouter
from fastapi.responses import Response, StreamingResponse

from ui.client import Orchestrator, OrchestratorError

RUN_INTERVAL_S = 1.0
MODELS_INTERVAL_S = 10.0
HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


def news_router(api: Orchestrator) -> APIRouter:
    """Serves the events for a page that shows one album, or none."""
    router = APIRouter(prefix="/news")
    news = News(api)

    async def stream(album: str = "") -> Response:
        return StreamingResponse(
            news.follow(album), media_type="text/event-stream", headers=HEADERS
        )

    router.add_api_route("", stream)
    return router


class News:
    """Watches models and the newest run of each followed album, once for all open pages."""

    def __init__(self, api: Orchestrator) -> None:
        self._api = api
        self._models = _Watch("models", self._list_models, MODELS_INTERVAL_S)
        self._runs: dict[str, _Watch] = {}

    async def follow(self, album_id: str) -> AsyncGenerator[str]:
        """Yields "run" and "models" once at the start and then after each change.

        The page itself requests what it shows, so these events carry no data. Runs and models are
        watched separately, because a frozen model service delays the answer about models.
        """
        changed: asyncio.Queue[str] = asyncio.Queue()
        with self._models.follow(changed), self._follow_runs(album_id, changed):
            while True:
                yield f"event: {await changed.get()}\ndata:\n\n"

    async def _list_models(self) -> object:
        return await self._api.models()

    @contextlib.contextmanager
    def _follow_runs(self, album_id: str, changed: asyncio.Queue[str]) -> Iterator[None]:
        if not album_id:
            yield
            return

        async def newest_run() -> object:
            return await self._api.runs(album_id, 1)

        watch = self._runs.setdefault(album_id, _Watch("run", newest_run, RUN_INTERVAL_S))
        try:
            with watch.follow(changed):
                yield
        finally:
            if not watch.is_followed:
                self._runs.pop(album_id, None)


class _Watch:
    """Polls while there are followers, and reports each change to all of them."""

    def __init__(self, name: str, ask: Callable[[], Awaitable[object]], interval_s: float) -> None:
        self._name = name
        self._ask = ask
        self._interval_s = interval_s
        self._followers: list[asyncio.Queue[str]] = []
        self._seen: object = None
        self._task: asyncio.Task[None] | None = None

    @property
    def is_followed(self) -> bool:
        return bool(self._followers)

    @contextlib.contextmanager
    def follow(self, changed: asyncio.Queue[str]) -> Iterator[None]:
        """Puts the name into `changed` once the first answer is known, and after each change."""
        self._followers.append(changed)
        if self._seen is not None:
            changed.put_nowait(self._name)
        if self._task is None:
            self._task = asyncio.create_task(self._watch())
        try:
            yield
        finally:
            self._followers.remove(changed)
            if not self._followers:
                self._task.cancel()
                self._task = self._seen = None

    async def _watch(self) -> None:
        while True:
            try:
                now = await self._ask()
            except OrchestratorError as error:
                now = error.message
            if now != self._seen:
                for changed in self._followers:
                    changed.put_nowait(self._name)
            self._seen = now
            await asyncio.sleep(self._interval_s)
