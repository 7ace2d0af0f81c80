"""Receives the photos of a new album in one request, and passes them on as they arrive.

The body is one line of JSON, the manifest, followed by the contents of its files in order. A
browser can build such a body without reading the files into memory, and can report progress.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Annotated

from bestshot.orchestrator.v1 import orchestrator_pb2 as pb
from fastapi import APIRouter, HTTPException, Request
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import ClientDisconnect

from services.common.config.problems import describe_problem
from ui.client import Orchestrator
from ui.http_errors import http_errors

UPLOAD_PATH = "/uploads"
MANIFEST_BYTES = 32 * 2**20
MEGABYTE = 10**6


@dataclass(frozen=True)
class UploadLimits:
    """What one upload may contain.

    Attributes:
        file_mb: Maximum size of a file.
        total_mb: Maximum size of all files together.
    """

    file_mb: int
    total_mb: int


class File(BaseModel):
    """A file in the body: its path in the new album, and its size in bytes."""

    model_config = ConfigDict(extra="forbid")

    path: Annotated[str, Field(min_length=1, max_length=4000)]
    size: Annotated[int, Field(ge=0)]


class Manifest(BaseModel):
    """The name of the album (empty: a default name), and its files."""

    model_config = ConfigDict(extra="forbid")

    name: Annotated[str, Field(max_length=1000)] = ""
    files: Annotated[list[File], Field(min_length=1)]


def upload_router(api: Orchestrator, limits: UploadLimits) -> APIRouter:
    """Builds the route that folders are uploaded to."""
    router = APIRouter()

    async def upload(request: Request) -> dict[str, str | int]:
        body = _Body(request.stream())
        try:
            manifest = await body.read_manifest()
            length = int(request.headers["content-length"])
            _check(manifest, length - body.manifest_bytes, limits)
            with http_errors():
                made = await api.call(api.stub.UploadAlbum, _messages(manifest, body))
        except HTTPException:
            await body.drop_rest()  # a browser that is still sending would not read the answer
            raise
        name, count = made.album.display_name, made.photo_count
        return {"album": made.album.id, "name": name, "photos": count}

    router.add_api_route(UPLOAD_PATH, upload, methods=["POST"])
    return router


class _Body:
    """The body of a request, read piece by piece."""

    def __init__(self, stream: AsyncIterator[bytes]) -> None:
        self._stream = stream
        self._rest = b""
        self.manifest_bytes = 0

    async def read_manifest(self) -> Manifest:
        """Reads the first line; HTTPException if it is not a manifest."""
        line = bytearray()
        async for piece in self._stream:
            line += piece
            if b"\n" in piece or len(line) > MANIFEST_BYTES:
                break
        text, newline, self._rest = bytes(line).partition(b"\n")
        self.manifest_bytes = len(text + newline)
        try:
            return Manifest.model_validate_json(text)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, first["loc"]))
            problem = f"{place} {describe_problem(first)}" if place else describe_problem(first)
            raise HTTPException(400, f"The list of files is invalid: {problem}.") from error

    async def read(self, size: int) -> AsyncIterator[bytes]:
        """Yields the next `size` bytes as they arrive."""
        while size:
            piece = self._rest or await anext(self._stream)
            now, self._rest = piece[:size], piece[size:]
            size -= len(now)
            yield now

    async def drop_rest(self) -> None:
        """Reads what the browser is still sending."""
        with contextlib.suppress(ClientDisconnect):
            async for _ in self._stream:
                pass


def _check(manifest: Manifest, length: int, limits: UploadLimits) -> None:
    """Checks the sizes before anything is passed on; `length` is the size of all contents."""
    for file in manifest.files:
        if file.size > limits.file_mb * MEGABYTE:
            raise HTTPException(
                413,
                f"{file.path} is {file.size / MEGABYTE:.0f} MB; the limit per file is "
                f"{limits.file_mb} MB (ui.max_upload_mb).",
            )
    total = sum(file.size for file in manifest.files)
    if total > limits.total_mb * MEGABYTE:
        raise HTTPException(
            413,
            f"These files total {total / MEGABYTE:.0f} MB; the limit is {limits.total_mb} MB. "
            "Upload fewer files, or create an album from a folder on the server.",
        )
    if length != total:
        raise HTTPException(400, f"The files should total {total} bytes, but {length} were sent.")


async def _messages(manifest: Manifest, body: _Body) -> AsyncIterator[pb.UploadAlbumRequest]:
    yield pb.UploadAlbumRequest(header=pb.UploadHeader(display_name=manifest.name.strip()))
    for file in manifest.files:
        yield pb.UploadAlbumRequest(filename=file.path)
        async for chunk in body.read(file.size):
            yield pb.UploadAlbumRequest(chunk=chunk)
