"""Builds the graphs to export for each architecture in models.yaml."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.datasets import load_sample_images
from torch import nn

from models.export.checkpoint import load_weights
from models.export.dinov2 import SHAPES, DinoV2
from models.export.graph import DEVICE, Graph, on_device
from models.export.resnet import AvaResNet50, SiameseResNet50, hidden_widths
from services.common.imaging.decode import RgbImage
from services.common.inference.registry import Preprocessing
from services.common.inference.tensor import to_tensor

State = dict[str, torch.Tensor]


def graphs_of(
    architecture: str, state: State, path: Path, preprocessing: Preprocessing
) -> tuple[dict[str, Graph], dict[str, str]]:
    """Builds the networks of a checkpoint.

    Args:
        architecture: Its name in models.yaml.
        state: The weights.
        path: File of the weights, for messages.
        preprocessing: How the service will prepare pictures.

    Returns:
        The graphs, by the names that the service uses, and entries for their metadata.

    Raises:
        ConfigError: The weights belong to another architecture.
    """
    if architecture == "siamese-resnet50":
        return _siamese(state, path, preprocessing)
    network: nn.Module
    if architecture == "ava-resnet50":
        network = AvaResNet50(_rows(state, "head.0.weight", 256), _rows(state, "head.3.weight", 1))
        output = "votes"
    else:
        network, output = DinoV2(SHAPES[architecture]), "embedding"
    load_weights(network, state, path)
    pictures = _tensors(real_pictures(), preprocessing)
    return {"graph": Graph(network.eval(), {"pixels": pictures}, output)}, {}


class _Compare(nn.Module):
    def __init__(self, network: SiameseResNet50, answer: int) -> None:
        super().__init__()
        self.mlp = network.mlp
        self.answer = answer

    def forward(self, first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
        return self.mlp(first - second).softmax(dim=1)[:, self.answer]


def _siamese(
    state: State, path: Path, preprocessing: Preprocessing
) -> tuple[dict[str, Graph], dict[str, str]]:
    network = SiameseResNet50(hidden_widths(state))
    load_weights(network, state, path)
    network.eval()
    good = real_pictures()
    worse = [degrade(picture) for picture in good for degrade in (_blur, _crush)]
    pictures = _tensors(good, preprocessing)
    with torch.inference_mode():
        network.to(DEVICE)
        described = network.backbone(on_device(pictures))
        degraded = network.backbone(on_device(_tensors(worse, preprocessing)))
        first = described.repeat_interleave(2, dim=0)
        answer, share = preferred_answer(_Compare(network, 1), first, degraded)
    print(
        f"answer {answer} means that the first picture is better: it prefers the undegraded one in "
        f"{share:.0%} of {len(worse)} pairs, both orders averaged"
    )
    features = described.cpu().numpy()
    return {
        "describe": Graph(network.backbone, {"pixels": pictures}, "description"),
        "compare": Graph(
            _Compare(network, answer),
            {"first": features, "second": np.ascontiguousarray(features[::-1])},
            "first_better_probability",
        ),
    }, {"answer": str(answer), "answer_share": f"{share:.3f}"}


def preferred_answer(
    compare: nn.Module, better: torch.Tensor, worse: torch.Tensor
) -> tuple[int, float]:
    """Measures which output means "the first is better", on pairs with a known answer.

    Both orders are averaged, which cancels any bias of the head towards one output.

    Args:
        compare: Returns the probability of output 1.
        better: Features of the better pictures, (n, 2048).
        worse: Features of the worse pictures.

    Returns:
        The output, 0 or 1, and the share of pairs on which it is right.
    """
    margin = compare(better, worse) - compare(worse, better)
    share = float((margin > 0).float().mean())
    return (1, share) if share >= 0.5 else (0, 1.0 - share)


def real_pictures() -> list[RgbImage]:
    """Crops of the photos that ship with scikit-learn."""
    return [
        np.ascontiguousarray(picture[top : top + 320, left : left + 480])
        for picture in load_sample_images().images
        for top in (0, 100)
        for left in (0, 160)
    ]


def _tensors(pictures: list[RgbImage], preprocessing: Preprocessing) -> NDArray[np.float32]:
    return np.concatenate([to_tensor(picture, preprocessing) for picture in pictures])


def _blur(picture: RgbImage) -> RgbImage:
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), 4.0), np.uint8)


def _crush(picture: RgbImage) -> RgbImage:
    _, content = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 5])
    return np.asarray(cv2.imdecode(content, cv2.IMREAD_COLOR), np.uint8)


def _rows(state: State, key: str, default: int) -> int:
    return state[key].shape[0] if key in state else default
