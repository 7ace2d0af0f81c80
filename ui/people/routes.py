"""The People view over HTTP: its page, its files, and the JSON that it reads and sends."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal
from uuid import UUID

from bestshot.image.v1 import image_pb2
from bestshot.orchestrator.v1 import orchestrator_pb2 as pb
from fastapi import APIRouter, HTTPException
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field

from ui.client import PAGE_SIZE, Orchestrator, OrchestratorError
from ui.full_window import serve_file, serve_page
from ui.http_errors import http_errors
from ui.people.persons import face_json, person_json, question_json

STATIC = Path(__file__).parent / "static"
PEOPLE_URL = "/people"
_BOX_SIZE = 4
SCREEN_COUNT = 32
"""Persons on the first page of the list: enough to fill a screen, and quick to read."""
COVERS_WAIT_S = 1.0
"""Time after which the list is sent without the pictures that are not ready, for example because
photos must be decoded from a slow disk."""
Pixels = Annotated[int, Field(ge=0, le=512)]


class Face(BaseModel):
    """A face in a photo; `box` is left, top, width, height."""

    model_config = ConfigDict(extra="forbid")

    digest: str
    box: Annotated[list[float], Field(min_length=_BOX_SIZE, max_length=_BOX_SIZE)]


class Change(BaseModel):
    """A change that is safe to send again with the same `request_id`."""

    model_config = ConfigDict(extra="forbid")

    request_id: UUID


class Correction(Change):
    """A correction by the user; see CorrectPeopleRequest in orchestrator.proto."""

    action: Literal[
        "name", "merge", "move", "not_person", "not_face", "ignore", "important", "not_important"
    ]
    person_id: str = ""
    other_person_id: str = ""
    faces: list[Face] = []
    name: str = ""


class Undo(Change):
    """The correction to undo."""

    entry_id: str


def parse_box(text: str) -> image_pb2.BoundingBox:
    """Reads "left,top,width,height".

    Raises:
        HTTPException: The text does not have this form.
    """
    try:
        left, top, width, height = map(float, text.split(","))
    except ValueError:
        message = f"the box {text!r} does not have the form left,top,width,height"
        raise HTTPException(400, message) from None
    return image_pb2.BoundingBox(left=left, top=top, width=width, height=height)


def people_router(api: Orchestrator) -> APIRouter:
    """Serves the view over the orchestrator's API."""
    view = _PeopleView(api)
    router = APIRouter(prefix=PEOPLE_URL)
    router.add_api_route("", view.page)
    router.add_api_route("/files/{name}", view.file)
    router.add_api_route("/persons", view.persons, response_model=None)
    router.add_api_route("/persons/{person_id}/faces", view.faces, response_model=None)
    router.add_api_route("/questions", view.questions, response_model=None)
    router.add_api_route("/corrections", view.correct, methods=["POST"], response_model=None)
    router.add_api_route("/undo", view.undo, methods=["POST"], response_model=None)
    router.add_api_route("/erase", view.erase, methods=["POST"], response_model=None)
    return router


class _PeopleView:
    """Handles requests; a failed call to the orchestrator becomes the matching HTTP error."""

    def __init__(self, api: Orchestrator) -> None:
        self._api = api

    async def file(self, name: str) -> Response:
        """Serves a module or the style sheet."""
        return serve_file(STATIC, name)

    async def page(self) -> Response:
        """Serves the page."""
        return serve_page(STATIC / "people.html")

    async def persons(self, token: str = "", covers_px: Pixels = 0) -> dict[str, Any]:
        """Returns a page of persons, with pictures of their faces if `covers_px` is not 0.

        A first screen of pictures takes half as long in one response as in a request for each.
        """
        size = PAGE_SIZE if token else SCREEN_COUNT
        request = pb.ListPeopleRequest(page_size=size, page_token=token)
        with http_errors():
            answer = await self._api.call(self._api.stub.ListPeople, request)
        persons = list(map(person_json, answer.people))
        if covers_px and persons:
            covers = [person.cover for person in answer.people]
            for person, picture in zip(
                persons, await self._pictures(covers, covers_px), strict=True
            ):
                person["cover"]["picture"] = picture
        return {"persons": persons, "next": answer.next_page_token, "total": answer.total_count}

    async def _pictures(self, faces: Sequence[pb.PersonFace], side_px: int) -> list[str | None]:
        """Returns the pictures that are ready in time; see `_picture`."""
        tasks = [asyncio.create_task(self._picture(face, side_px)) for face in faces]
        ready, late = await asyncio.wait(tasks, timeout=COVERS_WAIT_S)
        for task in late:
            task.cancel()
        return [task.result() if task in ready else None for task in tasks]

    async def _picture(self, face: pb.PersonFace, side_px: int) -> str | None:
        """Returns a data URL; None if there is no picture, for example because the file is gone."""
        request = pb.GetThumbnailRequest(
            run_id=face.run_id, path=face.path, long_side_px=side_px, face_box=face.place.box
        )
        try:
            answer = await self._api.call(self._api.stub.GetThumbnail, request)
        except OrchestratorError:
            return None
        return f"data:image/jpeg;base64,{base64.b64encode(answer.jpeg).decode()}"

    async def faces(self, person_id: str, token: str = "") -> dict[str, Any]:
        """Returns a page of a person's faces."""
        request = pb.ListPersonFacesRequest(
            person_id=person_id, page_size=PAGE_SIZE, page_token=token
        )
        with http_errors():
            answer = await self._api.call(self._api.stub.ListPersonFaces, request)
        return {"faces": list(map(face_json, answer.faces)), "next": answer.next_page_token}

    async def questions(self) -> dict[str, Any]:
        """Returns questions about the few uncertain faces that matter most."""
        request = pb.ListPeopleQuestionsRequest()
        with http_errors():
            answer = await self._api.call(self._api.stub.ListPeopleQuestions, request)
        return {"questions": list(map(question_json, answer.questions))}

    async def correct(self, said: Correction) -> dict[str, Any]:
        """Stores a correction; returns its id, with which it can be undone."""
        request = pb.CorrectPeopleRequest(
            action=f"PEOPLE_ACTION_{said.action.upper()}",
            person_id=said.person_id,
            other_person_id=said.other_person_id,
            faces=map(_place, said.faces),
            name=said.name,
            decided_by=self._api.user,
            request_id=str(said.request_id),
        )
        with http_errors():
            answer = await self._api.call(self._api.stub.CorrectPeople, request)
        return {"entry_id": answer.entry_id, "person_id": answer.person_id}

    async def undo(self, said: Undo) -> dict[str, Any]:
        """Undoes a correction."""
        request = pb.UndoPeopleCorrectionRequest(
            entry_id=said.entry_id, decided_by=self._api.user, request_id=str(said.request_id)
        )
        with http_errors():
            answer = await self._api.call(self._api.stub.UndoPeopleCorrection, request)
        return {"entry_id": answer.entry_id}

    async def erase(self, said: Change) -> dict[str, Any]:
        """Deletes all identity vectors."""
        request = pb.ErasePeopleRequest(request_id=str(said.request_id))
        with http_errors():
            answer = await self._api.call(self._api.stub.ErasePeople, request)
        return {"photo_count": answer.photo_count}


def _place(face: Face) -> pb.FacePlace:
    left, top, width, height = face.box
    box = image_pb2.BoundingBox(left=left, top=top, width=width, height=height)
    return pb.FacePlace(content_digest=face.digest, box=box)
