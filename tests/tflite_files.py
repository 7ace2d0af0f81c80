"""TensorFlow Lite files, written by the package `tflite` without TensorFlow."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import flatbuffers
import numpy as np
import tflite
import torch
from numpy.typing import NDArray

Array = NDArray[Any]
TYPES = {"float32": 0, "float16": 1, "int32": 2}
BATCH = 1


@dataclass
class TfliteWriter:
    """Collects tensors and operators of one graph."""

    builder: flatbuffers.Builder = field(default_factory=lambda: flatbuffers.Builder(1 << 16))
    buffers: list[int] = field(default_factory=list)
    tensors: list[int] = field(default_factory=list)
    codes: list[int] = field(default_factory=list)
    operators: list[int] = field(default_factory=list)

    def tensor(
        self, name: str, shape: Sequence[int], dtype: str = "float32", values: Array | None = None
    ) -> int:
        """Adds a tensor; returns its index. Without values, its first axis is the batch."""
        builder, title = self.builder, self.builder.CreateString(name)
        sizes = builder.CreateNumpyVector(np.array(shape, np.int32))
        signature = np.array(shape, np.int32)
        if values is None:
            signature[0] = -1
        signatures = builder.CreateNumpyVector(signature)
        self.buffers.append(self._buffer(values))
        tflite.TensorStart(builder)
        tflite.TensorAddShape(builder, sizes)
        tflite.TensorAddShapeSignature(builder, signatures)
        tflite.TensorAddType(builder, TYPES[dtype])
        tflite.TensorAddBuffer(builder, len(self.buffers))  # buffer 0 is always empty
        tflite.TensorAddName(builder, title)
        self.tensors.append(tflite.TensorEnd(builder))
        return len(self.tensors) - 1

    def half(self, name: str, values: Array) -> int:
        """Adds a half-precision weight and the operator that makes it single precision."""
        stored = self.tensor(f"{name}_half", values.shape, "float16", values.astype(np.float16))
        single = self.tensor(name, values.shape)
        self.add("DEQUANTIZE", [stored], single)
        return single

    def add(
        self, operator: str, inputs: Sequence[int], output: int, kind: str = "", **options: object
    ) -> None:
        """Adds an operator; `options` are the fields of tflite's class `kind`."""
        builder, code = self.builder, getattr(tflite.BuiltinOperator, operator)
        if code not in self.codes:
            self.codes.append(code)
        described = None
        if kind:
            getattr(tflite, f"{kind}Start")(builder)
            for name, value in options.items():
                getattr(tflite, f"{kind}Add{name}")(builder, value)
            described = getattr(tflite, f"{kind}End")(builder)
        takes = builder.CreateNumpyVector(np.array(inputs, np.int32))
        gives = builder.CreateNumpyVector(np.array([output], np.int32))
        tflite.OperatorStart(builder)
        tflite.OperatorAddOpcodeIndex(builder, self.codes.index(code))
        tflite.OperatorAddInputs(builder, takes)
        tflite.OperatorAddOutputs(builder, gives)
        if described is not None:
            tflite.OperatorAddBuiltinOptionsType(builder, getattr(tflite.BuiltinOptions, kind))
            tflite.OperatorAddBuiltinOptions(builder, described)
        self.operators.append(tflite.OperatorEnd(builder))

    def finish(self, first: int, last: int) -> bytes:
        """Returns the file, with a graph from one tensor to another."""
        builder = self.builder
        tensors, operators = map(self._vector, (self.tensors, self.operators))
        inputs = builder.CreateNumpyVector(np.array([first], np.int32))
        outputs = builder.CreateNumpyVector(np.array([last], np.int32))
        tflite.SubGraphStart(builder)
        tflite.SubGraphAddTensors(builder, tensors)
        tflite.SubGraphAddInputs(builder, inputs)
        tflite.SubGraphAddOutputs(builder, outputs)
        tflite.SubGraphAddOperators(builder, operators)
        graphs = self._vector([tflite.SubGraphEnd(builder)])
        codes = []
        for code in self.codes:
            tflite.OperatorCodeStart(builder)
            tflite.OperatorCodeAddDeprecatedBuiltinCode(builder, code)
            tflite.OperatorCodeAddBuiltinCode(builder, code)
            tflite.OperatorCodeAddVersion(builder, 1)
            codes.append(tflite.OperatorCodeEnd(builder))
        known = self._vector(codes)
        buffers = self._vector([self._buffer(None), *self.buffers])
        tflite.ModelStart(builder)
        tflite.ModelAddVersion(builder, 3)
        tflite.ModelAddOperatorCodes(builder, known)
        tflite.ModelAddSubgraphs(builder, graphs)
        tflite.ModelAddBuffers(builder, buffers)
        builder.Finish(tflite.ModelEnd(builder), file_identifier=b"TFL3")
        return bytes(builder.Output())

    def _buffer(self, values: Array | None) -> int:
        data = None
        if values is not None:
            content = values.astype(values.dtype.newbyteorder("<")).tobytes()
            self.builder.StartVector(1, len(content), 16)  # as TensorFlow Lite aligns weights
            self.builder.head -= len(content)
            self.builder.Bytes[self.builder.head : self.builder.head + len(content)] = content
            data = self.builder.EndVector()
        tflite.BufferStart(self.builder)
        if data is not None:
            tflite.BufferAddData(self.builder, data)
        return int(tflite.BufferEnd(self.builder))

    def _vector(self, offsets: Sequence[int]) -> int:
        self.builder.StartVector(4, len(offsets), 4)
        for offset in reversed(offsets):
            self.builder.PrependUOffsetTRelative(offset)
        return int(self.builder.EndVector())


