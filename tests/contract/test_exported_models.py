"""Services that host a checkpoint, exported with PyTorch or built without it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from bestshot.model.v1 import model_pb2
from bestshot.quality.v1 import quality_pb2, quality_pb2_grpc
from bestshot.siamese.v1 import siamese_pb2, siamese_pb2_grpc
from numpy.typing import NDArray

from models.convert.pictures import real_pictures
from models.export.__main__ import export
from models.export.resnet import AvaResNet50, SiameseResNet50
from models.export.vision import torchvision_models
from models.pull import Location, fetch_model
from services.common.inference.registry import find_entry
from services.common.inference.tensor import to_tensor
from tests.checkpoints import put_checkpoint
from tests.conftest import ROOT
from tests.contract.servers import pixels_message, running
from tests.unit.models.test_pull import Heard

AVA, SIAMESE = "ava-resnet50", "siamese-resnet50"
NUMBERS = {"conv1": "0", "bn1": "1", "layer1": "4", "layer2": "5", "layer3": "6", "layer4": "7"}


def shorten_trunk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Uses one block per stage instead of three to six, to save four fifths of the time."""

    def trunk() -> torch.nn.Module:
        resnet = torchvision_models().resnet
        network: torch.nn.Module = resnet.ResNet(resnet.Bottleneck, [1, 1, 1, 1])
        network.fc = torch.nn.Identity()
        return network

    monkeypatch.setattr("models.export.resnet.resnet50_trunk", trunk)


def ava_network(output_count: int) -> AvaResNet50:
    torch.manual_seed(output_count)
    network = AvaResNet50(256, output_count).eval()
    with torch.no_grad():
        network.head[3].weight.mul_(0.1)
        network.head[3].bias.fill_(5.0)
    return network


def as_in_a_sequential(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Renames weights as if the trunk had been wrapped in nn.Sequential."""
    renamed = {}
    for key, tensor in state.items():
        part, name, *rest = key.split(".")
        renamed[".".join([part, NUMBERS.get(name, name), *rest])] = tensor
    return renamed


def build(configs: Path, folder: Path, model_id: str) -> None:
    fetch_model(folder, model_id, find_entry(configs, model_id), Location(), Heard())


@pytest.mark.parametrize("output_count", [1, 10])
async def test_the_quality_service_returns_the_votes_that_the_network_predicts(
    output_count: int,
    picture: Callable[..., NDArray[np.uint8]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if output_count == 10:
        shorten_trunk(monkeypatch)
    network = ava_network(output_count)
    state: dict[str, Any] = dict(network.state_dict())
    if output_count == 10:
        state = as_in_a_sequential(state)
    content = {"model_state_dict": state, "epoch": 14, "config": {"mode": "x"}, "val_spearman": 0.6}
    configs, folder = put_checkpoint(tmp_path, AVA, content)
    if output_count == 1:
        build(configs, folder, AVA)  # the published form
    else:
        export(configs, folder, AVA, "fp32")
    monkeypatch.setenv("BESTSHOT_CONFIG_DIR", str(configs))
    monkeypatch.setenv("BESTSHOT_MODELS_DIR", str(folder))

    pictures = [picture(seed, 400, 300) for seed in range(3)]
    async with running("quality", f"model={AVA}") as service:
        stub = quality_pb2_grpc.QualityServiceStub(service.channel)
        messages = [pixels_message(pixels) for pixels in pictures]
        answer = await stub.Score(quality_pb2.ScoreRequest(images=messages))
        info = await stub.GetModelInfo(quality_pb2.GetModelInfoRequest())
    assert info.model.origin == model_pb2.MODEL_ORIGIN_PRETRAINED
    assert not info.heuristic_aesthetic
    assert "CPUExecutionProvider" in info.model.execution_providers

    preprocessing = find_entry(configs, AVA).preprocessing
    assert preprocessing is not None
    for pixels, result in zip(pictures, answer.results, strict=True):
        with torch.inference_mode():
            votes = network(torch.from_numpy(to_tensor(pixels, preprocessing)))[0].double().numpy()
        wanted = votes[0] if output_count == 1 else float(votes @ np.arange(1, 11))
        assert result.scores.ava_score == pytest.approx(wanted, abs=1e-3)
        assert 1.0 <= result.scores.ava_score <= 10.0
        assert 0.0 < result.scores.iqa_score < 1.0
        distribution = list(result.scores.ava_distribution)
        assert len(distribution) == (0 if output_count == 1 else 10)
        assert not distribution or sum(distribution) == pytest.approx(1.0)
    assert len({result.scores.ava_score for result in answer.results}) == 3


@pytest.mark.parametrize(
    ("answer", "is_exported"), [(1, True), (0, False)], ids=["1-exported", "0-built"]
)
async def test_the_siamese_service_handles_both_meanings_of_the_output(
    answer: int, is_exported: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if is_exported:
        shorten_trunk(monkeypatch)
    preprocessing = find_entry(ROOT / "configs", SIAMESE).preprocessing
    assert preprocessing is not None
    good = real_pictures()[0]
    bad = np.asarray(cv2.GaussianBlur(good, (0, 0), 4.0), np.uint8)
    torch.manual_seed(0)
    network = SiameseResNet50([]).eval()
    with torch.inference_mode():
        described = [
            network.backbone(torch.from_numpy(to_tensor(picture, preprocessing)))[0]
            for picture in (good, bad)
        ]
    difference = described[0] - described[1]
    with torch.no_grad():  # a head that recognizes blur, and is biased towards answer 1
        network.mlp[0].weight.zero_()
        network.mlp[0].weight[answer] = difference / difference.square().sum()
        network.mlp[0].bias.copy_(torch.tensor([-2.0, 2.0]))
    content = {"model_state_dict": as_in_a_sequential(dict(network.state_dict())), "val_acc": 0.7}
    configs, folder = put_checkpoint(tmp_path, SIAMESE, content)
    if is_exported:
        export(configs, folder, SIAMESE, "fp32")
    else:
        build(configs, folder, SIAMESE)
    monkeypatch.setenv("BESTSHOT_CONFIG_DIR", str(configs))
    monkeypatch.setenv("BESTSHOT_MODELS_DIR", str(folder))

    async with running("siamese", f"model={SIAMESE}") as service:
        stub = siamese_pb2_grpc.SiameseServiceStub(service.channel)
        compared = await stub.Compare(
            siamese_pb2.CompareRequest(
                images=[pixels_message(good), pixels_message(bad)],
                pairs=[
                    siamese_pb2.Pair(first=first, second=second)
                    for first, second in ((0, 1), (1, 0), (0, 0))
                ],
            )
        )
    forward, backward, same = (
        result.comparison.first_better_probability for result in compared.results
    )
    assert forward > 0.52
    assert forward + backward == pytest.approx(1.0, abs=1e-6)
    assert same == pytest.approx(0.5, abs=1e-6)
