"""The guarantees of every model service, with any model."""

from __future__ import annotations

import asyncio
import dataclasses
import io
from collections.abc import Callable
from typing import Any

import grpc
import numpy as np
import pytest
from bestshot.embedding.v1 import embedding_pb2, embedding_pb2_grpc
from bestshot.face.v1 import face_pb2, face_pb2_grpc
from bestshot.image.v1 import image_pb2
from bestshot.model.v1 import model_pb2
from bestshot.quality.v1 import quality_pb2, quality_pb2_grpc
from bestshot.siamese.v1 import siamese_pb2, siamese_pb2_grpc
from google.rpc import code_pb2, error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from grpc_status import rpc_status
from numpy.typing import NDArray
from PIL import Image

from orchestrator.cli.parts import MODEL_SERVICES
from orchestrator.clients.quality import GrpcQualityScorer
from services.common.errors import FailedPreconditionError, ResourceExhaustedError
from services.common.process.metrics import Metrics
from services.common.rpc.server import Server, server_options
from services.quality.config import IQA_CONSTANTS
from tests.contract.servers import SHARED, Running, caller_to, pixels_message, running

Picture = Callable[..., NDArray[np.uint8]]


def siamese_request(images: list[image_pb2.Image]) -> siamese_pb2.CompareRequest:
    """Compares every picture with the first one."""
    pairs = [siamese_pb2.Pair(first=index, second=0) for index in range(len(images))]
    return siamese_pb2.CompareRequest(images=images, pairs=pairs)


CALLS: dict[str, Callable[[Running, list[image_pb2.Image]], Any]] = {
    "embedding": lambda service, images: embedding_pb2_grpc.EmbeddingServiceStub(
        service.channel
    ).Embed(embedding_pb2.EmbedRequest(images=images)),
    "quality": lambda service, images: quality_pb2_grpc.QualityServiceStub(service.channel).Score(
        quality_pb2.ScoreRequest(images=images)
    ),
    "face": lambda service, images: face_pb2_grpc.FaceServiceStub(service.channel).Analyze(
        face_pb2.AnalyzeRequest(images=images)
    ),
    "siamese": lambda service, images: siamese_pb2_grpc.SiameseServiceStub(service.channel).Compare(
        siamese_request(images)
    ),
}
INFOS: dict[str, Callable[[Running], Any]] = {
    "embedding": lambda service: embedding_pb2_grpc.EmbeddingServiceStub(
        service.channel
    ).GetModelInfo(embedding_pb2.GetModelInfoRequest()),
    "quality": lambda service: quality_pb2_grpc.QualityServiceStub(service.channel).GetModelInfo(
        quality_pb2.GetModelInfoRequest()
    ),
    "face": lambda service: face_pb2_grpc.FaceServiceStub(service.channel).GetModelInfo(
        face_pb2.GetModelInfoRequest()
    ),
    "siamese": lambda service: siamese_pb2_grpc.SiameseServiceStub(service.channel).GetModelInfo(
        siamese_pb2.GetModelInfoRequest()
    ),
}
every_service = pytest.mark.parametrize("name", MODEL_SERVICES)


def png(pixels: NDArray[np.uint8]) -> image_pb2.Image:
    target = io.BytesIO()
    Image.fromarray(pixels).save(target, "PNG")
    return image_pb2.Image(encoded=target.getvalue())


@every_service
async def test_health_is_serving_after_the_warm_up(name: str) -> None:
    async with running(name) as service:
        stub = health_pb2_grpc.HealthStub(service.channel)
        for asked in ("", service.service_name):
            answer = await stub.Check(health_pb2.HealthCheckRequest(service=asked))
            assert answer.status == health_pb2.HealthCheckResponse.SERVING


@every_service
async def test_reflection_lists_the_service(name: str) -> None:
    async with running(name) as service:
        stub = reflection_pb2_grpc.ServerReflectionStub(service.channel)
        request = reflection_pb2.ServerReflectionRequest(list_services="")
        async for answer in stub.ServerReflectionInfo(iter([request])):
            listed = {entry.name for entry in answer.list_services_response.service}
    assert {service.service_name, "grpc.health.v1.Health"} <= listed


@every_service
async def test_model_info_describes_the_model_in_use(name: str) -> None:
    async with running(name) as service:
        model = (await INFOS[name](service)).model
    assert model.id.startswith("builtin-")
    assert model.origin == model_pb2.MODEL_ORIGIN_BUILTIN
    assert len(model.digest) == 64
    assert model.max_batch_count == 64
    assert len(model.paths) == len(model.file_digests)
    if name in ("embedding", "siamese"):
        wanted = {"CUDAExecutionProvider", "CPUExecutionProvider"}
        assert model.execution_providers[-1] == "CPUExecutionProvider"
        assert {*model.execution_providers, *model.missing_execution_providers} == wanted


