"""The `full` profile with small networks in place of the published ones."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import yaml
from bestshot.orchestrator.v1 import orchestrator_pb2 as pb
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from services.common.inference.registry import find_entry
from services.common.inference.tensor import to_tensor
from services.common.rpc.channels import client_options
from tests.conftest import ROOT, draw_picture
from tests.contract.servers import SHARED
from tests.integration.command import Curated, bestshot, curate
from tests.integration.parts import orchestrator
from tests.integration.up import free_ports
from tests.tflite_files import SmallMobileNet
from tests.waiting import http_get
from ui.client import Orchestrator
from ui.views.detail import render_detail

NIMA, DINO = "nima-aesthetic", "dinov2-small-onnx"
NETWORK = SmallMobileNet(seed=5)
TOKEN_COUNT, SIZE = 5, 12


def tokens_graph() -> bytes:
    """Builds a graph whose output looks like DINOv2's tokens; the first depends on the picture."""
    weight = np.random.default_rng(0).normal(size=(3, SIZE)).astype(np.float32)
    others = np.ones((1, TOKEN_COUNT - 1, SIZE), np.float32)
    nodes = [
        helper.make_node("ReduceMean", ["pixel_values"], ["means"], axes=[2, 3], keepdims=0),
        helper.make_node("MatMul", ["means", "weight"], ["described"]),
        helper.make_node("Unsqueeze", ["described", "one"], ["first"]),
        helper.make_node("Concat", ["first", "others"], ["last_hidden_state"], axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "tokens",
        [helper.make_tensor_value_info("pixel_values", TensorProto.FLOAT, [1, 3, 224, 224])],
        [
            helper.make_tensor_value_info(
                "last_hidden_state", TensorProto.FLOAT, [1, TOKEN_COUNT, SIZE]
            )
        ],
        [
            numpy_helper.from_array(weight, "weight"),
            numpy_helper.from_array(others, "others"),
            numpy_helper.from_array(np.array([1], np.int64), "one"),
        ],
    )
    opset = [helper.make_opsetid("", 13)]
    model: onnx.ModelProto = helper.make_model(graph, opset_imports=opset, ir_version=8)
    return bytes(model.SerializeToString())


@dataclass(frozen=True)
class Full:
    """The results of the profile for three photos."""

    configs: Path
    pull: str
    curated: Curated
    data: Path


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Full:
    base = tmp_path_factory.mktemp("full")
    configs, stick, photos = base / "configs", base / "stick", base / "photos"
    shutil.copytree(ROOT / "configs", configs)
    stick.mkdir()
    photos.mkdir()
    registry = yaml.safe_load((configs / "models.yaml").read_text())
    for model_id, content in ((NIMA, NETWORK.file()), (DINO, tokens_graph())):
        download = registry["models"][model_id]["downloads"]["graph"]
        download["size_bytes"] = len(content)
        download["sha256"] = hashlib.sha256(content).hexdigest()
        (stick / download["name"]).write_bytes(content)
    registry["models"][NIMA]["preprocessing"]["side_px"] = NETWORK.side
    (configs / "models.yaml").write_text(yaml.safe_dump(registry))
    profile = yaml.safe_load((configs / "profiles" / "full.yaml").read_text())
    profile["services"]["face"]["model"] = "builtin-face"  # the profile's own are not available
    (configs / "profiles" / "full.yaml").write_text(yaml.safe_dump(profile))
    for seed in range(3):
        Image.fromarray(draw_picture(seed, 96, 64)).save(photos / f"{seed}.png")
    changes = {"BESTSHOT_CONFIG_DIR": str(configs), "BESTSHOT_MODELS_DIR": str(base / "models")}
    data = base / "orchestrator" / "data"
    pull = ["models", "pull", "--profile", "full", "--from", stick]
    pulled = bestshot(pull, data=data, changes=changes)
    assert pulled.code == 0, pulled.text
    curated = curate(photos, base / "out", data, "--profile", "full", changes=changes)
    return Full(configs, pulled.text, curated, data)


def expected_shares(full: Full, path: str) -> np.ndarray[Any, np.dtype[np.float64]]:
    preprocessing = find_entry(full.configs, NIMA).preprocessing
    assert preprocessing is not None
    with Image.open(full.curated.photos / path) as opened:
        pixels = np.asarray(opened.convert("RGB"))
    return NETWORK.shares(to_tensor(pixels, preprocessing))[0].astype(np.float64)


def test_the_learned_votes_reach_every_file(full: Full) -> None:
    assert "nima_aesthetic.onnx: converted by tflite2onnx 0.4.1" in full.pull
    models = full.curated.run["models"]
    assert (models["quality"]["id"], models["embedding"]["id"]) == (NIMA, DINO)
    assert "; converted by tflite2onnx 0.4.1, onnx " in models["quality"]["file_sources"][0]
    for path, image in full.curated.images.items():
        shares = expected_shares(full, path)
        quality = image["quality"]
        np.testing.assert_allclose(quality["ava_distribution"], shares, atol=1e-5)
        assert quality["ava_score"] == pytest.approx(shares @ np.arange(1, 11), abs=1e-4)
        row = full.curated.rows[path]
        assert json.loads(row["AVA_Distribution"]) == quality["ava_distribution"]
        assert float(row["AVA"]) == quality["ava_score"]


async def test_the_learned_votes_reach_the_apis_and_the_page(full: Full) -> None:
    (port,) = free_ports(1)
    folder, http_address = full.data.parent, f"127.0.0.1:{port}"
    with orchestrator(folder, {}, full.curated.photos, http_address=http_address) as part:
        run_id = str(full.curated.run["id"])
        answer = part.stub.GetImage(pb.GetImageRequest(run_id=run_id, path="0.png")).image
        url = f"http://{http_address}/api/v1/runs/{run_id}/images"
        mirrored = {one["path"]: one for one in http_get(url).json()["images"]}
        api = Orchestrator(part.address, 60.0, client_options(SHARED))
        page = await render_detail(api, run_id, "0.png")
        await api.aclose()
    stored = full.curated.images["0.png"]["quality"]["ava_distribution"]
    assert list(answer.quality.ava_distribution) == stored
    assert mirrored["0.png"]["quality"]["ava_distribution"] == stored
    assert 'role="img" aria-label="Predicted votes for 0.png: vote 1: ' in page
    assert f"mean {answer.quality.ava_score:.2f}" in page
