"""Runs a converted network on a known input and compares its outputs with a reference.

This runs in a separate process, because the orchestrator, which pulls models, never loads ONNX
Runtime: `python -P -m models.convert.reference ONNX_FILE RECIPE_FOLDER`.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.convert.recipe import Input, read_recipe
from services.common.errors import EXIT_CONFIG, ConfigError
from services.common.inference.onnx import OrtSession, SessionOptions


def reference_input(described: Input) -> NDArray[np.float32]:
    """Computes a smooth pattern with integers, so that it is identical on every machine."""
    n, c, y, x = _coordinates(described)
    values = (x * x + 3 * y * y + 2 * x * y) // 16 + 85 * c + 50 * n
    triangle = np.abs(values % 510 - 255)  # 0 to 255, without the jumps that % would cause
    values = triangle.astype(np.float32) * np.float32(described.largest) / np.float32(255.0)
    return np.asarray(values, np.float32)


def _coordinates(described: Input) -> tuple[NDArray[np.int64], ...]:
    axes = np.indices(described.shape, np.int64)
    if described.layout == "points":
        return axes[0], np.zeros_like(axes[0]), axes[2] * 16, axes[1] * 3
    return tuple(axes[described.layout.index(axis)] for axis in "nchw")


def check_against_reference(path: Path, recipe_folder: Path) -> None:
    """Compares a converted network with the reference of its recipe.

    Raises:
        ConfigError: The network does not load, or its outputs differ.
    """
    recipe = read_recipe(recipe_folder)
    session = OrtSession(path, SessionOptions())
    answers = session.run({recipe.input.name: reference_input(recipe.input)})
    expected = np.load(recipe_folder / "reference.npy", allow_pickle=False)
    for name, answer in zip(session.output_names, answers, strict=True):
        stored, expected = expected[: answer.size], expected[answer.size :]
        difference = float(np.abs(answer.ravel() - stored).max())
        limit = recipe.tolerance * max(1.0, float(np.abs(stored).max()))
        if not difference <= limit:  # also true for NaN
            raise ConfigError(
                f"{path.name} gives wrong results on this machine: its output {name} "
                f"differs by {difference:.1e} from the stored reference (limit {limit:.1e})"
            )


def main() -> None:
    """Checks the file named on the command line."""
    try:
        check_against_reference(Path(sys.argv[1]), Path(sys.argv[2]))
    except ConfigError as error:
        print(error.message)
        raise SystemExit(EXIT_CONFIG) from None


if __name__ == "__main__":
    main()
