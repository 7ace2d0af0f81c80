"""Puts the weights of a published file into a graph that ships without them.

A recipe is a folder: `graph.onnx` is the network without its weights, `recipe.json` says where each
weight is in the published file, and `reference.npy` has what the network computes for a known
input. The published file is known to the byte (its sha256 is in models.yaml), so a weight is found
by its offset: no format is parsed, nothing is unpickled, and the result is the same file on every
machine.
`models/train/make_recipes.py` makes the recipes.
"""

from __future__ import annotations

import math
import mmap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from services.common.config.layers import Settings

Buffer = bytes | mmap.mmap

RECIPES = Path(__file__).parent / "recipes"

# Field numbers and types of ONNX's protobuf messages (onnx.proto3).
_MODEL_GRAPH, _GRAPH_INITIALIZER = 7, 5
_TENSOR_DIMS, _TENSOR_DATA_TYPE, _TENSOR_NAME, _TENSOR_RAW_DATA = 1, 2, 8, 9
_FLOAT = 1
_VARINT, _LENGTH_DELIMITED = 0, 2


class Weight(Settings):
    """One weight of a graph.

    Attributes:
        name: In the graph.
        offset: Of its first byte in the published file, where it is float32 in little-endian order.
        shape: In the published file.
        transpose: Order in which the graph has its axes; None if it is the same.
    """

    name: str
    offset: Annotated[int, Field(ge=0)]
    shape: list[Annotated[int, Field(ge=1)]]
    transpose: list[Annotated[int, Field(ge=0)]] | None = None


class Reference(Settings):
    """What the network has to compute for a known input.

    Attributes:
        input: Name of the input.
        shape: Its shape.
        largest: The input's values are 0 to this.
        tolerance: Largest difference from the stored outputs, relative to each output's largest
            value.
    """

    input: str
    shape: list[Annotated[int, Field(ge=1)]]
    largest: Annotated[float, Field(gt=0)]
    tolerance: Annotated[float, Field(gt=0)]


class Recipe(Settings):
    """The whole of a recipe.json."""

    weights: list[Weight]
    reference: Reference


def read_recipe(name: str) -> Recipe:
    """Reads the recipe.json of a recipe."""
    return Recipe.model_validate_json((RECIPES / name / "recipe.json").read_bytes())


def onnx_chunks(graph: bytes, weights: Sequence[Weight], published: Buffer) -> Iterator[bytes]:
    """Yields the bytes of the whole ONNX file.

    Protobuf merges messages that are concatenated, so the weights are appended to the graph as
    further initializers.

    Args:
        graph: The ONNX file without weights.
        weights: Where they are.
        published: Content of the published file.
    """
    yield graph
    for weight in weights:
        values = _values(weight, published)
        content = values.tobytes()
        tensor = b"".join(
            [
                *(_integer(_TENSOR_DIMS, size) for size in values.shape),
                _integer(_TENSOR_DATA_TYPE, _FLOAT),
                _header(_TENSOR_NAME, len(weight.name.encode())),
                weight.name.encode(),
                _header(_TENSOR_RAW_DATA, len(content)),
            ]
        )
        initializer = _header(_GRAPH_INITIALIZER, len(tensor) + len(content))
        whole = len(initializer) + len(tensor) + len(content)
        yield _header(_MODEL_GRAPH, whole) + initializer + tensor
        yield content


def _values(weight: Weight, published: Buffer) -> NDArray[np.float32]:
    count = math.prod(weight.shape)
    values = np.frombuffer(published, "<f4", count, weight.offset).reshape(weight.shape)
    return values if weight.transpose is None else values.transpose(weight.transpose)


def _integer(field: int, value: int) -> bytes:
    return _varint(field << 3 | _VARINT) + _varint(value)


def _header(field: int, length: int) -> bytes:
    return _varint(field << 3 | _LENGTH_DELIMITED) + _varint(length)


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
