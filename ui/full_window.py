"""Shared by the full-window views: serves their files and pages, and finds albums and runs."""

from __future__ import annotations

from pathlib import Path

from bestshot.orchestrator.v1 import orchestrator_pb2 as pb
from fastapi import HTTPException
from fastapi.responses import FileResponse, Response

from ui.client import Orchestrator

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
)
_MEDIA_TYPES = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
_NO_RESULTS = {
    pb.RUN_STATE_FAILED: "This run failed, so it has no results. The Run tab says why.",
    pb.RUN_STATE_CANCELLED: "This run was cancelled, so it has no results. You can resume it.",
    pb.RUN_STATE_INTERRUPTED: "This run was interrupted, so it has no results. You can resume it.",
}
_FRESH = {"Cache-Control": "no-cache"}
"""Makes the browser check each time whether a file has changed."""


def serve_file(folder: Path, name: str) -> Response:
    """Serves a module, a style sheet or an icon; HTTPException if the folder has no such file."""
    path = folder / name
    if path.suffix not in _MEDIA_TYPES or path not in folder.iterdir():
        raise HTTPException(404, f"there is no file {name!r}")
    return FileResponse(path, media_type=_MEDIA_TYPES[path.suffix], headers=_FRESH)


def serve_page(path: Path) -> Response:
    """Serves a page, which is the same for all runs."""
    headers = {"Content-Security-Policy": CONTENT_SECURITY_POLICY, **_FRESH}
    return FileResponse(path, media_type="text/html", headers=headers)


async def find_completed_run(api: Orchestrator, album_id: str, run_id: str) -> pb.Run:
    """Finds a completed run of the album.

    Raises:
        HTTPException: The run belongs to another album, or is not completed.
    """
    run = await api.run(run_id)
    if run.album_id != album_id:
        raise HTTPException(404, f"run {run_id} does not belong to album {album_id}")
    if run.state != pb.RUN_STATE_COMPLETED:
        unfinished = "This run has not finished; its photos have no results yet."
        raise HTTPException(409, _NO_RESULTS.get(run.state, unfinished))
    return run


async def find_album(api: Orchestrator, album_id: str) -> pb.Album:
    """Finds an album."""
    answer = await api.call(api.stub.GetAlbum, pb.GetAlbumRequest(album_id=album_id))
    album: pb.Album = answer.album
    return album


async def count_entries(api: Orchestrator, album_id: str) -> int:
    """Counts the entries in an album's log."""
    log = pb.ListDecisionsRequest(album_id=album_id, page_size=1)
    return int((await api.call(api.stub.ListDecisions, log)).total_count)
