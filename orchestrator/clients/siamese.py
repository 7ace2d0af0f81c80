"""The PhotoComparer port over bestshot.siamese.v1."""

from __future__ import annotations

from collections.abc import Sequence

from bestshot.siamese.v1 import siamese_pb2, siamese_pb2_grpc

from orchestrator.clients.calls import ServiceCaller, add_images, identity
from orchestrator.ports import ModelIdentity
from services.common.errors import BestshotError
from services.common.imaging.decode import RgbImage
from services.common.rpc.status import from_status


class GrpcPhotoComparer:
    """Compares photos using the Siamese service."""

    def __init__(self, caller: ServiceCaller) -> None:
        self._caller = caller
        self._stub = siamese_pb2_grpc.SiameseServiceStub(caller.channel)

    async def model(self) -> ModelIdentity:
        """Asks which model the service uses."""
        info = await self._caller.ask(self._stub.GetModelInfo, siamese_pb2.GetModelInfoRequest())
        return identity(info.model)

    async def compare(
        self, images: Sequence[RgbImage], pairs: Sequence[tuple[int, int]], model: ModelIdentity
    ) -> list[float | BestshotError]:
        """Compares pairs of `images`."""
        request = siamese_pb2.CompareRequest(
            pairs=[siamese_pb2.Pair(first=first, second=second) for first, second in pairs]
        )
        add_images(request.images, images, model.input_long_side_px)
        response = await self._caller.call(self._stub.Compare, request)
        self._caller.check(response, len(pairs), model)
        return [
            from_status(result.error)
            if result.WhichOneof("result") == "error"
            else self._caller.reject_non_finite(result.comparison.first_better_probability)
            for result in response.results
        ]
