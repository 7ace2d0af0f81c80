"""Starts the embedding service."""

from __future__ import annotations

import numpy as np
from bestshot.embedding.v1 import embedding_pb2, embedding_pb2_grpc

from services.common.config.sections import Invocation, SharedSettings
from services.common.inference.model_service import (
    ServiceParts,
    batching_of,
    decode_limits,
    local_model,
    model_info,
    required_preprocessing,
    run_model_service,
    session_options,
)
from services.common.inference.onnx import OrtSession
from services.common.inference.registry import Role
from services.common.inference.tensor import to_tensor
from services.common.process.metrics import Metrics
from services.embedding.config import EmbeddingSettings
from services.embedding.model import EmbeddingModel
from services.embedding.servicer import EmbeddingServicer
from services.embedding.tensors import tensor_api

SERVICE_NAME = "bestshot.embedding.v1.EmbeddingService"


def build(invocation: Invocation, shared: SharedSettings) -> ServiceParts:
    """Loads the model and wires the servicer."""
    settings = invocation.settings("embedding", EmbeddingSettings)
    metrics = Metrics()
    local = local_model(invocation, Role.EMBEDDING, settings)
    session = OrtSession(local.paths["graph"], session_options(settings))
    model = EmbeddingModel(session)
    preprocessing = required_preprocessing(local)
    blank = to_tensor(np.full((8, 8, 3), 128, np.uint8), preprocessing)
    info = embedding_pb2.GetModelInfoResponse(
        model=model_info(
            local,
            constants=None,
            session=session,
            max_batch_count=shared.max_batch_count,
        ),
        dimension_count=len(model.embed(blank)),
    )
    if local.entry.calibration is not None:
        info.calibration.scene_distance = local.entry.calibration.scene_distance
        info.calibration.cluster_selection_epsilon = (
            local.entry.calibration.cluster_selection_epsilon
        )
    metrics.model(info.model.id, info.model.version, info.model.digest)
    servicer = EmbeddingServicer(
        model,
        preprocessing,
        info,
        batching_of(settings, metrics),
        decode_limits(shared, settings),
    )

    return ServiceParts(
        metrics=metrics,
        metrics_address=settings.metrics_address,
        tensors=tensor_api(servicer, info, SERVICE_NAME),
        address=settings.address,
        service_name=SERVICE_NAME,
        register=lambda server: embedding_pb2_grpc.add_EmbeddingServiceServicer_to_server(
            servicer, server
        ),
        warm_up=lambda: model.embed(blank),
    )


if __name__ == "__main__":
    run_model_service("embedding", build)
