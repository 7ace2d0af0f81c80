"""The Cull view over HTTP: its page, its files, and the JSON that it reads and sends."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any

from bestshot.orchestrator.v1 import orchestrator_pb2 as pb
from fastapi import APIRouter, Header
from fastapi.responses import Response, StreamingResponse

from ui.client import PAGE_SIZE, Orchestrator, OrchestratorError
from ui.cull.decisions import Batch, import_request
from ui.cull.photos import addition_json, album_json, photo_json
from ui.full_window import count_entries, find_album, find_completed_run, serve_file, serve_page
from ui.http_errors import http_errors

STATIC = Path(__file__).parent / "static"


def cull_url(album_id: str, run_id: str) -> str:
    """Returns the address of a run's view."""
    return f"/cull/{album_id}/{run_id}"


def cull_router(api: Orchestrator) -> APIRouter:
    """Serves the view over the orchestrator's API."""
    view = _CullView(api)
    router = APIRouter(prefix="/cull")
    router.add_api_route("/files/{name}", view.file)
    router.add_api_route("/{album_id}/{run_id}", view.page)
    router.add_api_route("/{album_id}/{run_id}/photos", view.photos, response_model=None)
    router.add_api_route("/{album_id}/{run_id}/events", view.events)
    router.add_api_route(
        "/{album_id}/{run_id}/decisions", view.decide, methods=["POST"], response_model=None
    )
    return router


class _CullView:
    """Handles requests; a failed call to the orchestrator becomes the matching HTTP error."""

    def __init__(self, api: Orchestrator) -> None:
        self._api = api

    async def file(self, name: str) -> Response:
        """Serves a module, the style sheet or the icon."""
        return serve_file(STATIC, name)

    async def page(self, album_id: str, run_id: str) -> Response:
        """Serves the page, which is the same for all runs."""
        return serve_page(STATIC / "cull.html")

    async def photos(self, album_id: str, run_id: str) -> dict[str, Any]:
        """Returns all photos in a run, as described by `album_json`."""
        with http_errors():
            run = await find_completed_run(self._api, album_id, run_id)
            album = await find_album(self._api, album_id)
            entry_count = await count_entries(self._api, album_id)
            return album_json(album, run, await self._list_images(run_id), entry_count)

    async def decide(self, album_id: str, run_id: str, batch: Batch) -> dict[str, Any]:
        """Stores decisions; returns the photos in the run whose result changed."""
        request = import_request(album_id, run_id, batch, self._api.user)
        with http_errors():
            answer = await self._api.call(self._api.stub.ImportDecisions, request)
        return {"changed": [photo_json(image) for image in answer.changed_images]}

    async def events(
        self, album_id: str, run_id: str, known: int, last_event_id: Annotated[str, Header()] = ""
    ) -> Response:
        """Streams additions to the album's log after `known` entries, as server-sent events."""
        if last_event_id.isdecimal():  # the browser is reopening a stream
            known = int(last_event_id)
        request = pb.WatchDecisionsRequest(
            album_id=album_id, run_id=run_id, known_entry_count=known
        )
        additions = self._api.watch_decisions(request)
        with http_errors():
            first = await anext(additions)
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        return StreamingResponse(
            _events(first, additions), media_type="text/event-stream", headers=headers
        )

    async def _list_images(self, run_id: str) -> list[pb.ImageResult]:
        found: list[pb.ImageResult] = []
        token = ""
        while True:
            request = pb.ListImagesRequest(
                run_id=run_id, page_size=PAGE_SIZE, order_by="moment", page_token=token
            )
            answer = await self._api.call(self._api.stub.ListImages, request)
            found += answer.images
            token = answer.next_page_token
            if not token:
                return found


async def _events(
    first: pb.WatchDecisionsResponse, additions: AsyncIterator[pb.WatchDecisionsResponse]
) -> AsyncIterator[str]:
    """Yields one event per addition; its id is the length of the log."""
    yield _event(first)
    with contextlib.suppress(OrchestratorError):  # the browser reconnects
        async for addition in additions:
            yield _event(addition)


def _event(addition: pb.WatchDecisionsResponse) -> str:
    return f"id: {addition.entry_count}\ndata: {json.dumps(addition_json(addition))}\n\n"
