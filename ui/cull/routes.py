"""The Cull view over HTTP: its page, its files, and the JSON that it reads and sends."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bestshot.orchestrator.v1 import orchestrator_pb2 as pb
from fastapi import APIRouter, HTTPException
from fastapi.responses import FileResponse, Response

from ui.client import PAGE_SIZE, Orchestrator, OrchestratorError
from ui.cull.decisions import Batch, import_request
from ui.cull.photos import album_json, photo_json
from ui.http_errors import http_error

STATIC = Path(__file__).parent / "static"
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
)
_MEDIA_TYPES = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}


def cull_url(album_id: str, run_id: str) -> str:
    """Address of the view of a run."""
    return f"/cull/{album_id}/{run_id}"


def cull_router(api: Orchestrator) -> APIRouter:
    """Serves the view over the orchestrator's API."""
    router = APIRouter(prefix="/cull")

    @router.get("/files/{name}")
    async def file(name: str) -> Response:
        path = STATIC / name
        if path.suffix not in _MEDIA_TYPES or path not in STATIC.iterdir():
            raise HTTPException(404, f"there is no file {name!r}")
        headers = {"Cache-Control": "no-cache"}  # asks each time whether the file has changed
        return FileResponse(path, media_type=_MEDIA_TYPES[path.suffix], headers=headers)

    @router.get("/{album_id}/{run_id}")
    async def page(album_id: str, run_id: str) -> Response:
        headers = {"Content-Security-Policy": CONTENT_SECURITY_POLICY, "Cache-Control": "no-cache"}
        return FileResponse(STATIC / "cull.html", media_type="text/html", headers=headers)

    @router.get("/{album_id}/{run_id}/photos")
    async def photos(album_id: str, run_id: str) -> dict[str, Any]:
        try:
            run = await _find_run(api, album_id, run_id)
            request = pb.GetAlbumRequest(album_id=album_id)
            album = (await api.call(api.stub.GetAlbum, request)).album
            return album_json(album, run, await _list_images(api, run_id))
        except OrchestratorError as error:
            raise http_error(error) from error

    @router.post("/{album_id}/{run_id}/decisions")
    async def decide(album_id: str, run_id: str, batch: Batch) -> dict[str, Any]:
        request = import_request(album_id, run_id, batch)
        try:
            answer = await api.call(api.stub.ImportDecisions, request)
        except OrchestratorError as error:
            raise http_error(error) from error
        return {"changed": [photo_json(image) for image in answer.changed_images]}

    return router


async def _find_run(api: Orchestrator, album_id: str, run_id: str) -> pb.Run:
    """Finds a completed run of the album.

    Raises:
        HTTPException: It belongs to another album, or is not completed.
    """
    run = await api.run(run_id)
    if run.album_id != album_id:
        raise HTTPException(404, f"run {run_id} does not belong to album {album_id}")
    if run.state != pb.RUN_STATE_COMPLETED:
        raise HTTPException(409, "This run is not completed; its photos have no results yet.")
    return run


async def _list_images(api: Orchestrator, run_id: str) -> list[pb.ImageResult]:
    found: list[pb.ImageResult] = []
    token = ""
    while True:
        request = pb.ListImagesRequest(
            run_id=run_id, page_size=PAGE_SIZE, order_by="moment", page_token=token
        )
        answer = await api.call(api.stub.ListImages, request)
        found += answer.images
        token = answer.next_page_token
        if not token:
            return found
