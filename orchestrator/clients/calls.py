"""Shared code of the model service clients: calls, deadlines, errors, messages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import grpc
from bestshot.image.v1 import image_pb2
from bestshot.model.v1 import model_pb2
from google.protobuf.internal.containers import RepeatedCompositeFieldContainer
from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_exception_type,
    wait_random_exponential,
)

from orchestrator.ports import ModelIdentity
from services.common.errors import (
    BestshotError,
    FailedPreconditionError,
    InternalError,
    NonFiniteError,
    ResourceExhaustedError,
    UnavailableError,
)
from services.common.finite import check_finite
from services.common.imaging.decode import RgbImage, fit_long_side
from services.common.rpc.channels import ClientOptions, call_metadata, open_channel
from services.common.rpc.status import from_rpc_error, is_queue_full

AnswerT = TypeVar("AnswerT")

FIRST_WAIT_S, LONGEST_WAIT_S = 0.2, 5.0

_ORIGINS = {
    model_pb2.MODEL_ORIGIN_BUILTIN: "builtin",
    model_pb2.MODEL_ORIGIN_PRETRAINED: "pretrained",
}


class _QueueFullError(ResourceExhaustedError):
    """The queue of a service is full, and the service returns a retry delay.

    gRPC itself uses the same code for messages that are too large, which would never succeed.
    """


class _DownError(UnavailableError):
    """No server of a service accepts or answers calls: each is dead, stopped or unreachable."""


@dataclass(frozen=True)
class Patience:
    """How long to wait for a service.

    Attributes:
        call_timeout_s: Deadline of a call, and how long to retry while the queue is full.
        service_wait_s: How long to wait for a service that is down or not responding, from its
            first failure; it may be restarting, or its machine may be asleep.
    """

    call_timeout_s: float
    service_wait_s: float


class ServiceCaller:
    """A channel to one service.

    Args:
        name: Name of the service for messages, such as "quality".
        address: "host:port" or a gRPC target.
        service_name: Full name of the gRPC service.
        patience: How long to wait for it.
        options: Options of its channel.
    """

    def __init__(
        self,
        name: str,
        address: str,
        service_name: str,
        patience: Patience,
        options: ClientOptions,
    ) -> None:
        self.target = f"the {name} service at {address}"
        self._patience = patience
        self._options = options
        self.channel = open_channel(address, service_name, options)

    async def call(self, method: Any, request: Any) -> Any:  # noqa: ANN401
        """Calls a stub's idempotent method; raises BestshotError if it fails.

        If a service is down, is not responding or has a full queue, the call is retried with
        randomized exponential backoff. If that does not help, the run fails with its scores kept,
        and can be resumed (`Worker._conclude`).
        """
        attempts = AsyncRetrying(
            retry=retry_if_exception_type((_QueueFullError, _DownError)),
            wait=wait_random_exponential(FIRST_WAIT_S, LONGEST_WAIT_S),
            stop=_RetryLimit(self._patience),
            reraise=True,
        )
        return await attempts(self.ask, method, request)

    async def ask(self, method: Any, request: Any) -> Any:  # noqa: ANN401
        """Like `call`, but with only the channel's own retries, for calls that a user waits for."""
        timeout_s = self._patience.call_timeout_s
        try:
            return await method(request, timeout=timeout_s, metadata=call_metadata(self._options))
        except grpc.RpcError as error:
            translated = from_rpc_error(error, self.target)
            if is_queue_full(error):
                raise _QueueFullError(translated.message) from error
            # a stopped process does not answer: the deadline passes, or keepalive ends the
            # connection (UNAVAILABLE), whichever comes first
            if error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
                raise _DownError(translated.message) from error
            raise translated from error

    def check(self, response: Any, wanted: int, model: ModelIdentity) -> None:  # noqa: ANN401
        """Rejects a response with the wrong number of results, or from a different model."""
        if len(response.results) != wanted:
            raise InternalError(
                f"{self.target} returned {len(response.results)} results for {wanted} items"
            )
        if response.model_digest != model.digest:
            raise self.make_changed_model_error(model)

    def reject_non_finite(self, answer: AnswerT) -> AnswerT | BestshotError:
        """Returns an item's answer, or an error if it contains a number that is not finite.

        Our own services never send one, but other or older servers may.
        """
        try:
            check_finite(answer, self.target)
        except NonFiniteError as error:
            return error
        return answer

    def make_changed_model_error(self, model: ModelIdentity) -> FailedPreconditionError:
        """Makes the error for a response from a different model than `model`."""
        return FailedPreconditionError(
            f"{self.target} now serves a different model; the run was started with {model.id}: "
            f"start a new run"
        )

    async def close(self) -> None:
        """Closes the channel."""
        await self.channel.close()


class _RetryLimit:
    """Decides when the attempts of one call end.

    The wait for a full queue counts from the start of the call. The wait for a service that is down
    counts from the first failure, because a hang is noticed only after the deadline or keepalive,
    which can take longer than the whole wait.
    """

    def __init__(self, patience: Patience) -> None:
        self._patience = patience
        self._down_since_s: float | None = None

    def __call__(self, state: RetryCallState) -> bool:
        assert state.outcome is not None
        elapsed_s = state.seconds_since_start or 0.0
        if not isinstance(state.outcome.exception(), _DownError):
            self._down_since_s = None
            return elapsed_s >= self._patience.call_timeout_s
        if self._down_since_s is None:
            self._down_since_s = elapsed_s
        return elapsed_s - self._down_since_s >= self._patience.service_wait_s


def identity(model: model_pb2.ModelInfo) -> ModelIdentity:
    """Translates ModelInfo."""
    return ModelIdentity(
        id=model.id,
        version=model.version,
        digest=model.digest,
        input_long_side_px=model.input_long_side_px,
        execution_providers=tuple(model.execution_providers),
        origin=_ORIGINS.get(model.origin, "unspecified"),
        description=model.description,
        max_batch_count=model.max_batch_count,
        paths=tuple(model.paths),
        file_digests=tuple(model.file_digests),
        fallback_for_model_id=model.fallback_for_model_id,
        missing_execution_providers=tuple(model.missing_execution_providers),
        runtime_versions=dict(model.runtime_versions),
        file_sources=tuple(model.file_sources),
        is_heuristic=model.is_heuristic,
    )


def add_images(
    messages: RepeatedCompositeFieldContainer[image_pb2.Image],
    images: Sequence[RgbImage],
    long_side_px: int,
) -> None:
    """Adds canonical pixels to a request, scaled to the size that the service requires.

    They are added in place, because protobuf copies a message into another one by serializing it.
    """
    for image in images:
        fitted = fit_long_side(image, long_side_px)
        pixels = messages.add().pixels
        pixels.height_px, pixels.width_px = fitted.shape[:2]
        pixels.rgb = fitted.tobytes()
