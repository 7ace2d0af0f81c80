"""Reads PyTorch checkpoints without unpickling arbitrary objects."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from models.export.resnet import rename_to_torchvision
from services.common.errors import ConfigError


def read_checkpoint(path: Path) -> dict[str, torch.Tensor]:
    """Reads weights by name, from a state dict or a training checkpoint that contains one.

    Raises:
        ConfigError: The file contains anything other than tensors and plain values.
    """
    try:
        found: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # the errors that unpickling raises have no common base
        # omits PyTorch's message, which explains how to load such a file despite the danger
        raise ConfigError(
            f"{path} is not a checkpoint with only weights: it is damaged, or contains Python "
            f"objects, which could run code"
        ) from error
    return rename_to_torchvision(found.get("model_state_dict", found))


def load_weights(network: nn.Module, state: dict[str, torch.Tensor], path: Path) -> None:
    """Loads weights into a network.

    Raises:
        ConfigError: A key is missing, unknown or has another shape; the message names the first.
    """
    wanted = network.state_dict()
    for key, tensor in wanted.items():
        if key not in state:
            raise ConfigError(f"{path} has no {key!r}")
        if state[key].shape != tensor.shape:
            raise ConfigError(
                f"{path}: {key} has the shape {tuple(state[key].shape)}, "
                f"expected {tuple(tensor.shape)}"
            )
    unknown = [key for key in state if key not in wanted]
    if unknown:
        raise ConfigError(f"{path} has {unknown[0]!r}, which is not in the architecture")
    network.load_state_dict(state)
