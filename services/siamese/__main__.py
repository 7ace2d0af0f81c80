"""Starts the Siamese service."""

from __future__ import annotations

import logging
from functools import partial

import numpy as np
from bestshot.siamese.v1 import siamese_pb2, siamese_pb2_grpc

from services.common.config.sections import Invocation, SharedSettings
from services.common.inference.model_service import ModelHost, ServiceParts, run_model_service
from services.common.inference.registry import Role
from services.common.inference.tensor import to_full_tensor, to_tensor
from services.siamese.model import SiameseModel
from services.siamese.servicer import SiameseServicer
from services.siamese.tensors import tensor_api

logger = logging.getLogger("services.siamese")


def build(invocation: Invocation, shared: SharedSettings) -> ServiceParts:
    """Loads the model and builds the servicer."""
    host = ModelHost(Role.SIAMESE, invocation, shared)
    paths, is_resized = host.model.paths, host.model.entry.preprocessing is not None
    logger.info("Loading Siamese model from %s", paths["describe"])
    model = SiameseModel(host.load_graph(paths["describe"]), host.load_graph(paths["compare"]))
    prepare = (
        partial(to_tensor, preprocessing=host.model.preprocessing) if is_resized else to_full_tensor
    )
    info = siamese_pb2.GetModelInfoResponse(model=host.model_info())
    servicer = SiameseServicer(
        info,
        describer=host.batch_images(prepare, model.describe_batch),
        comparer=host.batch(lambda pair: pair, model.compare_batch),
    )
    blank = prepare(np.full((64, 64, 3), 128, np.uint8))

    def warm_up() -> None:
        model.compare(model.describe(blank), model.describe(blank))

    return ServiceParts(
        host=host,
        info=info.model,
        register=partial(siamese_pb2_grpc.add_SiameseServiceServicer_to_server, servicer),
        tensors=tensor_api(servicer),
        warm_up=warm_up,
    )


def main() -> None:
    """Runs the service in this process."""
    run_model_service("siamese", build)


if __name__ == "__main__":
    main()
