"""Tells open pages when runs or models have changed, as server-sent events."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

from fastapi import APIRouter
from fastapi.responses import Response, StreamingResponse

from ui.client import Orchestrator, OrchestratorError

RUN_INTERVAL_S = 1.0
MODELS_INTERVAL_S = 10.0
HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


def news_router(api: Orchestrator) -> APIRouter:
    """Serves the events for a page that shows one album, or none."""
    router = APIRouter(prefix="/news")

    async def news(album: str = "") -> Response:
        return StreamingResponse(
            _events(api, album), media_type="text/event-stream", headers=HEADERS
        )

    router.add_api_route("", news)
    return router


async def _events(api: Orchestrator, album_id: str) -> AsyncIterator[str]:
    """Yields "run" and "models" once at the start and then after each change.

    The page asks for what it shows by itself, so these events carry no data. The two are watched
    apart, because a frozen model service delays the answer about models.
    """
    changed: asyncio.Queue[str] = asyncio.Queue()

    async def newest_run() -> object:
        return await api.runs(album_id, 1) if album_id else []

    watchers = [
        asyncio.create_task(_watch(newest_run, RUN_INTERVAL_S, changed, "run")),
        asyncio.create_task(_watch(api.models, MODELS_INTERVAL_S, changed, "models")),
    ]
    try:
        while True:
            yield f"event: {await changed.get()}\ndata:\n\n"
    finally:
        for watcher in watchers:
            watcher.cancel()


async def _watch(
    ask: Callable[[], Awaitable[object]], interval_s: float, changed: asyncio.Queue[str], name: str
) -> None:
    seen: object = None
    while True:
        try:
            now = await ask()
        except OrchestratorError as error:
            now = error.message
        if now != seen:
            changed.put_nowait(name)
        seen = now
        await asyncio.sleep(interval_s)
