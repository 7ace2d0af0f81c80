"""The Open Inference Protocol, version 2, on top of a service's own typed call.

It returns the results of the typed call as tensors. The protocol has no per-item errors: if one
picture fails, the request fails with an error that names it.
"""

from __future__ import annotations

import importlib.metadata
import struct
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import grpc
import numpy as np
from bestshot.image.v1 import image_pb2
from bestshot.model.v1 import model_pb2
from inference import open_inference_pb2 as pb
from inference import open_inference_pb2_grpc
from numpy.typing import NDArray

from services.common.errors import InternalError, InvalidArgumentError, NotFoundError

SERVICE_NAME = "inference.GRPCInferenceService"
_LENGTH = struct.Struct("<I")
_DATATYPES = {"FP32": np.float32, "FP64": np.float64, "INT32": np.int32}

Images = dict[str, list[image_pb2.Image]]
Tensors = dict[str, NDArray[np.generic]]


@dataclass(frozen=True)
class TensorSpec:
    """A tensor that a service returns: name, element type and axes (-1 = any length)."""

    name: str
    datatype: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class TensorApi:
    """A service's typed call in terms of tensors.

    Attributes:
        inputs: Names of the inputs, each a batch of pictures: BYTES (n,), complete image files; or
            UINT8 (n, height, width, 3), canonical RGB.
        outputs: Tensors that the call returns.
        infer: The typed call.
    """

    inputs: tuple[str, ...]
    outputs: tuple[TensorSpec, ...]
    infer: Callable[[Images], Awaitable[Tensors]]


class InferenceServicer(open_inference_pb2_grpc.GRPCInferenceServiceServicer):
    """Translates tensors to pictures, and results to tensors.

    Args:
        api: The typed call.
        service_name: Name of the typed service.
        model: Its model.
        alias: Another name, besides the id, under which callers can request the model.
    """

    def __init__(
        self, api: TensorApi, service_name: str, model: model_pb2.ModelInfo, alias: str
    ) -> None:
        self._api = api
        self._service_name = service_name
        self._names = (model.id, alias)
        self._version = model.version
        self.is_ready = False

    async def ServerLive(
        self, request: pb.ServerLiveRequest, context: grpc.aio.ServicerContext
    ) -> pb.ServerLiveResponse:
        """Reports that the server is alive."""
        return pb.ServerLiveResponse(live=True)

    async def ServerReady(
        self, request: pb.ServerReadyRequest, context: grpc.aio.ServicerContext
    ) -> pb.ServerReadyResponse:
        """Reports whether the first inference has finished."""
        return pb.ServerReadyResponse(ready=self.is_ready)

    async def ModelReady(
        self, request: pb.ModelReadyRequest, context: grpc.aio.ServicerContext
    ) -> pb.ModelReadyResponse:
        """Reports whether the model is ready."""
        known = self._is_known(request.name, request.version)
        return pb.ModelReadyResponse(ready=self.is_ready and known)

    async def ServerMetadata(
        self, request: pb.ServerMetadataRequest, context: grpc.aio.ServicerContext
    ) -> pb.ServerMetadataResponse:
        """Returns the name and version of this server."""
        version = importlib.metadata.version("bestshot")
        return pb.ServerMetadataResponse(name=self._service_name, version=version)

    async def ModelMetadata(
        self, request: pb.ModelMetadataRequest, context: grpc.aio.ServicerContext
    ) -> pb.ModelMetadataResponse:
        """Returns the inputs and outputs of the model."""
        self._check_model(request.name, request.version)
        tensor = pb.ModelMetadataResponse.TensorMetadata
        return pb.ModelMetadataResponse(
            name=request.name,
            versions=[self._version],
            platform="bestshot",
            inputs=[tensor(name=name, datatype="BYTES", shape=[-1]) for name in self._api.inputs],
            outputs=[
                tensor(name=spec.name, datatype=spec.datatype, shape=spec.shape)
                for spec in self._api.outputs
            ],
        )

    async def ModelInfer(
        self, request: pb.ModelInferRequest, context: grpc.aio.ServicerContext
    ) -> pb.ModelInferResponse:
        """Runs the typed call."""
        self._check_model(request.model_name, request.model_version)
        specs = self._find_outputs([output.name for output in request.outputs])
        tensors = await self._api.infer(_images(request, self._api.inputs))
        answer = pb.ModelInferResponse(
            model_name=request.model_name, model_version=self._version, id=request.id
        )
        for spec in specs:
            values = np.ascontiguousarray(tensors[spec.name], _DATATYPES[spec.datatype])
            output = answer.outputs.add(name=spec.name, datatype=spec.datatype, shape=values.shape)
            if request.raw_input_contents:
                answer.raw_output_contents.append(values.tobytes())
            else:
                _fill(output.contents, spec.datatype, values)
        return answer

    def _find_outputs(self, names: Sequence[str]) -> Sequence[TensorSpec]:
        known = {spec.name: spec for spec in self._api.outputs}
        for name in names:
            if name not in known:
                raise InvalidArgumentError(
                    "outputs", f"there is no {name!r}; known: {', '.join(known)}"
                )
        return [known[name] for name in names] or self._api.outputs

    def _check_model(self, name: str, version: str) -> None:
        if not self._is_known(name, version):
            raise NotFoundError("model", f"{name} {version}".strip())

    def _is_known(self, name: str, version: str) -> bool:
        return name in self._names and version in ("", self._version)


