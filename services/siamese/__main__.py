"""Starts the Siamese service."""

from __future__ import annotations

import logging
from functools import partial

import numpy as np
from bestshot.siamese.v1 import siamese_pb2, siamese_pb2_grpc

from services.common.config.sections import Invocation, SharedSettings
from services.common.inference.model_service import (
    ServiceParts,
    batching_of,
    decode_limits,
    local_model,
    model_info,
    run_model_service,
    session_options,
)
from services.common.inference.onnx import OrtSession
from services.common.inference.registry import Role
from services.common.inference.tensor import to_full_tensor, to_tensor
from services.common.process.metrics import Metrics
from services.siamese.config import SiameseSettings
from services.siamese.model import SiameseModel
from services.siamese.servicer import SiameseServicer
from services.siamese.tensors import tensor_api

SERVICE_NAME = "bestshot.siamese.v1.SiameseService"

logger = logging.getLogger("services.siamese")


def build(invocation: Invocation, shared: SharedSettings) -> ServiceParts:
    """Loads the model and wires the servicer."""
    settings = invocation.settings("siamese", SiameseSettings)
    metrics = Metrics()
    local = local_model(invocation, Role.SIAMESE, settings)
    logger.info("Loading Siamese model from %s", local.paths["describe"])
    describe, compare = (
        OrtSession(local.paths[part], session_options(settings)) for part in ("describe", "compare")
    )
    model = SiameseModel(describe, compare)
    wanted = local.entry.preprocessing
    prepare = to_full_tensor if wanted is None else partial(to_tensor, wanted=wanted)
    info = siamese_pb2.GetModelInfoResponse(
        model=model_info(
            local,
            constants=None,
            session=describe,
            max_batch_count=shared.max_batch_count,
        )
    )
    metrics.model(info.model.id, info.model.version, info.model.digest)
    servicer = SiameseServicer(
        model, prepare, info, batching_of(settings, metrics), decode_limits(shared, settings)
    )
    blank = prepare(np.full((64, 64, 3), 128, np.uint8))

    def warm_up() -> None:
        model.compare(model.describe(blank), model.describe(blank))

    return ServiceParts(
        metrics=metrics,
        metrics_address=settings.metrics_address,
        tensors=tensor_api(servicer, info, SERVICE_NAME),
        address=settings.address,
        service_name=SERVICE_NAME,
        register=lambda server: siamese_pb2_grpc.add_SiameseServiceServicer_to_server(
            servicer, server
        ),
        warm_up=warm_up,
    )


if __name__ == "__main__":
    run_model_service("siamese", build)
