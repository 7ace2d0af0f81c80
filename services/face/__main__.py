"""Starts the face service."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import Any

import cv2
import numpy as np
from bestshot.face.v1 import face_pb2, face_pb2_grpc

from services.common.config.sections import Invocation, SharedSettings
from services.common.errors import ConfigError
from services.common.inference.model_service import ModelHost, ServiceParts, run_model_service
from services.common.inference.registry import LocalModel, MissingModelError, Role, resolve
from services.face.cascade_model import CascadeFaceModel
from services.face.config import FaceSettings
from services.face.model import FaceModel
from services.face.network_model import NetworkFaceModel
from services.face.networks.detectors import CenterFace, YuNet
from services.face.networks.expressions import Blendshapes, MiniXception, MouthShape
from services.face.networks.eyes import IrisContour, Ocec
from services.face.networks.identities import IdentifyingModel, MobileFaceNet, SFace
from services.face.networks.meshes import FaceMesh468, FaceMesh478
from services.face.networks.poses import FsaNet, LandmarkPose
from services.face.servicer import FaceServicer
from services.face.tensors import tensor_api

logger = logging.getLogger(__name__)

NETWORKS: dict[Role, dict[str, Callable[..., object]]] = {
    Role.FACE_DETECTOR: {"centerface": CenterFace, "yunet": YuNet},
    Role.FACE_LANDMARKS: {
        "mediapipe-face-mesh": FaceMesh478,
        "mediapipe-face-mesh-468": FaceMesh468,
    },
    Role.HEAD_POSE: {"fsa-net": FsaNet, "landmarks": LandmarkPose},
    Role.EYE_STATE: {"mediapipe-iris": IrisContour, "ocec": Ocec},
    Role.EXPRESSION: {
        "mediapipe-blendshapes": Blendshapes,
        "mini-xception": MiniXception,
        "mouth-shape": MouthShape,
    },
    Role.FACE_IDENTITY: {"mobilefacenet": MobileFaceNet, "sface": SFace},
}
"""Class that prepares inputs and reads outputs, by role and by `network` in models.yaml."""


def build(invocation: Invocation, shared: SharedSettings) -> ServiceParts:
    """Loads the model and builds the servicer."""
    settings = invocation.settings("face", FaceSettings)
    host = ModelHost(Role.FACE, invocation, shared, settings)
    cv2.setNumThreads(settings.intra_op_threads or -1)  # -1 = one per core
    model: FaceModel = (
        load_networks(host) if host.model.parts else CascadeFaceModel(host.model.paths)
    )
    info = face_pb2.GetModelInfoResponse(model=host.model_info())
    identifying = None
    identity = _find_identity_model(invocation, settings)
    if identity is not None:
        identifying = host.batch_images(
            prepare=lambda pixels: pixels,
            infer=IdentifyingModel(model, _load(host, Role.FACE_IDENTITY, identity)).analyze,
        )
        info.identity_model.CopyFrom(host.model_info(model=identity))
        info.same_person_similarity = identity.entry.same_person_similarity or 0.0
    servicer = FaceServicer(
        info,
        host.batch_images(prepare=lambda pixels: pixels, infer=model.analyze),
        identifying,
    )
    return ServiceParts(
        host=host,
        info=info.model,
        register=partial(face_pb2_grpc.add_FaceServiceServicer_to_server, servicer),
        tensors=tensor_api(servicer),
        warm_up=lambda: model.analyze([np.full((64, 64, 3), 128, np.uint8)]),
    )


def load_networks(host: ModelHost) -> NetworkFaceModel:
    """Loads a model that has one network per role.

    Raises:
        ConfigError: `NETWORKS` has no class for the `network` of a part.
    """

    def load(role: Role) -> Any:  # noqa: ANN401
        return _load(host, role, host.model.parts[role])

    return NetworkFaceModel(
        detector=load(Role.FACE_DETECTOR),
        landmarks=load(Role.FACE_LANDMARKS),
        pose=load(Role.HEAD_POSE),
        eyes=load(Role.EYE_STATE),
        expression=load(Role.EXPRESSION),
    )


def _load(host: ModelHost, role: Role, model: LocalModel) -> Any:  # noqa: ANN401
    network = NETWORKS[role].get(model.entry.network or "")
    if network is None:
        raise ConfigError(
            f"models.yaml: {model.model_id} has the network {model.entry.network!r}, but the "
            f"face service supports only {', '.join(NETWORKS[role])} as {role}"
        )
    return network(*(host.load_graph(path) for path in model.paths.values()))


def _find_identity_model(invocation: Invocation, settings: FaceSettings) -> LocalModel | None:
    """Finds and verifies the identity model; None if it is switched off or was not pulled."""
    if settings.identity_model is None:
        return None
    try:
        return resolve(
            invocation.folder,
            invocation.models_folder,
            Role.FACE_IDENTITY,
            settings.identity_model,
        )
    except MissingModelError as error:
        logger.info("people are not recognized: %s", error.message)
        return None


def main() -> None:
    """Runs the service in this process."""
    run_model_service("face", build)


if __name__ == "__main__":
    main()
