"""Calls of the JSON API that go through the gRPC servicer, so both APIs behave the same."""

from __future__ import annotations

import contextlib
import re
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bestshot.orchestrator.v1 import orchestrator_pb2 as pb
from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import StreamingResponse
from google.protobuf import message_factory
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message
from pydantic import BaseModel, TypeAdapter, ValidationError
from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.exceptions import HTTPException

from orchestrator.transport.json_messages import (
    answer_model,
    body_model,
    json_value,
    read_message,
)
from orchestrator.transport.servicer import OrchestratorServicer
from services.common.errors import InvalidArgumentError
from services.common.rpc.admission import SMALL_READ_S, Admission
from services.common.rpc.bounds import check_message

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

EVENT_STREAM = "text/event-stream"
MAX_BODY_BYTES = 2**20
MAX_LIST_BODY_BYTES = 16 * 2**20
_LONG_LISTS = ("AppendDecision", "ImportDecisions")
_METHODS: Mapping[str, MethodDescriptor] = pb.DESCRIPTOR.services_by_name[
    "OrchestratorService"
].methods_by_name


@dataclass(frozen=True)
class JsonCall:
    """A path that corresponds to a method of the gRPC API.

    Attributes:
        verb: HTTP method; POST and PATCH have a body.
        path: Fields of the request are in braces.
        method: Name of the gRPC method.
        summary: One sentence for the documentation.
    """

    verb: str
    path: str
    method: str
    summary: str

    @property
    def path_fields(self) -> frozenset[str]:
        """Fields of the request that are in the path."""
        return frozenset(re.findall(r"{(\w+)}", self.path))

    @property
    def has_body(self) -> bool:
        """Whether the other fields are in a JSON body; otherwise they are in the query."""
        return self.verb in ("POST", "PATCH")

    @property
    def is_stream(self) -> bool:
        """Whether the answers are server-sent events."""
        return _METHODS[self.method].server_streaming

    @property
    def operation_id(self) -> str:
        """The name of the method in snake case."""
        return re.sub(r"(?<!^)(?=[A-Z])", "_", self.method).lower()

    @property
    def body(self) -> type[BaseModel]:
        """Model of the fields that are not in the path."""
        return body_model(_METHODS[self.method].input_type, self.path_fields)

    @property
    def answer(self) -> Any:  # noqa: ANN401
        """Model of the answer, or of each event's data."""
        return answer_model(_METHODS[self.method].output_type)

    def describe(self) -> dict[str, Any]:
        """Returns the parameters and the body for OpenAPI, without the schemas they refer to."""
        found: dict[str, Any] = {
            "summary": self.summary,
            "description": self.summary,
            "parameters": [
                {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
                for name in re.findall(r"{(\w+)}", self.path)
            ],
        }
        if self.has_body:
            reference = {"$ref": f"#/components/schemas/{self.body.__name__}"}
            content = {"application/json": {"schema": reference}}
            found["requestBody"] = {"required": True, "content": content}
            return found
        schema = self.body.model_json_schema()
        required = schema.get("required", ())
        for name, one in schema["properties"].items():
            is_required = name in required
            found["parameters"].append(
                {"name": name, "in": "query", "required": is_required, "schema": one}
            )
        return found


CALLS = (
    JsonCall("POST", "/albums", "CreateAlbum", "Creates an album from folders on the server."),
    JsonCall("PATCH", "/albums/{album_id}", "UpdateAlbum", "Renames an album."),
    JsonCall(
        "DELETE",
        "/albums/{album_id}",
        "DeleteAlbum",
        "Deletes an album, its runs and its decisions, but never the photos.",
    ),
    JsonCall("GET", "/folders", "ListFolders", "Lists folders on the server, for a new album."),
    JsonCall("POST", "/runs", "StartRun", "Starts a run and returns at once."),
    JsonCall(
        "GET",
        "/runs/{run_id}/watch",
        "WatchRun",
        "Streams the state of a run as server-sent events until it has ended.",
    ),
    JsonCall("POST", "/runs/{run_id}/cancel", "CancelRun", "Asks a run to stop."),
    JsonCall("POST", "/runs/{run_id}/resume", "ResumeRun", "Resumes a run that did not complete."),
    JsonCall("DELETE", "/runs/{run_id}", "DeleteRun", "Deletes a run and its results."),
    JsonCall(
        "POST",
        "/runs/{run_id}/reselect",
        "Reselect",
        "Groups and selects again with other settings, or only reports what would change.",
    ),
    JsonCall("POST", "/runs/{run_id}/export", "ExportRun", "Writes results to the server's disk."),
    JsonCall(
        "GET",
        "/runs/{run_id}/proposed_weights",
        "ProposeWeights",
        "Proposes weights that predict more of the user's answers about pairs.",
    ),
    JsonCall(
        "GET",
        "/runs/{run_id}/tuning",
        "TuneRun",
        "Proposes settings that agree with more of the user's decisions; can take minutes.",
    ),
    JsonCall(
        "GET",
        "/runs/{run_id}/comparison",
        "CompareImages",
        "Compares two photos with the Siamese model.",
    ),
    JsonCall("GET", "/settings", "DescribeSettings", "Returns the settings of a profile."),
    JsonCall("POST", "/profiles", "KeepProfile", "Stores settings under a name, for later runs."),
    JsonCall("POST", "/albums/{album_id}/decision", "SetDecision", "Keeps or rejects a photo."),
    JsonCall(
        "POST",
        "/albums/{album_id}/decisions",
        "AppendDecision",
        "Adds a decision about photos or moments to the album's log.",
    ),
    JsonCall(
        "GET",
        "/albums/{album_id}/decisions/watch",
        "WatchDecisions",
        "Streams additions to an album's log as server-sent events, indefinitely.",
    ),
    JsonCall("POST", "/albums/{album_id}/decisions/undo", "UndoDecision", "Undoes a decision."),
    JsonCall(
        "POST",
        "/albums/{album_id}/decisions/import",
        "ImportDecisions",
        "Adds the entries of another log, as GET /albums/{album_id}/decisions returns them.",
    ),
    JsonCall("POST", "/people/corrections", "CorrectPeople", "Names or corrects a person."),
    JsonCall("POST", "/people/corrections/undo", "UndoPeopleCorrection", "Undoes a correction."),
    JsonCall("POST", "/people/erase", "ErasePeople", "Deletes all identity vectors."),
)
UPLOAD_PATH = "/albums/upload"


class Bodies:
    """Reads bodies within the limits that `Admission` sets for gRPC."""

    def __init__(self) -> None:
        self._large = Admission(MAX_LIST_BODY_BYTES)
        self._small = Admission(MAX_BODY_BYTES, is_small=True, read_s=SMALL_READ_S)

    @contextlib.asynccontextmanager
    async def read(self, request: Request, *, is_large: bool) -> AsyncIterator[bytes]:
        """Reads a JSON body, which may stay in memory within the block.

        Rejects other content types, which a form on another site could send without a preflight.
        """
        if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
            raise HTTPException(415, "send the body with the content type application/json")
        limit = MAX_LIST_BODY_BYTES if is_large else MAX_BODY_BYTES

        async def read_whole() -> bytes:
            content = bytearray()
            async for chunk in request.stream():
                content += chunk
                if len(content) > limit:
                    raise HTTPException(413, f"the body is larger than the limit of {limit} bytes")
            return bytes(content)

        admission = self._large if is_large else self._small
        async with admission.read(read_whole, _peer_of(request)) as body:
            assert isinstance(body, bytes)
            yield body

    async def chunks(self, request: Request) -> AsyncGenerator[bytes]:
        """Yields the parts of a large body as they arrive."""
        stream = request.stream()

        async def read_next() -> bytes | None:
            return await anext(stream, None)

        while True:
            async with self._large.read(read_next, _peer_of(request)) as chunk:
                if chunk is None:
                    return
                assert isinstance(chunk, bytes)
                yield chunk


def _peer_of(request: Request) -> str:
    """Returns the peer to which a request is attributed, as for gRPC."""
    token_name = request.state.token_name
    if token_name or request.client is None:
        return f"token:{token_name}"
    return f"{request.client.host}:{request.client.port}"


def make_handler(
    call: JsonCall, servicer: OrchestratorServicer, bodies: Bodies
) -> Callable[[Request], Awaitable[object]]:
    """Builds the handler of a call, which is authorized before the handler reads the body."""
    request_type = message_factory.GetMessageClass(_METHODS[call.method].input_type)
    answers = TypeAdapter(call.answer) if call.is_stream else None

    async def handle(request: Request) -> object:
        async with contextlib.AsyncExitStack() as stack:
            content: bytes | dict[str, str] = dict(request.query_params)
            if call.has_body:
                body = bodies.read(request, is_large=call.method in _LONG_LISTS)
                content = await stack.enter_async_context(body)
            message = request_type()
            read_message(message, _read_fields(call, content))
            read_message(message, request.path_params)
            check_message(message)
            answer = getattr(servicer, call.method)(message, None)
            if answers is None:
                return json_value(await answer)
            first = await anext(answer)  # an error here still becomes a problem document
            return StreamingResponse(
                _events(first, answer, answers),
                media_type=EVENT_STREAM,
                headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
            )

    return handle


async def _events(
    first: Message, others: AsyncGenerator[Message], answers: TypeAdapter[Any]
) -> AsyncIterator[bytes]:
    async with contextlib.aclosing(others):
        yield _event(first, answers)
        async for message in others:
            yield _event(message, answers)


def _event(message: Message, answers: TypeAdapter[Any]) -> bytes:
    value = answers.validate_python(json_value(message), from_attributes=True)
    return b"data: " + answers.dump_json(value) + b"\n\n"


def _read_fields(call: JsonCall, content: bytes | dict[str, str]) -> dict[str, Any]:
    try:
        if isinstance(content, bytes):
            fields = call.body.model_validate_json(content)
        else:
            fields = call.body.model_validate(content)
    except ValidationError as error:
        raise RequestValidationError(error.errors()) from error
    return fields.model_dump(exclude_unset=True)


def make_upload_handler(
    servicer: OrchestratorServicer, bodies: Bodies
) -> Callable[..., Awaitable[object]]:
    """Builds the handler that stores uploaded photos as an album."""

    async def upload_album(
        request: Request, display_name: str = "", request_id: str = ""
    ) -> object:
        """Stores the photos of a multipart/form-data body as an album on the server."""
        kind, options = parse_options_header(request.headers.get("content-type", ""))
        if kind != b"multipart/form-data" or not options.get(b"boundary"):
            raise HTTPException(415, "send the photos as multipart/form-data, one part per photo")
        header = pb.UploadHeader(display_name=display_name, request_id=request_id)
        async with contextlib.aclosing(bodies.chunks(request)) as chunks:
            messages = _upload_messages(header, options[b"boundary"], chunks)
            return json_value(await servicer.UploadAlbum(messages, None))

    return upload_album


async def _upload_messages(
    header: pb.UploadHeader, boundary: bytes, chunks: AsyncIterator[bytes]
) -> AsyncIterator[pb.UploadAlbumRequest]:
    yield pb.UploadAlbumRequest(header=header)
    parts = _Parts()
    try:
        parser = MultipartParser(boundary, parts.callbacks)
        async for chunk in chunks:
            parser.write(chunk)
            for message in parts.take():
                check_message(message)
                yield message
    except MultipartParseError as error:
        raise InvalidArgumentError("", f"the body is not multipart/form-data: {error}") from error
    if not parts.is_complete:
        raise InvalidArgumentError("", "the body ends in the middle of a part")


class _Parts:
    """Turns the parts of a form into the messages of an upload, as they arrive."""

    def __init__(self) -> None:
        self.is_complete = False
        self._messages: list[pb.UploadAlbumRequest] = []
        self._name, self._value, self._disposition = b"", b"", b""

    @property
    def callbacks(self) -> MultipartCallbacks:
        return {
            "on_part_begin": self._begin,
            "on_header_field": self._add_name,
            "on_header_value": self._add_value,
            "on_header_end": self._end_header,
            "on_headers_finished": self._end_headers,
            "on_part_data": self._add_data,
            "on_end": self._end,
        }

    def take(self) -> list[pb.UploadAlbumRequest]:
        taken, self._messages = self._messages, []
        return taken

    def _begin(self) -> None:
        self._disposition = b""

    def _add_name(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def _add_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _end_header(self) -> None:
        if self._name.lower() == b"content-disposition":
            self._disposition = self._value
        self._name, self._value = b"", b""

    def _end_headers(self) -> None:
        _, options = parse_options_header(self._disposition)
        filename = options.get(b"filename", b"").decode("utf-8", "replace")
        if not filename:
            raise InvalidArgumentError("", "every part of the form must be a file with a name")
        self._messages.append(pb.UploadAlbumRequest(filename=filename))

    def _add_data(self, data: bytes, start: int, end: int) -> None:
        self._messages.append(pb.UploadAlbumRequest(chunk=data[start:end]))

    def _end(self) -> None:
        self.is_complete = True
