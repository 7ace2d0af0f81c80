"""bestshot.embedding.v1 over the embedding model."""

from __future__ import annotations

import grpc
import numpy as np
from bestshot.embedding.v1 import embedding_pb2, embedding_pb2_grpc
from bestshot.image.v1 import image_pb2
from google.rpc import status_pb2
from numpy.typing import NDArray

from services.common.imaging.requests import DecodeLimits, check_batch, read_image
from services.common.inference.batching import Batching, DynamicBatcher
from services.common.inference.registry import Preprocessing
from services.common.inference.tensor import to_tensor
from services.embedding.model import EmbeddingModel


class EmbeddingServicer(embedding_pb2_grpc.EmbeddingServiceServicer):
    """Validates, delegates, translates."""

    def __init__(
        self,
        model: EmbeddingModel,
        preprocessing: Preprocessing,
        info: embedding_pb2.GetModelInfoResponse,
        batching: Batching,
        limits: DecodeLimits,
    ) -> None:
        self._preprocessing = preprocessing
        self._info = info
        self._limits = limits
        self._batcher = DynamicBatcher(self._prepare, model.embed_batch, batching)

    async def Embed(
        self, request: embedding_pb2.EmbedRequest, context: grpc.aio.ServicerContext
    ) -> embedding_pb2.EmbedResponse:
        """Embeds a batch."""
        check_batch(request.images, "images", self._info.model.max_batch_count)
        results = await self._batcher.map(request.images)
        return embedding_pb2.EmbedResponse(
            model_digest=self._info.model.digest,
            results=[
                embedding_pb2.EmbedResult(error=result)
                if isinstance(result, status_pb2.Status)
                else embedding_pb2.EmbedResult(
                    embedding=embedding_pb2.Embedding(values=result.tolist())
                )
                for result in results
            ],
        )

    async def GetModelInfo(
        self, request: embedding_pb2.GetModelInfoRequest, context: grpc.aio.ServicerContext
    ) -> embedding_pb2.GetModelInfoResponse:
        """Returns the model that serves."""
        return self._info

    def _prepare(self, image: image_pb2.Image) -> NDArray[np.float32]:
        pixels = read_image(
            image,
            long_side_px=self._info.model.input_long_side_px,
            limits=self._limits,
        )
        return to_tensor(pixels, self._preprocessing)
