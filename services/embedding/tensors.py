"""The typed call as tensors of the Open Inference Protocol."""

from __future__ import annotations

import numpy as np
from bestshot.embedding.v1 import embedding_pb2

from services.common.inference.open_inference import (
    Images,
    TensorApi,
    Tensors,
    TensorSpec,
    raise_first_error,
)
from services.embedding.servicer import EmbeddingServicer


def tensor_api(servicer: EmbeddingServicer, dimension_count: int) -> TensorApi:
    """Describes the call: input `image`; output `embedding`, FP32 (n, dimension)."""

    async def infer(images: Images) -> Tensors:
        answer = await servicer.Embed(embedding_pb2.EmbedRequest(images=images["image"]), None)
        results = answer.results
        raise_first_error(results)
        return {"embedding": np.array([one.embedding.values for one in results], np.float32)}

    return TensorApi(
        inputs=("image",),
        outputs=(TensorSpec("embedding", "FP32", (-1, dimension_count)),),
        infer=infer,
    )
