"""Creates the recipes of models/convert from the published files.

    pip install onnx tflite2onnx==0.4.1 ai-edge-litert efficientnet-lite-pytorch torch
    PYTHONPATH=. python -P -m models.train.make_recipes FOLDER

FOLDER contains the published files. Each network is converted, its weights are located in the
published file and cut out, and the reference output is computed by a runtime other than ONNX
Runtime: TensorFlow Lite, OpenCV or PyTorch.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import itertools
import json
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from models.convert.recipe import RECIPES, Input, Recipe, Weight, onnx_chunks
from models.convert.reference import reference_input

Array = NDArray[np.float32]
OPSET = 13
SMALLEST_WEIGHT_BYTES = 64
"""Smaller constants stay in rest.bin."""
TOLERANCE = 1e-3


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
    # a convolution outputs the points; its channels are the x, y and z of each point
    outputs = {"contour": ("conv_eyes_contours_and_brows", [71, 3]), "iris": ("conv_iris", [5, 3])}
    return finish(model, "input_1", 64, outputs)


def finish(
    model: onnx.ModelProto, pixels: str, side: int, outputs: dict[str, tuple[str, list[int]]]
) -> onnx.ModelProto:
    """Gives a converted graph a dynamic batch, plain names, and meaningful output shapes."""
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
    return split_prelus(onnx.version_converter.convert_version(model, OPSET))


def split_prelus(model: onnx.ModelProto) -> onnx.ModelProto:
    """Replaces PRelu(x, s) with r = Relu(x) and r + s * (x - r), which gives bit-identical results.

    ONNX Runtime's PRelu with a slope per channel is slow on a CPU: without it the face mesh takes
    1.2 ms instead of 3.1 and the iris network takes 1.2 ms instead of 2.8 (one core, version 1.31).
    """
    nodes: list[onnx.NodeProto] = []
    for index, node in enumerate(model.graph.node):
        if node.op_type != "PRelu":
            nodes.append(node)
            continue
        (x, slope), (y,) = node.input, node.output
        positive, negative, scaled = (
            f"{part}_{index}" for part in ("positive", "negative", "scaled")
        )
        nodes += [
            helper.make_node("Relu", [x], [positive]),
            helper.make_node("Sub", [x, positive], [negative]),
            helper.make_node("Mul", [negative, slope], [scaled]),
            helper.make_node("Add", [positive, scaled], [y]),
        ]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return model


def efficientnet_lite0(published: Path) -> onnx.ModelProto:
    """Builds the network up to the classifier; pads as TensorFlow did when it was trained."""
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
    """Runs pictures one by one, because these networks take batches of one, channels last."""
    rows: dict[str, list[Array]] = {}
    for one in inputs:
        for name, answer in interpret(published, one.transpose(1, 2, 0)[None]).items():
            rows.setdefault(name, []).append(answer[0])
    return {name: np.stack(values) for name, values in rows.items()}


def interpret(published: Path, inputs: Array) -> dict[str, Array]:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(published))
    interpreter.allocate_tensors()
    interpreter.set_tensor(
        interpreter.get_input_details()[0]["index"], np.ascontiguousarray(inputs)
    )
    interpreter.invoke()
    return {
        detail["name"]: interpreter.get_tensor(detail["index"])
        for detail in interpreter.get_output_details()
    }


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


def run_embedder(published: Path, inputs: Array) -> list[Array]:
    return list(run_tflite(published, inputs.transpose(0, 3, 1, 2)).values())


def run_mesh_v2(published: Path, inputs: Array) -> list[Array]:
    with member(published, "face_landmarks_detector.tflite") as file:
        out = run_tflite(file, inputs.transpose(0, 3, 1, 2))
    return [out["Identity"], out["Identity_1"], out["Identity_2"].reshape(-1, 1)]


def run_blendshapes(published: Path, inputs: Array) -> list[Array]:
    with member(published, "face_blendshapes.tflite") as file:
        return [interpret(file, inputs)["StatefulPartitionedCall:0"]]


def run_mini_xception(published: Path, inputs: Array) -> list[Array]:
    """Runs the known ONNX file in OpenCV, because Keras is not available."""
    import cv2

    network = cv2.dnn.readNetFromONNX(str(published.with_name("fer2013_mini_xception.onnx")))
    network.setInput(inputs)
    return [network.forward()]


@contextlib.contextmanager
def member(archive: Path, name: str) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(archive) as opened:
        yield Path(opened.extract(name, folder))


def use_known(name: str) -> Build:
    """Uses a file that was converted earlier; it must be next to the published one."""
    return lambda published: published.with_name(name).read_bytes()


def serialize(build: Callable[[Path], onnx.ModelProto]) -> Build:
    """Moves the weights to the end, so that the rest of the file is in one piece.

    Protobuf merges concatenated messages, so appending a model with only an initializer adds that
    initializer to the graph.
    """

    def run(published: Path) -> bytes:
        model = build(published)
        model.producer_name, model.producer_version = "bestshot", ""
        model.doc_string = model.graph.doc_string = ""
        last = [tensor for tensor in model.graph.initializer if is_weight(tensor)]
        kept = [tensor for tensor in model.graph.initializer if not is_weight(tensor)]
        del model.graph.initializer[:]
        model.graph.initializer.extend(kept)
        parts = [model.SerializeToString(deterministic=True)]
        for tensor in last:
            plain = numpy_helper.from_array(numpy_helper.to_array(tensor), tensor.name)
            graph = onnx.GraphProto(initializer=[plain])
            parts.append(onnx.ModelProto(graph=graph).SerializeToString())
        return b"".join(parts)

    return run


Build = Callable[[Path], bytes]
Run = Callable[[Path, Array], list[Array]]


@dataclass(frozen=True)
class Source:
    """A published file, how it is converted, and how the reference is computed."""

    file: str
    build: Build
    run: Run
    input: Input


def pixels(shape: list[int], largest: float, name: str = "pixels", layout: str = "nchw") -> Input:
    return Input(name=name, shape=shape, layout=layout, largest=largest)


SOURCES = {
    "centerface": Source(
        "centerface.onnx", serialize(centerface), run_centerface, pixels([2, 3, 96, 64], 255.0)
    ),
    "face-mesh": Source(
        "face_landmark.tflite", serialize(face_mesh), run_face_mesh, pixels([2, 3, 192, 192], 1.0)
    ),
    "iris": Source("iris_landmark.tflite", serialize(iris), run_iris, pixels([2, 3, 64, 64], 1.0)),
    "efficientnet-lite0": Source(
        "efficientnet-lite0-57934424.pth",
        serialize(efficientnet_lite0),
        run_efficientnet_lite0,
        pixels([2, 3, 224, 224], 1.0),
    ),
    "mobilenet-v3-small": Source(
        "mobilenet_v3_small.tflite",
        use_known("mobilenet_v3_small_075_224_embedder.onnx"),
        run_embedder,
        pixels([2, 224, 224, 3], 1.0, "serving_default_inputs:0", "nhwc"),
    ),
    "face-mesh-v2": Source(
        "face_landmarker.task",
        use_known("face_landmarks_detector_v2.onnx"),
        run_mesh_v2,
        pixels([2, 256, 256, 3], 1.0, "input_12", "nhwc"),
    ),
    "blendshapes": Source(
        "face_landmarker.task",
        use_known("face_blendshapes.onnx"),
        run_blendshapes,
        pixels([1, 146, 2], 256.0, "serving_default_input_points:0", "points"),
    ),
    "mini-xception": Source(
        "emotion_model.hdf5",
        use_known("fer2013_mini_xception.onnx"),
        run_mini_xception,
        pixels([2, 1, 64, 64], 1.0, "input_1"),
    ),
}


def is_weight(tensor: onnx.TensorProto) -> bool:
    if tensor.data_type != TensorProto.FLOAT:
        return False
    return bool(numpy_helper.to_array(tensor).nbytes >= SMALLEST_WEIGHT_BYTES)


def cut(whole: bytes, published: bytes) -> tuple[bytes, list[Weight]]:
    """Cuts the weights out of an ONNX file; returns the rest, and the position of each weight."""
    rest, weights, place = bytearray(), [], 0
    tensors = [one for one in onnx.load_from_string(whole).graph.initializer if is_weight(one)]
    for tensor in tensors:
        values = numpy_helper.to_array(tensor)
        start = whole.index(values.astype("<f4").tobytes(), place)
        rest += whole[place:start]
        weights.append(find(tensor.name, values, published, len(rest)))
        place = start + values.nbytes
    return bytes(rest + whole[place:]), weights


def find(name: str, values: Array, published: bytes, gap: int) -> Weight:
    """Searches for the values in both precisions and all orders of the axes longer than 1."""
    flat = values.reshape([size for size in values.shape if size > 1])
    for dtype in ("float32", "float16"):
        if not np.array_equal(flat.astype(dtype).astype("float32"), flat):
            continue
        for order in itertools.permutations(range(flat.ndim)):
            stored = flat.transpose(order)
            offset = published.find(stored.astype(np.dtype(dtype).newbyteorder("<")).tobytes())
            if offset >= 0:
                back = [order.index(axis) for axis in range(flat.ndim)]
                return Weight(
                    gap=gap,
                    offset=offset,
                    shape=list(stored.shape),
                    dtype=dtype,
                    transpose=None if back == sorted(back) else back,
                )
    raise SystemExit(f"{name} is not in the published file")


def make(name: str, folder: Path) -> None:
    source = SOURCES[name]
    path = folder / source.file
    whole, published = source.build(path), path.read_bytes()
    onnx.checker.check_model(onnx.load_from_string(whole), full_check=True)
    rest, weights = cut(whole, published)
    assert b"".join(onnx_chunks(rest, weights, published)) == whole
    answers = source.run(path, reference_input(source.input))
    target = RECIPES / name
    target.mkdir(parents=True, exist_ok=True)
    (target / "rest.bin").write_bytes(rest)
    np.save(target / "reference.npy", np.concatenate([answer.ravel() for answer in answers]))
    recipe = Recipe(input=source.input, tolerance=TOLERANCE, weights=weights)
    content = recipe.model_dump(exclude_defaults=True)
    rows = ",\n".join(f"    {json.dumps(row)}" for row in content.pop("weights"))
    head = json.dumps(content)[1:-1]
    (target / "recipe.json").write_text(f'{{\n  {head},\n  "weights": [\n{rows}\n  ]\n}}\n')
    print(f"{name}: {len(rest)} bytes and {len(weights)} weights; for the ONNX file:")
    print(f"  size_bytes: {len(whole)}\n  sha256: {hashlib.sha256(whole).hexdigest()}")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("names", nargs="*", default=list(SOURCES))
    arguments = parser.parse_args()
    for name in arguments.names:
        make(name, arguments.folder)


if __name__ == "__main__":
    main()
