"""The server interceptor: request ids, authorization, admission, access log, status of errors."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
import re
import time
import traceback
import uuid
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Awaitable,
    Callable,
    Mapping,
    Sequence,
)
from dataclasses import dataclass
from functools import partial
from typing import Any

import grpc
from google.protobuf.message import DecodeError, Message
from google.rpc import status_pb2
from grpc_status import rpc_status

from services.common.errors import BestshotError, InvalidArgumentError
from services.common.process.metrics import CallLabels, Metrics
from services.common.process.request_id import request_id
from services.common.rpc.admission import (
    PROBE_READ_S,
    SMALL_READ_S,
    SMALL_REQUEST_BYTES,
    Admission,
    Places,
    Received,
    peer_of,
)
from services.common.rpc.auth import AUTHORIZATION_KEY, Authorize
from services.common.rpc.bounds import check_message
from services.common.rpc.status import internal_status, to_status

REQUEST_ID_KEY = "x-request-id"

logger = logging.getLogger(__name__)

_REQUEST_ID = re.compile(r"[\w.:-]{1,128}", re.ASCII)
_LARGE_METHODS = (
    *("Embed", "Score", "Analyze", "Compare", "ModelInfer"),
    *("UploadAlbum", "AppendDecision", "ImportDecisions"),
)
"""Methods whose requests carry pictures or long lists."""
_PROBES = ("/grpc.health.", "/grpc.reflection.")


class CallInterceptor(grpc.aio.ServerInterceptor):
    """Gives each call a request id, authorizes it, admits its requests, and logs how it ended.

    Exceptions become a status. Health checks and reflection have separate limits on memory and
    concurrent calls: they need no token, and they work even when all other places are taken.

    Args:
        metrics: Receives every call.
        authorize: Authorizes a call.
        max_message_bytes: Maximum size of a request.
        max_concurrent_calls: Maximum number of calls in progress.
    """

    def __init__(
        self,
        metrics: Metrics,
        authorize: Authorize,
        max_message_bytes: int,
        max_concurrent_calls: int,
    ) -> None:
        self._metrics = metrics
        self._authorize = authorize
        self._max_message_bytes = max_message_bytes
        small = partial(Admission, max_message_bytes, is_small=True)
        self._large, self._small = Admission(max_message_bytes), small(read_s=SMALL_READ_S)
        self._probes = small(read_s=PROBE_READ_S)
        self._call_places = Places(max_concurrent_calls)
        self._probe_places = Places(max_concurrent_calls)

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler:
        """Wraps a handler; the protocol on the wire does not change.

        gRPC reads a single request before it calls the handler, but it does not read a stream. So
        every handler becomes a stream handler, and reads once the call is authorized and admitted.
        """
        handler = await continuation(handler_call_details)
        if handler is None:
            return handler
        method = handler_call_details.method
        pairs = tuple(handler_call_details.invocation_metadata or ())
        labels = CallLabels.of(
            method,
            is_request_stream=handler.request_streaming,
            is_response_stream=handler.response_streaming,
        )
        is_large = method.rpartition("/")[2] in _LARGE_METHODS
        if method.startswith(_PROBES):
            call = _Call(method, labels, dict(pairs), self._probe_places, self._probes)
        else:
            headers = tuple(value for key, value in pairs if key == AUTHORIZATION_KEY)
            token_name, refusal = self._authenticate(method, headers)
            admission = self._large if is_large else self._small
            call = _Call(
                method,
                labels,
                dict(pairs),
                self._call_places,
                admission,
                metrics=self._metrics,
                token_name=token_name,
                refusal=refusal,
            )
        make_handler, guard, behaviour = (
            (
                grpc.stream_stream_rpc_method_handler,
                _guard_stream,
                handler.stream_stream or handler.unary_stream,
            )
            if handler.response_streaming
            else (
                grpc.stream_unary_rpc_method_handler,
                _guard_unary,
                handler.stream_unary or handler.unary_unary,
            )
        )
        return make_handler(
            guard(behaviour, call, is_stream=handler.request_streaming),
            _tolerate(
                handler.request_deserializer,
                self._max_message_bytes if is_large else SMALL_REQUEST_BYTES,
            ),
            handler.response_serializer,
        )

    def _authenticate(
        self, method: str, headers: Sequence[str | bytes]
    ) -> tuple[str, BestshotError | None]:
        """Returns the name of the call's token, and the reason if the call is refused."""
        try:
            return self._authorize(method, headers), None
        except BestshotError as error:
            return "", error


