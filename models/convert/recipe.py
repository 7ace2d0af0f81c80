"""Makes an ONNX file of a published one by copying the weights.

A recipe is a folder: `rest.bin` is the ONNX file with its weights cut out, `recipe.json` says where
each weight belongs and where it is in the published file, and `reference.npy` has what the network
computes for a known input. The published file is known to the byte (its sha256 is in models.yaml),
so a weight is found by its offset: no format is parsed, nothing is unpickled, no converter is
needed, and the result is the same file on every machine. `models/train/make_recipes.py` makes them.
"""

from __future__ import annotations

import math
import mmap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from services.common.config.layers import Settings

RECIPES = Path(__file__).parent / "recipes"

Buffer = bytes | mmap.mmap
Axis = Annotated[int, Field(ge=0)]
Size = Annotated[int, Field(ge=1)]


class Weight(Settings):
    """One weight; in the ONNX file it is float32 in little-endian order.

    Attributes:
        gap: Its place in `rest.bin`.
        offset: Of its first byte in the published file.
        shape: In the published file.
        dtype: In the published file, little-endian.
        transpose: Order in which the ONNX file has the axes; None if it is the same.
    """

    gap: Annotated[int, Field(ge=0)]
    offset: Annotated[int, Field(ge=0)]
    shape: list[Size]
    dtype: Literal["float32", "float16"] = "float32"
    transpose: list[Axis] | None = None


class Input(Settings):
    """A tensor that the reference was computed for.

    Attributes:
        name: Of the graph's input.
        shape: Its shape.
        layout: Order of its axes; "points" is (n, points, coordinates).
        largest: Its values are 0 to this.
    """

    name: str
    shape: list[Size]
    layout: Literal["nchw", "nhwc", "points"] = "nchw"
    largest: Annotated[float, Field(gt=0)]


class Recipe(Settings):
    """The whole of a recipe.json.

    Attributes:
        input: What the reference was computed for.
        tolerance: Largest difference from the stored outputs; relative to the largest value of an
            output if that is above 1.
        weights: In the order of their places.
    """

    input: Input
    tolerance: Annotated[float, Field(gt=0)]
    weights: list[Weight]


def read_recipe(folder: Path) -> Recipe:
    """Reads the recipe.json in the folder of a recipe."""
    return Recipe.model_validate_json((folder / "recipe.json").read_bytes())


def onnx_chunks(rest: bytes, weights: Sequence[Weight], published: Buffer) -> Iterator[bytes]:
    """Yields the bytes of the ONNX file.

    Args:
        rest: The file with its weights cut out.
        weights: In the order of their places.
        published: Content of the published file.
    """
    place = 0
    for weight in weights:
        yield rest[place : weight.gap]
        place = weight.gap
        count, dtype = math.prod(weight.shape), np.dtype(weight.dtype).newbyteorder("<")
        values = np.frombuffer(published, dtype, count, weight.offset).reshape(weight.shape)
        order = weight.transpose or range(values.ndim)
        yield values.transpose(order).astype("<f4").tobytes()
    yield rest[place:]
