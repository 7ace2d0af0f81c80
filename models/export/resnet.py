"""ResNet-50 (He et al. 2015) with torchvision's names, in plain PyTorch, and what stands on it."""

from __future__ import annotations

import re
from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional as F

EXPANSION = 4
LAYERS = (3, 4, 6, 3)
WIDTHS = (64, 128, 256, 512)
FEATURES = WIDTHS[-1] * EXPANSION
LOWEST_VOTE, HIGHEST_VOTE = 1.0, 10.0
"""Of the data set AVA (Murray et al. 2012)."""

_SEQUENTIAL_NAMES = {
    "0": "conv1",
    "1": "bn1",
    "4": "layer1",
    "5": "layer2",
    "6": "layer3",
    "7": "layer4",
}
"""A trunk that was wrapped in nn.Sequential has numbers in the place of names."""


class _Bottleneck(nn.Module):
    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        outputs = width * EXPANSION
        self.conv1 = nn.Conv2d(inputs, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, outputs, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.downsample: nn.Module | None = None
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        shortcut = self.downsample(x) if self.downsample is not None else x
        x = F.relu(self.bn1(self.conv1(x)))
        x = F.relu(self.bn2(self.conv2(x)))
        return F.relu(self.bn3(self.conv3(x)) + shortcut)


class ResNet50(nn.Module):
    """Normalised pictures (n, 3, h, w) to features (n, 2048); the classifier is left out."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, WIDTHS[0], 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(WIDTHS[0])
        inputs = WIDTHS[0]
        for index, (count, width) in enumerate(zip(LAYERS, WIDTHS, strict=True), start=1):
            blocks = []
            for block in range(count):
                stride = 2 if index > 1 and block == 0 else 1
                blocks.append(_Bottleneck(inputs, width, stride))
                inputs = width * EXPANSION
            setattr(self, f"layer{index}", nn.Sequential(*blocks))

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Features after the mean over the last map."""
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(pixels))), 3, 2, 1)
        for index in range(1, len(LAYERS) + 1):
            x = getattr(self, f"layer{index}")(x)
        return x.mean((2, 3))


class AvaResNet50(nn.Module):
    """The earlier system's aesthetic network.

    Args:
        hidden: Width of the head's hidden layer.
        output_count: 1 = a score, clamped to 1 to 10; 10 = logits of the votes 1 to 10.
    """

    def __init__(self, hidden: int, output_count: int) -> None:
        super().__init__()
        self.backbone = ResNet50()
        self.head = nn.Sequential(
            nn.Linear(FEATURES, hidden), nn.ReLU(), nn.Dropout(0.2), nn.Linear(hidden, output_count)
        )
        self.output_count = output_count

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Score (n, 1), or the shares of the votes 1 to 10, (n, 10)."""
        answer = self.head(self.backbone(pixels))
        if self.output_count == 1:
            return answer.clamp(LOWEST_VOTE, HIGHEST_VOTE)
        return answer.softmax(dim=1)


class SiameseResNet50(nn.Module):
    """The earlier system's comparator.

    Args:
        hidden: Widths of the hidden layers of the head; none in the published checkpoint.
    """

    def __init__(self, hidden: Sequence[int]) -> None:
        super().__init__()
        self.backbone = ResNet50()
        layers: list[nn.Module] = []
        inputs = FEATURES
        for width in hidden:
            layers += [nn.Linear(inputs, width), nn.ReLU(), nn.Dropout(0.0)]
            inputs = width
        self.mlp = nn.Sequential(*layers, nn.Linear(inputs, 2))


def hidden_widths(state: dict[str, torch.Tensor]) -> list[int]:
    """Widths of the hidden layers of a comparator's head, by the shapes of its weights."""
    weights = {
        int(found[1]): tensor
        for key, tensor in state.items()
        if (found := re.match(r"^mlp\.(\d+)\.weight$", key))
    }
    return [weights[index].shape[0] for index in sorted(weights)][:-1]


def with_torchvision_names(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Renames "backbone.4.0.conv1.weight" to "backbone.layer1.0.conv1.weight"; others stay."""
    return {
        re.sub(r"^backbone\.(\d)\.", lambda found: f"backbone.{_SEQUENTIAL_NAMES[found[1]]}.", key)
        if re.match(r"^backbone\.[014567]\.", key)
        else key: tensor
        for key, tensor in state.items()
        if not key.startswith("backbone.fc.")
    }
