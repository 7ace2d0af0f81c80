"""Turns a published file into an ONNX file by copying its weights.

A recipe is a folder: `rest.bin` is the ONNX file with its weights cut out, `recipe.json` has the
position of each weight in both files, and `reference.npy` has the network's outputs for a known
input. The published file is known to the byte (its sha256 is in models.yaml), so weights are found
by offset: no format is parsed, nothing is unpickled, no converter is needed, and the result is the
same file on every machine. `models/train/make_recipes.py` creates recipes.

The recipe for a checkpoint finds weights by name instead, because we never had the published file;
`models/convert/checkpoint.py` applies it, and `models/train/checkpoint_recipes.py` creates it.
"""

from __future__ import annotations

import math
import mmap
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from services.common.config.layers import Settings

RECIPES = Path(__file__).parent / "recipes"

Buffer = bytes | mmap.mmap
Axis = Annotated[int, Field(ge=0)]
Size = Annotated[int, Field(ge=1)]


class Place(Settings):
    """Position of a weight in an ONNX file, which stores it as little-endian float32.

    Attributes:
        gap: Offset at which it is inserted into the file without weights.
        shape: Shape in the published file.
        transpose: Order of the axes in the ONNX file; None if it is unchanged.
    """

    gap: Annotated[int, Field(ge=0)]
    shape: list[Size]
    transpose: list[Axis] | None = None


class Weight(Place):
    """A weight at a known position in the published file.

    Attributes:
        offset: Offset of its first byte in the published file.
        dtype: Type in the published file, little-endian.
    """

    offset: Annotated[int, Field(ge=0)]
    dtype: Literal["float32", "float16"] = "float32"


class NamedWeight(Place):
    """A weight that has a name in the published file.

    Attributes:
        key: Its name; for the trunk of a ResNet, the name that torchvision uses.
    """

    key: str


P = TypeVar("P", bound=Place)


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


class UnusedTensor(Settings):
    """A tensor in a checkpoint that its graphs do not need.

    Attributes:
        key: Its name.
        shape: Its shape.
        dtype: NumPy's name for its type.
    """

    key: str
    shape: list[Size]
    dtype: str


class CheckpointRecipe(Settings):
    """The content of a recipe.json for a PyTorch checkpoint.

    Attributes:
        graphs: The weights of each graph, in the order of their positions in `NAME.bin`.
        unused: The other tensors of the checkpoint.
    """

    graphs: dict[str, list[NamedWeight]]
    unused: list[UnusedTensor]


def read_checkpoint_recipe(folder: Path) -> CheckpointRecipe:
    """Reads the recipe.json in the folder of a checkpoint's recipe."""
    return CheckpointRecipe.model_validate_json((folder / "recipe.json").read_bytes())


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

    def read(weight: Weight) -> NDArray[Any]:
        count, dtype = math.prod(weight.shape), np.dtype(weight.dtype).newbyteorder("<")
        return np.frombuffer(published, dtype, count, weight.offset).reshape(weight.shape)

    return insert_weights(rest, weights, read)


def insert_weights(
    rest: bytes, weights: Sequence[P], read: Callable[[P], NDArray[Any]]
) -> Iterator[bytes]:
    """Yields the bytes of an ONNX file.

    Args:
        rest: The file with its weights cut out.
        weights: In the order of their places.
        read: Returns the values of a weight, in its shape in the published file.
    """
    place = 0
    for weight in weights:
        yield rest[place : weight.gap]
        place = weight.gap
        values = read(weight)
        order = weight.transpose or range(values.ndim)
        yield values.transpose(order).astype("<f4").tobytes()
    yield rest[place:]
