"""The FaceAnalyzer port over bestshot.face.v1."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from bestshot.face.v1 import face_pb2, face_pb2_grpc

from orchestrator.clients.calls import ServiceCaller, add_images, identity
from orchestrator.domain.people.faces import identified_face
from orchestrator.domain.photo import FaceScores, Landmark
from orchestrator.ports import FoundFaces, IdentityModel, ModelIdentity
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
        return identity((await self._info()).model)

    async def identity_model(self) -> IdentityModel | None:
        """Asks which model recognizes people."""
        info = await self._info()
        if not info.HasField("identity_model"):
            return None
        return IdentityModel(identity(info.identity_model), info.same_person_similarity)

    async def analyze(
        self, images: Sequence[RgbImage], model: ModelIdentity
    ) -> list[tuple[FaceScores, ...] | BestshotError]:
        """Analyses a batch."""
        request = face_pb2.AnalyzeRequest()
        add_images(request.images, images, model.input_long_side_px)
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

    async def identify(
        self, images: Sequence[RgbImage], model: ModelIdentity, identity: ModelIdentity
    ) -> list[FoundFaces | BestshotError]:
        """Analyses a batch, with vectors."""
        request = face_pb2.AnalyzeRequest(with_identity=True)
        add_images(request.images, images, model.input_long_side_px)
        response = await self._caller.call(self._stub.Analyze, request)
        self._caller.check(response, len(images), model)
        if response.identity_model_digest != identity.digest:
            raise self._caller.make_changed_model_error(identity)
        return [
            from_status(result.error)
            if result.WhichOneof("result") == "error"
            else self._caller.reject_non_finite(_to_found(result.faces.faces))
            for result in response.results
        ]

    async def _info(self) -> face_pb2.GetModelInfoResponse:
        info: face_pb2.GetModelInfoResponse = await self._caller.ask(
            self._stub.GetModelInfo, face_pb2.GetModelInfoRequest()
        )
        return info


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


def _to_found(faces: Sequence[face_pb2.Face]) -> FoundFaces:
    return FoundFaces(
        faces=tuple(map(_to_domain, faces)),
        identified=tuple(
            identified_face(_to_domain(face), np.array(face.identity, np.float32))
            for face in faces
            if face.identity
        ),
    )


def _landmark_name(mark: face_pb2.Landmark) -> str:
    return face_pb2.LandmarkType.Name(mark.type).removeprefix("LANDMARK_TYPE_").lower()
