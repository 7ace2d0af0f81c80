"""Imports torchvision's networks, even if its compiled extension does not load."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType

import torch

_OPERATORS = torch.library.Library("torchvision", "FRAGMENT")


def torchvision_models() -> ModuleType:
    """Imports torchvision.models.

    The published wheel is compiled for a CUDA build of PyTorch. With a CPU build its import fails
    because two object detection operators, which the extension would define, are missing. Our
    networks do not use them, so it is enough to declare their names.
    """
    try:
        return importlib.import_module("torchvision.models")
    except RuntimeError:
        for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
            del sys.modules[name]
        for operator in ("nms", "qnms"):
            _OPERATORS.define(
                f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
            )
        return importlib.import_module("torchvision.models")
