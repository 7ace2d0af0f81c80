"""Starts the face service."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from bestshot.face.v1 import face_pb2, face_pb2_grpc

from services.common.config.sections import Invocation, SharedSettings
from services.common.errors import ConfigError
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
from services.common.inference.registry import LocalModel, Role
from services.common.process.metrics import Metrics
from services.face.cascade_model import CascadeFaceModel
from services.face.config import FaceSettings
from services.face.model import FaceModel
from services.face.network_model import NetworkFaceModel
from services.face.networks import (
    Blendshapes,
    FaceMesh,
    FsaNet,
    LandmarkPose,
    MiniXception,
    Ocec,
    YuNet,
)
from services.face.servicer import FaceServicer
from services.face.tensors import tensor_api

SERVICE_NAME = "bestshot.face.v1.FaceService"
NETWORKS: dict[Role, dict[str, Callable[..., object]]] = {
    Role.FACE_DETECTOR: {"yunet": YuNet},
    Role.FACE_LANDMARKS: {"mediapipe-face-mesh": FaceMesh},
    Role.HEAD_POSE: {"fsa-net": FsaNet, "landmarks": LandmarkPose},
    Role.EYE_STATE: {"ocec": Ocec},
    Role.EXPRESSION: {"mediapipe-blendshapes": Blendshapes, "mini-xception": MiniXception},
}
"""Class that handles the inputs and outputs of a part, by `network` in models.yaml."""


def build(invocation: Invocation, shared: SharedSettings) -> ServiceParts:
    """Loads the model and wires the servicer."""
    settings = invocation.settings("face", FaceSettings)
    metrics = Metrics()
    local = local_model(invocation, Role.FACE, settings)
    model, session = load_model(local, settings)
    info = face_pb2.GetModelInfoResponse(
        model=model_info(
            local,
            constants=None,
            session=session,
            max_batch_count=shared.max_batch_count,
        )
    )
    metrics.model(info.model.id, info.model.version, info.model.digest)
    servicer = FaceServicer(
        model, info, batching_of(settings, metrics), decode_limits(shared, settings)
    )
    blank = np.full((64, 64, 3), 128, np.uint8)
    return ServiceParts(
        metrics=metrics,
        metrics_address=settings.metrics_address,
        tensors=tensor_api(servicer, info, SERVICE_NAME),
        address=settings.address,
        service_name=SERVICE_NAME,
        register=lambda server: face_pb2_grpc.add_FaceServiceServicer_to_server(servicer, server),
        warm_up=lambda: model.analyze(blank),
    )


def load_model(local: LocalModel, settings: FaceSettings) -> tuple[FaceModel, OrtSession | None]:
    """The cascades, or the networks of the roles of a composed model and the session of one.

    Raises:
        ConfigError: We have no code for the inputs and outputs of a part.
    """
    if not local.parts:
        return CascadeFaceModel(local.paths), None

    sessions: list[OrtSession] = []

    def load(role: Role) -> Any:  # noqa: ANN401
        part = local.parts[role]
        network = NETWORKS[role].get(part.entry.network or "")
        if network is None:
            raise ConfigError(
                f"models.yaml: {part.model_id} has the network {part.entry.network!r}; as {role} "
                f"the face service supports {', '.join(NETWORKS[role])}"
            )
        own = [OrtSession(path, session_options(settings)) for path in part.paths.values()]
        sessions.extend(own)
        return network(*own)

    model = NetworkFaceModel(
        detector=load(Role.FACE_DETECTOR),
        mesh=load(Role.FACE_LANDMARKS),
        pose=load(Role.HEAD_POSE),
        eyes=load(Role.EYE_STATE),
        expression=load(Role.EXPRESSION),
    )
    return model, sessions[0]


if __name__ == "__main__":
    run_model_service("face", build)
