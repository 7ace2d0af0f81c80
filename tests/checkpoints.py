"""Checkpoints with official names and random weights, in place of the published ones."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import IO, Any

import torch
import yaml

from tests.conftest import ROOT


def zipped(path: Path | IO[bytes], content: Any) -> None:
    """Writes the format of PyTorch 1.6 and later."""
    torch.save(content, path)


def legacy(path: Path | IO[bytes], content: Any) -> None:
    """Writes the earlier format, a sequence of pickles."""
    torch.save(content, path, _use_new_zipfile_serialization=False)


def safetensors(path: Path | IO[bytes], state: dict[str, torch.Tensor]) -> None:
    """Writes the format described at https://github.com/huggingface/safetensors#format."""
    names = {"float32": "F32", "float16": "F16", "bfloat16": "BF16", "int64": "I64"}
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    pieces: list[bytes] = []
    size = 0
    for key, tensor in state.items():
        values = tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
        header[key] = {
            "dtype": names[str(tensor.dtype).removeprefix("torch.")],
            "shape": list(tensor.shape),
            "data_offsets": [size, size + len(values)],
        }
        pieces.append(values)
        size += len(values)
    text = json.dumps(header).encode()
    whole = b"".join([len(text).to_bytes(8, "little"), text, *pieces])
    if isinstance(path, Path):
        path.write_bytes(whole)
    else:
        path.write(whole)


FORMATS = [zipped, legacy, safetensors]


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
