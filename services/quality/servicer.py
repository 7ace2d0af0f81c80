"""Serves bestshot.quality.v1 with the quality model."""

from __future__ import annotations

import dataclasses

import grpc
from bestshot.image.v1 import image_pb2
from bestshot.quality.v1 import quality_pb2, quality_pb2_grpc
from google.rpc import status_pb2

from services.common.imaging.decode import RgbImage
from services.common.imaging.requests import check_batch
from services.common.inference.batching import DynamicBatcher
from services.quality.model import Quality

Batcher = DynamicBatcher[image_pb2.Image, RgbImage, Quality]


class QualityServicer(quality_pb2_grpc.QualityServiceServicer):
    """Validates, delegates, translates."""

    def __init__(self, info: quality_pb2.GetModelInfoResponse, batcher: Batcher) -> None:
        self._info = info
        self._batcher = batcher

    async def Score(
        self, request: quality_pb2.ScoreRequest, context: grpc.aio.ServicerContext
    ) -> quality_pb2.ScoreResponse:
        """Scores a batch."""
        check_batch(request.images, "images", self._info.model.max_batch_count)
        results = await self._batcher.map(request.images)
        return quality_pb2.ScoreResponse(
            model_digest=self._info.model.digest, results=[_to_message(one) for one in results]
        )

    async def GetModelInfo(
        self, request: quality_pb2.GetModelInfoRequest, context: grpc.aio.ServicerContext
    ) -> quality_pb2.GetModelInfoResponse:
        """Returns the model in use."""
        return self._info


def _to_message(result: Quality | status_pb2.Status) -> quality_pb2.ScoreResult:
    if isinstance(result, status_pb2.Status):
        return quality_pb2.ScoreResult(error=result)
    return quality_pb2.ScoreResult(scores=quality_pb2.QualityScores(**dataclasses.asdict(result)))
