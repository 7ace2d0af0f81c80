"""Calls to the model services."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from bestshot.embedding.v1 import embedding_pb2, embedding_pb2_grpc
from bestshot.face.v1 import face_pb2, face_pb2_grpc
from bestshot.quality.v1 import quality_pb2, quality_pb2_grpc
from bestshot.siamese.v1 import siamese_pb2_grpc

from bestshot_client import _messages
from bestshot_client._async._calls import AsyncCalls
from bestshot_client._errors import ImageError
from bestshot_client._messages import Embedding, Picture


class AsyncModels(AsyncCalls):
    """Embeddings, scores, faces and comparisons of pictures."""

    async def embed(self, pictures: Sequence[Picture]) -> list[Embedding | ImageError]:
        """Embeds pictures; returns, in order, a unit vector or an error for each."""
        stub = embedding_pb2_grpc.EmbeddingServiceStub(self._channel("embedding"))
        requests = _messages.batches(embedding_pb2.EmbedRequest, pictures)
        return await self._results(stub.Embed, requests, _messages.embedding)

    async def score(
        self, pictures: Sequence[Picture]
    ) -> list[quality_pb2.QualityScores | ImageError]:
        """Scores pictures; returns, in order, all quality scores or an error for each."""
        stub = quality_pb2_grpc.QualityServiceStub(self._channel("quality"))
        requests = _messages.batches(quality_pb2.ScoreRequest, pictures)
        return await self._results(stub.Score, requests, _messages.scores)

    async def analyze(self, pictures: Sequence[Picture]) -> list[list[face_pb2.Face] | ImageError]:
        """Finds faces; returns, in order, the faces (largest first) or an error for each."""
        stub = face_pb2_grpc.FaceServiceStub(self._channel("face"))
        requests = _messages.batches(face_pb2.AnalyzeRequest, pictures)
        return await self._results(stub.Analyze, requests, _messages.faces)

    async def compare(self, pairs: Sequence[tuple[Picture, Picture]]) -> list[float | ImageError]:
        """Compares pairs; returns, in order, the probability that the first is the better photo."""
        stub = siamese_pb2_grpc.SiameseServiceStub(self._channel("siamese"))
        requests = _messages.comparisons(pairs)
        return await self._results(stub.Compare, requests, _messages.probability)

    async def _results(self, method: Any, requests: Any, read: Callable[[Any], Any]) -> list[Any]:  # noqa: ANN401
        answers = await self._map(method, requests)
        return [one for answer in answers for one in _messages.results(answer.results, read)]
