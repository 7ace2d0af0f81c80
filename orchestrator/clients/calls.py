"""What the clients of all model services share: call, deadline, errors, messages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import grpc
import numpy as np
from bestshot.image.v1 import image_pb2
from bestshot.model.v1 import model_pb2
from tenacity import (
    AsyncRetrying,
    retry_if_exception_type,
    stop_after_delay,
    wait_random_exponential,
)

from orchestrator.ports import ModelIdentity
from services.common.channels import call_metadata, open_channel
from services.common.errors import InternalError, ResourceExhaustedError
from services.common.imaging import RgbImage, fit_long_side
from services.common.status import asks_to_come_again, from_rpc_error

FIRST_WAIT_S, LONGEST_WAIT_S = 0.2, 5.0

_ORIGINS = {
    model_pb2.MODEL_ORIGIN_BUILTIN: "builtin",
    model_pb2.MODEL_ORIGIN_PRETRAINED: "pretrained",
}


class _QueueFullError(ResourceExhaustedError):
    """A service has no room for a call, and says when to come again.

    gRPC itself answers the same code where a message is too large, for good.
    """


class ServiceCaller:
    """A channel to one model service.

    Args:
        name: For messages: "quality".
        address: "host:port" or a gRPC target.
        timeout_s: Deadline of each call.
        max_message_bytes: Largest message sent or taken.
    """

    def __init__(
        self, name: str, address: str, *, timeout_s: float, max_message_bytes: int
    ) -> None:
        self._target = f"the {name} service at {address}"
        self._timeout_s = timeout_s
        self.channel = open_channel(address, max_message_bytes=max_message_bytes)

    async def call(self, method: Any, request: Any) -> Any:  # noqa: ANN401
        """Calls a stub's method; BestshotError where it fails.

        A service whose queue is full is asked again, at growing random intervals, until the
        deadline of a call has passed.
        """
        attempts = AsyncRetrying(
            retry=retry_if_exception_type(_QueueFullError),
            wait=wait_random_exponential(FIRST_WAIT_S, LONGEST_WAIT_S),
            stop=stop_after_delay(self._timeout_s),
            reraise=True,
        )
        return await attempts(self._call_once, method, request)

    async def _call_once(self, method: Any, request: Any) -> Any:  # noqa: ANN401
        try:
            return await method(request, timeout=self._timeout_s, metadata=call_metadata())
        except grpc.RpcError as error:
            translated = from_rpc_error(error, self._target)
            if asks_to_come_again(error):
                raise _QueueFullError(translated.message) from error
            raise translated from error

    def check_count(self, results: Sequence[object], wanted: int) -> None:
        """Refuses an answer of another length than the request."""
        if len(results) != wanted:
            raise InternalError(f"{self._target} answered {len(results)} items for {wanted}")

    async def close(self) -> None:
        """Closes the channel."""
        await self.channel.close()


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
    )


def image_messages(images: Sequence[RgbImage], long_side_px: int) -> list[image_pb2.Image]:
    """Wraps canonical pixels, scaled to what the service asks for."""
    messages = []
    for image in images:
        pixels = np.ascontiguousarray(fit_long_side(image, long_side_px))
        height, width = pixels.shape[:2]
        messages.append(
            image_pb2.Image(
                pixels=image_pb2.Pixels(width_px=width, height_px=height, rgb=pixels.tobytes())
            )
        )
    return messages
