"""The web server: the page, pictures of photos, downloads, login."""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import AsyncIterator, Coroutine
from typing import Annotated, Any

import gradio as gr
from bestshot.orchestrator.v1 import orchestrator_pb2 as pb
from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import Response, StreamingResponse
from gradio.queueing import Queue
from pydantic import Field
from starlette.convertors import Convertor, register_url_convertor
from starlette.datastructures import MutableHeaders
from starlette.middleware.gzip import GZipMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ui import theme
from ui.app import build_app
from ui.client import Orchestrator
from ui.cull.routes import cull_router
from ui.grid.routes import grid_router
from ui.http_errors import http_errors, refuse_invalid_requests
from ui.inputs import RequestLimits
from ui.news import news_router
from ui.pairs.routes import pairs_router
from ui.people.routes import parse_box, people_router
from ui.settings import Login
from ui.uploads import MANIFEST_BYTES, MEGABYTE, UploadLimits, upload_router
from ui.views.export import FORMATS

Pixels = Annotated[int, Field(ge=0, lt=2**31)]
PICTURE_AGE_S = 24 * 3600
GZIP_LEVEL = 4
UPLOADS_PER_LIMIT = 50
QUEUE_INTERVAL_S = 0.05
"""Interval at which Gradio checks for new events; Gradio itself uses this value on Windows."""
PROGRESS_INTERVAL_S = 10.0
"""Interval at which Gradio checks for its own progress bars, which the page does not use."""
CONTENT_SECURITY_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:; "
    "connect-src 'self'; worker-src 'self' blob:; frame-ancestors 'self'; form-action 'self'; "
    "base-uri 'self'; object-src 'none'"
)


class _PhotoPath(Convertor[str]):
    """A photo's path, which may contain slashes and, unlike Starlette's own paths, line breaks."""

    regex = r"[\s\S]+"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


register_url_convertor("photo_path", _PhotoPath())


def build_server(api: Orchestrator, login: Login | None, max_upload_mb: int) -> ASGIApp:
    """Builds the app that serves everything over HTTP.

    Args:
        api: The orchestrator.
        login: User name and password; None = no login.
        max_upload_mb: Maximum size of an uploaded file; a whole upload may be UPLOADS_PER_LIMIT
            times as large.
    """
    limits = UploadLimits(max_upload_mb, UPLOADS_PER_LIMIT * max_upload_mb)
    server = FastAPI(openapi_url=None)
    refuse_invalid_requests(server)

    @server.get("/healthz")
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @server.get("/photos/{run_id}/{long_side_px}/{path:photo_path}")
    async def picture(
        request: Request,
        run_id: str,
        long_side_px: Pixels,
        path: str,
        faces: bool = False,
        face: str = "",
    ) -> Response:
        query = pb.GetThumbnailRequest(
            run_id=run_id,
            path=path,
            long_side_px=long_side_px,
            faces_only=faces,
            face_box=parse_box(face) if face else None,
        )
        return await _picture(request, api, query)

    @server.get("/tiles/{run_id}/{column}/{row}/{path:photo_path}")
    async def tile(
        request: Request, run_id: str, column: Pixels, row: Pixels, path: str
    ) -> Response:
        position = pb.Tile(column=column, row=row)
        query = pb.GetThumbnailRequest(run_id=run_id, path=path, tile=position)
        return await _picture(request, api, query)

    @server.get("/covers/{run_id}")
    async def cover(request: Request, run_id: str) -> Response:
        best = pb.ListImagesRequest(
            run_id=run_id, selected_only=True, order_by="composite_score desc", page_size=1
        )
        with http_errors():
            found = (await api.call(api.stub.ListImages, best)).images
        if not found:
            raise HTTPException(404, "no photos in this run were selected")
        return await picture(request, run_id, 0, found[0].path)

    @server.get("/downloads/{run_id}/{kind}")
    async def download(run_id: str, kind: str) -> Response:
        if kind not in FORMATS:
            raise HTTPException(
                404, f"unknown download {kind!r}; choose one of {', '.join(FORMATS)}"
            )
        pieces = api.stream(pb.DownloadRunRequest(run_id=run_id, format=FORMATS[kind]))
        with http_errors():
            first = await anext(pieces)
        headers = {"Content-Disposition": f'attachment; filename="{first.filename}"'}
        is_zip = first.filename.endswith(".zip")  # not compressed again
        media_type = "application/zip" if is_zip else "application/octet-stream"
        return StreamingResponse(_chunks(pieces), media_type=media_type, headers=headers)

    server.include_router(cull_router(api))
    server.include_router(grid_router(api))
    server.include_router(news_router(api))
    server.include_router(pairs_router(api))
    server.include_router(people_router(api))
    server.include_router(upload_router(api, limits))

    page = build_app(api, limits)
    page.queue(default_concurrency_limit=16)
    look_rarely(page._queue)
    gr.mount_gradio_app(
        server,
        page,
        path="/",
        theme=theme.theme(),
        css_paths=theme.CSS_PATH,
        footer_links=[],
        ssr_mode=False,
        allowed_paths=[],
        show_error=False,
    )
    # Only `launch` sets this, and without it Gradio does not check paths that a browser sends.
    page.has_launched = True
    limited = RequestLimits(server, limits.total_mb * MEGABYTE + MANIFEST_BYTES)
    # Gradio compresses its own files, but not the page, which is larger than any of them
    compressed = GZipMiddleware(limited, compresslevel=GZIP_LEVEL)
    guarded: ASGIApp = _SecurityHeaders(compressed)
    return _BasicLogin(guarded, login) if login else guarded


