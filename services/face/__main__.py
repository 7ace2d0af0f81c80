"""Starts the face service."""

from __future__ import annotations

import numpy as np
from bestshot.face.v1 import face_pb2, face_pb2_grpc

from models.registry import Role, resolve
from services.common.model_service import (
    BatchWorker,
    ServiceParts,
    model_info,
    run_model_service,
)
from services.common.service_config import Invocation, SharedSettings
from services.face.config import FaceSettings
from services.face.model import FaceModel
from services.face.servicer import FaceServicer

SERVICE_NAME = "bestshot.face.v1.FaceService"


def build(invocation: Invocation, shared: SharedSettings) -> ServiceParts:
    """Loads the cascades and wires the servicer."""
    settings = invocation.settings("face", FaceSettings)
    local = resolve(invocation.folder, Role.FACE, settings.model)
    model = FaceModel(local.paths)
    info = face_pb2.GetModelInfoResponse(
        model=model_info(
            local,
            constants=None,
            execution_providers=(),
            max_batch_count=shared.max_batch_count,
        )
    )
    servicer = FaceServicer(
        model, info, BatchWorker(settings.worker_threads), shared.max_image_pixels
    )
    blank = np.full((64, 64, 3), 128, np.uint8)
    return ServiceParts(
        address=settings.address,
        service_name=SERVICE_NAME,
        register=lambda server: face_pb2_grpc.add_FaceServiceServicer_to_server(servicer, server),
        warm_up=lambda: model.analyze(blank),
    )


if __name__ == "__main__":
    run_model_service("face", build)