class _Call:
    """One call; logs how it ended, once."""

    def __init__(
        self,
        method: str,
        labels: CallLabels,
        metadata: Mapping[str, str | bytes],
        places: Places,
        admission: Admission,
        *,
        metrics: Metrics | None = None,
        token_name: str = "",
        refusal: BestshotError | None = None,
    ) -> None:
        self.method = method
        self._labels = labels
        self._metadata = metadata
        self._refusal = refusal
        self._places = places
        self._admission = admission
        self._token_name = token_name
        self._metrics = metrics
        self._began = time.monotonic()

    @contextlib.asynccontextmanager
    async def begin(
        self, context: grpc.aio.ServicerContext, *, is_stream: bool
    ) -> AsyncIterator[object]:
        """Checks that the call is allowed; yields its request, or all requests of a stream."""
        if self._metrics is not None:
            self._metrics.start_call(self._labels)
        request_id.set(_valid_request_id(self._metadata.get(REQUEST_ID_KEY)) or uuid.uuid4().hex)
        if self._refusal is not None:
            raise self._refusal
        with self._places.take():
            async with contextlib.aclosing(self._requests(context)) as requests:
                if is_stream:
                    yield requests
                    return
                async for request in requests:
                    yield request
                    return
                raise InvalidArgumentError("", "the call has no request")

    async def _requests(self, context: grpc.aio.ServicerContext) -> AsyncGenerator[object, None]:
        peer = peer_of(self._token_name, context)
        while True:
            # reads from the context, because gRPC's own iterator would keep the message alive
            async with self._admission.read(context.read, peer) as request:
                if request is grpc.aio.EOF:
                    return
                if isinstance(request, _Refused):
                    raise InvalidArgumentError("", request.problem)
                assert isinstance(request, Received)
                check_message(request.message)
                yield request.message
            del request  # its room is released before the wait for the next one

    def end(self, code: grpc.StatusCode) -> None:
        if self._metrics is None:
            return
        seconds = time.monotonic() - self._began
        self._metrics.end_call(self._labels, code, seconds)
        logger.debug("%s %s %.1f ms", self.method, code.name, 1000 * seconds)


def _guard_unary(behaviour: Any, call: _Call, *, is_stream: bool) -> Any:  # noqa: ANN401
    async def answer(context: grpc.aio.ServicerContext) -> object:
        async with call.begin(context, is_stream=is_stream) as request:
            response: object = await behaviour(request, context)
            return response

    async def guard(requests: object, context: grpc.aio.ServicerContext) -> object:
        try:
            response = await answer(context)
        except (Exception, asyncio.CancelledError) as error:
            await _abort(context, error, call)
            raise
        call.end(grpc.StatusCode.OK)
        return response

    return guard


def _guard_stream(behaviour: Any, call: _Call, *, is_stream: bool) -> Any:  # noqa: ANN401
    async def answer(context: grpc.aio.ServicerContext) -> AsyncGenerator[object, None]:
        async with call.begin(context, is_stream=is_stream) as request:
            responses = behaviour(request, context)
            if inspect.isawaitable(responses):  # it writes to the context, as health.Watch does
                await responses
                return
            async with contextlib.aclosing(responses):
                async for response in responses:
                    yield response

    async def guard(requests: object, context: grpc.aio.ServicerContext) -> AsyncIterator[object]:
        try:
            async with contextlib.aclosing(answer(context)) as responses:
                async for response in responses:
                    yield response
        except (Exception, asyncio.CancelledError, GeneratorExit) as error:
            await _abort(context, error, call)
            raise
        call.end(grpc.StatusCode.OK)

    return guard


@dataclass(frozen=True)
class _Refused:
    """The problem with the bytes of a request."""

    problem: str


def _tolerate(
    deserialize: Callable[[bytes], Message], max_bytes: int
) -> Callable[[bytes], Received | _Refused]:
    """Returns the problem instead of raising, because gRPC would report an internal error."""

    def parse(content: bytes) -> Received | _Refused:
        if len(content) > max_bytes:
            return _Refused(
                f"the request has {len(content)} bytes; at most {max_bytes} are allowed"
            )
        try:
            return Received(deserialize(content), len(content))
        except DecodeError:
            return _Refused("the request is not a valid protobuf message")

    return parse


def _valid_request_id(caller_id: str | bytes | None) -> str:
    """Returns a caller's request id if it fits into a log line; empty otherwise."""
    return caller_id if isinstance(caller_id, str) and _REQUEST_ID.fullmatch(caller_id) else ""


async def _abort(context: grpc.aio.ServicerContext, error: BaseException, call: _Call) -> None:
    """Ends the call with the status of an error; a cancelled call has already ended."""
    if isinstance(error, asyncio.CancelledError | GeneratorExit):
        call.end(grpc.StatusCode.CANCELLED)
        return
    if isinstance(error, grpc.aio.BaseError):
        return
    status: status_pb2.Status
    if isinstance(error, BestshotError):
        call.end(grpc.StatusCode[error.code])
        status = to_status(error)
    else:
        logger.error("%s failed", call.method, exc_info=error)
        call.end(grpc.StatusCode.INTERNAL)
        status = internal_status(request_id.get())
    # The error is part of a cycle, and its frames hold the request: it would stay in memory until
    # the garbage collector runs.
    traceback.clear_frames(error.__traceback__)
    await context.abort_with_status(rpc_status.to_status(status))
