"""Exports networks to ONNX files, and checks that both give the same results."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import nn

from services.common.errors import ConfigError
from services.common.inference.onnx import OrtSession, SessionOptions

OPSET = 18
TOLERANCES = {"fp32": 1e-4, "fp16": 2e-2}
"""Largest allowed difference between an export and PyTorch, by precision; relative to the largest
value if that is above 1."""


DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


def on_device(values: NDArray[np.float32]) -> torch.Tensor:
    """Moves an array to the device that exports use: the GPU if there is one."""
    return torch.from_numpy(values).to(DEVICE)


@dataclass(frozen=True)
class Graph:
    """A network to export.

    Attributes:
        network: Takes the inputs in order.
        inputs: Example values of each input, by name, float32; all have the same length.
        output: Name of the output.
    """

    network: nn.Module
    inputs: Mapping[str, NDArray[np.float32]]
    output: str

    def run(self) -> NDArray[np.float32]:
        """Runs PyTorch on the inputs."""
        with torch.inference_mode():
            answer = self.network.to(DEVICE)(*map(on_device, self.inputs.values())).cpu().numpy()
        return np.asarray(answer, np.float32)


class _Half(nn.Module):
    """Runs a network in half precision, with inputs and outputs in single precision."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network.half()

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        return self.network(*(tensor.half() for tensor in inputs)).float()


def write(graph: Graph, path: Path, precision: str, facts: dict[str, str]) -> None:
    """Writes an ONNX file with a dynamic batch and `facts` in its metadata, and checks it.

    Half precision also changes `graph.network` itself.

    Raises:
        ConfigError: The file's outputs differ from PyTorch's.
    """
    expected = graph.run()
    network = _Half(graph.network) if precision == "fp16" else graph.network
    batch = torch.export.Dim("batch")
    axes = tuple({0: batch} for _ in graph.inputs)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            network,
            tuple(on_device(values[:2]) for values in graph.inputs.values()),
            input_names=list(graph.inputs),
            output_names=[graph.output],
            dynamic_shapes=(axes,) if precision == "fp16" else axes,
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    model = plain_model(program.model_proto)
    onnx.helper.set_model_props(model, {**facts, "precision": precision})
    path.write_bytes(model.SerializeToString())
    _check(graph, expected, path, precision)


def plain_model(model: onnx.ModelProto) -> onnx.ModelProto:
    """Removes the exporter's notes: stack traces with paths on this machine."""
    del model.metadata_props[:]
    for part in (model.graph, *model.functions):
        del part.metadata_props[:]
        for item in (*part.node, *part.value_info):
            del item.metadata_props[:]
            item.doc_string = ""
    for value in (*model.graph.input, *model.graph.output, *model.graph.initializer):
        del value.metadata_props[:]
        value.doc_string = ""
    return model


def _check(graph: Graph, expected: NDArray[np.float32], path: Path, precision: str) -> None:
    session = OrtSession(path, SessionOptions())
    whole = session.run(graph.inputs)[0]
    first = {name: np.ascontiguousarray(values[:1]) for name, values in graph.inputs.items()}
    alone = session.run(first)[0]
    worst = max(float(np.abs(whole - expected).max()), float(np.abs(alone - expected[:1]).max()))
    rows, others = (values.reshape(len(values), -1) for values in (whole, expected))
    lengths = np.linalg.norm(rows, axis=1) * np.linalg.norm(others, axis=1)
    cosine = float(((rows * others).sum(1) / lengths).min())
    print(
        f"{graph.output} compared with PyTorch in single precision on {len(expected)} pictures: "
        f"largest difference {worst:.1e}, smallest cosine {cosine:.6f}"
    )
    limit = TOLERANCES[precision] * max(1.0, float(np.abs(expected).max()))
    if worst > limit:
        raise ConfigError(f"the export differs from PyTorch by more than {limit:.1e}")
