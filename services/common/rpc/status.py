"""Converts errors to google.rpc.Status and HTTP status and back, for every protocol."""

from __future__ import annotations

import grpc
from google.protobuf import any_pb2, message
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status

from services.common.errors import (
    MAX_MESSAGE_BYTES,
    BestshotError,
    ConfigError,
    FailedPreconditionError,
    InternalError,
    InvalidArgumentError,
    InvalidImageError,
    NonFiniteError,
    NotFoundError,
    ResourceExhaustedError,
    UnavailableError,
    shorten,
)

ERROR_DOMAIN = "bestshot.dev"
"""Says that a reason is one of ours (google.rpc.ErrorInfo)."""
RETRY_DELAY_S = 1

HTTP_STATUS = {
    "INVALID_ARGUMENT": 400,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "FAILED_PRECONDITION": 409,
    "RESOURCE_EXHAUSTED": 429,
    "UNAVAILABLE": 503,
}
"""HTTP status of the JSON API by error code, as in google/rpc/code.proto, except for 409 for
FAILED_PRECONDITION, because 400 means a mistake in the request. All other codes become 500."""

_BY_CODE: dict[grpc.StatusCode, type[BestshotError]] = {
    grpc.StatusCode.FAILED_PRECONDITION: FailedPreconditionError,
    grpc.StatusCode.NOT_FOUND: FailedPreconditionError,  # not one of our servers
    grpc.StatusCode.UNIMPLEMENTED: FailedPreconditionError,
    grpc.StatusCode.RESOURCE_EXHAUSTED: ResourceExhaustedError,
    grpc.StatusCode.UNAVAILABLE: UnavailableError,
    grpc.StatusCode.DEADLINE_EXCEEDED: UnavailableError,
}


def to_status(error: BestshotError) -> status_pb2.Status:
    """Translates an error into a Status with ErrorInfo and the detail for its kind of error."""
    text = shorten(error.message, MAX_MESSAGE_BYTES)
    details: list[message.Message] = [
        error_details_pb2.ErrorInfo(
            reason=error.reason,
            domain=ERROR_DOMAIN,
            metadata={key: shorten(value) for key, value in error.metadata.items()},
        )
    ]
    if isinstance(error, InvalidArgumentError) and error.field:
        violation = error_details_pb2.BadRequest.FieldViolation(
            field=shorten(error.field), description=text
        )
        details.append(error_details_pb2.BadRequest(field_violations=[violation]))
    elif isinstance(error, NotFoundError):
        details.append(
            error_details_pb2.ResourceInfo(
                resource_type=error.resource_type,
                resource_name=shorten(error.name),
            )
        )
    elif isinstance(error, UnavailableError | ResourceExhaustedError):
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.FromSeconds(RETRY_DELAY_S)
        details.append(retry)
    return status_pb2.Status(
        code=code_pb2.Code.Value(error.code),
        message=text,
        details=[_pack(item) for item in details],
    )


def internal_status(request_id: str) -> status_pb2.Status:
    """Builds the Status of an unexpected error; the log has the details."""
    return status_pb2.Status(
        code=code_pb2.INTERNAL,
        message=f"internal error; the log has more under request id {request_id}",
        details=[_pack(error_details_pb2.ErrorInfo(reason="INTERNAL", domain=ERROR_DOMAIN))],
    )


def from_status(status: status_pb2.Status) -> BestshotError:
    """Translates the Status of one item of a batch back into an error."""
    info = _error_info(status)
    for kind in (InvalidImageError, NonFiniteError):
        if info is not None and info.reason == kind.reason:
            return kind(status.message)
    return InternalError(status.message)


def from_rpc_error(error: grpc.RpcError, target: str) -> BestshotError:
    """Translates a failed call into an error.

    Args:
        error: The error that the call raised.
        target: The called service, for the message: "the quality service at 127.0.0.1:50052".
    """
    code = error.code()
    text = error.details() or code.name
    status = rpc_status.from_call(error)
    info = _error_info(status) if status is not None else None
    if code is grpc.StatusCode.UNAVAILABLE:
        # if our details are there, the server was reached and says what is unavailable
        is_ours = info is not None and info.domain == ERROR_DOMAIN
        return UnavailableError(text if is_ours else f"{target} cannot be reached ({text})")
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return UnavailableError(f"{target} did not answer in time")
    if code in (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED):
        return FailedPreconditionError(f"{target} denied access: {text}")
    if status is not None and info is not None and info.domain == ERROR_DOMAIN:
        if code is grpc.StatusCode.NOT_FOUND:
            for detail in status.details:
                resource = error_details_pb2.ResourceInfo()
                if detail.Unpack(resource):
                    return NotFoundError(resource.resource_type, resource.resource_name)
        if info.reason == ConfigError.reason:
            return ConfigError(text)
        if code is grpc.StatusCode.INVALID_ARGUMENT:
            field = _field(status)
            return InvalidArgumentError(field, text.removeprefix(f"{field}: "))
    return _BY_CODE.get(code, InternalError)(f"{target}: {text}" if info is None else text)


def is_queue_full(error: grpc.RpcError) -> bool:
    """Whether a call failed because a queue is full: RESOURCE_EXHAUSTED with a RetryInfo."""
    if error.code() is not grpc.StatusCode.RESOURCE_EXHAUSTED:
        return False
    status = rpc_status.from_call(error)
    kind = error_details_pb2.RetryInfo.DESCRIPTOR
    return status is not None and any(detail.Is(kind) for detail in status.details)


def _error_info(status: status_pb2.Status) -> error_details_pb2.ErrorInfo | None:
    for detail in status.details:
        info = error_details_pb2.ErrorInfo()
        if detail.Unpack(info):
            return info
    return None


def _field(status: status_pb2.Status) -> str:
    """Returns the field that a status names as wrong; empty if there is none."""
    for detail in status.details:
        request = error_details_pb2.BadRequest()
        if detail.Unpack(request) and request.field_violations:
            return str(request.field_violations[0].field)
    return ""


def _pack(detail: message.Message) -> any_pb2.Any:
    packed = any_pb2.Any()
    packed.Pack(detail)
    return packed
