"""The server interceptor: request id, authorization, access log, exception to status."""

from __future__ import annotations

import asyncio
import logging
import re
import time
import uuid
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Any

import grpc
from google.protobuf.message import DecodeError, Message
from google.rpc import status_pb2
from grpc_status import rpc_status

from services.common.errors import BestshotError, InvalidArgumentError
from services.common.process.metrics import Metrics
from services.common.process.request_id import request_id
from services.common.rpc.admission import Admission, peer_of
from services.common.rpc.auth import AUTHORIZATION_KEY, Authorize
from services.common.rpc.bounds import check_message
from services.common.rpc.status import internal_status, to_status

REQUEST_ID_KEY = "x-request-id"

logger = logging.getLogger(__name__)

_REQUEST_ID = re.compile(r"[\w.:-]{1,128}", re.ASCII)
_SMALL_METHODS = ("GetModelInfo", "Server", "ModelReady", "ModelMetadata")
_QUIET_METHODS = ("/grpc.health.", "/grpc.reflection.")


class CallInterceptor(grpc.aio.ServerInterceptor):
    """Gives each call a request id, authorizes it, and logs how it ended.

    Exceptions become a status.

    Args:
        metrics: Receives every call.
        authorize: Authorizes a call.
        admission: Limits the memory that requests take; None = no limit.
    """

    def __init__(
        self, metrics: Metrics, authorize: Authorize, admission: Admission | None = None
    ) -> None:
        self._metrics = metrics
        self._authorize = authorize
        self._admission = admission

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler:
        """Wraps the handlers of our own services, streaming or not."""
        handler = await continuation(handler_call_details)
        method = handler_call_details.method
        if handler is None or method.startswith(_QUIET_METHODS):
            return handler
        pairs = tuple(handler_call_details.invocation_metadata or ())
        headers = tuple(value for key, value in pairs if key == AUTHORIZATION_KEY)
        token_name, refusal = self._authenticate(method, headers)
        call = _Call(method, dict(pairs), refusal, self._metrics)
        if self._admission is not None and handler.unary_unary is not None and _is_large(method):
            admitted = _admit(handler.unary_unary, self._admission, token_name)
            return grpc.stream_unary_rpc_method_handler(
                _guard_unary(admitted, call),
                _tolerate(handler.request_deserializer),
                handler.response_serializer,
            )
        make_handler, behaviour = {
            (False, False): (grpc.unary_unary_rpc_method_handler, handler.unary_unary),
            (False, True): (grpc.unary_stream_rpc_method_handler, handler.unary_stream),
            (True, False): (grpc.stream_unary_rpc_method_handler, handler.stream_unary),
            (True, True): (grpc.stream_stream_rpc_method_handler, handler.stream_stream),
            # gRPC reads a single request before it calls the handler, but not a stream of them: a
            # refused caller puts nothing into memory.
        }[handler.request_streaming or refusal is not None, handler.response_streaming]
        guard = _guard_stream if handler.response_streaming else _guard_unary
        return make_handler(
            guard(behaviour, call),
            _tolerate(handler.request_deserializer),
            handler.response_serializer,
        )

    def _authenticate(
        self, method: str, headers: Sequence[str | bytes]
    ) -> tuple[str, BestshotError | None]:
        """Returns the name of the call's token, and why the call is refused, if it is."""
        try:
            return self._authorize(method, headers), None
        except BestshotError as error:
            return "", error


def _admit(behaviour: Any, admission: Admission, token_name: str) -> Any:  # noqa: ANN401
    """Turns a method of one request into one of a stream, which reads it once it is admitted.

    gRPC reads a single request before it calls the handler, but not a stream of them. On the wire
    the two are the same.
    """

    async def admit(requests: object, context: grpc.aio.ServicerContext) -> object:
        # Reads from the context, because the iterator `requests` would keep the message alive.
        async with admission.read(context.read, peer_of(token_name, context)) as request:
            return await behaviour(_check(request), context)

    return admit


def _is_large(method: str) -> bool:
    return not method.rpartition("/")[2].startswith(_SMALL_METHODS)


class _Call:
    """One call; logs how it ended, once."""

    def __init__(
        self,
        method: str,
        metadata: Mapping[str, str | bytes],
        refusal: BestshotError | None,
        metrics: Metrics,
    ) -> None:
        self.method = method
        self._metadata = metadata
        self._refusal = refusal
        self._metrics = metrics
        self._began = time.monotonic()

    def begin(self) -> None:
        request_id.set(_valid_request_id(self._metadata.get(REQUEST_ID_KEY)) or uuid.uuid4().hex)
        if self._refusal is not None:
            raise self._refusal

    def end(self, code: str) -> None:
        seconds = time.monotonic() - self._began
        self._metrics.call(self.method, code, seconds)
        logger.debug("%s %s %.1f ms", self.method, code, 1000 * seconds)


def _guard_unary(behaviour: Any, call: _Call) -> Any:  # noqa: ANN401
    async def guard(request: object, context: grpc.aio.ServicerContext) -> object:
        try:
            call.begin()
            response: object = await behaviour(_check(request), context)
        except (Exception, asyncio.CancelledError) as error:
            await _abort(context, error, call)
            raise
        call.end("OK")
        return response

    return guard


def _guard_stream(behaviour: Any, call: _Call) -> Any:  # noqa: ANN401
    async def guard(request: object, context: grpc.aio.ServicerContext) -> AsyncIterator[object]:
        try:
            call.begin()
            async for response in behaviour(_check(request), context):
                yield response
        except (Exception, asyncio.CancelledError, GeneratorExit) as error:
            await _abort(context, error, call)
            raise
        call.end("OK")

    return guard


def _tolerate(deserialize: Callable[[bytes], Message]) -> Callable[[bytes], Message | None]:
    """Returns None for bytes that are not a message: gRPC itself would report an internal error."""

    def parse(content: bytes) -> Message | None:
        try:
            return deserialize(content)
        except DecodeError:
            return None

    return parse


def _check(request: object) -> object:
    """Checks the bounds of a request, or of each request in a stream.

    Raises:
        InvalidArgumentError: A field is out of bounds.
    """
    if isinstance(request, AsyncIterable):
        return _check_stream(request)
    if not isinstance(request, Message):
        raise InvalidArgumentError("", "the request is not a valid protobuf message")
    check_message(request)
    return request


async def _check_stream(requests: AsyncIterable[object]) -> AsyncIterator[object]:
    async for request in requests:
        yield _check(request)


def _valid_request_id(caller_id: str | bytes | None) -> str:
    """Returns a caller's request id if it fits into a log line; empty otherwise."""
    return caller_id if isinstance(caller_id, str) and _REQUEST_ID.fullmatch(caller_id) else ""


async def _abort(context: grpc.aio.ServicerContext, error: BaseException, call: _Call) -> None:
    """Ends the call with the status of an error; a cancelled call has already ended."""
    if isinstance(error, asyncio.CancelledError | GeneratorExit):
        call.end("CANCELLED")
        return
    if isinstance(error, grpc.aio.BaseError):
        return
    status: status_pb2.Status
    if isinstance(error, BestshotError):
        call.end(error.code.name)
        status = to_status(error)
    else:
        logger.error("%s failed", call.method, exc_info=error)
        call.end("INTERNAL")
        status = internal_status(request_id.get())
    await context.abort_with_status(rpc_status.to_status(status))
