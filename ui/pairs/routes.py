"""The pair mode over HTTP: its page, its files, and the JSON that it reads.

It sends its answers to the Cull view's address, as entries in the album's log.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

from bestshot.orchestrator.v1 import orchestrator_pb2 as pb
from fastapi import APIRouter
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field

from services.common.config.layers import merge, tree_of
from ui.client import Orchestrator
from ui.cull.photos import photo_json
from ui.full_window import find_album, find_completed_run, serve_file, serve_page
from ui.http_errors import http_errors

STATIC = Path(__file__).parent / "static"
PAIR_COUNT = 200
"""Pairs to send at a time; the page requests more once it has shown them."""


class Change(BaseModel):
    """A setting and its new value."""

    model_config = ConfigDict(extra="forbid")

    key: Annotated[str, Field(pattern=r"^select_best\.[a-z_.]+$", max_length=100)]
    value: float


class Kept(BaseModel):
    """Proposed weights, as the page showed them, and a name for them."""

    model_config = ConfigDict(extra="forbid")

    name: str
    description: str
    changes: Annotated[list[Change], Field(min_length=1, max_length=20)]
    request_id: UUID


def pairs_url(album_id: str, run_id: str) -> str:
    """Returns the address of a run's pair mode."""
    return f"/pairs/{album_id}/{run_id}"


def pairs_router(api: Orchestrator) -> APIRouter:
    """Serves the pair mode over the orchestrator's API."""
    view = _Pairs(api)
    router = APIRouter(prefix="/pairs")
    router.add_api_route("/files/{name}", view.file)
    router.add_api_route("/{album_id}/{run_id}", view.page)
    router.add_api_route("/{album_id}/{run_id}/pairs", view.pairs, response_model=None)
    router.add_api_route("/{album_id}/{run_id}/proposal", view.proposal, response_model=None)
    router.add_api_route(
        "/{album_id}/{run_id}/profiles", view.keep, methods=["POST"], response_model=None
    )
    return router


class _Pairs:
    """Handles requests; a failed call to the orchestrator becomes the matching HTTP error."""

    def __init__(self, api: Orchestrator) -> None:
        self._api = api

    async def file(self, name: str) -> Response:
        """Serves a module or the style sheet."""
        return serve_file(STATIC, name)

    async def page(self, album_id: str, run_id: str) -> Response:
        """Serves the page, which is the same for all runs."""
        return serve_page(STATIC / "pairs.html")

    async def pairs(self, album_id: str, run_id: str) -> dict[str, Any]:
        """Returns the album's name and the next pairs to show."""
        with http_errors():
            await find_completed_run(self._api, album_id, run_id)
            album = await find_album(self._api, album_id)
            request = pb.ListPairsRequest(run_id=run_id, page_size=PAIR_COUNT)
            found = await self._api.call(self._api.stub.ListPairs, request)
        return {
            "album": album.display_name,
            "pairs": [[photo_json(pair.left), photo_json(pair.right)] for pair in found.pairs],
            "left_count": found.total_count,
            "answered_count": found.choice_count + found.unsure_count,
        }

    async def proposal(self, album_id: str, run_id: str) -> dict[str, Any]:
        """Returns the weights that the answers so far suggest for the run."""
        with http_errors():
            await find_completed_run(self._api, album_id, run_id)
            request = pb.ProposeWeightsRequest(run_id=run_id)
            found = await self._api.call(self._api.stub.ProposeWeights, request)
        return {
            "lines": list(found.lines),
            "description": found.profile_description,
            "changes": [
                {"key": setting.key, "value": setting.after} for setting in found.proposed_settings
            ],
        }

    async def keep(self, album_id: str, run_id: str, kept: Kept) -> dict[str, Any]:
        """Stores weights as a new profile that is based on the run's profile."""
        with http_errors():
            run = await find_completed_run(self._api, album_id, run_id)
            request = pb.KeepProfileRequest(
                name=kept.name,
                base_profile=run.profile,
                description=kept.description,
                request_id=str(kept.request_id),
            )
            request.config_overrides.update(
                merge(tree_of(change.key.split("."), change.value) for change in kept.changes)
            )
            answer = await self._api.call(self._api.stub.KeepProfile, request)
        return {"name": answer.name}
