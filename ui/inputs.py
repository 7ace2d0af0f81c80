"""Checks browser input: only files uploaded here, and only in fields that expect files."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr
from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from ui.messages import make_error

API = "/gradio_api"
UPLOAD_PATH = f"{API}/upload"
FILE_PREFIX = f"{API}/file="
OPEN_PATHS = frozenset(
    {
        *("/", "/config", "/theme.css", "/favicon.ico", "/robots.txt", "/healthz", "/news"),
        *(f"{API}/{name}" for name in ("info", "queue/join", "queue/data", "cancel", "reset")),
        *(UPLOAD_PATH, f"{API}/upload_progress", f"{API}/startup-events"),
    }
)
OPEN_PREFIXES = (
    *("/photos/", "/covers/", "/grid/", "/downloads/", "/cull/", "/pairs/", "/assets/", "/static/"),
    *(f"{API}/{name}/" for name in ("heartbeat", "run", "call")),
)
BODY_BYTES = 16 * 2**20
"""Maximum size of a request that is not an upload, such as a decision on thousands of photos."""
MEGABYTE = 10**6
DISK_BLOCK_BYTES = 4096
"""Counted for each file, because even an empty one takes up space."""
CLEANUP_S = (600, 24 * 3600)
"""How often uploads are checked, and the age at which abandoned ones are deleted."""
Json = Any


class CheckedBlocks(gr.Blocks):
    """Blocks whose events accept files only from upload components, and only uploaded ones.

    Gradio treats any object with a `path` and a file's marker as a file, in any input and at any
    depth, and copies the file at its path or URL into the folder that it serves.
    """

    async def preprocess_data(
        self,
        block_fn: Any,  # noqa: ANN401
        inputs: list[Any],
        state: Any,  # noqa: ANN401
        explicit_call: bool = False,
    ) -> list[Any]:
        """Checks the inputs of an event, no matter how it was called.

        Raises:
            gr.Error: A file was not uploaded here, or is in an input that does not accept files.
        """
        for block, value in zip(block_fn.inputs, inputs, strict=False):
            if not isinstance(block, gr.File):
                _check_has_no_object(value)
            elif value is not None:
                for file in value if isinstance(value, list) else [value]:
                    self._check_was_uploaded(file)
        try:
            checked: list[Any] = await super().preprocess_data(
                block_fn, inputs, state, explicit_call
            )
        except gr.Error as error:
            # Gradio's message lists the choices, which its server forgets when it restarts
            if "not in the list of choices" not in str(error.message):
                raise
            raise make_error("This page is out of date. Reload it, then try again.") from error
        return checked

    def has_upload(self, path: str) -> bool:
        """Whether the file was stored by this page's upload route and still exists."""
        return path in self.upload_file_set and os.path.isfile(path) and not os.path.islink(path)

    def delete_upload(self, path: str) -> None:
        """Deletes an upload that has been forwarded."""
        self.upload_file_set.discard(path)
        Path(path).unlink(missing_ok=True)

    def _check_was_uploaded(self, file: Json) -> None:
        if not isinstance(file, dict) or not isinstance(path := file.get("path"), str):
            raise make_error("A file must be an object with the path of an upload.")
        for key, value in file.items():
            # Gradio looks for more files inside an object that is not marked as a file
            if key != "meta" and isinstance(value, dict | list):
                raise make_error(f"A file must not contain nested values (found {key[:40]!r}).")
        if file.get("meta") != {"_type": "gradio.FileData"}:
            raise make_error("A file must have the type marker gradio.FileData.")
        if not self.has_upload(path):
            raise make_error(
                f"{os.path.basename(path)[:100]} was not uploaded on this page, or has since been "
                "deleted. Choose the file again."
            )


def _check_has_no_object(value: Json) -> None:
    remaining = [value]
    while remaining:  # no recursion: a browser may send thousands of brackets
        item = remaining.pop()
        if isinstance(item, dict):
            raise make_error("Only the upload field accepts files.")
        if isinstance(item, list):
            remaining += item


class RequestLimits:
    """ASGI middleware that closes unneeded routes and limits what a request may send.

    Gradio has routes that fetch URLs, convert videos and edit the source code. Only the routes that
    the page needs are open; routes added by later versions stay closed.

    Args:
        app: The page.
        page: The page, which keeps track of uploads.
        folder: Contains each upload in a separate folder, with partial files beside these folders.
        max_uploads_bytes: Maximum total size of all uploads.
    """

    def __init__(
        self, app: ASGIApp, page: CheckedBlocks, folder: Path, max_uploads_bytes: int
    ) -> None:
        self._app = app
        self._page = page
        self._folder = folder
        self._max_uploads_bytes = max_uploads_bytes
        self._uploading: list[int] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves or rejects the request."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        path = scope["path"]
        if not self._is_open(path):
            return await PlainTextResponse("Not Found", 404)(scope, receive, send)
        headers = Headers(scope=scope)
        length = headers.get("content-length", "0")
        if "transfer-encoding" in headers or not length.isdecimal():
            text = "A Content-Length header is required."
            return await PlainTextResponse(text, 411)(scope, receive, send)
        if path == UPLOAD_PATH:
            return await self._upload(int(length), scope, receive, send)
        if int(length) > BODY_BYTES:
            text = f"The request is too large: {length} bytes, limit {BODY_BYTES} bytes."
            return await PlainTextResponse(text, 413)(scope, receive, send)
        await self._app(scope, receive, send)

    def _is_open(self, path: str) -> bool:
        if path.startswith(FILE_PREFIX):
            return self._page.has_upload(path.removeprefix(FILE_PREFIX))
        return path in OPEN_PATHS or path.startswith(OPEN_PREFIXES)

    async def _upload(self, length: int, scope: Scope, receive: Receive, send: Send) -> None:
        stored = await asyncio.to_thread(_count_stored_bytes, self._folder)
        if stored + sum(self._uploading) + length > self._max_uploads_bytes:
            limit = self._max_uploads_bytes
            text = (
                f"These files total {length / MEGABYTE:.0f} MB. Uploads that are not yet in an "
                f"album already use {stored / MEGABYTE:.0f} of {limit / MEGABYTE:.0f} MB. Create "
                "an album from them first, upload fewer files, or raise ui.max_upload_mb."
            )
            return await PlainTextResponse(text, 413)(scope, receive, send)
        self._uploading.append(length)
        try:
            await self._app(scope, receive, send)
        finally:
            self._uploading.remove(length)
            if not self._uploading:
                # no await before this is done: a new upload would lose its partial file
                _delete_partial_files(self._folder)


def _count_stored_bytes(folder: Path) -> int:
    return sum(max(size, DISK_BLOCK_BYTES) for size in _upload_sizes(folder))


def _upload_sizes(folder: Path) -> Iterator[int]:
    for path in folder.glob("*/*"):
        try:
            yield path.stat().st_size
        except FileNotFoundError:  # it has just become an album
            continue


def _delete_partial_files(folder: Path) -> None:
    """Deletes leftovers of interrupted uploads, and Gradio's own empty files."""
    for path in folder.iterdir():
        if path.is_file():
            path.unlink(missing_ok=True)