@every_service
async def test_results_come_in_order_and_do_not_depend_on_the_batch(
    name: str, picture: Picture
) -> None:
    images = [pixels_message(picture(seed)) for seed in range(5)]
    async with running(name) as service:
        together = (await CALLS[name](service, images)).results
        assert len(together) == len(images)
        if name != "siamese":
            alone = [(await CALLS[name](service, [image])).results[0] for image in images]
            assert list(together) == alone


@every_service
async def test_pixels_and_a_lossless_file_of_one_picture_get_equal_results(
    name: str, picture: Picture
) -> None:
    pixels = picture(3, 900, 700)
    async with running(name) as service:
        raw, encoded = [
            await CALLS[name](service, [image, pixels_message(picture())])
            for image in (pixels_message(pixels), png(pixels))
        ]
    assert raw.results[0] == encoded.results[0]


@every_service
async def test_a_broken_picture_does_not_affect_the_others(name: str, picture: Picture) -> None:
    broken = {
        "no payload": image_pb2.Image(),
        "0 bytes": image_pb2.Image(encoded=b""),
        "not an image": image_pb2.Image(encoded=b"text"),
        "needs 300": image_pb2.Image(pixels=image_pb2.Pixels(width_px=10, height_px=10)),
        "not canonical": pixels_message(picture(width=1025, height=10)),
    }
    images = [pixels_message(picture()), *broken.values(), pixels_message(picture())]
    async with running(name) as service:
        results = (await CALLS[name](service, images)).results
    assert results[0].WhichOneof("result") != "error"
    assert results[-1].WhichOneof("result") != "error"
    for message, result in zip(broken, results[1:-1], strict=True):
        assert result.error.code == code_pb2.INVALID_ARGUMENT
        assert message in result.error.message
        info = error_details_pb2.ErrorInfo()
        assert result.error.details[0].Unpack(info)
        assert info.reason == "IMAGE_INVALID"


@every_service
@pytest.mark.parametrize("count", [0, 65])
async def test_an_empty_or_oversized_batch_names_its_field(
    name: str, count: int, picture: Picture
) -> None:
    images = [pixels_message(picture(width=16, height=16))] * count
    async with running(name) as service:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await CALLS[name](service, images)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    status = rpc_status.from_call(caught.value)
    request = error_details_pb2.BadRequest()
    assert status.details[1].Unpack(request)
    assert request.field_violations[0].field == ("pairs" if name == "siamese" else "images")


@every_service
@pytest.mark.parametrize(("width", "height"), [(1, 1), (1, 900), (1024, 3), (33, 31)])
async def test_pictures_of_any_shape_are_scored(
    name: str, width: int, height: int, picture: Picture
) -> None:
    async with running(name) as service:
        answer = await CALLS[name](service, [pixels_message(picture(0, width, height))])
    assert answer.results[0].WhichOneof("result") != "error"


@every_service
async def test_many_callers_at_once_get_their_own_results(name: str, picture: Picture) -> None:
    pictures = [pixels_message(picture(seed, 160, 120)) for seed in range(8)]
    batches = [[one, pictures[0]] for one in pictures]
    async with running(name) as service:
        alone = [await CALLS[name](service, batch) for batch in batches]
        together = await asyncio.gather(*(CALLS[name](service, batch) for batch in batches))
    assert together == alone


async def test_embeddings_are_unit_vectors_of_the_stated_dimension(picture: Picture) -> None:
    async with running("embedding") as service:
        info = await INFOS["embedding"](service)
        answer = await CALLS["embedding"](service, [pixels_message(picture())])
    values = np.array(answer.results[0].embedding.values)
    assert len(values) == info.dimension_count
    assert np.linalg.norm(values) == pytest.approx(1.0, abs=1e-6)
    assert 0 < info.calibration.cluster_selection_epsilon <= info.calibration.scene_distance


async def test_the_aesthetic_score_is_called_a_heuristic() -> None:
    async with running("quality") as service:
        info = await INFOS["quality"](service)
    assert info.heuristic_aesthetic
    assert info.model.is_heuristic


async def test_constants_are_part_of_the_quality_models_digest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    digests = set()
    for scale in (0.5, 0.6):
        constants = IQA_CONSTANTS.model_copy(update={"contrast_full_scale": scale})
        monkeypatch.setattr("services.quality.__main__.IQA_CONSTANTS", constants)
        async with running("quality") as service:
            digests.add((await INFOS["quality"](service)).model.digest)
    assert len(digests) == 2


async def test_comparison_is_symmetric_and_a_picture_ties_with_itself(picture: Picture) -> None:
    images = [pixels_message(picture(seed, 400, 300)) for seed in range(4)]
    pairs = [(a, b) for a in range(4) for b in range(4)]
    async with running("siamese") as service:
        stub = siamese_pb2_grpc.SiameseServiceStub(service.channel)
        request = siamese_pb2.CompareRequest(
            images=images, pairs=[siamese_pb2.Pair(first=a, second=b) for a, b in pairs]
        )
        answer = await stub.Compare(request)
    found = {
        pair: result.comparison.first_better_probability
        for pair, result in zip(pairs, answer.results, strict=True)
    }
    for a, b in pairs:
        assert found[a, b] + found[b, a] == pytest.approx(1.0, abs=1e-6)
    assert found[2, 2] == 0.5
    assert len({round(value, 6) for value in found.values()}) > 4  # not 0.5 for every pair


