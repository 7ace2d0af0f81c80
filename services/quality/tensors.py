"""Exposes the typed call as Open Inference Protocol tensors."""

from __future__ import annotations

import dataclasses

import numpy as np
from bestshot.quality.v1 import quality_pb2

from services.common.inference.open_inference import (
    Images,
    TensorApi,
    Tensors,
    TensorSpec,
    raise_first_error,
)
from services.quality.model import Quality
from services.quality.servicer import QualityServicer

_LISTS = ("ava_distribution", "luminance_grid", "detail_grid")
SCORES = tuple(field.name for field in dataclasses.fields(Quality) if field.name not in _LISTS)


def tensor_api(servicer: QualityServicer) -> TensorApi:
    """Describes the call: input `image`; an output per score, FP64 (n,), NaN = unknown."""

    async def infer(images: Images) -> Tensors:
        answer = await servicer.Score(quality_pb2.ScoreRequest(images=images["image"]), None)
        results = answer.results
        raise_first_error(results)
        return {name: np.array([_value(one.scores, name) for one in results]) for name in SCORES}

    return TensorApi(
        inputs=("image",),
        outputs=tuple(TensorSpec(name, "FP64", (-1,)) for name in SCORES),
        infer=infer,
    )


def _value(scores: quality_pb2.QualityScores, name: str) -> float:
    field = scores.DESCRIPTOR.fields_by_name[name]
    is_known = not field.has_presence or scores.HasField(name)
    return float(getattr(scores, name)) if is_known else float("nan")
