"""Serving an embedding joined from two networks: both interfaces, dynamic batches, one digest."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from bestshot.embedding.v1 import embedding_pb2, embedding_pb2_grpc
from bestshot.image.v1 import image_pb2
from inference import open_inference_pb2 as pb
from inference import open_inference_pb2_grpc

from orchestrator.clients.connect import connect
from orchestrator.config import HostedEmbedding, OrchestratorSettings
from services.common.config.sections import load_section
from services.common.errors import ConfigError
from tests.conftest import ROOT, draw_picture
from tests.contract.servers import SHARED, Running, pixels_message, running

MODEL = "standard-scene-embedding"
CALIBRATION = {"scene_distance": 0.5, "cluster_selection_epsilon": 0.25, "source": "this test"}


@pytest.fixture
def configs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Settings in which both networks are files of this package; the features network sees the
    centre."""
    folder = tmp_path / "configs"
    shutil.copytree(ROOT / "configs", folder)
    registry = yaml.safe_load((folder / "models.yaml").read_text())
    builtin = registry["models"]["builtin-scene-embedding"]
    features = registry["models"]["efficientnet-lite0"]
    features.pop("downloads")
    features["files"] = builtin["files"]
    features["preprocessing"] = {**builtin["preprocessing"], "short_side_px": 160}
    registry["models"][MODEL]["calibration"] = CALIBRATION
    (folder / "models.yaml").write_text(yaml.safe_dump(registry))
    monkeypatch.setenv("BESTSHOT_CONFIG_DIR", str(folder))
    return folder


async def embed(service: Running, images: list[image_pb2.Image]) -> list[list[float]]:
    stub = embedding_pb2_grpc.EmbeddingServiceStub(service.channel)
    answer = await stub.Embed(embedding_pb2.EmbedRequest(images=images))
    return [list(result.embedding.values) for result in answer.results]


async def test_both_interfaces_serve_the_joined_embedding(configs: Path) -> None:
    images = [pixels_message(draw_picture(seed, 96, 64)) for seed in range(2)]
    async with running("embedding") as service:
        alone = await embed(service, images)
    async with running("embedding", f"model={MODEL}") as service:
        stub = embedding_pb2_grpc.EmbeddingServiceStub(service.channel)
        info = await stub.GetModelInfo(embedding_pb2.GetModelInfoRequest())
        joined = await embed(service, images)
        tensor = pb.ModelInferRequest.InferInputTensor(
            name="image", datatype="UINT8", shape=[1, 64, 96, 3]
        )
        foreign = await open_inference_pb2_grpc.GRPCInferenceServiceStub(
            service.channel
        ).ModelInfer(
            pb.ModelInferRequest(
                model_name=MODEL, inputs=[tensor], raw_input_contents=[images[0].pixels.rgb]
            )
        )
    assert info.dimension_count == len(joined[0]) == 2 * len(alone[0])
    assert len(info.model.paths) == len(info.model.file_digests) == 2
    assert info.calibration.scene_distance == 0.5
    assert info.calibration.cluster_selection_epsilon == 0.25
    for vector, wanted in zip(joined, alone, strict=True):
        assert np.linalg.norm(vector) == pytest.approx(1.0, abs=1e-6)
        np.testing.assert_allclose(
            vector[len(wanted) :], np.sqrt(0.3) * np.array(wanted), atol=1e-6
        )
    assert not np.allclose(joined[0][: len(alone[0])], np.sqrt(0.7) * np.array(alone[0]), atol=0.01)
    assert np.frombuffer(foreign.raw_output_contents[0], np.float32).tolist() == joined[0]


async def test_pictures_of_many_callers_share_inferences(configs: Path) -> None:
    images = [pixels_message(draw_picture(seed, 96, 64)) for seed in range(6)]
    flags = f"model={MODEL}", "preferred_batch_count=6", "max_queue_delay_ms=50"
    async with running("embedding", f"model={MODEL}") as service:
        alone = await embed(service, images)
    async with running("embedding", *flags) as service:
        together = await asyncio.gather(*(embed(service, [image]) for image in images))
    for (vector,), wanted in zip(together, alone, strict=True):
        np.testing.assert_allclose(vector, wanted, atol=1e-5)


async def test_a_foreign_server_cannot_join_two_graphs(configs: Path) -> None:
    settings = load_section(configs, "builtin", "orchestrator", OrchestratorSettings)
    hosted = HostedEmbedding(model=MODEL, graph="scenes")
    wanted = settings.model_copy(update={"embedding_open_inference": hosted})
    with pytest.raises(ConfigError, match=f"{MODEL} is composed of several models"):
        connect(configs, SHARED, wanted)
