"""Embedding and comparison on KServe's own server, which hosts the same ONNX files."""

from __future__ import annotations

import asyncio
import dataclasses
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from bestshot.orchestrator.v1 import orchestrator_pb2 as pb
from PIL import Image

from orchestrator.clients.connect import connect
from orchestrator.config import OrchestratorSettings
from orchestrator.ports import ModelPorts
from services.common.config.sections import load_section
from services.common.errors import FailedPreconditionError
from tests.conftest import ROOT, draw_picture
from tests.contract.other_pythons import python_with
from tests.contract.servers import SHARED
from tests.integration.parts import Part, orchestrator
from tests.integration.up import free_ports
from tests.waiting import LIMIT_S

GRAPHS = {"scenes": "scene-embedding", "describe": "siamese-describe", "compare": "siamese-compare"}
HOSTED = {
    "embedding_open_inference": {"model": "builtin-scene-embedding", "graph": "scenes"},
    "siamese_open_inference": {
        "model": "builtin-siamese",
        "describe": "describe",
        "compare": "compare",
    },
}


@pytest.fixture(scope="module")
def kserve(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a KServe server with the built-in graphs."""
    python = python_with("kserve==0.21.0", "onnxruntime")
    script = ROOT / "tests" / "contract" / "kserve_server.py"
    grpc_port, http_port = free_ports(2)
    models = [f"{name}={ROOT}/models/builtin/{file}.onnx" for name, file in GRAPHS.items()]
    log = tmp_path_factory.mktemp("kserve") / "log"
    with log.open("wb") as target:
        process = subprocess.Popen(
            [python, script, str(grpc_port), str(http_port), *models],
            stdout=target,
            stderr=subprocess.STDOUT,
        )
    address = f"127.0.0.1:{grpc_port}"
    try:
        with grpc.insecure_channel(address) as channel:
            grpc.channel_ready_future(channel).result(timeout=LIMIT_S)
        time.sleep(0.5)
        assert process.poll() is None, log.read_text()
        yield address
    finally:
        process.terminate()
        process.wait(LIMIT_S)


async def answers(**changes: Any) -> dict[str, Any]:
    """Returns the results of the ports for some pictures, with changed settings."""
    settings = load_section(ROOT / "configs", "builtin", "orchestrator", OrchestratorSettings)
    data = {**settings.model_dump(), **changes}
    callers, ports = connect(ROOT / "configs", SHARED, OrchestratorSettings.model_validate(data))
    try:
        return await _ask(ports)
    finally:
        for caller in callers:
            await caller.close()


async def _ask(ports: ModelPorts) -> dict[str, Any]:
    pictures = [draw_picture(seed, *size) for seed, size in enumerate([(320, 240), (90, 400)])]
    pictures.append(pictures[0] // 2)
    embedding, siamese = await ports.embedder.model(), await ports.comparer.model()
    pairs = [(0, 1), (1, 0), (0, 2), (2, 2)]
    other = dataclasses.replace(embedding, digest="another")
    with pytest.raises(FailedPreconditionError, match="now serves a different model"):
        await ports.embedder.embed(pictures, other)
    return {
        "models": (embedding, siamese),
        "calibration": await ports.embedder.calibration(),
        "embeddings": await ports.embedder.embed(pictures, embedding),
        "comparisons": await ports.comparer.compare(pictures, pairs, siamese),
    }


def test_a_foreign_server_gives_the_same_results_as_our_services(
    kserve: str, services: dict[str, Part]
) -> None:
    typed = asyncio.run(
        answers(
            embedding_address=services["embedding"].address,
            siamese_address=services["siamese"].address,
        )
    )
    hosted = asyncio.run(answers(embedding_address=kserve, siamese_address=kserve, **HOSTED))
    assert hosted["calibration"] == typed["calibration"]
    np.testing.assert_allclose(hosted["embeddings"], typed["embeddings"], atol=1e-5)
    np.testing.assert_allclose(hosted["comparisons"], typed["comparisons"], atol=1e-5)
    assert hosted["comparisons"][0] + hosted["comparisons"][1] == pytest.approx(1.0, abs=1e-6)
    for ours, theirs in zip(typed["models"], hosted["models"], strict=True):
        assert theirs.id == ours.id
        assert theirs.digest != ours.digest  # features from another server are cached separately
        assert "kserve" in theirs.description


def test_a_run_on_a_foreign_server_gives_the_same_groups_and_picks(
    kserve: str, services: dict[str, Part], tmp_path: Path
) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    for number in range(8):
        picture = Image.fromarray(draw_picture(number // 2, 480, 360))
        picture.save(photos / f"{number}.jpg", quality=90 - 4 * (number % 2))
    own = {name: part.address for name, part in services.items()}
    hosted = {key: str(value) for key, value in HOSTED.items()}
    with orchestrator(tmp_path / "own", own, photos) as part:
        typed = part.results(part.end(part.begin()).id)
    with orchestrator(
        tmp_path / "hosted", {**own, "embedding": kserve, "siamese": kserve}, photos, **hosted
    ) as part:
        run = part.end(part.begin())
        assert run.state == pb.RUN_STATE_COMPLETED, run.error
        assert part.results(run.id) == typed
        assert any(stage.stage == "compare" and stage.total_count for stage in run.stages)


def test_a_model_that_the_server_does_not_host_is_reported_before_a_run_begins(
    kserve: str, services: dict[str, Part], tmp_path: Path
) -> None:
    own = {name: part.address for name, part in services.items()}
    photos = tmp_path / "photos"
    photos.mkdir()
    absent = str({"model": "builtin-scene-embedding", "graph": "absent"})
    found = {**own, "embedding": kserve}
    with orchestrator(tmp_path, found, photos, embedding_open_inference=absent) as part:
        with pytest.raises(grpc.RpcError) as caught:
            part.begin()
        assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
        assert "absent" in (caught.value.details() or "")
