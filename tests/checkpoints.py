"""Checkpoints with official names and random weights, in place of the published ones."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from typing import Any

import torch
import yaml

from tests.conftest import ROOT


def put_checkpoint(base: Path, model_id: str, content: Any) -> tuple[Path, Path]:
    """Makes a config folder whose registry expects `content` as the checkpoint of a model.

    Returns:
        The config folder, and a models folder with the checkpoint.
    """
    configs, folder = base / "configs", base / "models"
    shutil.copytree(ROOT / "configs", configs)
    registry = yaml.safe_load((configs / "models.yaml").read_text())
    checkpoint = registry["models"][model_id]["downloads"]["checkpoint"]
    path = folder / model_id / checkpoint["name"]
    path.parent.mkdir(parents=True)
    torch.save(content, path)
    checkpoint["size_bytes"] = path.stat().st_size
    checkpoint["sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
    (configs / "models.yaml").write_text(yaml.safe_dump(registry))
    return configs, folder
