"""Errors, and when a failed call is retried."""

from __future__ import annotations

import random
import time
import uuid
from collections.abc import Iterator, Mapping
from typing import Any

import grpc
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from bestshot_client._channels import MAX_ATTEMPTS

STATUS_KEY = "grpc-status-details-bin"
REWATCH_S = 60.0
"""How long to wait for an unreachable orchestrator: another one takes over within 15 s."""
REWATCH_PAUSE_S = 0.5


class BestshotError(Exception):
    """A failed call or run.

    Attributes:
        code: gRPC status code.
        message: What happened, as a sentence.
        reason: Machine-readable reason, such as "ARGUMENT_INVALID" or "NOT_FOUND"; empty if the
            server could not be reached.
        field: The request field that is wrong; empty if the error is not about one.
        metadata: Values that the message mentions, such as the kind and id of a missing resource.
        retry_delay_s: Seconds to wait before trying again; None if the server named no delay.
    """

    def __init__(
        self,
        code: grpc.StatusCode,
        message: str,
        *,
        reason: str = "",
        field: str = "",
        metadata: Mapping[str, str] | None = None,
        retry_delay_s: float | None = None,
    ) -> None:
        super().__init__(f"{code.name}: {message}")
        self.code = code
        self.message = message
        self.reason = reason
        self.field = field
        self.metadata = dict(metadata or {})
        self.retry_delay_s = retry_delay_s


class ImageError(Exception):
    """A picture could not be read or analysed; the other pictures in the call are not affected.

    Attributes:
        message: Why, as a sentence.
        reason: Machine-readable reason, such as "IMAGE_INVALID".
    """

    def __init__(self, message: str, reason: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.reason = reason


def error_of(error: grpc.RpcError) -> BestshotError:
    """Converts a gRPC error, with the details that the server sent."""
    details = list(_details(error))
    info = _first(details, error_details_pb2.ErrorInfo())
    request = _first(details, error_details_pb2.BadRequest())
    retry = _first(details, error_details_pb2.RetryInfo())
    message = error.details() or error.code().name
    if error.code() is grpc.StatusCode.UNAVAILABLE and info is None:  # not written by our servers
        message = f"no server responds: {message}. Check the address, or start `bestshot up`"
    return BestshotError(
        error.code(),
        message,
        reason=info.reason if info else "",
        field=request.field_violations[0].field if request and request.field_violations else "",
        metadata=info.metadata if info else None,
        retry_delay_s=retry.retry_delay.ToTimedelta().total_seconds() if retry else None,
    )


def image_error(status: status_pb2.Status) -> ImageError:
    """Translates the error for one picture."""
    info = _first(list(status.details), error_details_pb2.ErrorInfo())
    return ImageError(status.message, info.reason if info else "")


def _details(error: grpc.RpcError) -> Iterator[Any]:
    for key, value in error.trailing_metadata() or ():
        if key == STATUS_KEY:
            yield from status_pb2.Status.FromString(value).details


def _first(details: list[Any], wanted: Any) -> Any:  # noqa: ANN401
    """Returns the first detail of the same type as `wanted`; None if there is none."""
    return next((wanted for detail in details if detail.Unpack(wanted)), None)


class Attempts:
    """Decides whether and when a failed call is retried.

    A call that was refused because the server is busy is repeated after the delay that the server
    names, whatever the call does: it has changed nothing yet. A change whose answer was lost is
    repeated if it has a request_id. gRPC itself repeats calls without side effects.

    Args:
        request: The request; its `request_id` is filled in if it has one.
        timeout_s: How long to keep calling a busy server.
    """

    def __init__(self, request: Message, timeout_s: float) -> None:
        self._is_repeatable = "request_id" in request.DESCRIPTOR.fields_by_name
        if self._is_repeatable:
            message: Any = request
            message.request_id = message.request_id or str(uuid.uuid4())
        self._end = time.monotonic() + timeout_s
        self._lost_count = 0

    def end(self) -> None:
        """Prevents further attempts, because an answer has arrived."""
        self._end, self._is_repeatable = 0.0, False

    def pause_after(self, error: grpc.RpcError) -> float:
        """Returns the seconds to wait before the next attempt.

        Raises:
            BestshotError: The call must not be repeated, or has been repeated too often.
        """
        found = error_of(error)
        is_busy = found.code is grpc.StatusCode.RESOURCE_EXHAUSTED
        if is_busy and found.retry_delay_s is not None:
            # jitter, so that callers do not all come back at once
            pause = found.retry_delay_s * random.uniform(1.0, 1.5)
            if time.monotonic() + pause < self._end:
                return pause
        elif found.code is grpc.StatusCode.UNAVAILABLE and self._is_repeatable:
            self._lost_count += 1
            if self._lost_count < MAX_ATTEMPTS:
                return float(min(1.0, 0.1 * 2 ** (self._lost_count - 1)))
        raise found from error


class Watching:
    """Decides how long to keep resuming a broken watch, because orchestrators may be replaced."""

    def __init__(self) -> None:
        self._last = time.monotonic()

    def note_answer(self) -> None:
        """Records that the orchestrator has answered."""
        self._last = time.monotonic()

    def pause_after(self, error: grpc.RpcError) -> float:
        """Returns the seconds to wait before the next try; raises BestshotError to give up."""
        is_passing = error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)
        if not is_passing or time.monotonic() - self._last > REWATCH_S:
            raise error_of(error) from error
        return REWATCH_PAUSE_S
