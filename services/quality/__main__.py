"""Starts the quality service."""

from __future__ import annotations

import numpy as np
from bestshot.quality.v1 import quality_pb2, quality_pb2_grpc

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
from services.common.process.metrics import Metrics
from services.quality.config import IQA_CONSTANTS, QualitySettings
from services.quality.model import AestheticNetwork, QualityModel
from services.quality.servicer import QualityServicer
from services.quality.tensors import tensor_api

SERVICE_NAME = "bestshot.quality.v1.QualityService"


def build(invocation: Invocation, shared: SharedSettings) -> ServiceParts:
    """Wires the formulas, the network if there is one, and the servicer."""
    settings = invocation.settings("quality", QualitySettings)
    metrics = Metrics()
    local = local_model(invocation, Role.QUALITY, settings)
    session, aesthetic = None, None
    if "graph" in local.paths:
        session = OrtSession(local.paths["graph"], session_options(settings))
        aesthetic = AestheticNetwork(session, required_preprocessing(local))
    model = QualityModel(IQA_CONSTANTS, aesthetic)
    info = quality_pb2.GetModelInfoResponse(
        model=model_info(
            local,
            constants=IQA_CONSTANTS,
            session=session,
            max_batch_count=shared.max_batch_count,
        ),
        heuristic_aesthetic=aesthetic is None,
    )
    metrics.model(info.model.id, info.model.version, info.model.digest)
    servicer = QualityServicer(
        model, info, batching_of(settings, metrics), decode_limits(shared, settings)
    )
    blank = np.full((64, 64, 3), 128, np.uint8)
    return ServiceParts(
        metrics=metrics,
        metrics_address=settings.metrics_address,
        tensors=tensor_api(servicer, info, SERVICE_NAME),
        address=settings.address,
        service_name=SERVICE_NAME,
        register=lambda server: quality_pb2_grpc.add_QualityServiceServicer_to_server(
            servicer, server
        ),
        warm_up=lambda: model.score(blank),
    )


if __name__ == "__main__":
    run_model_service("quality", build)