@dataclass(frozen=True)
class Layer:
    """A convolution with a ReLU6, in half precision as in the file."""

    weight: Array
    bias: Array
    stride: int
    is_depthwise: bool


class SmallMobileNet:
    """A small MobileNet, version 1: ten shares from a picture of `side` pixels.

    It has the operators that TensorFlow Lite writes for NIMA's Keras model in half precision:
    padded convolutions with stride 2, depthwise and pointwise ones, a mean, a dense layer, softmax.
    """

    OUTPUT_COUNT = 10

    def __init__(self, side: int = 32, seed: int = 0) -> None:
        self.side, random = side, np.random.default_rng(seed)

        def half(*shape: int, scale: float) -> Array:
            return random.normal(0, scale, shape).astype(np.float16).astype(np.float32)

        self.layers, channels = [], 3
        for width, stride in ((8, 2), (0, 1), (16, 1), (0, 2), (24, 1)):
            is_depthwise, side_px = width == 0, 3 if width in (0, 8) else 1
            shape = (channels, 1) if is_depthwise else (width, channels)
            inputs = side_px**2 * shape[1]
            weight = half(*shape, side_px, side_px, scale=1.5 / inputs**0.5)
            channels = channels if is_depthwise else width
            self.layers.append(Layer(weight, half(channels, scale=0.2), stride, is_depthwise))
        self.dense = half(self.OUTPUT_COUNT, channels, scale=0.7)
        self.dense_bias = half(self.OUTPUT_COUNT, scale=0.2)

    def file(self, last: Callable[[TfliteWriter, int], int] | None = None) -> bytes:
        """Returns the network as a file; `last` replaces the softmax."""
        writer, side, channels = TfliteWriter(), self.side, 3
        first = current = writer.tensor("image", [BATCH, side, side, channels])
        for index, layer in enumerate(self.layers):
            if layer.stride == 2:
                pads = np.array([[0, 0], [0, 1], [0, 1], [0, 0]], np.int32)
                padding = writer.tensor(f"pads_{index}", pads.shape, "int32", pads)
                padded = writer.tensor(f"padded_{index}", [BATCH, side + 1, side + 1, channels])
                writer.add("PAD", [current, padding], padded, "PadOptions")
                current, side = padded, side // 2
            # OHWI, or 1HWC for depthwise ones
            stored = layer.weight.transpose(1, 2, 3, 0) if layer.is_depthwise else None
            stored = layer.weight.transpose(0, 2, 3, 1) if stored is None else stored
            weight = writer.half(f"weight_{index}", stored)
            bias = writer.half(f"bias_{index}", layer.bias)
            channels = len(layer.bias)
            output = writer.tensor(f"layer_{index}", [BATCH, side, side, channels])
            kind = "DepthwiseConv2DOptions" if layer.is_depthwise else "Conv2DOptions"
            writer.add(
                "DEPTHWISE_CONV_2D" if layer.is_depthwise else "CONV_2D",
                [current, weight, bias],
                output,
                kind,
                Padding=tflite.Padding.VALID if layer.stride == 2 else tflite.Padding.SAME,
                StrideH=layer.stride,
                StrideW=layer.stride,
                FusedActivationFunction=tflite.ActivationFunctionType.RELU6,
                DilationHFactor=1,
                DilationWFactor=1,
                **({"DepthMultiplier": 1} if layer.is_depthwise else {}),
            )
            current = output
        axes = writer.tensor("axes", [2], "int32", np.array([1, 2], np.int32))
        pooled = writer.tensor("pooled", [BATCH, channels])
        writer.add("MEAN", [current, axes], pooled, "ReducerOptions", KeepDims=False)
        weight, bias = writer.half("dense", self.dense), writer.half("dense_bias", self.dense_bias)
        votes = writer.tensor("votes", [BATCH, self.OUTPUT_COUNT])
        writer.add("FULLY_CONNECTED", [pooled, weight, bias], votes, "FullyConnectedOptions")
        if last is not None:
            return writer.finish(first, last(writer, votes))
        shares = writer.tensor("shares", [BATCH, self.OUTPUT_COUNT])
        writer.add("SOFTMAX", [votes], shares, "SoftmaxOptions", Beta=1.0)
        return writer.finish(first, shares)

    def shares(self, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        """Computes the network's output with PyTorch; pixels are (n, 3, side, side)."""
        functional, values = torch.nn.functional, torch.from_numpy(pixels)
        for layer in self.layers:
            padding = (0, 1, 0, 1) if layer.stride == 2 else (layer.weight.shape[2] // 2,) * 4
            values = functional.conv2d(
                functional.pad(values, padding),
                torch.from_numpy(layer.weight),
                torch.from_numpy(layer.bias),
                stride=layer.stride,
                groups=len(layer.bias) if layer.is_depthwise else 1,
            ).clamp(0, 6)
        pooled = values.mean((2, 3))
        votes = functional.linear(
            pooled, torch.from_numpy(self.dense), torch.from_numpy(self.dense_bias)
        )
        shares: NDArray[np.float32] = votes.softmax(1).numpy()
        return shares