async def test_an_index_out_of_range_is_reported(picture: Picture) -> None:
    async with running("siamese") as service:
        stub = siamese_pb2_grpc.SiameseServiceStub(service.channel)
        request = siamese_pb2.CompareRequest(
            images=[pixels_message(picture())], pairs=[siamese_pb2.Pair(first=0, second=1)]
        )
        with pytest.raises(grpc.aio.AioRpcError, match=r"pairs\[0\].second: is 1"):
            await stub.Compare(request)


async def test_an_unexpected_failure_returns_a_request_id_and_no_internals() -> None:
    class Failing(quality_pb2_grpc.QualityServiceServicer):
        async def Score(self, request: object, context: object) -> quality_pb2.ScoreResponse:
            raise RuntimeError("secret")

    server = Server(
        metrics=Metrics(),
        address="127.0.0.1:0",
        key="quality.address",
        service_names=["bestshot.quality.v1.QualityService"],
        register=lambda grpc_server: quality_pb2_grpc.add_QualityServiceServicer_to_server(
            Failing(), grpc_server
        ),
        options=server_options(SHARED, insecure=False),
    )
    await server.start()
    async with grpc.aio.insecure_channel(server.address) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await quality_pb2_grpc.QualityServiceStub(channel).Score(
                quality_pb2.ScoreRequest(), metadata=(("x-request-id", "my-id"),)
            )
    server.stop_at_once()
    await server.wait()
    assert caught.value.code() is grpc.StatusCode.INTERNAL
    assert "my-id" in (caught.value.details() or "")
    assert "secret" not in (caught.value.details() or "")


@every_service
async def test_a_full_queue_is_reported_with_a_retry_delay(name: str, picture: Picture) -> None:
    images = [pixels_message(picture(seed, 96, 80)) for seed in range(4)]
    async with running(name, "max_queue_count=3") as service:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await CALLS[name](service, images)
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert "max_queue_count" in (caught.value.details() or "")
        status = rpc_status.from_call(caught.value)
        retry = error_details_pb2.RetryInfo()
        assert any(detail.Unpack(retry) for detail in status.details)
        assert retry.retry_delay.seconds >= 1
        assert len((await CALLS[name](service, images[:3])).results) == 3


@every_service
async def test_callers_that_share_inferences_get_their_own_results(
    name: str, picture: Picture
) -> None:
    images = [pixels_message(picture(seed, 96, 80)) for seed in range(8)]
    async with running(name) as service:
        alone = [await CALLS[name](service, [image, images[0]]) for image in images]
    async with running(name, "preferred_batch_count=8", "max_queue_delay_ms=20") as service:
        together = await asyncio.gather(
            *(CALLS[name](service, [image, images[0]]) for image in images)
        )
    for one, other in zip(alone, together, strict=True):
        got, wanted = (np.array(numbers_of(answer)) for answer in (other, one))
        np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-5)
    if name == "embedding":
        assert len({tuple(answer.results[0].embedding.values) for answer in together}) == 8


def numbers_of(message: Any) -> list[float]:
    """Returns all numbers of a message, in order."""
    found: list[float] = []
    for descriptor, value in message.ListFields():
        items = value if descriptor.is_repeated else [value]
        for item in items:
            if descriptor.message_type is not None:
                found += numbers_of(item)
            elif isinstance(item, int | float):
                found.append(float(item))
    return found


async def test_our_own_client_retries_if_a_queue_is_full(picture: Picture) -> None:
    images = [picture(seed, 200, 160) for seed in range(2)]
    async with running("quality", "max_queue_count=2") as service:
        caller = caller_to(service)
        scorer = GrpcQualityScorer(caller)
        model = await scorer.model()
        answers = await asyncio.gather(*(scorer.score(images, model) for _ in range(6)))
        await caller.close()
    assert all(answer == answers[0] for answer in answers)


async def test_a_message_that_is_too_large_fails_at_once(picture: Picture) -> None:
    async with running("quality") as service:
        caller = caller_to(service, max_message_bytes=1000)
        model = await GrpcQualityScorer(caller).model()
        with pytest.raises(ResourceExhaustedError, match=r"larger than max|max_message"):
            await asyncio.wait_for(
                GrpcQualityScorer(caller).score([picture(1, 200, 160)], model), timeout=30
            )
        await caller.close()


async def test_a_response_from_another_model_is_refused(picture: Picture) -> None:
    async with running("quality") as service:
        caller = caller_to(service)
        scorer = GrpcQualityScorer(caller)
        other = dataclasses.replace(await scorer.model(), digest="0" * 64)
        with pytest.raises(FailedPreconditionError, match="now serves a different model"):
            await scorer.score([picture()], other)
        await caller.close()
