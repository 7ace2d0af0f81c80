"""Turns a published file into an ONNX file by copying its weights.

A recipe is a folder: `rest.bin` is the ONNX file with its weights cut out, `recipe.json` has the
position of each weight in both files, and `reference.npy` has the network's outputs for a known
input. The published file is known to the byte (its sha256 is in models.yaml), so weights are found
by offset: no format is parsed, nothing is unpickled, no converter is needed, and the result is the
same file on every machine. `models/train/make_recipes.py` creates recipes.
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
    """One weight; the ONNX file stores it as little-endian float32.

    Attributes:
        gap: Offset in `rest.bin` at which it is inserted.
        offset: Offset of its first byte in the published file.
        shape: Shape in the published file.
        dtype: Type in the published file, little-endian.
        transpose: Order of the axes in the ONNX file; None if it is unchanged.
    """

    gap: Annotated[int, Field(ge=0)]
    offset: Annotated[int, Field(ge=0)]
    shape: list[Size]
    dtype: Literal["float32", "float16"] = "float32"
    transpose: list[Axis] | None = None


class Input(Settings):
    """The input for which the reference was computed.

    Attributes:
        name: Name of the graph's input.
        shape: Its shape.
        layout: Order of its axes; "points" is (n, points, coordinates).
        largest: Largest value; the smallest is 0.
    """

    name: str
    shape: list[Size]
    layout: Literal["nchw", "nhwc", "points"] = "nchw"
    largest: Annotated[float, Field(gt=0)]


class Recipe(Settings):
    """The content of a recipe.json.

    Attributes:
        input: Input for which the reference was computed.
        tolerance: Largest allowed difference from the stored outputs; relative to the largest
            value of an output if that is above 1.
        weights: In the order of their positions.
    """

    input: Input
    tolerance: Annotated[float, Field(gt=0)]
    weights: list[Weight]


def read_recipe(folder: Path) -> Recipe:
    """Reads the recipe.json in a recipe's folder."""
    return Recipe.model_validate_json((folder / "recipe.json").read_bytes())


def onnx_chunks(rest: bytes, weights: Sequence[Weight], published: Buffer) -> Iterator[bytes]:
    """Yields the bytes of the ONNX file.

    Args:
        rest: The file with its weights cut out.
        weights: In the order of their positions.
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
