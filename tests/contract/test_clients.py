"""Our clients when a server hangs or returns a value that is not a finite number."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import AsyncIterator, Callable
from types import SimpleNamespace
from typing import Any

import grpc
import numpy as np
import pytest
from bestshot.embedding.v1 import embedding_pb2, embedding_pb2_grpc
from bestshot.face.v1 import face_pb2, face_pb2_grpc
from bestshot.model.v1 import model_pb2
from bestshot.quality.v1 import quality_pb2, quality_pb2_grpc
from bestshot.siamese.v1 import siamese_pb2, siamese_pb2_grpc
from inference import open_inference_pb2, open_inference_pb2_grpc

from orchestrator.clients.calls import Patience, ServiceCaller
from orchestrator.clients.embedding import GrpcEmbedder
from orchestrator.clients.face import GrpcFaceAnalyzer
from orchestrator.clients.open_inference import (
    HostedModel,
    OpenInferenceClient,
    OpenInferenceComparer,
    OpenInferenceEmbedder,
)
from orchestrator.clients.quality import GrpcQualityScorer
from orchestrator.clients.siamese import GrpcPhotoComparer
from services.common.errors import NonFiniteError, UnavailableError
from services.common.inference.registry import Role, find_entry
from services.common.rpc.channels import client_options, service_name
from tests.conftest import ROOT, draw_picture
from tests.contract.servers import SHARED

INFO = model_pb2.ModelInfo(id="foreign", digest="d" * 64, max_batch_count=8)
PATIENT = Patience(call_timeout_s=60, service_wait_s=5)
PICTURES = [draw_picture(seed, 64, 48) for seed in range(2)]


class Foreign(
    embedding_pb2_grpc.EmbeddingServiceServicer,
    quality_pb2_grpc.QualityServiceServicer,
    face_pb2_grpc.FaceServiceServicer,
    siamese_pb2_grpc.SiameseServiceServicer,
):
    """Plays all roles: the first item is `number`, the second is valid; a few calls may hang."""

    def __init__(self, number: float = 0.5, hang_count: int = 0) -> None:
        self._numbers = (number, 0.5)
        self._hang_count = hang_count

    async def Embed(self, request: Any, context: Any) -> Any:
        results = [
            embedding_pb2.EmbedResult(embedding=embedding_pb2.Embedding(values=[number, 0.5]))
            for number in self._numbers
        ]
        return embedding_pb2.EmbedResponse(model_digest=INFO.digest, results=results)

    async def Score(self, request: Any, context: Any) -> Any:
        if self._hang_count:
            self._hang_count -= 1
            await asyncio.Event().wait()  # until the deadline cancels the call
        results = [
            quality_pb2.ScoreResult(scores=quality_pb2.QualityScores(ava_distribution=[number]))
            for number in self._numbers
        ]
        return quality_pb2.ScoreResponse(model_digest=INFO.digest, results=results)

    async def Analyze(self, request: Any, context: Any) -> Any:
        results = [
            face_pb2.AnalyzeResult(faces=face_pb2.FaceList(faces=[face_pb2.Face(smile_score=one)]))
            for one in self._numbers
        ]
        return face_pb2.AnalyzeResponse(model_digest=INFO.digest, results=results)

    async def Compare(self, request: Any, context: Any) -> Any:
        results = [
            siamese_pb2.CompareResult(comparison=siamese_pb2.Comparison(first_better_probability=p))
            for p in self._numbers
        ]
        return siamese_pb2.CompareResponse(model_digest=INFO.digest, results=results)


class ForeignInference(open_inference_pb2_grpc.GRPCInferenceServiceServicer):
    """An Open Inference server: the first row of every response is `number`, the rest are 0.5."""

    def __init__(self, number: float) -> None:
        self._number = number

    async def ModelReady(self, request: Any, context: Any) -> Any:
        return open_inference_pb2.ModelReadyResponse(ready=True)

    async def ServerMetadata(self, request: Any, context: Any) -> Any:
        return open_inference_pb2.ServerMetadataResponse(name="foreign", version="1")

    async def ModelMetadata(self, request: Any, context: Any) -> Any:
        tensor = open_inference_pb2.ModelMetadataResponse.TensorMetadata
        names = ["first", "second"] if request.name == "compare" else ["pixels"]
        return open_inference_pb2.ModelMetadataResponse(
            name=request.name,
            inputs=[tensor(name=name, datatype="FP32", shape=[-1, -1]) for name in names],
        )

    async def ModelInfer(self, request: Any, context: Any) -> Any:
        count = request.inputs[0].shape[0]
        values = np.full((count, 2), 0.5, "<f4")
        values[0] = self._number
        answer = open_inference_pb2.ModelInferResponse(raw_output_contents=[values.tobytes()])
        answer.outputs.add(name="answer", datatype="FP32", shape=values.shape)
        return answer


@contextlib.asynccontextmanager
async def called(
    part: str, servicer: Any, patience: Patience = PATIENT
) -> AsyncIterator[ServiceCaller]:
    """Our client for any kind of server."""
    server = grpc.aio.server()
    if isinstance(servicer, ForeignInference):
        open_inference_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(servicer, server)
    else:
        embedding_pb2_grpc.add_EmbeddingServiceServicer_to_server(servicer, server)
        quality_pb2_grpc.add_QualityServiceServicer_to_server(servicer, server)
        face_pb2_grpc.add_FaceServiceServicer_to_server(servicer, server)
        siamese_pb2_grpc.add_SiameseServiceServicer_to_server(servicer, server)
    address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    caller = ServiceCaller(part, address, service_name(part), patience, client_options(SHARED))
    try:
        yield caller
    finally:
        await caller.close()
        await server.stop(0)


MODEL: Any = SimpleNamespace(digest=INFO.digest, input_long_side_px=0, max_batch_count=8)
ASK: dict[str, Callable[[ServiceCaller], Any]] = {
    "embedding": lambda caller: GrpcEmbedder(caller).embed(PICTURES, MODEL),
    "quality": lambda caller: GrpcQualityScorer(caller).score(PICTURES, MODEL),
    "face": lambda caller: GrpcFaceAnalyzer(caller).analyze(PICTURES, MODEL),
    "siamese": lambda caller: GrpcPhotoComparer(caller).compare(PICTURES, [(0, 1), (1, 0)], MODEL),
}


@pytest.mark.parametrize("role", ASK)
@pytest.mark.parametrize("number", [math.nan, math.inf])
async def test_a_number_that_is_not_finite_becomes_an_error_for_its_item(
    role: str, number: float
) -> None:
    async with called(role, Foreign(number)) as caller:
        spoiled, sound = await ASK[role](caller)
    assert isinstance(spoiled, NonFiniteError)
    assert spoiled.message.startswith(f"the {role} service at 127.0.0.1:")
    assert "returned a number that is not finite" in spoiled.message
    assert not isinstance(sound, NonFiniteError)


@pytest.mark.parametrize("number", [math.nan, math.inf, 0.0])
async def test_a_non_finite_number_from_an_open_inference_server_becomes_an_error_for_its_item(
    number: float,
) -> None:
    graphs = {"embedding": {"graph": "graph"}, "siamese": {"describe": "d", "compare": "compare"}}
    answers = {}
    for role in (Role.EMBEDDING, Role.SIAMESE):
        name = "builtin-scene-embedding" if role is Role.EMBEDDING else "builtin-siamese"
        entry = find_entry(ROOT / "configs", name, role)
        async with called(role.value, ForeignInference(number)) as caller:
            hosted = HostedModel(name, entry, graphs[role.value], 8)
            client = OpenInferenceClient(caller, hosted)
            model = await client.model()
            if role is Role.EMBEDDING:
                answers[role] = await OpenInferenceEmbedder(client).embed(PICTURES, model)
            else:
                pairs = [(0, 1), (1, 0)]
                answers[role] = await OpenInferenceComparer(client).compare(PICTURES, pairs, model)
    assert isinstance(answers[Role.EMBEDDING][0], NonFiniteError)  # zeros have no direction
    assert not isinstance(answers[Role.EMBEDDING][1], NonFiniteError)
    if number:
        assert isinstance(answers[Role.SIAMESE][0], NonFiniteError)
        assert answers[Role.SIAMESE][1] == 0.5


async def test_a_service_that_does_not_answer_is_called_again() -> None:
    patience = Patience(call_timeout_s=0.5, service_wait_s=60)
    async with called("quality", Foreign(hang_count=2), patience) as caller:
        assert len(await GrpcQualityScorer(caller).score(PICTURES, MODEL)) == 2


async def test_a_service_that_never_answers_fails_the_call() -> None:
    patience = Patience(call_timeout_s=0.1, service_wait_s=0.5)
    async with called("quality", Foreign(hang_count=10**6), patience) as caller:
        with pytest.raises(UnavailableError, match=r"quality service at .* did not answer"):
            await GrpcQualityScorer(caller).score(PICTURES, MODEL)
