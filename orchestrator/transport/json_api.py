"""/api/v1: the calls of the orchestrator as JSON over HTTP, described by OpenAPI."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import http
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from bestshot.orchestrator.v1 import orchestrator_pb2 as pb
from fastapi import Depends, FastAPI, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, StreamingResponse
from fastapi.security import HTTPBearer
from pydantic import BaseModel, ConfigDict, Field
from pydantic.json_schema import models_json_schema
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Receive, Scope, Send

from orchestrator.domain.explanation import Explanation
from orchestrator.export.download import DownloadFormat
from orchestrator.records import Album, ImageFilter, Run
from orchestrator.review.run_diff import RunDiff
from orchestrator.run_service import Curator
from orchestrator.storage.image_query import (
    ORDER_PATTERN,
    SCORE_COLUMNS,
    ImageQuery,
    ScoreRange,
)
from orchestrator.storage.people_store import PersonSummary
from orchestrator.transport import json_models as models
from orchestrator.transport.json_calls import (
    CALLS,
    EVENT_STREAM,
    UPLOAD_PATH,
    Bodies,
    JsonCall,
    make_handler,
    make_upload_handler,
)
from orchestrator.transport.json_messages import answer_model
from orchestrator.transport.pages import Page, PageRequest, Reader, Result
from orchestrator.transport.problems import (
    DOCS_PATH,
    PREFIX,
    answer_error,
    answer_http,
    answer_invalid,
    answer_unexpected,
    render_docs,
)
from orchestrator.transport.servicer import OrchestratorServicer
from orchestrator.viewing.pictures import MAX_LONG_SIDE_PX
from services.common.errors import BestshotError, InvalidArgumentError, ResourceExhaustedError
from services.common.rpc.admission import Places
from services.common.rpc.auth import AUTHORIZATION_KEY, Authorize
from services.common.rpc.bounds import MAX_ITEMS, check_text
from services.common.rpc.status import HTTP_STATUS

CHUNK_BYTES = 2**20
MAX_INT = 2**31 - 1
_SERVICE = "/bestshot.orchestrator.v1.OrchestratorService"
_DESCRIPTION = """Albums, runs, results and decisions: everything that the gRPC API offers, with
the same names. POST and PATCH take application/json, uploads multipart/form-data. Changes take a
`request_id`, a UUID that makes it safe to repeat them. Other web sites cannot call this API."""
_UPLOAD_BODY = {
    "required": True,
    "content": {
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "properties": {
                    "photos": {"type": "array", "items": {"type": "string", "format": "binary"}}
                },
            }
        }
    },
}
_PROBLEM_SCHEMA = {"$ref": "#/components/schemas/Problem"}
_PROBLEMS: dict[int | str, dict[str, Any]] = {
    code: {
        "description": http.HTTPStatus(code).phrase,
        "content": {
            "application/problem+json": {"schema": _PROBLEM_SCHEMA},
        },
    }
    for code in (*sorted({*HTTP_STATUS.values(), 413, 415}), 500)
}


_BOUND = r"(-?\d{1,9}(\.\d{1,9})?)?"
_RANGE_PATTERN = rf"^({'|'.join(SCORE_COLUMNS)}):{_BOUND}:{_BOUND}$"


class PageQuery(BaseModel):
    """Selects a page of a list; an unknown parameter is an error."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    # The bounds are only described here; the reader checks them, as it does for gRPC.
    page_size: Annotated[int, Field(json_schema_extra={"minimum": 0})] = 0
    """maximum number of items to return; 0 means 50, and more than 1000 means 1000"""
    page_token: str = ""
    """next_page_token of the previous page"""


class RunsQuery(PageQuery):
    """A page of runs."""

    album_id: str = ""
    """only runs of this album"""


class SkippingQuery(PageQuery):
    """A page of a list that supports skipping items."""

    skip: Annotated[int, Field(le=MAX_INT, json_schema_extra={"minimum": 0})] = 0
    """number of items to skip before the page; cannot be combined with page_token"""


