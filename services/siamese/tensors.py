"""The typed call as tensors of the Open Inference Protocol."""

from __future__ import annotations

import numpy as np
from bestshot.siamese.v1 import siamese_pb2

from services.common.errors import InvalidArgumentError
from services.common.inference.open_inference import (
    Images,
    TensorApi,
    Tensors,
    TensorSpec,
    raise_first_error,
)
from services.siamese.servicer import SiameseServicer


def tensor_api(servicer: SiameseServicer) -> TensorApi:
    """Describes the call.

    Its inputs are `first` and `second`, its output is `first_better_probability`, FP64 (n,).
    """

    async def infer(images: Images) -> Tensors:
        first, second = images["first"], images["second"]
        count = len(first)
        if len(second) != count:
            raise InvalidArgumentError(
                "inputs", f"first has {count} pictures, second has {len(second)}"
            )
        request = siamese_pb2.CompareRequest(
            images=[*first, *second],
            pairs=[siamese_pb2.Pair(first=i, second=count + i) for i in range(count)],
        )
        results = (await servicer.Compare(request, None)).results
        raise_first_error(results)
        probabilities = [one.comparison.first_better_probability for one in results]
        return {"first_better_probability": np.array(probabilities)}

    return TensorApi(
        inputs=("first", "second"),
        outputs=(TensorSpec("first_better_probability", "FP64", (-1,)),),
        infer=infer,
    )
