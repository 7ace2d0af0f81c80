"""Networks based on torchvision's ResNet-50 (He et al. 2015)."""

from __future__ import annotations

import re
from collections.abc import Sequence

import torch
from torch import nn

from models.export.vision import torchvision_models

FEATURES = 2048
LOWEST_VOTE, HIGHEST_VOTE = 1.0, 10.0
"""Range of the votes in the AVA data set (Murray et al. 2012)."""


def resnet50_trunk() -> nn.Module:
    """Maps normalised pictures (n, 3, h, w) to features (n, 2048), without the classifier."""
    network: nn.Module = torchvision_models().resnet50(weights=None)
    network.fc = nn.Identity()
    return network


class AvaResNet50(nn.Module):
    """The earlier system's aesthetic network.

    Args:
        hidden: Width of the head's hidden layer.
        output_count: 1 = a score, clamped to 1 to 10; 10 = logits of the votes 1 to 10.
    """

    def __init__(self, hidden: int, output_count: int) -> None:
        super().__init__()
        self.backbone = resnet50_trunk()
        self.head = nn.Sequential(
            nn.Linear(FEATURES, hidden), nn.ReLU(), nn.Dropout(0.2), nn.Linear(hidden, output_count)
        )
        self.output_count = output_count

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Returns the score (n, 1), or the shares of the votes 1 to 10, (n, 10)."""
        answer = self.head(self.backbone(pixels))
        if self.output_count == 1:
            return answer.clamp(LOWEST_VOTE, HIGHEST_VOTE)
        return answer.softmax(dim=1)


class SiameseResNet50(nn.Module):
    """The earlier system's comparator.

    Args:
        hidden: Widths of the head's hidden layers; the published checkpoint has none.
    """

    def __init__(self, hidden: Sequence[int]) -> None:
        super().__init__()
        self.backbone = resnet50_trunk()
        layers: list[nn.Module] = []
        inputs = FEATURES
        for width in hidden:
            layers += [nn.Linear(inputs, width), nn.ReLU(), nn.Dropout(0.0)]
            inputs = width
        self.mlp = nn.Sequential(*layers, nn.Linear(inputs, 2))


def hidden_widths(state: dict[str, torch.Tensor]) -> list[int]:
    """Reads the widths of the hidden layers in a comparator's head from its weights' shapes."""
    weights = {
        int(found[1]): tensor
        for key, tensor in state.items()
        if (found := re.match(r"^mlp\.(\d+)\.weight$", key))
    }
    return [weights[index].shape[0] for index in sorted(weights)][:-1]
