"""The QualityScorer port over bestshot.quality.v1."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from bestshot.quality.v1 import quality_pb2, quality_pb2_grpc

from orchestrator.clients.calls import ServiceCaller, add_images, identity
from orchestrator.domain.photo import QualityScores
from orchestrator.ports import ModelIdentity
from services.common.errors import BestshotError
from services.common.imaging.decode import RgbImage
from services.common.rpc.status import from_status


class GrpcQualityScorer:
    """Scores photos using the quality service."""

    def __init__(self, caller: ServiceCaller) -> None:
        self._caller = caller
        self._stub = quality_pb2_grpc.QualityServiceStub(caller.channel)

    async def model(self) -> ModelIdentity:
        """Asks which model the service uses."""
        info = await self._caller.ask(self._stub.GetModelInfo, quality_pb2.GetModelInfoRequest())
        return identity(info.model)

    async def score(
        self, images: Sequence[RgbImage], model: ModelIdentity
    ) -> list[QualityScores | BestshotError]:
        """Scores a batch."""
        request = quality_pb2.ScoreRequest()
        add_images(request.images, images, model.input_long_side_px)
        response = await self._caller.call(self._stub.Score, request)
        self._caller.check(response, len(images), model)
        return [
            from_status(result.error)
            if result.WhichOneof("result") == "error"
            else self._caller.reject_non_finite(_to_domain(result.scores))
            for result in response.results
        ]


def _to_domain(scores: quality_pb2.QualityScores) -> QualityScores:
    values = {
        field.name: _plain(getattr(scores, field.name))
        for field in dataclasses.fields(QualityScores)
        if not scores.DESCRIPTOR.fields_by_name[field.name].has_presence
        or scores.HasField(field.name)
    }
    return QualityScores(**values)


def _plain(value: Any) -> Any:  # noqa: ANN401
    """Returns a number unchanged, and a repeated field as a tuple."""
    return value if isinstance(value, float) else tuple(value)
