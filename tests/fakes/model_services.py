"""The four model services without models, to measure everything around them.

They answer at once, with made-up scores, no faces, and embeddings in which every five pictures, in
the order of the calls, are shots of one scene. The process prints its address as JSON and serves
until its stdin ends.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import grpc
import numpy as np
from bestshot.embedding.v1 import embedding_pb2, embedding_pb2_grpc
from bestshot.face.v1 import face_pb2, face_pb2_grpc
from bestshot.model.v1 import model_pb2
from bestshot.quality.v1 import quality_pb2, quality_pb2_grpc
from bestshot.siamese.v1 import siamese_pb2, siamese_pb2_grpc

DIMENSIONS = 384


def model(role: str) -> model_pb2.ModelInfo:
    return model_pb2.ModelInfo(
        id=f"fake-{role}",
        version="1",
        digest=f"{role:0<64}",
        input_long_side_px=64,
        origin=model_pb2.MODEL_ORIGIN_BUILTIN,
        description="A fake, for measuring everything around the models.",
        max_batch_count=64,
    )


class FakeEmbedding(embedding_pb2_grpc.EmbeddingServiceServicer):
    def __init__(self) -> None:
        self._rng = np.random.default_rng(0)
        self._count = 0

    async def Embed(self, request: Any, context: object) -> embedding_pb2.EmbedResponse:
        response = embedding_pb2.EmbedResponse(model_digest=model("embedding").digest)
        for _ in request.images:
            if self._count % 5 == 0:
                self._centre = self._rng.normal(size=DIMENSIONS)
            self._count += 1
            vector = self._centre + 0.5 * self._rng.normal(size=DIMENSIONS)
            vector /= np.linalg.norm(vector)
            response.results.add().embedding.values.extend(vector.tolist())
        return response

    async def GetModelInfo(
        self, request: object, context: object
    ) -> embedding_pb2.GetModelInfoResponse:
        info = embedding_pb2.GetModelInfoResponse(
            model=model("embedding"), dimension_count=DIMENSIONS
        )
        info.calibration.scene_distance = 0.4
        info.calibration.cluster_selection_epsilon = 0.32
        return info


class FakeQuality(quality_pb2_grpc.QualityServiceServicer):
    def __init__(self) -> None:
        self._rng = np.random.default_rng(1)

    async def Score(self, request: Any, context: object) -> quality_pb2.ScoreResponse:
        response = quality_pb2.ScoreResponse(model_digest=model("quality").digest)
        for _ in request.images:
            one = self._rng.uniform(0.4, 0.9, 8).tolist()
            scores = quality_pb2.QualityScores(
                **dict(zip(("iqa_score", "sharpness", "focus_score"), one, strict=False)),
                ava_score=1 + 9 * one[3],
                exposure=one[4],
                contrast=one[5],
                colourfulness=one[6],
                laplacian_variance=1000 * one[7],
            )
            response.results.add(scores=scores)
        return response

    async def GetModelInfo(
        self, request: object, context: object
    ) -> quality_pb2.GetModelInfoResponse:
        return quality_pb2.GetModelInfoResponse(model=model("quality"))


class FakeFace(face_pb2_grpc.FaceServiceServicer):
    async def Analyze(self, request: Any, context: object) -> face_pb2.AnalyzeResponse:
        response = face_pb2.AnalyzeResponse(model_digest=model("face").digest)
        for _ in request.images:
            response.results.add().faces.SetInParent()
        return response

    async def GetModelInfo(self, request: object, context: object) -> face_pb2.GetModelInfoResponse:
        return face_pb2.GetModelInfoResponse(model=model("face"))


class FakeSiamese(siamese_pb2_grpc.SiameseServiceServicer):
    async def Compare(self, request: Any, context: object) -> siamese_pb2.CompareResponse:
        response = siamese_pb2.CompareResponse(model_digest=model("siamese").digest)
        for _ in request.pairs:
            response.results.add().comparison.first_better_probability = 0.5
        return response

    async def GetModelInfo(
        self, request: object, context: object
    ) -> siamese_pb2.GetModelInfoResponse:
        return siamese_pb2.GetModelInfoResponse(model=model("siamese"))


async def serve() -> None:
    """Serves all four on one port."""
    options = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]
    server = grpc.aio.server(options=options)
    embedding_pb2_grpc.add_EmbeddingServiceServicer_to_server(FakeEmbedding(), server)
    quality_pb2_grpc.add_QualityServiceServicer_to_server(FakeQuality(), server)
    face_pb2_grpc.add_FaceServiceServicer_to_server(FakeFace(), server)
    siamese_pb2_grpc.add_SiameseServiceServicer_to_server(FakeSiamese(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(json.dumps({"address": f"127.0.0.1:{port}"}), flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await server.stop(0)


if __name__ == "__main__":
    asyncio.run(serve())