def look_rarely(queue: Queue) -> None:
    """Makes Gradio's queue poll less often for new events.

    By default it polls a thousand times per second, which takes 5% of a core even if no page is
    open.
    """
    queue.sleep_when_free = QUEUE_INTERVAL_S
    queue.progress_update_sleep_when_free = PROGRESS_INTERVAL_S


async def _picture(request: Request, api: Orchestrator, query: pb.GetThumbnailRequest) -> Response:
    with http_errors():
        answer = await _until_gone(request, api.call(api.stub.GetThumbnail, query))
    headers = {"Cache-Control": f"private, max-age={PICTURE_AGE_S}"}
    return Response(answer.jpeg, media_type="image/jpeg", headers=headers)


async def _until_gone(request: Request, work: Coroutine[Any, Any, Any]) -> Any:  # noqa: ANN401
    """Awaits `work`; cancels it if the browser disconnects, for example to load other photos."""
    working = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(_wait_for_disconnect(request))
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise HTTPException(499, "the browser has disconnected")
        return working.result()
    finally:
        working.cancel()
        leaving.cancel()


async def _wait_for_disconnect(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _chunks(pieces: AsyncIterator[pb.DownloadRunResponse]) -> AsyncIterator[bytes]:
    async for piece in pieces:
        yield piece.chunk


class _SecurityHeaders:
    """Forbids the browser from contacting any other host; a page may have a stricter policy."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.setdefault("content-security-policy", CONTENT_SECURITY_POLICY)
                headers["x-content-type-options"] = "nosniff"
                headers["referrer-policy"] = "same-origin"
            await send(message)

        await self._app(scope, receive, send_with_headers if scope["type"] == "http" else send)


class _BasicLogin:
    """HTTP Basic authentication (RFC 7617) for everything except the health check."""

    def __init__(self, app: ASGIApp, login: Login) -> None:
        self._app = app
        self._login = login

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_open = scope["type"] == "lifespan" or scope.get("path") == "/healthz"
        if is_open or self._admits(Request({**scope, "type": "http"})):
            return await self._app(scope, receive, send)
        refused = Response(
            "Log in with the UI's user name and password.",
            status_code=401,
            headers={"WWW-Authenticate": 'Basic realm="bestshot", charset="UTF-8"'},
        )
        await refused(scope, receive, send)

    def _admits(self, request: Request) -> bool:
        scheme, _, encoded = request.headers.get("Authorization", "").partition(" ")
        try:
            decoded = base64.b64decode(encoded, validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            return False
        username, _, password = decoded.partition(":")
        return scheme.lower() == "basic" and self._login.admits(username, password)
