"""Creates the recipes of models/convert for PyTorch checkpoints; needs the `export` extra.

    PYTHONPATH=. python -P -m models.train.checkpoint_recipes

Each architecture is exported with random weights, which are then removed from the ONNX file.
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path

import onnx
import torch
from onnx import numpy_helper
from onnxscript import optimizer
from torch import nn

from models.convert.recipe import (
    RECIPES,
    CheckpointRecipe,
    NamedWeight,
    UnusedTensor,
    insert_weights,
)
from models.export.architectures import Compare
from models.export.dinov2 import SHAPES, DinoV2
from models.export.graph import OPSET, plain_model
from models.export.resnet import FEATURES, AvaResNet50, SiameseResNet50

LARGEST_CONSTANT_BYTES = 1024
"""Constants up to this size are computed in advance; ONNX Runtime computes larger ones."""


def random_network(architecture: str, seed: int = 0) -> nn.Module:
    """Builds a network with the published shapes, and random weights scaled like trained ones."""
    torch.manual_seed(seed)
    network: nn.Module
    if architecture in SHAPES:
        network = DinoV2(SHAPES[architecture])
        spread = 0.05
    else:
        outputs = {"ava-resnet50": 1, "ava-resnet50-votes": 10}.get(architecture)
        network = AvaResNet50(256, outputs) if outputs else SiameseResNet50([])
        spread = 0.01
    with torch.no_grad():
        for key, tensor in network.state_dict().items():
            if tensor.dtype == torch.float32:
                noise = torch.randn(tensor.shape) * spread
                tensor.add_(noise.abs() if key.endswith("running_var") else noise)
        if architecture == "ava-resnet50":
            network.head[3].bias.fill_(5.5)  # in the middle of the range that is not clamped
    return network.eval()


def graphs_of(network: nn.Module) -> dict[str, tuple[nn.Module, dict[str, torch.Tensor], str]]:
    """Lists a network's graphs: modules to export, example inputs by name, the output's name."""
    pixels = {"pixels": torch.randn(2, 3, 224, 224)}
    if isinstance(network, SiameseResNet50):
        features = {"first": torch.randn(2, FEATURES), "second": torch.randn(2, FEATURES)}
        return {
            "describe": (network.backbone, pixels, "description"),
            "compare": (Compare(network, 1), features, "first_better_probability"),
        }
    output = "votes" if isinstance(network, AvaResNet50) else "embedding"
    return {"graph": (network, pixels, output)}


def to_onnx(network: nn.Module, inputs: dict[str, torch.Tensor], output: str) -> onnx.ModelProto:
    batch = torch.export.Dim("batch")
    program = torch.onnx.export(
        network,
        tuple(inputs.values()),
        input_names=list(inputs),
        output_names=[output],
        dynamic_shapes=tuple({0: batch} for _ in inputs),
        opset_version=OPSET,
        dynamo=True,
        verbose=False,
        optimize=False,  # optimizing would merge weights
    )
    assert program is not None
    optimizer.inline(program.model)
    optimizer.fold_constants(
        program.model,
        input_size_limit=LARGEST_CONSTANT_BYTES,
        output_size_limit=16 * LARGEST_CONSTANT_BYTES,
    )
    optimizer.remove_unused_nodes(program.model)
    model = plain_model(program.model_proto)
    del model.graph.value_info[:]
    drop_zero_biases(model.graph)
    model.producer_name, model.producer_version = "bestshot", ""
    onnx.checker.check_model(model, full_check=True)
    return model


def drop_zero_biases(graph: onnx.GraphProto) -> None:
    """Removes the zeros that the exporter adds to convolutions without a bias."""
    zeros = {
        one.name for one in graph.initializer if not numpy_helper.to_array(one).any() and one.dims
    }
    dropped = set()
    for node in graph.node:
        if node.op_type == "Conv" and len(node.input) == 3 and node.input[2] in zeros:
            dropped.add(node.input.pop())
    kept = [one for one in graph.initializer if one.name not in dropped]
    del graph.initializer[:]
    graph.initializer.extend(kept)


def cut(model: onnx.ModelProto, network: nn.Module) -> tuple[bytes, list[NamedWeight]]:
    """Cuts out the weights; returns the rest, and the name of each weight."""
    state = {key: tensor.numpy() for key, tensor in network.state_dict().items()}
    names = {values.T.tobytes(): (key, [1, 0]) for key, values in state.items() if values.ndim == 2}
    names |= {values.tobytes(): (key, None) for key, values in state.items()}
    whole = model.SerializeToString(deterministic=True)
    rest, weights, place = bytearray(), [], 0
    for one in model.graph.initializer:
        content = numpy_helper.to_array(one).tobytes()
        if one.data_type != onnx.TensorProto.FLOAT or content not in names:
            continue
        key, transpose = names[content]
        start = whole.index(content, place)
        rest += whole[place:start]
        place = start + len(content)
        shape = list(state[key].shape)
        weights.append(NamedWeight(gap=len(rest), key=key, shape=shape, transpose=transpose))
    rest += whole[place:]
    again = insert_weights(bytes(rest), weights, lambda weight: state[weight.key])
    assert b"".join(again) == whole
    return bytes(rest), weights


def make(architecture: str) -> None:
    network = random_network(architecture)
    folder = RECIPES / architecture
    folder.mkdir(parents=True, exist_ok=True)
    graphs = {}
    for name, (module, inputs, output) in graphs_of(network).items():
        rest, graphs[name] = cut(to_onnx(module, inputs, output), network)
        (folder / f"{name}.bin").write_bytes(rest)
    used = {weight.key for weights in graphs.values() for weight in weights}
    unused = [
        UnusedTensor(key=key, shape=list(tensor.shape), dtype=str(tensor.numpy().dtype))
        for key, tensor in network.state_dict().items()
        if key not in used
    ]
    write_recipe(folder / "recipe.json", CheckpointRecipe(graphs=graphs, unused=unused))
    count = sum(math.prod(tensor.shape) for tensor in network.state_dict().values())
    print(f"{architecture}: {len(used)} tensors used, {len(unused)} not, {count} numbers")


def write_recipe(path: Path, recipe: CheckpointRecipe) -> None:
    """Writes one tensor per line."""
    content = recipe.model_dump(exclude_defaults=True)
    graphs = [f"    {json.dumps(name)}: {rows(found)}" for name, found in content["graphs"].items()]
    listed = ",\n".join(graphs)
    path.write_text(
        f'{{\n  "graphs": {{\n{listed}\n  }},\n  "unused": {rows(content["unused"])}\n}}\n'
    )


def rows(items: list[dict[str, object]]) -> str:
    listed = ",\n".join(f"    {json.dumps(one)}" for one in items)
    return f"[\n{listed}\n  ]"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("architectures", nargs="*")
    chosen = parser.parse_args().architectures
    resnets = ["ava-resnet50", "ava-resnet50-votes", "siamese-resnet50"]
    for architecture in chosen or [*SHAPES, *resnets]:
        make(architecture)


if __name__ == "__main__":
    main()
