"""bestshot.quality.v1 over the quality model."""

from __future__ import annotations

import dataclasses

import grpc
from bestshot.image.v1 import image_pb2
from bestshot.quality.v1 import quality_pb2, quality_pb2_grpc
from google.rpc import status_pb2

from services.common.imaging.decode import RgbImage
from services.common.imaging.requests import DecodeLimits, check_batch, read_image
from services.common.inference.batching import Batching, DynamicBatcher
from services.quality.model import Quality, QualityModel


class QualityServicer(quality_pb2_grpc.QualityServiceServicer):
    """Validates, delegates, translates."""

    def __init__(
        self,
        model: QualityModel,
        info: quality_pb2.GetModelInfoResponse,
        batching: Batching,
        limits: DecodeLimits,
    ) -> None:
        self._info = info
        self._limits = limits

        def infer(pictures: list[RgbImage]) -> list[Quality]:
            return [model.score(pixels) for pixels in pictures]

        self._batcher = DynamicBatcher(self._prepare, infer, batching)

    async def Score(
        self, request: quality_pb2.ScoreRequest, context: grpc.aio.ServicerContext
    ) -> quality_pb2.ScoreResponse:
        """Scores a batch."""
        check_batch(request.images, "images", self._info.model.max_batch_count)
        results = await self._batcher.map(request.images)
        return quality_pb2.ScoreResponse(
            model_digest=self._info.model.digest,
            results=[
                quality_pb2.ScoreResult(error=result)
                if isinstance(result, status_pb2.Status)
                else quality_pb2.ScoreResult(
                    scores=quality_pb2.QualityScores(**dataclasses.asdict(result))
                )
                for result in results
            ],
        )

    async def GetModelInfo(
        self, request: quality_pb2.GetModelInfoRequest, context: grpc.aio.ServicerContext
    ) -> quality_pb2.GetModelInfoResponse:
        """Returns the model that serves."""
        return self._info

    def _prepare(self, image: image_pb2.Image) -> RgbImage:
        return read_image(
            image,
            long_side_px=self._info.model.input_long_side_px,
            limits=self._limits,
        )
