"""Builds the graphs to export for each architecture in models.yaml."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import nn

from models.convert.pictures import (
    preferred_answer,
    real_pictures,
    tensors_of,
    worse_pictures,
)
from models.export.checkpoint import load_weights
from models.export.dinov2 import SHAPES, DinoV2
from models.export.graph import DEVICE, Graph, on_device
from models.export.resnet import AvaResNet50, SiameseResNet50, hidden_widths
from services.common.inference.registry import Preprocessing

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
        ConfigError: The weights belong to a different architecture.
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
    pictures = tensors_of(real_pictures(), preprocessing)
    return {"graph": Graph(network.eval(), {"pixels": pictures}, output)}, {}


class Compare(nn.Module):
    """Probability of one answer of the comparator, from the features of both pictures."""

    def __init__(self, network: SiameseResNet50, answer: int) -> None:
        super().__init__()
        self.mlp = network.mlp
        self.answer = answer

    def forward(self, first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
        """Maps features (n, 2048) to probabilities (n,)."""
        return self.mlp(first - second).softmax(dim=1)[:, self.answer]


def _siamese(
    state: State, path: Path, preprocessing: Preprocessing
) -> tuple[dict[str, Graph], dict[str, str]]:
    network = SiameseResNet50(hidden_widths(state))
    load_weights(network, state, path)
    network.eval()
    pictures = tensors_of(real_pictures(), preprocessing)
    worse = tensors_of(worse_pictures(), preprocessing)
    with torch.inference_mode():
        network.to(DEVICE)
        described = network.backbone(on_device(pictures))
        degraded = network.backbone(on_device(worse))
        first, compare = described.repeat_interleave(2, dim=0), Compare(network, 1)
        margins = compare(first, degraded) - compare(degraded, first)
    answer, share = preferred_answer(margins.cpu().numpy())
    print(
        f"answer {answer} means that the first picture is better: it prefers the undegraded one in "
        f"{share:.0%} of {len(worse)} pairs, both orders averaged"
    )
    features = described.cpu().numpy()
    return {
        "describe": Graph(network.backbone, {"pixels": pictures}, "description"),
        "compare": Graph(
            Compare(network, answer),
            {"first": features, "second": np.ascontiguousarray(features[::-1])},
            "first_better_probability",
        ),
    }, {"answer": str(answer), "answer_share": f"{share:.3f}"}


def _rows(state: State, key: str, default: int) -> int:
    return state[key].shape[0] if key in state else default
