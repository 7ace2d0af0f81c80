"""Runs a model service's process: settings, worker threads, server, exit codes."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.metadata
import logging
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import grpc
from bestshot.image.v1 import image_pb2
from bestshot.model.v1 import model_pb2
from inference import open_inference_pb2_grpc

from services.common.config.layers import Settings
from services.common.config.sections import (
    Invocation,
    ModelServiceSettings,
    SharedSettings,
    parse_arguments,
)
from services.common.errors import EXIT_CONFIG, ConfigError
from services.common.imaging.decode import RgbImage
from services.common.imaging.memory_budget import MemoryBudget
from services.common.imaging.requests import DecodeLimits, read_image
from services.common.inference.batching import Batching, DynamicBatcher
from services.common.inference.onnx import OrtSession, SessionOptions
from services.common.inference.open_inference import SERVICE_NAME as INFERENCE_SERVICE_NAME
from services.common.inference.open_inference import InferenceServicer, TensorApi
from services.common.inference.registry import (
    LocalModel,
    MissingModelError,
    Origin,
    Role,
    resolve,
)
from services.common.process.log import configure_logging
from services.common.process.metrics import Metrics
from services.common.process.tracing import tracing
from services.common.rpc.channels import service_name
from services.common.rpc.server import Server, ServerOptions, serve_until_stopped, server_options

ItemT = TypeVar("ItemT")
PreparedT = TypeVar("PreparedT")
ResultT = TypeVar("ResultT")

logger = logging.getLogger(__name__)

_RUNTIME_PACKAGES = (
    *("numpy", "onnxruntime", "onnxruntime-gpu", "opencv-python-headless", "pillow"),
    *("pillow-heif", "rawpy"),
)
_ORIGINS = {
    Origin.BUILTIN: model_pb2.MODEL_ORIGIN_BUILTIN,
    Origin.PRETRAINED: model_pb2.MODEL_ORIGIN_PRETRAINED,
}


class ModelHost:
    """The objects that every model service builds from its settings, before it loads its graphs.

    Args:
        role: The service's role, which is also the name of its section of services.yaml.
        invocation: The command line of the process.
        shared: Section `shared`.
        settings: The service's section, if its class has extra settings. If None, the section is
            loaded here.

    Attributes:
        role: The service's role.
        service_name: Full name of its gRPC service.
        settings: Its section of services.yaml.
        model: Its verified files and its entry in models.yaml.
        metrics: Metrics of its calls, queue and batches.

    Raises:
        ConfigError: A setting is invalid, or the model's files are missing and there is no
            fallback.
    """

    def __init__(
        self,
        role: Role,
        invocation: Invocation,
        shared: SharedSettings,
        settings: ModelServiceSettings | None = None,
    ) -> None:
        self.role = role
        self.service_name = service_name(role)
        self.settings = settings or invocation.settings(role, ModelServiceSettings)
        self.model = _find_model(role, invocation, self.settings)
        self.metrics = Metrics()
        self._max_batch_count = shared.max_batch_count
        self._decode_limits = DecodeLimits(
            max_pixels=shared.max_image_pixels,
            budget=MemoryBudget(self.settings.max_decode_mb * 10**6),
        )
        self._sessions: list[OrtSession] = []

    def load_graph(self, path: Path) -> OrtSession:
        """Loads one graph of the model."""
        settings = self.settings
        session = OrtSession(
            path,
            SessionOptions(
                execution_providers=settings.execution_providers,
                strict_providers=settings.strict_providers,
                device_id=settings.device_id,
                gpu_memory_limit_mb=settings.gpu_memory_limit_mb,
                intra_op_threads=settings.intra_op_threads,
            ),
        )
        if session.missing_providers and not self._sessions:  # once, not for every graph
            logger.info(
                "%s cannot be used on this machine; using %s",
                ", ".join(session.missing_providers),
                ", ".join(session.providers),
            )
        self._sessions.append(session)
        return session

    def model_info(
        self, constants: Settings | None = None, model: LocalModel | None = None
    ) -> model_pb2.ModelInfo:
        """Describes a model after its graphs are loaded, and adds it to the metrics.

        Args:
            constants: Constants that affect the scores, in addition to the model's files.
            model: None = the service's main model.
        """
        providers, missing = (
            (self._sessions[0].providers, self._sessions[0].missing_providers)
            if self._sessions  # with several graphs, reports the providers of the first one
            else ((), ())
        )
        model = model or self.model
        whole = (model, *model.parts.values())
        info = model_pb2.ModelInfo(
            id=model.model_id,
            version=model.entry.version,
            digest=model.digest(constants),
            input_long_side_px=model.entry.input_long_side_px,
            execution_providers=providers,
            missing_execution_providers=missing,
            origin=_ORIGINS[model.entry.origin],
            description=model.entry.description,
            is_heuristic=any(one.entry.is_heuristic for one in whole),
            max_batch_count=self._max_batch_count,
            paths=[str(path) for one in whole for path in one.paths.values()],
            file_digests=[digest for one in whole for digest in one.file_digests.values()],
            fallback_for_model_id=model.fallback_for,
            runtime_versions=_runtime_versions(),
            file_sources=[source for one in whole for source in one.file_sources.values()],
        )
        self.metrics.model(info.id, info.version, info.digest)
        return info

    def batch_images(
        self,
        prepare: Callable[[RgbImage], PreparedT],
        infer: Callable[[list[PreparedT]], Sequence[ResultT]],
    ) -> DynamicBatcher[image_pb2.Image, PreparedT, ResultT]:
        """Builds a batcher for pictures.

        Args:
            prepare: Takes a canonical picture, uint8 (height, width, 3), scaled to the model's
                `input_long_side_px`.
            infer: See DynamicBatcher.
        """
        long_side_px = self.model.entry.input_long_side_px

        def read_and_prepare(image: image_pb2.Image) -> PreparedT:
            pixels = read_image(image, long_side_px=long_side_px, limits=self._decode_limits)
            return prepare(pixels)

        return self.batch(read_and_prepare, infer)

    def batch(
        self,
        prepare: Callable[[ItemT], PreparedT],
        infer: Callable[[list[PreparedT]], Sequence[ResultT]],
    ) -> DynamicBatcher[ItemT, PreparedT, ResultT]:
        """Builds a batcher for other items; for the arguments see DynamicBatcher."""
        batching = Batching(
            metrics=self.metrics,
            preferred_batch_count=self.settings.preferred_batch_count,
            max_queue_delay_ms=self.settings.max_queue_delay_ms,
            max_queue_count=self.settings.max_queue_count,
            worker_threads=self.settings.worker_threads,
        )
        return DynamicBatcher(prepare, infer, batching)


@dataclass(frozen=True)
class ServiceParts:
    """A model service that is ready to serve.

    Attributes:
        host: The host that the service was built on.
        info: Description of its model.
        register: Adds the typed servicer to a server.
        tensors: The typed call in terms of tensors.
        warm_up: Runs one inference.
    """

    host: ModelHost
    info: model_pb2.ModelInfo
    register: Callable[[grpc.aio.Server], None]
    tensors: TensorApi
    warm_up: Callable[[], object]

    def server(self, options: ServerOptions, max_connection_age_s: int | None) -> Server:
        """Builds a server for the typed service and the Open Inference Protocol."""
        host = self.host
        inference = InferenceServicer(self.tensors, host.service_name, self.info, host.role)

        def register(server: grpc.aio.Server) -> None:
            self.register(server)
            open_inference_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(inference, server)

        def warm_up() -> None:
            self.warm_up()
            inference.is_ready = True

        return Server(
            address=host.settings.address,
            key=f"{host.role}.address",
            service_names=[host.service_name, INFERENCE_SERVICE_NAME],
            register=register,
            warm_up=warm_up,
            metrics=host.metrics,
            options=options,
            max_connection_age_s=max_connection_age_s,
        )


def run_model_service(
    name: str, build: Callable[[Invocation, SharedSettings], ServiceParts]
) -> None:
    """Runs a model service in this process.

    If a setting is invalid, exits with code 2 and a one-line error.
    """
    try:
        invocation = parse_arguments(name)
        shared = invocation.settings("shared", SharedSettings)
        configure_logging(shared.log_level, shared.log_format, name)
        with tracing(name, shared.tracing_endpoint):
            asyncio.run(_serve(name, build, invocation, shared))
    except ConfigError as error:
        print(f"error: {name} service: {error.message}", file=sys.stderr)
        raise SystemExit(EXIT_CONFIG) from None


async def _serve(
    name: str,
    build: Callable[[Invocation, SharedSettings], ServiceParts],
    invocation: Invocation,
    shared: SharedSettings,
) -> None:
    options = server_options(shared, insecure=invocation.insecure)
    parts = build(invocation, shared)
    host = parts.host
    with host.metrics.serve(host.settings.metrics_address, is_local_only=options.is_local_only):
        await serve_until_stopped(
            parts.server(options, shared.max_connection_age_s),
            name=f"{name} service",
            port_file=invocation.port_file,
            exit_with_parent=invocation.exit_with_parent,
        )


def _find_model(role: Role, invocation: Invocation, settings: ModelServiceSettings) -> LocalModel:
    """Finds and verifies the configured model, or its fallback if the settings allow one."""
    try:
        return resolve(
            invocation.folder, invocation.models_folder, role, settings.model, settings.fallback
        )
    except MissingModelError as error:
        raise ConfigError(
            f"{error.message}; `bestshot models pull --profile {invocation.profile}` fetches "
            f"all models of this profile"
        ) from error


def _runtime_versions() -> dict[str, str]:
    found = {}
    for package in _RUNTIME_PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[package] = importlib.metadata.version(package)
    return found