class ImagesQuery(SkippingQuery):
    """A page of a run's photos that pass all filters."""

    filters: list[ImageFilter] = []
    """required properties of photos"""
    cluster_id: Annotated[int | None, Field(ge=-1, le=MAX_INT)] = None
    """only photos of this cluster; -1 = noise"""
    search: str = ""
    """only photos whose path, reason, camera, capture time or a person's name contains this text"""
    camera: str = ""
    """only photos taken with this camera"""
    capture_date: str = ""
    """only photos taken on this day, such as 2024-05-01, or in this month or year"""
    person_id: str = ""
    """only photos with this person"""
    order_by: Annotated[str, Field(json_schema_extra={"pattern": ORDER_PATTERN})] = ""
    """same as ListImagesRequest.order_by in orchestrator.proto"""
    score_ranges: list[Annotated[str, Field(pattern=_RANGE_PATTERN)]] = []
    """bounds of scores as NAME:MINIMUM:MAXIMUM, such as `sharpness:0.2:`; a bound may be empty"""


PageSize = Annotated[
    int,
    Query(
        description="Maximum number of questions; 0 means 5, and more than 100 means 100.",
        json_schema_extra={"minimum": 0},
    ),
]
PhotoPath = Annotated[str, Query(min_length=1, description="Path of the photo in its album.")]
LongSide = Annotated[
    int,
    Query(
        description="Longest side in pixels; 0 means 320.",
        json_schema_extra={"minimum": 0, "maximum": MAX_LONG_SIDE_PX},
    ),
]


