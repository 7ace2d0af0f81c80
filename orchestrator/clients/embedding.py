"""The Embedder port over bestshot.embedding.v1."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from bestshot.embedding.v1 import embedding_pb2, embedding_pb2_grpc

from orchestrator.clients.calls import ServiceCaller, add_images, identity
from orchestrator.ports import Embedding, ModelIdentity
from services.common.errors import BestshotError
from services.common.imaging.decode import RgbImage
from services.common.rpc.status import from_status


class GrpcEmbedder:
    """Embeds photos using the embedding service."""

    def __init__(self, caller: ServiceCaller) -> None:
        self._caller = caller
        self._stub = embedding_pb2_grpc.EmbeddingServiceStub(caller.channel)

    async def model(self) -> ModelIdentity:
        """Asks which model the service uses."""
        return identity((await self._info()).model)

    async def calibration(self) -> tuple[float, float] | None:
        """Returns the calibrated (scene_distance, cluster_selection_epsilon), or None."""
        info = await self._info()
        if not info.HasField("calibration"):
            return None
        return info.calibration.scene_distance, info.calibration.cluster_selection_epsilon

    async def embed(
        self, images: Sequence[RgbImage], model: ModelIdentity
    ) -> list[Embedding | BestshotError]:
        """Embeds a batch."""
        request = embedding_pb2.EmbedRequest()
        add_images(request.images, images, model.input_long_side_px)
        response = await self._caller.call(self._stub.Embed, request)
        self._caller.check(response, len(images), model)
        return [
            from_status(result.error)
            if result.WhichOneof("result") == "error"
            else self._caller.reject_non_finite(np.array(result.embedding.values, np.float32))
            for result in response.results
        ]

    async def _info(self) -> embedding_pb2.GetModelInfoResponse:
        info: embedding_pb2.GetModelInfoResponse = await self._caller.ask(
            self._stub.GetModelInfo, embedding_pb2.GetModelInfoRequest()
        )
        return info
