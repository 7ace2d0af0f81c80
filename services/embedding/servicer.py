"""Serves bestshot.embedding.v1 with the embedding model."""

from __future__ import annotations

import grpc
import numpy as np
from bestshot.embedding.v1 import embedding_pb2, embedding_pb2_grpc
from bestshot.image.v1 import image_pb2
from google.rpc import status_pb2
from numpy.typing import NDArray

from services.common.imaging.requests import check_batch
from services.common.inference.batching import DynamicBatcher
from services.embedding.model import Prepared

Batcher = DynamicBatcher[image_pb2.Image, Prepared, NDArray[np.float32]]


class EmbeddingServicer(embedding_pb2_grpc.EmbeddingServiceServicer):
    """Validates, delegates, translates."""

    def __init__(self, info: embedding_pb2.GetModelInfoResponse, batcher: Batcher) -> None:
        self._info = info
        self._batcher = batcher

    async def Embed(
        self, request: embedding_pb2.EmbedRequest, context: grpc.aio.ServicerContext
    ) -> embedding_pb2.EmbedResponse:
        """Embeds a batch."""
        check_batch(request.images, "images", self._info.model.max_batch_count)
        results = await self._batcher.map(request.images)
        return embedding_pb2.EmbedResponse(
            model_digest=self._info.model.digest, results=[_to_message(one) for one in results]
        )

    async def GetModelInfo(
        self, request: embedding_pb2.GetModelInfoRequest, context: grpc.aio.ServicerContext
    ) -> embedding_pb2.GetModelInfoResponse:
        """Returns the model in use."""
        return self._info


def _to_message(result: NDArray[np.float32] | status_pb2.Status) -> embedding_pb2.EmbedResult:
    if isinstance(result, status_pb2.Status):
        return embedding_pb2.EmbedResult(error=result)
    return embedding_pb2.EmbedResult(embedding=embedding_pb2.Embedding(values=result.tolist()))
