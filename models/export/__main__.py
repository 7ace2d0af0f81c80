"""Exports one model's checkpoint; `bestshot models export` runs this in a separate process."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import torch

from models.export.architectures import graphs_of
from models.export.checkpoint import read_checkpoint
from models.export.graph import OPSET, TOLERANCES, write
from services.common.config.folders import models_dir
from services.common.errors import EXIT_CONFIG, ConfigError
from services.common.inference.registry import (
    ModelEntry,
    expected_digest,
    exported_files,
    file_digest,
    find_entry,
    write_pin,
)


def export(configs: Path, folder: Path, model_id: str, precision: str) -> list[Path]:
    """Exports, checks and pins one model; returns its ONNX files.

    Raises:
        ConfigError: The model has nothing to export, its checkpoint is missing, damaged or made for
            a different network, or the exported graph is wrong.
    """
    entry = find_entry(configs, model_id)
    if entry.export is None or entry.preprocessing is None:
        raise ConfigError(f"{model_id} is not a checkpoint, so it needs no export")
    checkpoint, digest = _checkpoint(folder, model_id, entry)
    state = read_checkpoint(checkpoint)
    # TF32 products would differ from ONNX Runtime's by more than the tolerance
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    graphs, found = graphs_of(entry.export.architecture, state, checkpoint, entry.preprocessing)
    facts = {
        "model_id": model_id,
        "architecture": entry.export.architecture,
        "source_sha256": digest,
        "preprocessing": json.dumps(entry.preprocessing.model_dump(mode="json")),
        "exporter": f"torch {torch.__version__}",
        **found,
    }
    targets = {
        key: path for key, (path, _) in exported_files(folder, model_id, entry.export).items()
    }
    partials = {key: path.with_name(f"{path.name}.part") for key, path in targets.items()}
    for key, graph in graphs.items():
        write(graph, partials[key], precision, facts)
    for key, path in targets.items():
        partials[key].replace(path)
        write_pin(folder, model_id, f"export.{key}", file_digest(path))
    return list(targets.values())


def _checkpoint(folder: Path, model_id: str, entry: ModelEntry) -> tuple[Path, str]:
    download = entry.downloads["checkpoint"]
    path = folder / model_id / download.name
    if not path.is_file():
        raise ConfigError(f"{path} is missing; run `bestshot models pull {model_id}` to fetch it")
    digest = file_digest(path)
    if digest != expected_digest(folder, model_id, "checkpoint", download):
        raise ConfigError(
            f"sha256 mismatch for {path}: {digest} is neither in models.yaml nor pinned"
        )
    return path, digest


def main() -> None:
    """Exports the model named on the command line."""
    parser = argparse.ArgumentParser(prog="bestshot models export")
    parser.add_argument("model")
    parser.add_argument("--config-dir", type=Path, required=True)
    parser.add_argument("--precision", choices=sorted(TOLERANCES), default="fp32")
    arguments = parser.parse_args()
    try:
        paths = export(arguments.config_dir, models_dir(), arguments.model, arguments.precision)
    except ConfigError as error:
        print(f"error: {error.message}", file=sys.stderr)
        raise SystemExit(EXIT_CONFIG) from None
    for path in paths:
        print(f"{arguments.model}: {path} ({path.stat().st_size} bytes, opset {OPSET})")


if __name__ == "__main__":
    main()
