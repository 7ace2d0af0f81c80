"""The FaceAnalyzer port over bestshot.face.v1."""

from __future__ import annotations

from collections.abc import Sequence

from bestshot.face.v1 import face_pb2, face_pb2_grpc

from orchestrator.clients.calls import ServiceCaller, identity, image_messages
from orchestrator.domain.photo import FaceScores, Landmark
from orchestrator.ports import ModelIdentity
from services.common.errors import BestshotError
from services.common.imaging.decode import RgbImage
from services.common.rpc.status import from_status


class GrpcFaceAnalyzer:
    """Analyses photos using the face service."""

    def __init__(self, caller: ServiceCaller) -> None:
        self._caller = caller
        self._stub = face_pb2_grpc.FaceServiceStub(caller.channel)

    async def model(self) -> ModelIdentity:
        """Asks which model the service uses."""
        info = await self._caller.ask(self._stub.GetModelInfo, face_pb2.GetModelInfoRequest())
        return identity(info.model)

    async def analyze(
        self, images: Sequence[RgbImage], model: ModelIdentity
    ) -> list[tuple[FaceScores, ...] | BestshotError]:
        """Analyses a batch."""
        request = face_pb2.AnalyzeRequest(images=image_messages(images, model.input_long_side_px))
        response = await self._caller.call(self._stub.Analyze, request)
        self._caller.check(response, len(images), model)
        return [
            from_status(result.error)
            if result.WhichOneof("result") == "error"
            else self._caller.reject_non_finite(
                tuple(_to_domain(face) for face in result.faces.faces)
            )
            for result in response.results
        ]


def _to_domain(face: face_pb2.Face) -> FaceScores:
    return FaceScores(
        left=face.box.left,
        top=face.box.top,
        width=face.box.width,
        height=face.box.height,
        confidence=face.confidence,
        landmarks=tuple(
            Landmark(_landmark_name(mark), mark.position.x, mark.position.y)
            for mark in face.landmarks
        ),
        yaw_degrees=face.yaw_degrees,
        pitch_degrees=face.pitch_degrees if face.HasField("pitch_degrees") else None,
        roll_degrees=face.roll_degrees,
        pose_score=face.pose_score,
        eyes_score=face.eyes_score,
        smile_score=face.smile_score,
    )


def _landmark_name(mark: face_pb2.Landmark) -> str:
    return face_pb2.LandmarkType.Name(mark.type).removeprefix("LANDMARK_TYPE_").lower()