class JsonApi:
    """The handlers; `_ROUTES` and their annotations define the arguments and answers.

    Args:
        reader: Reads stored results.
        curator: Explains results, compares runs and queries the model services.
    """

    def __init__(self, reader: Reader, curator: Curator) -> None:
        self._reader = reader
        self._curator = curator

    async def albums(self, query: Annotated[PageQuery, Query()]) -> object:
        """Lists the albums, oldest first."""
        page = await self._reader.albums(_page_request(query))
        return {"albums": page.items, "next_page_token": page.next_page_token}

    async def album(self, album_id: str) -> object:
        """Returns one album."""
        return await self._reader.album(album_id)

    async def decisions(self, album_id: str, query: Annotated[PageQuery, Query()]) -> object:
        """Returns the user's decisions on an album's photos and moments, oldest first."""
        page = await self._reader.decisions(album_id, _page_request(query))
        entries = [
            {
                **dataclasses.asdict(entry),
                "create_time": entry.create_time.isoformat(),
                "is_in_force": is_in_force,
            }
            for entry, is_in_force in page.items
        ]
        return {
            "entries": entries,
            "next_page_token": page.next_page_token,
            "total_count": page.total_count,
        }

    async def people(self, query: Annotated[PageQuery, Query()]) -> object:
        """Returns the people of all albums: named ones first, then by number of photos."""
        page = await self._reader.people(_page_request(query))
        return {
            "people": list(map(_person_fields, page.items)),
            "next_page_token": page.next_page_token,
            "total_count": page.total_count,
        }

    async def people_questions(self, page_size: PageSize = 0) -> object:
        """Lists the few uncertain faces that matter most, as yes-or-no questions."""
        asked = await self._reader.people_questions(page_size)
        return {
            "questions": [
                {
                    "face": question.face,
                    "person": _person_fields(question.person),
                    "other_person_id": question.other_person_id,
                    "similarity": question.similarity,
                    "face_count": question.face_count,
                }
                for question in asked
            ]
        }

    async def person_faces(self, person_id: str, query: Annotated[PageQuery, Query()]) -> object:
        """Returns the faces of a person, the clearest first."""
        page = await self._reader.person_faces(person_id, _page_request(query))
        return {
            "faces": page.items,
            "next_page_token": page.next_page_token,
            "total_count": page.total_count,
        }

    async def runs(self, query: Annotated[RunsQuery, Query()]) -> object:
        """Lists the runs of an album, or of all albums, newest first."""
        page = await self._reader.runs(query.album_id, _page_request(query))
        return {"runs": page.items, "next_page_token": page.next_page_token}

    async def run(self, run_id: str) -> object:
        """Returns one run with its whole config, models and timings."""
        return await self._reader.run(run_id)

    async def clusters(self, run_id: str, query: Annotated[SkippingQuery, Query()]) -> object:
        """Returns the clusters of a run, ordered by id; noise is not a cluster."""
        page = await self._reader.clusters(run_id, _page_request(query))
        return {"clusters": page.items, "next_page_token": page.next_page_token}

    async def statistics(self, run_id: str) -> object:
        """Counts a run's photos by filter, score, cluster size, camera, date and person."""
        return models.make_statistics(await self._reader.statistics(run_id))

    async def diff(self, run_id: str, other_run_id: str) -> object:
        """Returns how another run differs from this one."""
        return await self._curator.diff(run_id, other_run_id)

    async def images(self, run_id: str, query: Annotated[ImagesQuery, Query()]) -> object:
        """Returns the photos in a run with all their results."""
        page = await self._images(run_id, query)
        return {
            "images": [models.image(*item) for item in page.items],
            "next_page_token": page.next_page_token,
            "total_count": page.total_count,
        }

    async def image(self, run_id: str, path: PhotoPath) -> object:
        """Returns one photo in a run."""
        return models.image(*await self._reader.image(run_id, path))

    async def explanation(self, run_id: str, path: PhotoPath) -> object:
        """Returns why a photo was or was not picked, with the numbers that were used."""
        return await self._curator.explain(run_id, path)

    async def evaluation(self, run_id: str) -> object:
        """Returns how well the algorithm's picks agree with the user's decisions."""
        return models.make_evaluated_run(await self._reader.evaluation(run_id))

    async def pairs(self, run_id: str, query: Annotated[PageQuery, Query()]) -> object:
        """Lists the unanswered pairs of shots, the least certain first."""
        found = await self._reader.pairs(run_id, _page_request(query))
        return models.make_pairs(found)

    async def thumbnail(
        self,
        run_id: str,
        path: PhotoPath,
        long_side_px: LongSide = 0,
        faces_only: Literal["false", "true"] = "false",  # a bool would accept other words too
    ) -> Response:
        """Returns a JPEG of a photo, or of its faces in a row."""
        jpeg = await self._reader.picture(
            run_id, path, long_side_px, is_of_faces=faces_only == "true"
        )
        return Response(jpeg, media_type="image/jpeg")

    async def files(self, run_id: str, filename: DownloadFormat) -> Response:
        """Returns a run's results as one file."""
        opened = await self._reader.file(run_id, filename)

        async def chunks() -> AsyncIterator[bytes]:
            with opened:
                while chunk := await asyncio.to_thread(opened.read, CHUNK_BYTES):
                    yield chunk

        headers = {"Content-Disposition": f'attachment; filename="{filename.value}"'}
        return StreamingResponse(chunks(), media_type="application/octet-stream", headers=headers)

    async def models(self) -> object:
        """Returns the model of every service."""
        served = await self._curator.ask_models()
        return [
            {"role": role, "model": None, "error": answer.message}
            if isinstance(answer, BestshotError)
            else {"role": role, "model": answer, "error": ""}
            for role, answer in served.items()
        ]

    async def results(self, job_id: str, query: Annotated[ImagesQuery, Query()]) -> object:
        """Returns the photos in a run (a job) with their scores in a flat structure."""
        page = await self._images(job_id, query)
        return {
            "images": [models.result_image(record) for record, *_ in page.items],
            "next_page_token": page.next_page_token,
            "total_count": page.total_count,
        }

    async def _images(self, run_id: str, query: ImagesQuery) -> Page[Result]:
        return await self._reader.images(
            run_id,
            _page_request(query),
            ImageQuery(
                filters=tuple(query.filters),
                cluster_id=query.cluster_id,
                search=query.search,
                order_by=query.order_by,
                camera=query.camera,
                capture_date=query.capture_date,
                person_id=query.person_id,
                score_ranges=tuple(map(_score_range, query.score_ranges)),
            ),
        )


def _score_range(text: str) -> ScoreRange:
    score, *bounds = text.split(":")
    minimum, maximum = (float(bound) if bound else None for bound in bounds)
    return ScoreRange(score, minimum, maximum)


