"""Starts the embedding service."""

from __future__ import annotations

from functools import partial

import numpy as np
from bestshot.embedding.v1 import embedding_pb2, embedding_pb2_grpc

from services.common.config.sections import Invocation, SharedSettings
from services.common.inference.model_service import ModelHost, ServiceParts, run_model_service
from services.common.inference.registry import Role
from services.embedding.model import JOINING, EmbeddingModel, load_networks
from services.embedding.servicer import EmbeddingServicer
from services.embedding.tensors import tensor_api


def build(invocation: Invocation, shared: SharedSettings) -> ServiceParts:
    """Loads the model and builds the servicer."""
    host = ModelHost(Role.EMBEDDING, invocation, shared)
    model = EmbeddingModel(load_networks(host.model, host.load_graph))
    blank = np.full((8, 8, 3), 128, np.uint8)
    info = embedding_pb2.GetModelInfoResponse(
        model=host.model_info(JOINING if host.model.parts else None),
        dimension_count=len(model.embed(blank)),
    )
    calibration = host.model.entry.calibration
    if calibration is not None:
        info.calibration.scene_distance = calibration.scene_distance
        info.calibration.cluster_selection_epsilon = calibration.cluster_selection_epsilon
    servicer = EmbeddingServicer(info, host.batch_images(model.prepare, model.embed_batch))
    return ServiceParts(
        host=host,
        info=info.model,
        register=partial(embedding_pb2_grpc.add_EmbeddingServiceServicer_to_server, servicer),
        tensors=tensor_api(servicer, info.dimension_count),
        warm_up=lambda: model.embed(blank),
    )


def main() -> None:
    """Runs the service in this process."""
    run_model_service("embedding", build)


if __name__ == "__main__":
    main()
