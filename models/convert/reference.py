"""Runs a converted network on a known input and compares it with what it has to compute."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.convert.recipe import RECIPES, read_recipe
from services.common.errors import ConfigError
from services.common.inference.onnx import OrtSession, SessionOptions


def reference_input(shape: Sequence[int], largest: float) -> NDArray[np.float32]:
    """Computes a picture-like tensor (n, c, h, w) by a formula: smooth, and the same everywhere.

    Integers only, so that no machine rounds differently.
    """
    n, c, y, x = np.indices(shape, np.int64)
    values = (x * x + 3 * y * y + 2 * x * y) // 16 + 85 * c + 50 * n
    triangle = np.abs(values % 510 - 255)  # no jumps, unlike the remainder alone
    return (triangle.astype(np.float32) * np.float32(largest)) / np.float32(255.0)


def check_against_reference(path: Path, recipe: str) -> None:
    """Runs a network that was converted by a recipe.

    Raises:
        ConfigError: It does not load, or computes something else.
    """
    reference = read_recipe(recipe).reference
    session = OrtSession(path, SessionOptions())
    answers = session.run({reference.input: reference_input(reference.shape, reference.largest)})
    expected = np.load(RECIPES / recipe / "reference.npy", allow_pickle=False)
    for name, answer in zip(session.output_names, answers, strict=True):
        wanted, expected = expected[: answer.size], expected[answer.size :]
        difference = float(np.abs(answer.ravel() - wanted).max())
        limit = reference.tolerance * float(np.abs(wanted).max())
        if not difference <= limit:  # also if it is NaN
            raise ConfigError(
                f"{path.name} computes something else than it should: its output {name} differs by "
                f"{difference:.1e} from the stored reference, allowed is {limit:.1e}"
            )