def _person_fields(found: PersonSummary) -> dict[str, object]:
    return {
        **dataclasses.asdict(found.person),
        "face_count": found.face_count,
        "photo_count": found.photo_count,
        "cover": found.cover,
        "best_face": found.best_face,
    }


@dataclass(frozen=True)
class _Route:
    """A path, its handler, and the gRPC method whose authorization applies."""

    path: str
    handler: Callable[..., Awaitable[object]]
    method: str
    model: Any = None
    media_type: str = "application/json"


_ROUTES = (
    _Route("/albums", JsonApi.albums, "ListAlbums", models.Albums),
    _Route("/albums/{album_id}", JsonApi.album, "GetAlbum", Album),
    _Route("/albums/{album_id}/decisions", JsonApi.decisions, "ListDecisions", models.Decisions),
    _Route("/people", JsonApi.people, "ListPeople", models.People),
    _Route("/people/questions", JsonApi.people_questions, "ListPeopleQuestions", models.Questions),
    _Route(
        "/people/{person_id}/faces", JsonApi.person_faces, "ListPersonFaces", models.PersonFaces
    ),
    _Route("/runs", JsonApi.runs, "ListRuns", models.Runs),
    _Route("/runs/{run_id}", JsonApi.run, "GetRun", Run),
    _Route("/runs/{run_id}/clusters", JsonApi.clusters, "ListClusters", models.Clusters),
    _Route("/runs/{run_id}/statistics", JsonApi.statistics, "GetRunStatistics", models.Statistics),
    _Route("/runs/{run_id}/diff/{other_run_id}", JsonApi.diff, "DiffRuns", RunDiff),
    _Route("/runs/{run_id}/images", JsonApi.images, "ListImages", models.Images),
    _Route("/runs/{run_id}/image", JsonApi.image, "GetImage", models.Image),
    _Route("/runs/{run_id}/explanation", JsonApi.explanation, "ExplainImage", Explanation),
    _Route("/runs/{run_id}/evaluation", JsonApi.evaluation, "EvaluateRun", models.EvaluatedRun),
    _Route("/runs/{run_id}/pairs", JsonApi.pairs, "ListPairs", models.Pairs),
    _Route("/runs/{run_id}/thumbnail", JsonApi.thumbnail, "GetThumbnail", None, "image/jpeg"),
    _Route(
        "/runs/{run_id}/files/{filename}",
        JsonApi.files,
        "DownloadRun",
        None,
        "application/octet-stream",
    ),
    _Route("/models", JsonApi.models, "ListModels", list[models.ServedModel]),
    _Route("/results/{job_id}/images", JsonApi.results, "ListImages", models.ResultImages),
)


