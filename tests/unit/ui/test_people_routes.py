"""The routes of the People view."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest
from bestshot.image.v1 import image_pb2
from bestshot.orchestrator.v1 import orchestrator_pb2 as pb
from fastapi import FastAPI
from fastapi.testclient import TestClient
from google.protobuf.message import Message

from ui.client import Orchestrator
from ui.people import routes

BOX = image_pb2.BoundingBox(left=0.1, top=0.1, width=0.2, height=0.2)


class _Stub:
    ListPeople = GetThumbnail = None


class _OnSlowDisk:
    """An orchestrator with one photo that is never read."""

    user = ""
    stub = _Stub

    async def call(self, method: object, request: Message) -> Message:
        if isinstance(request, pb.ListPeopleRequest):
            places = [(path, pb.FacePlace(box=BOX)) for path in ("ready", "late")]
            faces = [pb.PersonFace(run_id="r", path=path, place=place) for path, place in places]
            return pb.ListPeopleResponse(people=[pb.Person(cover=face) for face in faces])
        assert isinstance(request, pb.GetThumbnailRequest)
        if request.path == "late":
            await asyncio.Event().wait()
        return pb.GetThumbnailResponse(jpeg=b"jpeg")


def test_a_picture_that_is_not_ready_does_not_delay_the_list(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(routes, "COVERS_WAIT_S", 0.1)
    server = FastAPI()
    server.include_router(routes.people_router(cast(Orchestrator, _OnSlowDisk())))
    answer = TestClient(server).get("/people/persons", params={"covers_px": 64}).json()
    pictures = [person["cover"]["picture"] for person in answer["persons"]]
    assert pictures == ["data:image/jpeg;base64,anBlZw==", None]
