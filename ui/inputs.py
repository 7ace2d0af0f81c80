"""Checks browser input: no files in events, and only the routes that the page needs."""

from __future__ import annotations

from typing import Any

import gradio as gr
from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from ui.messages import make_error
from ui.uploads import UPLOAD_PATH

API = "/gradio_api"
OPEN_PATHS = frozenset(
    {
        *("/", "/config", "/theme.css", "/favicon.ico", "/robots.txt", "/healthz"),
        *("/news", "/people", UPLOAD_PATH),
        *(f"{API}/{name}" for name in ("info", "queue/join", "queue/data", "cancel", "reset")),
        f"{API}/startup-events",
    }
)
OPEN_PREFIXES = (
    *("/photos/", "/tiles/", "/covers/", "/downloads/", "/assets/", "/static/"),
    *("/grid/", "/cull/", "/pairs/", "/people/"),
    *(f"{API}/{name}/" for name in ("run", "call")),
)
BODY_BYTES = 16 * 2**20
"""Maximum size of a request that is not an upload, such as a decision on thousands of photos."""
Json = Any


class CheckedBlocks(gr.Blocks):
    """Blocks whose events accept no files, and whose pages hold no connection open.

    In any input and at any depth, Gradio treats an object with a `path` and a file marker as a
    file, and copies the file at that path or URL into the folder that it serves.
    """

    def get_config_file(self) -> Any:  # noqa: ANN401
        """Returns what the page needs to know about its components and events.

        Without the heartbeat, Gradio does not notice that a page was closed. With it, every open
        tab would hold one of the six connections that a browser opens to a server, so that six tabs
        would load nothing.
        """
        return {**super().get_config_file(), "connect_heartbeat": False}

    async def preprocess_data(
        self,
        block_fn: Any,  # noqa: ANN401
        inputs: list[Any],
        state: Any,  # noqa: ANN401
        explicit_call: bool = False,
    ) -> list[Any]:
        """Checks the inputs of an event, no matter how it was called.

        Raises:
            gr.Error: An input contains an object.
        """
        for value in inputs:
            _check_has_no_object(value)
        try:
            checked: list[Any] = await super().preprocess_data(
                block_fn, inputs, state, explicit_call
            )
        except gr.Error as error:
            # Gradio's message lists the valid choices, but its server forgets them when it restarts
            if "not in the list of choices" not in str(error.message):
                raise
            raise make_error("This page is out of date. Reload it, then try again.") from error
        return checked


def _check_has_no_object(value: Json) -> None:
    remaining = [value]
    while remaining:  # no recursion: a browser may send thousands of brackets
        item = remaining.pop()
        if isinstance(item, dict):
            raise make_error("This field accepts no files or other objects.")
        if isinstance(item, list):
            remaining += item


class RequestLimits:
    """ASGI middleware that blocks unneeded routes and limits what a request may send.

    Gradio has routes that fetch URLs, convert videos and edit the source code. Only the routes that
    the page needs are allowed; routes added by later versions stay blocked.

    Args:
        app: The page.
        max_upload_bytes: Maximum size of a request that uploads photos.
    """

    def __init__(self, app: ASGIApp, max_upload_bytes: int) -> None:
        self._app = app
        self._max_upload_bytes = max_upload_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves or rejects the request."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        path = scope["path"]
        if path not in OPEN_PATHS and not path.startswith(OPEN_PREFIXES):
            return await PlainTextResponse("Not Found", 404)(scope, receive, send)
        headers = Headers(scope=scope)
        length = headers.get("content-length", "0")
        if "transfer-encoding" in headers or not length.isdecimal():
            text = "A Content-Length header is required."
            return await PlainTextResponse(text, 411)(scope, receive, send)
        limit = self._max_upload_bytes if path == UPLOAD_PATH else BODY_BYTES
        if int(length) > limit:
            text = f"The request is too large: {length} bytes, limit {limit} bytes."
            return await PlainTextResponse(text, 413)(scope, receive, send)
        await self._app(scope, receive, send)