class LimitRequests:
    """ASGI middleware that rejects requests while all places are taken."""

    def __init__(self, app: ASGIApp, places: Places) -> None:
        self._app = app
        self._places = places

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves the request if a place is free; otherwise answers 429."""
        with contextlib.ExitStack() as stack:
            try:
                if scope["type"] == "http":
                    stack.enter_context(self._places.take())
            except ResourceExhaustedError as error:
                refusal = await answer_error(Request(scope), error)
                return await refusal(scope, receive, send)
            await self._app(scope, receive, send)


def build_json_app(
    api: JsonApi,
    servicer: OrchestratorServicer,
    authorize: Authorize,
    *,
    has_tokens: bool,
    max_concurrent_calls: int,
) -> FastAPI:
    """Builds the application.

    Args:
        api: The handlers of calls that read.
        servicer: Handles all other calls.
        authorize: Authorizes a call by the gRPC method of the same name.
        has_tokens: Whether callers need a token.
        max_concurrent_calls: Maximum number of requests in progress.
    """
    app = FastAPI(
        title="bestshot",
        version="1",
        description=_DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        openapi_url=f"{PREFIX}/openapi.json",
        servers=[{"url": "/", "description": "The server that serves this document."}],
    )
    app.add_middleware(LimitRequests, places=Places(max_concurrent_calls))
    bodies = Bodies()
    bearer = [Depends(HTTPBearer(auto_error=False))] if has_tokens else []
    for route in _ROUTES:
        found = {"description": "The requested content.", "content": {route.media_type: {}}}
        app.add_api_route(
            PREFIX + route.path,
            route.handler.__get__(api),
            operation_id=route.handler.__name__,
            response_model=route.model,
            response_class=JSONResponse if route.model else Response,
            responses=_PROBLEMS if route.model else {200: found, **_PROBLEMS},
            dependencies=[*bearer, Depends(_check(authorize, route.method))],
        )
    for call in CALLS:
        app.add_api_route(
            PREFIX + call.path,
            make_handler(call, servicer, bodies),
            methods=[call.verb],
            operation_id=call.operation_id,
            response_model=None if call.is_stream else call.answer,
            response_class=StreamingResponse if call.is_stream else JSONResponse,
            responses={**_stream_response(call), **_PROBLEMS},
            dependencies=[*bearer, Depends(_check(authorize, call.method))],
            openapi_extra=call.describe(),
        )
    app.add_api_route(
        PREFIX + UPLOAD_PATH,
        make_upload_handler(servicer, bodies),
        methods=["POST"],
        response_model=answer_model(pb.UploadAlbumResponse.DESCRIPTOR),
        responses=_PROBLEMS,
        dependencies=[*bearer, Depends(_check(authorize, "UploadAlbum"))],
        openapi_extra={"requestBody": _UPLOAD_BODY},
    )
    for kind, answer in (
        (BestshotError, answer_error),
        (RequestValidationError, answer_invalid),
        (HTTPException, answer_http),
        (Exception, answer_unexpected),
    ):
        app.add_exception_handler(kind, answer)
    app.openapi = _describe(app)  # type: ignore[method-assign]

    async def docs() -> Response:
        return HTMLResponse(render_docs(app.openapi()))

    app.add_api_route(DOCS_PATH, docs, include_in_schema=False)
    return app


def _stream_response(call: JsonCall) -> dict[int | str, dict[str, Any]]:
    """Describes server-sent events; the schema is that of one event."""
    if not call.is_stream:
        return {}
    reference = {"$ref": f"#/components/schemas/{call.answer.__name__}"}
    data = {"type": "string", "contentMediaType": "application/json", "contentSchema": reference}
    event = {"type": "object", "properties": {"data": data}, "required": ["data"]}
    found = {"description": "Server-sent events.", "content": {EVENT_STREAM: {"schema": event}}}
    return {200: found}


def _page_request(query: PageQuery) -> PageRequest:
    return PageRequest(query.page_size, query.page_token, getattr(query, "skip", 0))


def _check(authorize: Authorize, method: str) -> Callable[[Request], None]:
    """Makes a dependency that authorizes callers as for a gRPC method, and checks the query."""

    def check(request: Request) -> None:
        headers = request.headers.getlist(AUTHORIZATION_KEY)
        request.state.token_name = authorize(f"{_SERVICE}/{method}", headers)
        items = request.query_params.multi_items()
        if len(items) > MAX_ITEMS:
            raise InvalidArgumentError(
                "", f"the query has {len(items)} parameters; at most {MAX_ITEMS} are allowed"
            )
        for name, value in (*request.path_params.items(), *items):
            check_text(name, value)

    return check


def _describe(app: FastAPI) -> Callable[[], dict[str, Any]]:
    """Builds the OpenAPI document without FastAPI's 422 responses, which are never sent."""
    made = app.openapi

    def openapi() -> dict[str, Any]:
        document = made()
        schemas = document["components"]["schemas"]
        bodies: list[Any] = [(call.body, "validation") for call in CALLS if call.has_body]
        _, found = models_json_schema(bodies, ref_template="#/components/schemas/{model}")
        schemas.update(found["$defs"])
        events: list[Any] = [(call.answer, "serialization") for call in CALLS if call.is_stream]
        _, found = models_json_schema(events, ref_template="#/components/schemas/{model}")
        schemas.update({name: one for name, one in found["$defs"].items() if name not in schemas})
        schemas["Problem"] = models.Problem.model_json_schema()
        for name in ("HTTPValidationError", "ValidationError"):
            schemas.pop(name, None)
        for path in document["paths"].values():
            for operation in path.values():
                operation["responses"].pop("422", None)
        return document

    return openapi
