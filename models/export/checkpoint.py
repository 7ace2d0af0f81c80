"""Reads PyTorch checkpoints without unpickling anything."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from models.convert.tensor_file import open_tensors
from services.common.errors import ConfigError


def read_checkpoint(path: Path) -> dict[str, torch.Tensor]:
    """Reads weights by name; accepts the same files as `open_tensors`.

    Raises:
        ConfigError: The file contains anything other than tensors and plain values.
    """
    with open_tensors(path) as tensors:
        return {key: torch.from_numpy(tensor.read().copy()) for key, tensor in tensors.items()}


def load_weights(network: nn.Module, state: dict[str, torch.Tensor], path: Path) -> None:
    """Loads weights into a network.

    Raises:
        ConfigError: A key is missing, unknown or has the wrong shape; the message names the first
            one.
    """
    expected = network.state_dict()
    for key, tensor in expected.items():
        if key not in state:
            raise ConfigError(f"{path} has no {key!r}")
        if state[key].shape != tensor.shape:
            raise ConfigError(
                f"{path}: {key} has the shape {tuple(state[key].shape)}, "
                f"expected {tuple(tensor.shape)}"
            )
    unknown = [key for key in state if key not in expected]
    if unknown:
        raise ConfigError(f"{path} has {unknown[0]!r}, which is not in the architecture")
    network.load_state_dict(state)
