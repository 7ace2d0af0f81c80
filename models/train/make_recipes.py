"""Makes the recipes of models/convert from the published files.

    pip install onnx tflite2onnx==0.4.1 ai-edge-litert efficientnet-lite-pytorch torch
    PYTHONPATH=. python -m models.train.make_recipes FOLDER

FOLDER has the published files. Each network is converted, its weights are found in the published
file and left out, and the reference output is computed by another runtime than the one that serves:
TensorFlow Lite's, OpenCV's or PyTorch.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from models.convert.recipe import RECIPES, Weight, onnx_chunks
from models.convert.reference import reference_input

Array = NDArray[np.float32]
OPSET = 13
SMALLEST_WEIGHT_BYTES = 64
"""Smaller constants stay in the graph."""


def centerface(published: Path) -> onnx.ModelProto:
    model = onnx.load(published)
    graph = model.graph
    used = {name for node in graph.node for name in node.input}
    weights = [one for one in graph.initializer if one.name in used]
    del graph.initializer[:], graph.input[:], graph.output[:], graph.value_info[:]
    graph.initializer.extend(weights)
    rename(graph, {"input.1": "pixels", "537": "score", "538": "size", "539": "offset"})
    rename(graph, {"540": "landmarks"})
    graph.input.append(value("pixels", ["batch", 3, "height", "width"]))
    for name, channels in (("score", 1), ("size", 2), ("offset", 2), ("landmarks", 10)):
        graph.output.append(value(name, ["batch", channels, "rows", "columns"]))
    return onnx.version_converter.convert_version(model, OPSET)


def face_mesh(published: Path) -> onnx.ModelProto:
    model = from_tflite(published)
    outputs = {"points": ("conv2d_20", [468, 3]), "presence": ("conv2d_30", [1])}
    return finish(model, "input_1", 192, outputs)


def iris(published: Path) -> onnx.ModelProto:
    model = from_tflite(published)
    # the points leave a convolution; its channels are x, y, z of each
    outputs = {"contour": ("conv_eyes_contours_and_brows", [71, 3]), "iris": ("conv_iris", [5, 3])}
    return finish(model, "input_1", 64, outputs)


def finish(
    model: onnx.ModelProto, pixels: str, side: int, outputs: dict[str, tuple[str, list[int]]]
) -> onnx.ModelProto:
    """Any batch size, plain names, and outputs of a shape that says what they are."""
    graph = model.graph
    del graph.output[:], graph.input[:], graph.value_info[:]
    rename(graph, {pixels: "pixels"})
    graph.input.append(value("pixels", ["batch", 3, side, side]))
    needed = {name for name, _ in outputs.values()}
    nodes: list[onnx.NodeProto] = []
    for node in reversed(graph.node):
        if needed & set(node.output):
            needed |= set(node.input)
            nodes.insert(0, node)
    del graph.node[:]
    graph.node.extend(nodes)
    for name, (tensor, shape) in outputs.items():
        constant = numpy_helper.from_array(np.array([-1, *shape], np.int64), f"{name}_shape")
        graph.initializer.append(constant)
        graph.node.append(helper.make_node("Reshape", [tensor, constant.name], [name]))
        graph.output.append(value(name, ["batch", *shape]))
        needed.add(constant.name)
    kept = [one for one in graph.initializer if one.name in needed]
    del graph.initializer[:]
    graph.initializer.extend(kept)
    return onnx.version_converter.convert_version(model, OPSET)


def efficientnet_lite0(published: Path) -> onnx.ModelProto:
    """Features before the classifier; padding as in TensorFlow, where it was trained."""
    import torch

    state = torch.load(published, map_location="cpu", weights_only=True)
    nodes: list[onnx.NodeProto] = []
    used: set[str] = set()

    def add(operator: str, inputs: list[str], output: str, **attributes: object) -> str:
        used.update(inputs)
        nodes.append(helper.make_node(operator, inputs, [output], name=output, **attributes))
        return output

    def convolve(x: str, conv: str, norm: str, stride: int, *, clip: bool = True) -> str:
        weight = state[f"{conv}.weight"]
        group = weight.shape[0] if weight.shape[1] == 1 and "depthwise" in conv else 1
        side = list(weight.shape[2:])
        options = {"kernel_shape": side, "strides": [stride, stride], "group": group}
        x = add("Conv", [x, f"{conv}.weight"], f"{conv}.out", auto_pad="SAME_UPPER", **options)
        keys = [f"{norm}.{key}" for key in ("weight", "bias", "running_mean", "running_var")]
        x = add("BatchNormalization", [x, *keys], f"{norm}.out", epsilon=1e-3)
        return add("Clip", [x, "zero", "six"], f"{norm}.clipped") if clip else x

    x = convolve("pixels", "_conv_stem", "_bn0", 2)
    block = 0
    for repeats, stride in ((1, 1), (2, 2), (2, 2), (3, 2), (3, 1), (4, 2), (1, 1)):
        for index in range(repeats):
            prefix, before = f"_blocks.{block}", x
            if block:
                x = convolve(x, f"{prefix}._expand_conv", f"{prefix}._bn0", 1)
            step = stride if index == 0 else 1
            x = convolve(x, f"{prefix}._depthwise_conv", f"{prefix}._bn1", step)
            x = convolve(x, f"{prefix}._project_conv", f"{prefix}._bn2", 1, clip=False)
            if index:
                x = add("Add", [x, before], f"{prefix}.sum")
            block += 1
    x = convolve(x, "_conv_head", "_bn1", 1)
    x = add("GlobalAveragePool", [x], "pooled")
    add("Flatten", [x], "embedding")
    weights = [numpy_helper.from_array(state[key].numpy(), key) for key in state if key in used]
    limits = [
        helper.make_tensor(n, TensorProto.FLOAT, [], [v]) for n, v in (("zero", 0), ("six", 6))
    ]
    graph = helper.make_graph(
        nodes,
        "efficientnet-lite0",
        [value("pixels", ["batch", 3, 224, 224])],
        [value("embedding", ["batch", 1280])],
        [*weights, *limits],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8)


def from_tflite(published: Path) -> onnx.ModelProto:
    import tflite2onnx

    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "converted.onnx"
        tflite2onnx.convert(str(published), str(target))
        return onnx.load(target)


def rename(graph: onnx.GraphProto, names: dict[str, str]) -> None:
    for node in graph.node:
        for there in (node.input, node.output):
            there[:] = [names.get(name, name) for name in there]


def value(name: str, shape: list[int | str]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)


def run_tflite(published: Path, inputs: Array) -> dict[str, Array]:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(published))
    interpreter.allocate_tensors()
    rows: dict[str, list[Array]] = {}
    for one in inputs:
        place = interpreter.get_input_details()[0]["index"]
        interpreter.set_tensor(place, np.ascontiguousarray(one.transpose(1, 2, 0))[None])
        interpreter.invoke()
        for detail in interpreter.get_output_details():
            rows.setdefault(detail["name"], []).append(interpreter.get_tensor(detail["index"])[0])
    return {name: np.stack(values) for name, values in rows.items()}


def run_face_mesh(published: Path, inputs: Array) -> list[Array]:
    out = run_tflite(published, inputs)
    return [out["conv2d_20"].reshape(-1, 468, 3), out["conv2d_30"].reshape(-1, 1)]


def run_iris(published: Path, inputs: Array) -> list[Array]:
    out = run_tflite(published, inputs)
    contour, points = out["output_eyes_contours_and_brows"], out["output_iris"]
    return [contour.reshape(-1, 71, 3), points.reshape(-1, 5, 3)]


def run_centerface(published: Path, inputs: Array) -> list[Array]:
    import cv2

    network = cv2.dnn.readNetFromONNX(str(published))
    network.setInput(inputs)
    return list(network.forward(["537", "538", "539", "540"]))


def run_efficientnet_lite0(published: Path, inputs: Array) -> list[Array]:
    import torch
    from efficientnet_lite_pytorch import EfficientNet

    network = EfficientNet.from_name("efficientnet-lite0")
    network.load_state_dict(torch.load(published, weights_only=True))
    with torch.inference_mode():
        features = network.eval().extract_features(torch.from_numpy(inputs))
    return [features.mean((2, 3)).numpy()]


Build = Callable[[Path], onnx.ModelProto]
Run = Callable[[Path, Array], list[Array]]
RECIPES_OF: dict[str, tuple[str, Build, Run, dict[str, object]]] = {
    "centerface": (
        "centerface.onnx",
        centerface,
        run_centerface,
        {"shape": [2, 3, 96, 64], "largest": 255.0},
    ),
    "face-mesh": (
        "face_landmark.tflite",
        face_mesh,
        run_face_mesh,
        {"shape": [2, 3, 192, 192], "largest": 1.0},
    ),
    "iris": ("iris_landmark.tflite", iris, run_iris, {"shape": [2, 3, 64, 64], "largest": 1.0}),
    "efficientnet-lite0": (
        "efficientnet-lite0-57934424.pth",
        efficientnet_lite0,
        run_efficientnet_lite0,
        {"shape": [2, 3, 224, 224], "largest": 1.0},
    ),
}


def split(model: onnx.ModelProto, published: bytes) -> tuple[onnx.ModelProto, list[Weight]]:
    """Leaves out the weights that are in the published file; says where there."""
    weights, kept = [], []
    for tensor in model.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.dtype != np.float32 or values.nbytes < SMALLEST_WEIGHT_BYTES:
            kept.append(tensor)
            continue
        weights.append(find(tensor.name, values, published))
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
    return model, weights


def find(name: str, values: Array, published: bytes) -> Weight:
    for order in itertools.permutations(range(values.ndim)):
        stored = values.transpose(order)
        offset = published.find(np.ascontiguousarray(stored, "<f4").tobytes())
        if offset >= 0:
            back = [order.index(axis) for axis in range(values.ndim)]
            shape = list(stored.shape)
            same = back == sorted(back)
            return Weight(name=name, offset=offset, shape=shape, transpose=None if same else back)
    raise SystemExit(f"{name} is not in the published file")


def make(name: str, folder: Path) -> None:
    file_name, build, run, reference = RECIPES_OF[name]
    path = folder / file_name
    published = path.read_bytes()
    model, weights = split(build(path), published)
    model.producer_name, model.producer_version = "bestshot", ""
    model.doc_string = model.graph.doc_string = ""
    target = RECIPES / name
    target.mkdir(parents=True, exist_ok=True)
    graph = model.SerializeToString(deterministic=True)
    (target / "graph.onnx").write_bytes(graph)
    facts = {"input": "pixels", **reference, "tolerance": 1e-3}
    rows = ",\n".join(f"    {json.dumps(w.model_dump(exclude_none=True))}" for w in weights)
    text = f'{{\n  "reference": {json.dumps(facts)},\n  "weights": [\n{rows}\n  ]\n}}\n'
    (target / "recipe.json").write_text(text)
    inputs = reference_input(reference["shape"], reference["largest"])
    answers = run(path, inputs)
    np.save(target / "reference.npy", np.concatenate([answer.ravel() for answer in answers]))
    whole = b"".join(onnx_chunks(graph, weights, published))
    onnx.checker.check_model(onnx.load_from_string(whole), full_check=True)
    print(f"{name}: {len(graph)} bytes of graph, {len(weights)} weights; the ONNX file has")
    print(f"size_bytes: {len(whole)}\nsha256: {hashlib.sha256(whole).hexdigest()}")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("names", nargs="*", default=list(RECIPES_OF))
    arguments = parser.parse_args()
    for name in arguments.names:
        make(name, arguments.folder)


if __name__ == "__main__":
    main()
