"""Builds ONNX files from a PyTorch checkpoint or safetensors without PyTorch, and checks them.

A recipe (`recipes/ARCHITECTURE`) contains each graph with its weights cut out (`GRAPH.bin`) and the
name and shape of every tensor in the checkpoint. The weights are inserted by name. The tests
compare the result with PyTorch on random weights. We never had the published weights, so we have no
reference outputs: the sha256 identifies the weights, and the checks here only prove that the graphs
work.

This runs in a separate process, because the orchestrator, which pulls models, never loads ONNX
Runtime: `python -P -m models.convert.checkpoint CHECKPOINT ENTRY GRAPH=FILE...`, where ENTRY is the
entry in models.yaml as JSON.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.convert.pictures import (
    MIN_DIFFERENCE,
    preferred_answer,
    real_pictures,
    tensors_of,
    worse_pictures,
)
from models.convert.recipe import (
    RECIPES,
    CheckpointRecipe,
    NamedWeight,
    insert_weights,
    read_checkpoint_recipe,
)
from models.convert.tensor_file import Tensor, open_tensors
from services.common.errors import EXIT_CONFIG, ConfigError
from services.common.inference.onnx import OrtSession, SessionOptions
from services.common.inference.registry import ModelEntry, Preprocessing

BATCH_TOLERANCE = 1e-4
"""Largest allowed difference between the outputs for a picture alone and in a batch; relative to
the largest value if that is above 1."""
VARIANTS = {"ava-resnet50": ("ava-resnet50", "ava-resnet50-votes")}
"""The recipes of architectures that have several: the head outputs a score or the shares of the
votes. The size of the published file, 96,454,336 bytes, fits both."""
HEAD = ("mlp.0.weight", "mlp.0.bias")
"""The last layer of the comparator; it has one row for each of the two answers."""


def build(checkpoint: Path, architecture: str, targets: Mapping[str, Path]) -> None:
    """Writes the ONNX files of an architecture.

    Args:
        checkpoint: File with the weights.
        architecture: Name of the architecture in models.yaml.
        targets: The file to write for each graph.

    Raises:
        ConfigError: A tensor is missing or unknown, or has the wrong shape or type; the message
            names the first one.
    """
    with open_tensors(checkpoint) as tensors:
        name, recipe = find_recipe(tensors, architecture, checkpoint)
        for graph, target in targets.items():
            _write(target, name, graph, recipe.graphs[graph], tensors)


def find_recipe(
    tensors: Mapping[str, Tensor], architecture: str, path: Path
) -> tuple[str, CheckpointRecipe]:
    """Finds the recipe that matches a checkpoint's tensors; also returns the name of its folder.

    Raises:
        ConfigError: No recipe matches; the message is about the architecture's first recipe.
    """
    first_error = None
    for name in VARIANTS.get(architecture, (architecture,)):
        recipe = read_checkpoint_recipe(RECIPES / name)
        try:
            check_tensors(tensors, recipe, architecture, path)
        except ConfigError as error:
            first_error = first_error or error
        else:
            return name, recipe
    assert first_error is not None
    raise first_error


def check_tensors(
    tensors: Mapping[str, Tensor], recipe: CheckpointRecipe, architecture: str, path: Path
) -> None:
    """Raises ConfigError unless a checkpoint has exactly the tensors of an architecture."""
    expected = {
        weight.key: (tuple(weight.shape), "float32")
        for weights in recipe.graphs.values()
        for weight in weights
    } | {one.key: (tuple(one.shape), one.dtype) for one in recipe.unused}
    for key, (shape, dtype) in expected.items():
        if key not in tensors:
            raise ConfigError(f"{path} has no {key!r}, which {architecture} needs")
        found = tensors[key]
        if found.shape != shape:
            raise ConfigError(f"{path}: {key} has the shape {found.shape}, expected {shape}")
        if found.dtype != dtype:
            raise ConfigError(f"{path}: {key} has the type {found.dtype}, expected {dtype}")
    unknown = [key for key in tensors if key not in expected]
    if unknown:
        raise ConfigError(f"{path} has {unknown[0]!r}, which {architecture} does not have")


def _write(
    target: Path,
    recipe: str,
    graph: str,
    weights: list[NamedWeight],
    tensors: Mapping[str, Tensor],
    reversed_keys: tuple[str, ...] = (),
) -> None:
    def read(weight: NamedWeight) -> NDArray[Any]:
        values = tensors[weight.key].read()
        return values[::-1] if weight.key in reversed_keys else values

    rest = (RECIPES / recipe / f"{graph}.bin").read_bytes()
    target.unlink(missing_ok=True)  # the name may be a link to another file
    with target.open("xb") as written:
        for chunk in insert_weights(rest, weights, read):
            written.write(chunk)


def orient(
    checkpoint: Path, architecture: str, targets: Mapping[str, Path], preprocessing: Preprocessing
) -> str:
    """Makes a comparator's output the probability that the first picture is better.

    Pairs whose better picture is known show which of the two answers means that. The graph outputs
    answer 1; if answer 0 is the right one, this swaps the rows of the last layer.

    Returns:
        A sentence that describes the result.
    """
    describe, compare = (_session(targets[graph]) for graph in ("describe", "compare"))
    (better,) = describe.run({"pixels": tensors_of(real_pictures(), preprocessing)})
    (worse,) = describe.run({"pixels": tensors_of(worse_pictures(), preprocessing)})
    better = better.repeat(2, axis=0)
    (forward,) = compare.run({"first": better, "second": worse})
    (backward,) = compare.run({"first": worse, "second": better})
    answer, share = preferred_answer(forward - backward)
    if answer == 0:
        weights = read_checkpoint_recipe(RECIPES / architecture).graphs["compare"]
        with open_tensors(checkpoint) as tensors:
            _write(targets["compare"], architecture, "compare", weights, tensors, HEAD)
    return (
        f"answer {answer} means that the first picture is better: it prefers the undegraded one in "
        f"{share:.0%} of {len(worse)} pairs"
    )


def check(targets: Mapping[str, Path], preprocessing: Preprocessing) -> None:
    """Runs the graphs on real pictures.

    Raises:
        ConfigError: A graph does not load, its output is not finite or is the same for all
            pictures, or a picture's output changes in a batch.
    """
    inputs = {"pixels": tensors_of(real_pictures(), preprocessing)}
    # "compare" comes last: its inputs are the outputs of the other graph
    for graph in sorted(targets, key=lambda graph: graph == "compare"):
        path = targets[graph]
        session = _session(path)
        (whole,) = session.run(inputs)
        (alone,) = session.run(
            {name: np.ascontiguousarray(rows[:1]) for name, rows in inputs.items()}
        )
        if not np.isfinite(whole).all():
            raise ConfigError(f"an output of {path.stem} is not a number")
        if float(np.ptp(whole, axis=0).max()) < MIN_DIFFERENCE:
            raise ConfigError(f"{path.stem} gives the same output for all pictures")
        limit = BATCH_TOLERANCE * max(1.0, float(np.abs(whole).max()))
        if float(np.abs(whole[:1] - alone).max()) > limit:
            raise ConfigError(f"{path.stem} gives a different output for a picture in a batch")
        inputs = {"first": whole, "second": np.ascontiguousarray(whole[::-1])}


def _session(path: Path) -> OrtSession:
    return OrtSession(path, SessionOptions())


def main() -> None:
    """Builds and checks the graphs named on the command line."""
    checkpoint, entry = Path(sys.argv[1]), ModelEntry.model_validate_json(sys.argv[2])
    assert entry.export is not None
    assert entry.preprocessing is not None
    targets = {graph: Path(path) for graph, _, path in (one.partition("=") for one in sys.argv[3:])}
    architecture = entry.export.architecture
    try:
        build(checkpoint, architecture, targets)
        measured = ""
        if "compare" in targets:
            measured = orient(checkpoint, architecture, targets, entry.preprocessing)
        check(targets, entry.preprocessing)
    except ConfigError as error:
        print(error.message)
        raise SystemExit(EXIT_CONFIG) from None
    print(measured)


if __name__ == "__main__":
    main()
