"""Limits of the JSON API: requests in progress, and the bodies that are being read."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import cast

import httpx
import pytest
from bestshot.orchestrator.v1 import orchestrator_pb2 as pb

from orchestrator.transport import json_calls
from orchestrator.transport.json_api import JsonApi, build_json_app
from orchestrator.transport.servicer import OrchestratorServicer
from services.common.errors import NotFoundError
from services.common.rpc import admission
from services.common.rpc.auth import allow_all

RUN = pb.Run(id="r", album_id="a", profile="builtin", state=pb.RUN_STATE_RUNNING)


class Servicer:
    """Streams a run that does not end before `is_over`."""

    def __init__(self) -> None:
        self.is_over = asyncio.Event()
        self.is_watched = asyncio.Event()

    async def WatchRun(
        self, request: pb.WatchRunRequest, context: None
    ) -> AsyncIterator[pb.WatchRunResponse]:
        if request.run_id != RUN.id:
            raise NotFoundError("run", request.run_id)
        RUN.create_time.FromJsonString("2026-01-02T03:04:05Z")
        yield pb.WatchRunResponse(run=RUN)
        self.is_watched.set()
        await self.is_over.wait()
        ended = pb.Run()
        ended.CopyFrom(RUN)
        ended.state = pb.RUN_STATE_COMPLETED
        yield pb.WatchRunResponse(run=ended)

    async def UploadAlbum(
        self, requests: AsyncIterator[pb.UploadAlbumRequest], context: None
    ) -> pb.UploadAlbumResponse:
        async for _ in requests:
            pass
        return pb.UploadAlbumResponse()

    async def DescribeSettings(self, request: object, context: None) -> pb.DescribeSettingsResponse:
        return pb.DescribeSettingsResponse(profile="builtin")


def open_client(servicer: Servicer, count: int) -> httpx.AsyncClient:
    app = build_json_app(
        cast(JsonApi, SimpleNamespace()),
        cast(OrchestratorServicer, servicer),
        allow_all,
        has_tokens=False,
        max_concurrent_calls=count,
    )
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1/api/v1")


async def test_a_request_above_the_limit_is_refused_until_another_ends() -> None:
    servicer = Servicer()
    async with open_client(servicer, 1) as client:
        watching = asyncio.create_task(client.get("/runs/r/watch"))
        await servicer.is_watched.wait()
        refused = await client.get("/settings")
        servicer.is_over.set()
        watched = await watching
        assert (await client.get("/settings")).status_code == 200
        described = (await client.get("/openapi.json")).json()
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
    problem = refused.json()
    assert problem["type"].endswith("#LIMIT_REACHED")
    assert "shared.max_concurrent_calls" in problem["detail"]
    assert watched.headers["content-type"].startswith("text/event-stream")
    events = [json.loads(line.removeprefix("data: ")) for line in watched.text.split("\n\n")[:-1]]
    answers = described["paths"]["/api/v1/runs/{run_id}/watch"]["get"]["responses"]
    data = answers["200"]["content"]["text/event-stream"]["schema"]["properties"]["data"]
    assert data["contentSchema"]["$ref"].rpartition("/")[2] in described["components"]["schemas"]
    assert [event["run"]["state"] for event in events] == ["RUNNING", "COMPLETED"]


async def test_a_stream_of_something_unknown_is_a_problem() -> None:
    async with open_client(Servicer(), 1) as client:
        for _ in range(2):  # the first one has given its place back
            answer = await client.get("/runs/x/watch")
            assert answer.status_code == 404
            assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("place", "kind"),
    [("/runs", "application/json"), ("/albums/upload", "multipart/form-data; boundary=x")],
)
async def test_a_body_that_does_not_arrive_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch, place: str, kind: str
) -> None:
    monkeypatch.setattr(json_calls, "SMALL_READ_S", 0.01)
    monkeypatch.setattr(admission, "REQUEST_READ_S", 0.01)

    async def nothing() -> AsyncIterator[bytes]:
        await asyncio.Event().wait()
        yield b""

    async with open_client(Servicer(), 1) as client:
        answer = await client.post(place, content=nothing(), headers={"content-type": kind})
    assert (answer.status_code, answer.json()["reason"]) == (503, "UNAVAILABLE")
    assert "did not arrive" in answer.json()["detail"]
