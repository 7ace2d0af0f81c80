"""The grid over HTTP: its page, its files, and the JSON that it reads.

The grid sends its decisions to the Cull view's address, and listens to that view's events.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from bestshot.orchestrator.v1 import orchestrator_pb2 as pb
from fastapi import APIRouter, HTTPException, Query
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field

from ui.client import PAGE_SIZE, Orchestrator
from ui.full_window import count_entries, find_album, find_completed_run, serve_file, serve_page
from ui.grid.photos import CHIPS, page_json, summary_json
from ui.http_errors import http_errors

STATIC = Path(__file__).parent / "static"


class PhotoQuery(BaseModel):
    """A request for a page of the photos that pass all filters; `filters` are names in CHIPS."""

    model_config = ConfigDict(extra="forbid")

    filters: list[str] = []
    search: str = ""
    person: str = ""
    camera: str = ""
    date: str = ""
    skip: Annotated[int, Field(ge=0, lt=2**31)] = 0
    count: Annotated[int, Field(gt=0, le=PAGE_SIZE)] = PAGE_SIZE


def grid_url(album_id: str, run_id: str) -> str:
    """Returns the address of a run's grid."""
    return f"/grid/{album_id}/{run_id}"


def grid_router(api: Orchestrator) -> APIRouter:
    """Serves the grid over the orchestrator's API."""
    grid = _Grid(api)
    router = APIRouter(prefix="/grid")
    router.add_api_route("/files/{name}", grid.file)
    router.add_api_route("/{album_id}/{run_id}", grid.page)
    router.add_api_route("/{album_id}/{run_id}/summary", grid.summary, response_model=None)
    router.add_api_route("/{album_id}/{run_id}/photos", grid.photos, response_model=None)
    return router


class _Grid:
    """Handles requests; a failed call to the orchestrator becomes the matching HTTP error."""

    def __init__(self, api: Orchestrator) -> None:
        self._api = api

    async def file(self, name: str) -> Response:
        """Serves a module or the style sheet."""
        return serve_file(STATIC, name)

    async def page(self, album_id: str, run_id: str) -> Response:
        """Serves the page, which is the same for all runs."""
        return serve_page(STATIC / "grid.html")

    async def summary(self, album_id: str, run_id: str) -> dict[str, Any]:
        """Returns album, run and counts, as described by `summary_json`."""
        with http_errors():
            run = await find_completed_run(self._api, album_id, run_id)
            album = await find_album(self._api, album_id)
            entry_count = await count_entries(self._api, album_id)
            counted = pb.GetRunStatisticsRequest(run_id=run_id)
            statistics = await self._api.call(self._api.stub.GetRunStatistics, counted)
        return summary_json(album, run, statistics, entry_count)

    async def photos(
        self, album_id: str, run_id: str, query: Annotated[PhotoQuery, Query()]
    ) -> dict[str, Any]:
        """Returns a page of photos in the order of the moments."""
        unknown = [name for name in query.filters if name not in CHIPS]
        if unknown:
            raise HTTPException(400, f"unknown filter {unknown[0]!r}; use {', '.join(CHIPS)}")
        request = pb.ListImagesRequest(
            run_id=run_id,
            page_size=query.count,
            skip=query.skip,
            order_by="moment",
            filters=[CHIPS[name][1] for name in dict.fromkeys(query.filters)],
            search=query.search,
            person_id=query.person,
            camera=query.camera,
            capture_date=query.date,
        )
        with http_errors():
            return page_json(await self._api.call(self._api.stub.ListImages, request))
