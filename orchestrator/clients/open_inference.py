"""Embeds and compares photos using any Open Inference Protocol server that hosts our ONNX files.

The protocol only transfers tensors: pictures are preprocessed here, as models.yaml defines.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from inference import open_inference_pb2 as pb
from inference import open_inference_pb2_grpc
from numpy.typing import NDArray

from orchestrator.clients.calls import ServiceCaller
from orchestrator.ports import Embedding, ModelIdentity
from services.common.errors import BestshotError, FailedPreconditionError, InternalError
from services.common.imaging.decode import RgbImage, fit_long_side
from services.common.inference.registry import ModelEntry
from services.common.inference.tensor import picture_vector, to_full_tensor, to_tensor

Tensor = NDArray[np.float32]


@dataclass(frozen=True)
class HostedModel:
    """A model of models.yaml that is hosted by another server.

    Attributes:
        model_id: Its id.
        entry: Its entry in models.yaml.
        graphs: Names of its graphs on the server, keyed by their names in models.yaml.
        max_batch_count: Maximum number of pictures or pairs per request.
    """

    model_id: str
    entry: ModelEntry
    graphs: dict[str, str]
    max_batch_count: int

    def tensor(self, image: RgbImage) -> Tensor:
        """Preprocesses a canonical image for the graph; the first axis has length 1."""
        image = fit_long_side(image, self.entry.input_long_side_px)
        wanted = self.entry.preprocessing
        return to_full_tensor(image) if wanted is None else to_tensor(image, wanted)


class OpenInferenceClient:
    """Calls the graphs of a hosted model.

    Args:
        caller: Calls the server.
        hosted: The model.
    """

    def __init__(self, caller: ServiceCaller, hosted: HostedModel) -> None:
        self._caller = caller
        self._hosted = hosted
        self._stub = open_inference_pb2_grpc.GRPCInferenceServiceStub(caller.channel)
        self._metadata: dict[str, pb.ModelMetadataResponse] = {}
        self._digest = ""
        self.tensor, self.entry = hosted.tensor, hosted.entry
        self.reject_non_finite = caller.reject_non_finite

    async def model(self) -> ModelIdentity:
        """Checks every graph; the digest covers the models.yaml entry and the server's metadata.

        Raises:
            UnavailableError: The server cannot be reached.
            FailedPreconditionError: A graph is missing or not ready.
        """
        hosted, caller = self._hosted, self._caller
        for graph, name in hosted.graphs.items():
            ready = await caller.ask(self._stub.ModelReady, pb.ModelReadyRequest(name=name))
            if not ready.ready:
                raise FailedPreconditionError(f"{caller.target} has no model {name!r} ready")
            self._metadata[graph] = await caller.ask(
                self._stub.ModelMetadata, pb.ModelMetadataRequest(name=name)
            )
        server = await caller.ask(self._stub.ServerMetadata, pb.ServerMetadataRequest())
        self._digest = _digest(hosted.entry, server, self._metadata)
        return ModelIdentity(
            id=hosted.model_id,
            version=hosted.entry.version,
            digest=self._digest,
            input_long_side_px=hosted.entry.input_long_side_px,
            execution_providers=(),  # the protocol does not report them
            origin=hosted.entry.origin.value,
            description=f"{hosted.entry.description} Hosted by {server.name} {server.version}.",
            max_batch_count=hosted.max_batch_count,
            paths=(),
            file_digests=(),
            fallback_for_model_id="",
            missing_execution_providers=(),
            runtime_versions={server.name: server.version},
            is_heuristic=hosted.entry.is_heuristic,
        )

    async def infer(
        self, graph: str, items: Sequence[Sequence[Tensor]], model: ModelIdentity
    ) -> list[Tensor]:
        """Runs a graph.

        Args:
            graph: Name of the graph in models.yaml.
            items: Inputs of each item in the graph's order; each array's first axis has length 1.
            model: The model that the caller expects.

        Returns:
            The first output of each item, in order; its first axis has length 1.

        Raises:
            FailedPreconditionError: A different model is hosted now.
        """
        if model.digest != self._digest:
            raise self._caller.make_changed_model_error(model)
        metadata = self._metadata[graph]
        alike = len({tuple(array.shape for array in item) for item in items}) == 1
        if alike and all(list(spec.shape)[:1] == [-1] for spec in metadata.inputs):
            joined = [np.concatenate(arrays) for arrays in zip(*items, strict=True)]
            output = await self._request(graph, joined, model)
            if len(output) != len(items):
                raise InternalError(
                    f"{self._caller.target} returned {len(output)} results for {len(items)} items"
                )
            return [output[index : index + 1] for index in range(len(items))]
        return list(await asyncio.gather(*(self._request(graph, item, model) for item in items)))

    async def _request(self, graph: str, arrays: Sequence[Tensor], model: ModelIdentity) -> Tensor:
        metadata = self._metadata[graph]
        request = pb.ModelInferRequest(model_name=self._hosted.graphs[graph])
        for spec, array in zip(metadata.inputs, arrays, strict=True):
            request.inputs.add(name=spec.name, datatype="FP32", shape=array.shape)
            request.raw_input_contents.append(np.ascontiguousarray(array, "<f4").tobytes())
        response = await self._caller.call(self._stub.ModelInfer, request)
        if response.model_version not in ("", *metadata.versions):
            raise self._caller.make_changed_model_error(model)
        output = response.outputs[0]
        if output.datatype != "FP32":
            raise InternalError(f"{self._caller.target} returned {output.datatype}, not FP32")
        if response.raw_output_contents:
            values = np.frombuffer(response.raw_output_contents[0], "<f4")
        else:
            values = np.array(output.contents.fp32_contents, np.float32)
        return np.asarray(values, np.float32).reshape(tuple(output.shape))


class OpenInferenceEmbedder:
    """The Embedder port; the model's graph is named `graph`."""

    def __init__(self, client: OpenInferenceClient) -> None:
        self._client = client
        self.model = client.model

    async def calibration(self) -> tuple[float, float] | None:
        """Returns the calibrated (scene_distance, cluster_selection_epsilon), or None."""
        known = self._client.entry.calibration
        return (known.scene_distance, known.cluster_selection_epsilon) if known else None

    async def embed(
        self, images: Sequence[RgbImage], model: ModelIdentity
    ) -> list[Embedding | BestshotError]:
        """Embeds a batch."""
        tensors = await asyncio.to_thread(lambda: [[self._client.tensor(one)] for one in images])
        rows = await self._client.infer("graph", tensors, model)
        vectors = [picture_vector(row, self._client.entry.network) for row in rows]
        with np.errstate(divide="ignore", invalid="ignore"):  # a zero vector becomes NaN
            units = [np.asarray(vector / np.linalg.norm(vector), np.float32) for vector in vectors]
        return [self._client.reject_non_finite(unit) for unit in units]


