"""Serves bestshot.face.v1 with the face model."""

from __future__ import annotations

import grpc
from bestshot.face.v1 import face_pb2, face_pb2_grpc
from bestshot.image.v1 import image_pb2
from google.rpc import status_pb2

from services.common.imaging.decode import RgbImage
from services.common.imaging.requests import check_batch
from services.common.inference.batching import DynamicBatcher
from services.face.model import Face

Batcher = DynamicBatcher[image_pb2.Image, RgbImage, list[Face]]


class FaceServicer(face_pb2_grpc.FaceServiceServicer):
    """Validates, delegates, translates.

    Args:
        info: The models in use.
        batcher: Analyses pictures.
        identifying: Like `batcher`, but also fills in `identity`; None if there is no model for it.
    """

    def __init__(
        self,
        info: face_pb2.GetModelInfoResponse,
        batcher: Batcher,
        identifying: Batcher | None = None,
    ) -> None:
        self._info = info
        self._batcher = batcher
        self._identifying = identifying

    async def Analyze(
        self, request: face_pb2.AnalyzeRequest, context: grpc.aio.ServicerContext
    ) -> face_pb2.AnalyzeResponse:
        """Analyses a batch."""
        check_batch(request.images, "images", self._info.model.max_batch_count)
        identifying = self._identifying if request.with_identity else None
        results = await (identifying or self._batcher).map(request.images)
        return face_pb2.AnalyzeResponse(
            model_digest=self._info.model.digest,
            identity_model_digest=self._info.identity_model.digest if identifying else "",
            results=[_to_result(one) for one in results],
        )

    async def GetModelInfo(
        self, request: face_pb2.GetModelInfoRequest, context: grpc.aio.ServicerContext
    ) -> face_pb2.GetModelInfoResponse:
        """Returns the model in use."""
        return self._info


def _to_result(result: list[Face] | status_pb2.Status) -> face_pb2.AnalyzeResult:
    if isinstance(result, status_pb2.Status):
        return face_pb2.AnalyzeResult(error=result)
    return face_pb2.AnalyzeResult(
        faces=face_pb2.FaceList(faces=[_to_message(face) for face in result])
    )


def _to_message(face: Face) -> face_pb2.Face:
    landmarks = [
        face_pb2.Landmark(type=f"LANDMARK_TYPE_{name.upper()}", position=image_pb2.Point(x=x, y=y))
        for name, (x, y) in face.landmarks.items()
    ]
    return face_pb2.Face(
        box=image_pb2.BoundingBox(
            left=face.box.left, top=face.box.top, width=face.box.width, height=face.box.height
        ),
        confidence=face.confidence,
        landmarks=landmarks,
        yaw_degrees=face.yaw_degrees,
        pitch_degrees=face.pitch_degrees,
        roll_degrees=face.roll_degrees,
        pose_score=face.pose_score,
        eyes_score=face.eyes_score,
        smile_score=face.smile_score,
        identity=face.identity,
    )
