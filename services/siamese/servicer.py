"""Serves bestshot.siamese.v1 with the comparator."""

from __future__ import annotations

from typing import TypeGuard

import grpc
import numpy as np
from bestshot.image.v1 import image_pb2
from bestshot.siamese.v1 import siamese_pb2, siamese_pb2_grpc
from google.rpc import status_pb2
from numpy.typing import NDArray

from services.common.errors import InvalidArgumentError
from services.common.imaging.requests import check_batch
from services.common.inference.batching import DynamicBatcher
from services.siamese.model import Description

Pair = tuple[Description, Description]
Describer = DynamicBatcher[image_pb2.Image, NDArray[np.float32], Description]
Comparer = DynamicBatcher[Pair, Pair, float]


class SiameseServicer(siamese_pb2_grpc.SiameseServiceServicer):
    """Validates, delegates, translates."""

    def __init__(
        self, info: siamese_pb2.GetModelInfoResponse, describer: Describer, comparer: Comparer
    ) -> None:
        self._info = info
        self._describer = describer
        self._comparer = comparer

    async def Compare(
        self, request: siamese_pb2.CompareRequest, context: grpc.aio.ServicerContext
    ) -> siamese_pb2.CompareResponse:
        """Compares a batch of pairs; each picture is described once."""
        limit = self._info.model.max_batch_count
        check_batch(request.pairs, "pairs", limit)
        check_batch(request.images, "images", 2 * limit)
        _check_indices(request)
        descriptions = await self._describer.map(request.images)
        pairs = [(descriptions[pair.first], descriptions[pair.second]) for pair in request.pairs]
        described = [pair for pair in pairs if _is_described(pair)]
        compared = iter(await self._comparer.map(described) if described else [])
        return siamese_pb2.CompareResponse(
            model_digest=self._info.model.digest,
            results=[
                _result(next(compared)) if _is_described(pair) else _result(_first_error(pair))
                for pair in pairs
            ],
        )

    async def GetModelInfo(
        self, request: siamese_pb2.GetModelInfoRequest, context: grpc.aio.ServicerContext
    ) -> siamese_pb2.GetModelInfoResponse:
        """Returns the model in use."""
        return self._info


def _is_described(
    pair: tuple[Description | status_pb2.Status, Description | status_pb2.Status],
) -> TypeGuard[Pair]:
    return not any(isinstance(side, status_pb2.Status) for side in pair)


def _first_error(
    pair: tuple[Description | status_pb2.Status, Description | status_pb2.Status],
) -> status_pb2.Status:
    return next(side for side in pair if isinstance(side, status_pb2.Status))


def _result(answer: float | status_pb2.Status) -> siamese_pb2.CompareResult:
    if isinstance(answer, status_pb2.Status):
        return siamese_pb2.CompareResult(error=answer)
    return siamese_pb2.CompareResult(
        comparison=siamese_pb2.Comparison(first_better_probability=answer)
    )


def _check_indices(request: siamese_pb2.CompareRequest) -> None:
    count = len(request.images)
    for index, pair in enumerate(request.pairs):
        for side, value in (("first", pair.first), ("second", pair.second)):
            if not 0 <= value < count:
                raise InvalidArgumentError(
                    f"pairs[{index}].{side}", f"is {value}, but the request has {count} images"
                )
