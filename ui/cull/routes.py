"""The Cull view over HTTP: its page, its files, and the JSON that it reads and sends."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Annotated, Any

from bestshot.orchestrator.v1 import orchestrator_pb2 as pb
from fastapi import APIRouter, Header, HTTPException
from fastapi.responses import FileResponse, Response, StreamingResponse

from ui.client import PAGE_SIZE, Orchestrator, OrchestratorError
from ui.cull.decisions import Batch, import_request
from ui.cull.photos import addition_json, album_json, photo_json
from ui.http_errors import http_error

STATIC = Path(__file__).parent / "static"
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
)
_MEDIA_TYPES = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
_FRESH = {"Cache-Control": "no-cache"}
"""Makes the browser check each time whether a file has changed."""


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
        path = STATIC / name
        if path.suffix not in _MEDIA_TYPES or path not in STATIC.iterdir():
            raise HTTPException(404, f"there is no file {name!r}")
        return FileResponse(path, media_type=_MEDIA_TYPES[path.suffix], headers=_FRESH)

    async def page(self, album_id: str, run_id: str) -> Response:
        """Serves the page, which is the same for all runs."""
        headers = {"Content-Security-Policy": CONTENT_SECURITY_POLICY, **_FRESH}
        return FileResponse(STATIC / "cull.html", media_type="text/html", headers=headers)

    async def photos(self, album_id: str, run_id: str) -> dict[str, Any]:
        """Returns all photos of a run, as described by `album_json`."""
        call, stub = self._api.call, self._api.stub
        with _http_errors():
            run = await self._find_run(album_id, run_id)
            album = (await call(stub.GetAlbum, pb.GetAlbumRequest(album_id=album_id))).album
            log = pb.ListDecisionsRequest(album_id=album_id, page_size=1)
            entry_count = (await call(stub.ListDecisions, log)).total_count
            return album_json(album, run, await self._list_images(run_id), entry_count)

    async def decide(self, album_id: str, run_id: str, batch: Batch) -> dict[str, Any]:
        """Stores decisions; returns the photos of the run whose result changed."""
        request = import_request(album_id, run_id, batch, self._api.user)
        with _http_errors():
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
        with _http_errors():
            first = await anext(additions)
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        return StreamingResponse(
            _events(first, additions), media_type="text/event-stream", headers=headers
        )

    async def _find_run(self, album_id: str, run_id: str) -> pb.Run:
        """Finds a completed run of the album.

        Raises:
            HTTPException: It belongs to another album, or is not completed.
        """
        run = await self._api.run(run_id)
        if run.album_id != album_id:
            raise HTTPException(404, f"run {run_id} does not belong to album {album_id}")
        if run.state != pb.RUN_STATE_COMPLETED:
            raise HTTPException(409, "This run has not completed; its photos have no results yet.")
        return run

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


@contextlib.contextmanager
def _http_errors() -> Iterator[None]:
    try:
        yield
    except OrchestratorError as error:
        raise http_error(error) from error


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
