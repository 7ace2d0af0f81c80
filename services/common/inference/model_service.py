"""The frame of a model service's process: settings, worker threads, server, exit codes."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.metadata
import logging
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import grpc
from bestshot.model.v1 import model_pb2
from inference import open_inference_pb2_grpc

from services.common.config.layers import Settings
from services.common.config.sections import (
    Invocation,
    ModelServiceSettings,
    OnnxServiceSettings,
    SharedSettings,
    parse_arguments,
)
from services.common.errors import EXIT_CONFIG, ConfigError
from services.common.imaging.memory_budget import MemoryBudget
from services.common.imaging.requests import DecodeLimits
from services.common.inference.batching import Batching
from services.common.inference.onnx import ModelSession, SessionOptions
from services.common.inference.open_inference import SERVICE_NAME as INFERENCE_SERVICE_NAME
from services.common.inference.open_inference import InferenceServicer, TensorApi
from services.common.inference.registry import (
    LocalModel,
    MissingModelError,
    Origin,
    Preprocessing,
    Role,
    resolve,
)
from services.common.process.log import configure_logging
from services.common.process.metrics import Metrics
from services.common.process.tracing import tracing
from services.common.rpc.admission import Admission
from services.common.rpc.server import Server, ServerOptions, serve_until_stopped, server_options

ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")

logger = logging.getLogger(__name__)

_RUNTIME_PACKAGES = (
    *("numpy", "onnxruntime", "onnxruntime-gpu", "opencv-python-headless", "pillow"),
    *("pillow-heif", "rawpy"),
)


@dataclass(frozen=True)
class ServiceParts:
    """What a composition root passes to the frame.

    Attributes:
        address: To listen on.
        service_name: Full name of the gRPC service.
        register: Adds the typed servicer to a server.
        warm_up: One inference.
        tensors: The typed call as tensors.
        metrics: What is counted.
        metrics_address: Where metrics are served; None = nowhere.
    """

    address: str
    service_name: str
    register: Callable[[grpc.aio.Server], None]
    warm_up: Callable[[], object]
    tensors: TensorApi
    metrics: Metrics
    metrics_address: str | None

    def server(self, options: ServerOptions, max_connection_age_s: int | None) -> Server:
        """A server with the typed service, and beside it the Open Inference Protocol."""
        inference = InferenceServicer(self.tensors)

        def register(server: grpc.aio.Server) -> None:
            self.register(server)
            open_inference_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(inference, server)

        def warm_up() -> None:
            self.warm_up()
            inference.is_ready = True

        return Server(
            address=self.address,
            service_names=[self.service_name, INFERENCE_SERVICE_NAME],
            register=register,
            warm_up=warm_up,
            metrics=self.metrics,
            options=options,
            max_connection_age_s=max_connection_age_s,
            admission=Admission(options.max_message_bytes),
        )


def run_model_service(
    name: str, build: Callable[[Invocation, SharedSettings], ServiceParts]
) -> None:
    """Runs a model service as this process; a wrong setting is one line and exit code 2."""
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
    with parts.metrics.serve(parts.metrics_address, is_local_only=options.is_local_only):
        await serve_until_stopped(
            parts.server(options, shared.max_connection_age_s),
            name=f"{name} service",
            port_file=invocation.port_file,
            exit_with_parent=invocation.exit_with_parent,
        )


def batching_of(settings: ModelServiceSettings, metrics: Metrics) -> Batching:
    """Reads from the settings how items become batches."""
    return Batching(
        metrics=metrics,
        preferred_batch_count=settings.preferred_batch_count,
        max_queue_delay_ms=settings.max_queue_delay_ms,
        max_queue_count=settings.max_queue_count,
        worker_threads=settings.worker_threads,
    )


def decode_limits(shared: SharedSettings, settings: ModelServiceSettings) -> DecodeLimits:
    """Reads the settings' limits for encoded pictures."""
    return DecodeLimits(
        max_pixels=shared.max_image_pixels, budget=MemoryBudget(settings.max_decode_mb * 10**6)
    )


def local_model(invocation: Invocation, role: Role, settings: ModelServiceSettings) -> LocalModel:
    """Finds and verifies the configured model, or its fallback if the settings allow one."""
    try:
        return resolve(
            invocation.folder, invocation.models_folder, role, settings.model, settings.fallback
        )
    except MissingModelError as error:
        raise ConfigError(
            f"{error.message}; `bestshot models pull --profile {invocation.profile}` fetches "
            f"all that this profile needs"
        ) from error


def required_preprocessing(model: LocalModel) -> Preprocessing:
    """Returns how pictures become the graph's tensors; ConfigError if models.yaml does not say."""
    if model.entry.preprocessing is None:
        raise ConfigError(f"models.yaml: the model {model.model_id} has no preprocessing")
    return model.entry.preprocessing


def session_options(settings: OnnxServiceSettings) -> SessionOptions:
    """Reads from the settings how graphs are run."""
    return SessionOptions(
        execution_providers=settings.execution_providers,
        strict_providers=settings.strict_providers,
        device_id=settings.device_id,
        gpu_memory_limit_mb=settings.gpu_memory_limit_mb,
        intra_op_threads=settings.intra_op_threads,
    )


def model_info(
    model: LocalModel,
    *,
    constants: Settings | None,
    session: ModelSession | None,
    max_batch_count: int,
) -> model_pb2.ModelInfo:
    """Describes the model that a service hosts, and warns if a provider cannot be used.

    Args:
        model: The model.
        constants: Constants that affect the scores besides the model.
        session: Of the graph, or of one of several; None if the model is not a graph.
        max_batch_count: Most items per call.
    """
    missing = session.missing_providers if session else ()
    if session is not None and missing:
        logger.warning(
            "%s cannot be used here, using %s", ", ".join(missing), ", ".join(session.providers)
        )
    origins = {
        Origin.BUILTIN: model_pb2.MODEL_ORIGIN_BUILTIN,
        Origin.PRETRAINED: model_pb2.MODEL_ORIGIN_PRETRAINED,
    }
    whole = (model, *model.parts.values())
    return model_pb2.ModelInfo(
        id=model.model_id,
        version=model.entry.version,
        digest=model.digest(constants),
        input_long_side_px=model.entry.input_long_side_px,
        execution_providers=session.providers if session else (),
        missing_execution_providers=missing,
        origin=origins[model.entry.origin],
        description=model.entry.description,
        max_batch_count=max_batch_count,
        paths=[str(path) for one in whole for path in one.paths.values()],
        file_digests=[digest for one in whole for digest in one.file_digests.values()],
        fallback_for_model_id=model.fallback_for,
        runtime_versions=_runtime_versions(),
    )


def _runtime_versions() -> dict[str, str]:
    found = {}
    for package in _RUNTIME_PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[package] = importlib.metadata.version(package)
    return found
