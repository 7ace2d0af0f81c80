"""bestshot.siamese.v1 over the comparator."""

from __future__ import annotations

from collections.abc import Callable

import grpc
import numpy as np
from bestshot.image.v1 import image_pb2
from bestshot.siamese.v1 import siamese_pb2, siamese_pb2_grpc
from google.rpc import status_pb2
from numpy.typing import NDArray

from services.common.errors import InvalidArgumentError
from services.common.imaging import RgbImage
from services.common.model_service import BatchWorker
from services.common.pictures import check_batch, read_image
from services.siamese.model import Description, SiameseModel


class SiameseServicer(siamese_pb2_grpc.SiameseServiceServicer):
    """Validates, delegates, translates."""

    def __init__(
        self,
        model: SiameseModel,
        prepare: Callable[[RgbImage], NDArray[np.float32]],
        info: siamese_pb2.GetModelInfoResponse,
        worker: BatchWorker,
        max_image_pixels: int,
    ) -> None:
        self._model = model
        self._prepare = prepare
        self._info = info
        self._worker = worker
        self._max_image_pixels = max_image_pixels

    async def Compare(
        self, request: siamese_pb2.CompareRequest, context: grpc.aio.ServicerContext
    ) -> siamese_pb2.CompareResponse:
        """Compares a batch of pairs; each picture is described once."""
        limit = self._info.model.max_batch_count
        check_batch(request.pairs, "pairs", limit)
        check_batch(request.images, "images", 2 * limit)
        _check_indices(request)
        descriptions = await self._worker.map(self._describe, list(request.images))
        pairs = [(descriptions[pair.first], descriptions[pair.second]) for pair in request.pairs]
        results = await self._worker.map(self._compare, pairs)
        return siamese_pb2.CompareResponse(
            results=[
                siamese_pb2.CompareResult(error=result)
                if isinstance(result, status_pb2.Status)
                else siamese_pb2.CompareResult(comparison=result)
                for result in results
            ]
        )

    async def GetModelInfo(
        self, request: siamese_pb2.GetModelInfoRequest, context: grpc.aio.ServicerContext
    ) -> siamese_pb2.GetModelInfoResponse:
        """Tells which model serves."""
        return self._info

    def _describe(self, image: image_pb2.Image) -> Description:
        pixels = read_image(
            image,
            long_side_px=self._info.model.input_long_side_px,
            max_pixels=self._max_image_pixels,
        )
        return self._model.describe(self._prepare(pixels))

    def _compare(
        self, pair: tuple[Description | status_pb2.Status, Description | status_pb2.Status]
    ) -> siamese_pb2.Comparison | status_pb2.Status:
        first, second = pair
        if isinstance(first, status_pb2.Status):
            return first
        if isinstance(second, status_pb2.Status):
            return second
        return siamese_pb2.Comparison(first_better_probability=self._model.compare(first, second))


def _check_indices(request: siamese_pb2.CompareRequest) -> None:
    count = len(request.images)
    for index, pair in enumerate(request.pairs):
        for side, value in (("first", pair.first), ("second", pair.second)):
            if not 0 <= value < count:
                raise InvalidArgumentError(
                    f"pairs[{index}].{side}", f"is {value}, the request has {count} images"
                )
