"""Starts the quality service."""

from __future__ import annotations

from functools import partial

import cv2
import numpy as np
from bestshot.quality.v1 import quality_pb2, quality_pb2_grpc

from services.common.config.sections import Invocation, SharedSettings
from services.common.inference.model_service import ModelHost, ServiceParts, run_model_service
from services.common.inference.registry import Role
from services.quality.config import IQA_CONSTANTS
from services.quality.model import AestheticNetwork, QualityModel
from services.quality.servicer import QualityServicer
from services.quality.tensors import tensor_api


def build(invocation: Invocation, shared: SharedSettings) -> ServiceParts:
    """Builds the formulas, the network if there is one, and the servicer."""
    host = ModelHost(Role.QUALITY, invocation, shared)
    cv2.setNumThreads(host.settings.intra_op_threads or -1)  # -1 = one per core
    aesthetic = None
    if "graph" in host.model.paths:
        session = host.load_graph(host.model.paths["graph"])
        aesthetic = AestheticNetwork(session, host.model.preprocessing)
    model = QualityModel(IQA_CONSTANTS, aesthetic)
    info = quality_pb2.GetModelInfoResponse(
        model=host.model_info(IQA_CONSTANTS), heuristic_aesthetic=aesthetic is None
    )
    servicer = QualityServicer(
        info,
        host.batch_images(
            prepare=lambda pixels: pixels,
            infer=lambda pictures: [model.score(pixels) for pixels in pictures],
        ),
    )
    return ServiceParts(
        host=host,
        info=info.model,
        register=partial(quality_pb2_grpc.add_QualityServiceServicer_to_server, servicer),
        tensors=tensor_api(servicer),
        warm_up=lambda: model.score(np.full((64, 64, 3), 128, np.uint8)),
    )


def main() -> None:
    """Runs the service in this process."""
    run_model_service("quality", build)


if __name__ == "__main__":
    main()
