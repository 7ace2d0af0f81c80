"""ONNX files built from checkpoints without PyTorch, compared with PyTorch on random weights."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper

from models.convert.checkpoint import build, check
from models.convert.pictures import real_pictures, tensors_of
from models.convert.recipe import RECIPES, read_checkpoint_recipe
from models.export.resnet import AvaResNet50
from models.pull import Location, fetch_model
from models.state import State, own_state
from models.train.checkpoint_recipes import graphs_of, random_network
from services.common.errors import ConfigError
from services.common.inference.onnx import OrtSession, SessionOptions
from services.common.inference.registry import (
    MissingModelError,
    ModelEntry,
    Role,
    find_entry,
    read_pins,
    resolve,
    write_pin,
)
from tests.checkpoints import legacy, put_checkpoint, safetensors, zipped
from tests.conftest import ROOT
from tests.unit.models.test_pull import Heard, files_below

pytestmark = pytest.mark.slow

SEED = 7  # the graphs come from networks with other weights
AVA = "ava-resnet50"
Write = Callable[[Path, Any], None]


def preprocessing_of(model_id: str) -> Any:
    return find_entry(ROOT / "configs", model_id).preprocessing


@pytest.mark.parametrize(
    ("architecture", "write"),
    [
        ("dinov2-vits14", zipped),
        ("dinov2-vits14-reg", safetensors),
        ("dinov2-vitb14", legacy),
        ("dinov2-vitb14-reg", zipped),
        ("ava-resnet50", legacy),
        ("ava-resnet50-votes", zipped),
        ("siamese-resnet50", safetensors),
    ],
)
def test_the_graphs_give_the_same_outputs_as_pytorch(
    architecture: str, write: Write, tmp_path: Path
) -> None:
    network = random_network(architecture, SEED)
    write(tmp_path / "checkpoint", network.state_dict())
    graphs = graphs_of(network)
    # in the order of a registry that was rewritten
    targets = {name: tmp_path / f"{name}.onnx" for name in sorted(graphs)}
    model_id = architecture.removesuffix("-votes")
    build(tmp_path / "checkpoint", model_id, targets)
    pictures = [real_pictures()[0], real_pictures()[-1]]
    inputs = {"pixels": tensors_of(pictures, preprocessing_of(model_id))}
    for name, (module, _, output) in graphs.items():
        session = OrtSession(targets[name], SessionOptions())
        assert session.output_names == (output,)
        (found,) = session.run(inputs)
        with torch.inference_mode():
            computed = module(*map(torch.from_numpy, inputs.values())).numpy()
        limit = 1e-5 * max(1.0, float(np.abs(computed).max()))
        np.testing.assert_allclose(found, computed, rtol=0, atol=limit)
        assert np.ptp(computed, axis=0).max() > 1e-3
        # close to each other, so that the comparator is not certain
        inputs = {"first": computed, "second": computed + np.float32(0.01) * computed[::-1]}


def small_state(architecture: str) -> dict[str, torch.Tensor]:
    """Returns zeros in the published shapes, which take no space in the file."""
    recipe = read_checkpoint_recipe(RECIPES / architecture)
    weights = [weight for graph in recipe.graphs.values() for weight in graph]
    shapes = {weight.key: (weight.shape, torch.float32) for weight in weights}
    shapes |= {one.key: (one.shape, getattr(torch, one.dtype)) for one in recipe.unused}
    return {
        key: torch.zeros((), dtype=dtype).expand(shape) for key, (shape, dtype) in shapes.items()
    }


@pytest.mark.parametrize("write", [zipped, legacy])
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"blocks.11.ls1.gamma": None}, r"has no 'blocks\.11\.ls1\.gamma', which dinov2-vitb14"),
        ({"mask_token": None}, "has no 'mask_token'"),
        ({"register_tokens": torch.zeros(1, 4, 768)}, "has 'register_tokens', which dinov2-vitb14"),
        (
            {"cls_token": torch.zeros(1, 1, 384)},
            r"cls_token has the shape \(1, 1, 384\), expected \(1, 1, 768\)",
        ),
        (
            {"blocks.0.norm1.bias": torch.zeros(768, dtype=torch.float16)},
            r"blocks\.0\.norm1\.bias has the type float16, expected float32",
        ),
    ],
)
def test_a_tensor_that_does_not_match_is_reported(
    write: Write, changes: dict[str, torch.Tensor | None], message: str, tmp_path: Path
) -> None:
    state = {**small_state("dinov2-vitb14"), **changes}
    write(tmp_path / "state", {key: one for key, one in state.items() if one is not None})
    with pytest.raises(ConfigError, match=message):
        build(tmp_path / "state", "dinov2-vitb14", {"graph": tmp_path / "graph.onnx"})
    assert not (tmp_path / "graph.onnx").exists()


def test_zeros_in_the_published_shapes_match(tmp_path: Path) -> None:
    for architecture in ("ava-resnet50", "siamese-resnet50"):
        zipped(tmp_path / "state", small_state(architecture))
        for graph in read_checkpoint_recipe(RECIPES / architecture).graphs:
            build(tmp_path / "state", architecture, {graph: tmp_path / "graph.onnx"})
            onnx.checker.check_model(onnx.load(tmp_path / "graph.onnx"), full_check=True)


def graph_file(path: Path, operator: str, inputs: list[str]) -> Path:
    """Returns a network from (n, 3, side, side) to (n, 3), with constants "zero" and "hundred"."""
    constants = [
        helper.make_tensor(name, TensorProto.FLOAT, [1], [value])
        for name, value in (("zero", 0.0), ("hundred", 100.0))
    ]
    graph = helper.make_graph(
        [
            helper.make_node("ReduceMean", ["pixels"], ["means"], axes=[2, 3], keepdims=0),
            helper.make_node("ReduceMean", ["pixels"], ["mean_of_all"], keepdims=0),
            helper.make_node(operator, inputs, ["answers"]),
        ],
        "network",
        [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, ["batch", 3, 224, 224])],
        [helper.make_tensor_value_info("answers", TensorProto.FLOAT, ["batch", 3])],
        constants,
    )
    opset = [helper.make_opsetid("", 13)]
    path.write_bytes(
        helper.make_model(graph, opset_imports=opset, ir_version=8).SerializeToString()
    )
    return path


@pytest.mark.parametrize(
    ("operator", "inputs", "message"),
    [
        ("Mul", ["means", "hundred"], None),
        ("Mul", ["means", "zero"], "graph gives the same output for all pictures"),
        ("Div", ["means", "zero"], "an output of graph is not a number"),
        ("Mul", ["means", "mean_of_all"], "a different output for a picture in a batch"),
    ],
)
def test_a_graph_that_does_not_work_is_refused(
    operator: str, inputs: list[str], message: str | None, tmp_path: Path
) -> None:
    targets = {"graph": graph_file(tmp_path / "graph.onnx", operator, inputs)}
    if message is None:
        check(targets, preprocessing_of(AVA))
        return
    with pytest.raises(ConfigError, match=message):
        check(targets, preprocessing_of(AVA))


def ava_state() -> dict[str, torch.Tensor]:
    network = random_network(AVA, SEED)
    assert isinstance(network, AvaResNet50)
    with torch.no_grad():
        network.head[3].weight.mul_(0.1)
    return network.state_dict()


class Pulled:
    """A checkpoint in the models folder, and the entry that names it."""

    def __init__(self, base: Path, content: Any, model_id: str = AVA) -> None:
        self.configs, self.models = put_checkpoint(base, model_id, content)
        self.model_id, self.heard = model_id, Heard()

    @property
    def entry(self) -> ModelEntry:
        return find_entry(self.configs, self.model_id)

    def pull(self) -> list[Path]:
        return fetch_model(self.models, self.model_id, self.entry, Location(), self.heard)

    def state(self) -> State:
        return own_state(self.models, self.model_id, self.entry)


def test_a_pull_builds_the_graph_once(tmp_path: Path) -> None:
    pulled = Pulled(tmp_path, {"model_state_dict": ava_state(), "val_spearman": 0.6})
    assert pulled.state() is State.NOT_CONVERTED
    (path,) = pulled.pull()
    assert pulled.state() is State.READY
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert read_pins(pulled.models) == {AVA: {"export.graph": digest}}
    local = resolve(pulled.configs, pulled.models, Role.QUALITY, AVA)
    assert local.paths == {"graph": path}
    assert local.file_sources["graph"].endswith("; converted with the recipe ava-resnet50")

    before = path.stat().st_ino
    assert pulled.pull() == [path]
    assert path.stat().st_ino == before
    path.write_bytes(path.read_bytes()[:-1] + b"\x00")
    assert pulled.state() is State.DAMAGED


def test_a_checkpoint_of_another_network_installs_nothing(tmp_path: Path) -> None:
    votes = {"head.3.weight": torch.zeros(5, 256), "head.3.bias": torch.zeros(5)}
    pulled = Pulled(tmp_path, {**small_state(AVA), **votes})
    with pytest.raises(
        ConfigError,
        match=r"ava_resnet50\.onnx was not installed: .*head\.3\.weight has the shape \(5, 256\), "
        r"expected \(1, 256\)",
    ):
        pulled.pull()
    assert files_below(pulled.models) == ["ava_resnet50.pt"]


def test_a_checkpoint_without_a_known_sha256_must_be_pinned_first(tmp_path: Path) -> None:
    model_id = "dinov2-vits14-reg"
    pulled = Pulled(tmp_path, {}, model_id)
    registry = pulled.configs / "models.yaml"
    digest = pulled.entry.downloads["checkpoint"].sha256
    assert digest is not None
    registry.write_text(registry.read_text().replace(digest, "null"))
    with pytest.raises(MissingModelError, match=f"`bestshot models pin {model_id}`, then"):
        pulled.pull()
    write_pin(pulled.models, model_id, "checkpoint", digest)
    with pytest.raises(ConfigError, match="has no 'cls_token', which dinov2-vits14-reg needs"):
        pulled.pull()
