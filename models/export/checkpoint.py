"""Checkpoints of PyTorch: weights by name, nothing unpickled."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from models.export.resnet import with_torchvision_names
from services.common.errors import ConfigError


def read_checkpoint(path: Path) -> dict[str, torch.Tensor]:
    """Reads weights by name, nothing unpickled; also those of a training's checkpoint.

    Raises:
        ConfigError: The file holds anything but tensors and plain values.
    """
    try:
        found: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # the errors of unpickling have no common base
        raise ConfigError(f"{path} is no checkpoint of weights alone: {error}") from error
    return with_torchvision_names(found.get("model_state_dict", found))


def load_weights(network: nn.Module, state: dict[str, torch.Tensor], path: Path) -> None:
    """Gives a network its weights.

    Raises:
        ConfigError: A key is missing, unknown or of another shape; names the first.
    """
    wanted = network.state_dict()
    for key, tensor in wanted.items():
        if key not in state:
            raise ConfigError(f"{path} has no {key!r}")
        if state[key].shape != tensor.shape:
            raise ConfigError(
                f"{path}: {key} has the shape {tuple(state[key].shape)}, "
                f"{tuple(tensor.shape)} is wanted"
            )
    unknown = [key for key in state if key not in wanted]
    if unknown:
        raise ConfigError(f"{path} has {unknown[0]!r}, which the architecture does not")
    network.load_state_dict(state)
