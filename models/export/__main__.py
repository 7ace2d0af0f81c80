"""Exports the checkpoint of one model: `bestshot models export` runs this as its own process."""

from __future__ import annotations

import argparse
import json
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from sklearn.datasets import load_sample_images
from torch import nn

from models.export.dinov2 import SHAPES, DinoV2
from models.export.resnet import AvaResNet50, with_torchvision_names
from models.registry import ModelEntry, expected_digest, file_digest, find_entry, write_pin
from services.common.config import models_dir
from services.common.errors import EXIT_CONFIG, ConfigError
from services.common.onnx import OrtSession, SessionOptions
from services.common.tensor import to_tensor

OPSET = 18
TOLERANCES = {"fp32": 1e-4, "fp16": 2e-2}
"""Largest difference of a value that an export may have from PyTorch, by precision."""
INPUT_NAME, OUTPUT_NAME = "pixels", "output"


class _Half(nn.Module):
    """Runs a network in half precision; inputs and outputs stay single."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network.half()

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return self.network(pixels.half()).float()


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


def build(architecture: str, state: dict[str, torch.Tensor]) -> nn.Module:
    """The network of an architecture, without its weights; sizes of heads are those of `state`."""
    if architecture in SHAPES:
        return DinoV2(SHAPES[architecture]).eval()
    sizes = [
        state[key].shape[0] if key in state else default
        for key, default in (("head.0.weight", 256), ("head.3.weight", 1))
    ]
    return AvaResNet50(*sizes).eval()


def real_pictures(entry: ModelEntry) -> NDArray[np.float32]:
    """Crops of the real pictures that ship with scikit-learn, as the service would send them."""
    assert entry.preprocessing is not None
    pictures = load_sample_images().images
    crops = [
        np.ascontiguousarray(picture[top : top + 320, left : left + 480])
        for picture in pictures
        for top in (0, 100)
        for left in (0, 160)
    ]
    return np.concatenate([to_tensor(crop, entry.preprocessing) for crop in crops])


def write_onnx(network: nn.Module, example: NDArray[np.float32], facts: dict[str, str]) -> bytes:
    """Traces a network to ONNX with a dynamic batch and writes `facts` into its metadata."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            network,
            (torch.from_numpy(example[:2]),),
            input_names=[INPUT_NAME],
            output_names=[OUTPUT_NAME],
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    model = program.model_proto
    onnx.helper.set_model_props(model, facts)
    return bytes(model.SerializeToString())


def check(
    wanted: NDArray[np.float32], path: Path, pictures: NDArray[np.float32], precision: str
) -> None:
    """Compares ONNX Runtime's answers with PyTorch's, in one batch and one by one.

    Raises:
        ConfigError: They differ by more than `TOLERANCES`.
    """
    session = OrtSession(path, SessionOptions())
    whole = session.run({INPUT_NAME: pictures})[0]
    single = np.concatenate([session.run({INPUT_NAME: pictures[i : i + 1]})[0] for i in range(3)])
    worst = max(float(np.abs(whole - wanted).max()), float(np.abs(single - wanted[:3]).max()))
    lengths = np.linalg.norm(whole, axis=1) * np.linalg.norm(wanted, axis=1)
    cosine = float(((whole * wanted).sum(1) / lengths).min())
    print(
        f"against PyTorch in single precision on {len(pictures)} pictures: largest difference "
        f"{worst:.1e}, smallest cosine {cosine:.6f}"
    )
    if worst > TOLERANCES[precision]:
        raise ConfigError(f"the export differs from PyTorch by more than {TOLERANCES[precision]}")


def export(configs: Path, folder: Path, model_id: str, precision: str) -> Path:
    """Exports, checks and pins one model; returns the ONNX file.

    Raises:
        ConfigError: It has nothing to export, its checkpoint is missing, damaged or another
            network's, or the result is wrong.
    """
    entry = find_entry(configs, model_id)
    if entry.export is None:
        raise ConfigError(f"{model_id} is no checkpoint: it needs no export")
    download = entry.downloads["checkpoint"]
    checkpoint = folder / model_id / download.name
    if not checkpoint.is_file():
        raise ConfigError(f"{checkpoint} is missing; `bestshot models pull {model_id}` gets it")
    digest = file_digest(checkpoint)
    if digest != expected_digest(folder, model_id, "checkpoint", download):
        raise ConfigError(
            f"{checkpoint} has sha256 {digest}, which is not the one of models.yaml or of a pin"
        )
    state = read_checkpoint(checkpoint)
    network = build(entry.export.architecture, state)
    load_weights(network, state, checkpoint)
    pictures = real_pictures(entry)
    with torch.inference_mode():
        wanted = network(torch.from_numpy(pictures)).numpy()
    facts = {
        "model_id": model_id,
        "architecture": entry.export.architecture,
        "precision": precision,
        "source_sha256": digest,
        "preprocessing": json.dumps(_plain(entry)),
        "exporter": f"torch {torch.__version__}",
    }
    written = write_onnx(_Half(network) if precision == "fp16" else network, pictures, facts)
    target = folder / model_id / entry.export.name
    partial = target.with_name(f"{target.name}.part")
    partial.write_bytes(written)
    check(wanted, partial, pictures, precision)
    partial.replace(target)
    write_pin(folder, model_id, "export", file_digest(target))
    return target


def _plain(entry: ModelEntry) -> dict[str, Any]:
    return entry.preprocessing.model_dump(mode="json") if entry.preprocessing else {}


def main() -> None:
    """Exports what the command line names."""
    parser = argparse.ArgumentParser(prog="bestshot models export")
    parser.add_argument("model")
    parser.add_argument("--config-dir", type=Path, required=True)
    parser.add_argument("--precision", choices=sorted(TOLERANCES), default="fp32")
    arguments = parser.parse_args()
    try:
        path = export(arguments.config_dir, models_dir(), arguments.model, arguments.precision)
    except ConfigError as error:
        print(f"error: {error.message}", file=sys.stderr)
        raise SystemExit(EXIT_CONFIG) from None
    print(f"{arguments.model}: {path} ({path.stat().st_size} bytes, opset {OPSET})")


if __name__ == "__main__":
    main()