def raise_first_error(results: Sequence[Any]) -> None:
    """Raises the first error among the results of a typed call; the message names its item.

    Raises:
        InvalidArgumentError: The caller's input is wrong.
        InternalError: The model failed on it.
    """
    for index, result in enumerate(results):
        if result.HasField("error"):
            message = f"item {index} of {len(results)}: {result.error.message}"
            if result.error.code == grpc.StatusCode.INVALID_ARGUMENT.value[0]:
                raise InvalidArgumentError("inputs", message)
            raise InternalError(message)


def _images(request: pb.ModelInferRequest, names: Sequence[str]) -> Images:
    """Reads the pictures of every input."""
    raw = list(request.raw_input_contents)
    if raw and len(raw) != len(request.inputs):
        raise InvalidArgumentError(
            "raw_input_contents", f"has {len(raw)} entries for {len(request.inputs)} inputs"
        )
    found: Images = {}
    for index, tensor in enumerate(request.inputs):
        if tensor.name not in names:
            raise InvalidArgumentError(
                "inputs", f"there is no {tensor.name!r}; known: {', '.join(names)}"
            )
        found[tensor.name] = _pictures(tensor, raw[index] if raw else None)
    for name in names:
        if name not in found:
            raise InvalidArgumentError("inputs", f"{name!r} is missing")
    return found


def _pictures(
    tensor: pb.ModelInferRequest.InferInputTensor, raw: bytes | None
) -> list[image_pb2.Image]:
    shape = tuple(tensor.shape)
    if tensor.datatype == "BYTES":
        files = list(tensor.contents.bytes_contents) if raw is None else _split(tensor.name, raw)
        if shape not in ((len(files),), (len(files), 1)):
            raise InvalidArgumentError(
                tensor.name, f"has the shape {list(shape)} and {len(files)} elements"
            )
        return [image_pb2.Image(encoded=content) for content in files]
    if tensor.datatype == "UINT8" and len(shape) == 4 and shape[3] == 3:
        content = bytes(tensor.contents.uint_contents) if raw is None else raw
        if min(shape) < 1 or len(content) != int(np.prod(shape)):
            raise InvalidArgumentError(
                tensor.name, f"has the shape {list(shape)} and {len(content)} elements"
            )
        size = len(content) // shape[0]
        return [
            image_pb2.Image(
                pixels=image_pb2.Pixels(
                    width_px=shape[2],
                    height_px=shape[1],
                    rgb=content[start : start + size],
                )
            )
            for start in range(0, len(content), size)
        ]
    raise InvalidArgumentError(
        tensor.name,
        f"is {tensor.datatype} {list(shape)}; expected BYTES [n], complete image files, or UINT8 "
        f"[n, height, width, 3], canonical RGB",
    )


def _split(name: str, raw: bytes) -> list[bytes]:
    """Splits BYTES into its elements, each preceded by its length."""
    found, at = [], 0
    while at < len(raw):
        if at + _LENGTH.size > len(raw):
            raise InvalidArgumentError(name, "ends within the length of an element")
        (length,) = _LENGTH.unpack_from(raw, at)
        at += _LENGTH.size
        if at + length > len(raw):
            raise InvalidArgumentError(name, f"ends within an element of {length} bytes")
        found.append(raw[at : at + length])
        at += length
    return found


def _fill(contents: pb.InferTensorContents, datatype: str, values: NDArray[np.generic]) -> None:
    fields: Mapping[str, str] = {
        "FP32": "fp32_contents",
        "FP64": "fp64_contents",
        "INT32": "int_contents",
    }
    getattr(contents, fields[datatype]).extend(values.ravel().tolist())