class OpenInferenceComparer:
    """The PhotoComparer port; the model's graphs are named `describe` and `compare`."""

    def __init__(self, client: OpenInferenceClient) -> None:
        self._client = client
        self.model = client.model

    async def compare(
        self, images: Sequence[RgbImage], pairs: Sequence[tuple[int, int]], model: ModelIdentity
    ) -> list[float | BestshotError]:
        """Compares pairs of `images`, averaging both orders."""
        tensors = await asyncio.to_thread(lambda: [[self._client.tensor(one)] for one in images])
        described = await self._client.infer("describe", tensors, model)
        orders = [[described[a], described[b]] for a, b in pairs]
        orders += [[described[b], described[a]] for a, b in pairs]
        rows = await self._client.infer("compare", orders, model)
        found = [float(row.reshape(-1)[0]) for row in rows]
        forward, backward = found[: len(pairs)], found[len(pairs) :]
        return [
            self._client.reject_non_finite(0.5 * (one + 1.0 - other))
            for one, other in zip(forward, backward, strict=True)
        ]


def _digest(
    entry: ModelEntry,
    server: pb.ServerMetadataResponse,
    graphs: Mapping[str, pb.ModelMetadataResponse],
) -> str:
    facts = {
        "entry": entry.model_dump(mode="json"),
        "server": [server.name, server.version],
        "graphs": {
            graph: [known.name, known.platform, list(known.versions)]
            for graph, known in graphs.items()
        },
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
