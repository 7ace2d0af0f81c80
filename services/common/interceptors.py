"""Server interceptors: request id, access log, exception to status."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
from google.rpc import status_pb2
from grpc_status import rpc_status

from services.common.errors import BestshotError
from services.common.status import internal_status, to_status

REQUEST_ID_KEY = "x-request-id"
request_id: contextvars.ContextVar[str] = contextvars.ContextVar("request_id", default="-")

logger = logging.getLogger(__name__)

_QUIET_METHODS = ("/grpc.health.", "/grpc.reflection.")


class ErrorInterceptor(grpc.aio.ServerInterceptor):
    """Gives each call a request id, logs its outcome and turns what it raises into a status."""

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler:
        """Wraps the handlers of our own services, whatever they stream."""
        handler = await continuation(handler_call_details)
        method = handler_call_details.method
        if handler is None or method.startswith(_QUIET_METHODS):
            return handler
        metadata = dict(handler_call_details.invocation_metadata or ())
        caller_id = str(metadata.get(REQUEST_ID_KEY) or uuid.uuid4().hex)
        make_handler, behaviour = {
            (False, False): (grpc.unary_unary_rpc_method_handler, handler.unary_unary),
            (False, True): (grpc.unary_stream_rpc_method_handler, handler.unary_stream),
            (True, False): (grpc.stream_unary_rpc_method_handler, handler.stream_unary),
            (True, True): (grpc.stream_stream_rpc_method_handler, handler.stream_stream),
        }[handler.request_streaming, handler.response_streaming]
        guard = _guard_stream if handler.response_streaming else _guard_unary
        return make_handler(
            guard(behaviour, method, caller_id),
            handler.request_deserializer,
            handler.response_serializer,
        )


def _guard_unary(behaviour: Any, method: str, caller_id: str) -> Any:  # noqa: ANN401
    async def guarded(request: object, context: grpc.aio.ServicerContext) -> object:
        request_id.set(caller_id)
        began = time.monotonic()
        try:
            response: object = await behaviour(request, context)
        except Exception as error:
            await _abort(context, error, method, began)
            raise
        _log(method, "OK", began)
        return response

    return guarded


def _guard_stream(behaviour: Any, method: str, caller_id: str) -> Any:  # noqa: ANN401
    async def guarded(request: object, context: grpc.aio.ServicerContext) -> AsyncIterator[object]:
        request_id.set(caller_id)
        began = time.monotonic()
        try:
            async for response in behaviour(request, context):
                yield response
        except Exception as error:
            await _abort(context, error, method, began)
            raise
        _log(method, "OK", began)

    return guarded


async def _abort(
    context: grpc.aio.ServicerContext, error: Exception, method: str, began: float
) -> None:
    if isinstance(error, grpc.aio.BaseError | asyncio.CancelledError):
        return
    status: status_pb2.Status
    if isinstance(error, BestshotError):
        _log(method, error.code.name, began)
        status = to_status(error)
    else:
        logger.exception("%s failed", method)
        status = internal_status(request_id.get())
    await context.abort_with_status(rpc_status.to_status(status))


def _log(method: str, code: str, began: float) -> None:
    logger.debug("%s %s %.1f ms", method, code, 1000 * (time.monotonic() - began))
