from bestshot.auth.v1 import auth_pb2 as _auth_pb2
from bestshot.image.v1 import image_pb2 as _image_pb2
from bestshot.model.v1 import model_pb2 as _model_pb2
from google.rpc import status_pb2 as _status_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class LandmarkType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    LANDMARK_TYPE_UNSPECIFIED: _ClassVar[LandmarkType]
    LANDMARK_TYPE_LEFT_EYE: _ClassVar[LandmarkType]
    LANDMARK_TYPE_RIGHT_EYE: _ClassVar[LandmarkType]
    LANDMARK_TYPE_NOSE: _ClassVar[LandmarkType]
    LANDMARK_TYPE_LEFT_MOUTH_CORNER: _ClassVar[LandmarkType]
    LANDMARK_TYPE_RIGHT_MOUTH_CORNER: _ClassVar[LandmarkType]
LANDMARK_TYPE_UNSPECIFIED: LandmarkType
LANDMARK_TYPE_LEFT_EYE: LandmarkType
LANDMARK_TYPE_RIGHT_EYE: LandmarkType
LANDMARK_TYPE_NOSE: LandmarkType
LANDMARK_TYPE_LEFT_MOUTH_CORNER: LandmarkType
LANDMARK_TYPE_RIGHT_MOUTH_CORNER: LandmarkType

class AnalyzeRequest(_message.Message):
    __slots__ = ("images", "with_identity")
    IMAGES_FIELD_NUMBER: _ClassVar[int]
    WITH_IDENTITY_FIELD_NUMBER: _ClassVar[int]
    images: _containers.RepeatedCompositeFieldContainer[_image_pb2.Image]
    with_identity: bool
    def __init__(self, images: _Optional[_Iterable[_Union[_image_pb2.Image, _Mapping]]] = ..., with_identity: bool = ...) -> None: ...

class AnalyzeResponse(_message.Message):
    __slots__ = ("results", "model_digest", "identity_model_digest")
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    MODEL_DIGEST_FIELD_NUMBER: _ClassVar[int]
    IDENTITY_MODEL_DIGEST_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[AnalyzeResult]
    model_digest: str
    identity_model_digest: str
    def __init__(self, results: _Optional[_Iterable[_Union[AnalyzeResult, _Mapping]]] = ..., model_digest: _Optional[str] = ..., identity_model_digest: _Optional[str] = ...) -> None: ...

class AnalyzeResult(_message.Message):
    __slots__ = ("faces", "error")
    FACES_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    faces: FaceList
    error: _status_pb2.Status
    def __init__(self, faces: _Optional[_Union[FaceList, _Mapping]] = ..., error: _Optional[_Union[_status_pb2.Status, _Mapping]] = ...) -> None: ...

class FaceList(_message.Message):
    __slots__ = ("faces",)
    FACES_FIELD_NUMBER: _ClassVar[int]
    faces: _containers.RepeatedCompositeFieldContainer[Face]
    def __init__(self, faces: _Optional[_Iterable[_Union[Face, _Mapping]]] = ...) -> None: ...

class Face(_message.Message):
    __slots__ = ("box", "confidence", "landmarks", "yaw_degrees", "pitch_degrees", "roll_degrees", "pose_score", "eyes_score", "smile_score", "identity")
    BOX_FIELD_NUMBER: _ClassVar[int]
    CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
    LANDMARKS_FIELD_NUMBER: _ClassVar[int]
    YAW_DEGREES_FIELD_NUMBER: _ClassVar[int]
    PITCH_DEGREES_FIELD_NUMBER: _ClassVar[int]
    ROLL_DEGREES_FIELD_NUMBER: _ClassVar[int]
    POSE_SCORE_FIELD_NUMBER: _ClassVar[int]
    EYES_SCORE_FIELD_NUMBER: _ClassVar[int]
    SMILE_SCORE_FIELD_NUMBER: _ClassVar[int]
    IDENTITY_FIELD_NUMBER: _ClassVar[int]
    box: _image_pb2.BoundingBox
    confidence: float
    landmarks: _containers.RepeatedCompositeFieldContainer[Landmark]
    yaw_degrees: float
    pitch_degrees: float
    roll_degrees: float
    pose_score: float
    eyes_score: float
    smile_score: float
    identity: _containers.RepeatedScalarFieldContainer[float]
    def __init__(self, box: _Optional[_Union[_image_pb2.BoundingBox, _Mapping]] = ..., confidence: _Optional[float] = ..., landmarks: _Optional[_Iterable[_Union[Landmark, _Mapping]]] = ..., yaw_degrees: _Optional[float] = ..., pitch_degrees: _Optional[float] = ..., roll_degrees: _Optional[float] = ..., pose_score: _Optional[float] = ..., eyes_score: _Optional[float] = ..., smile_score: _Optional[float] = ..., identity: _Optional[_Iterable[float]] = ...) -> None: ...

class Landmark(_message.Message):
    __slots__ = ("type", "position")
    TYPE_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    type: LandmarkType
    position: _image_pb2.Point
    def __init__(self, type: _Optional[_Union[LandmarkType, str]] = ..., position: _Optional[_Union[_image_pb2.Point, _Mapping]] = ...) -> None: ...

class GetModelInfoRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetModelInfoResponse(_message.Message):
    __slots__ = ("model", "identity_model", "same_person_similarity")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    IDENTITY_MODEL_FIELD_NUMBER: _ClassVar[int]
    SAME_PERSON_SIMILARITY_FIELD_NUMBER: _ClassVar[int]
    model: _model_pb2.ModelInfo
    identity_model: _model_pb2.ModelInfo
    same_person_similarity: float
    def __init__(self, model: _Optional[_Union[_model_pb2.ModelInfo, _Mapping]] = ..., identity_model: _Optional[_Union[_model_pb2.ModelInfo, _Mapping]] = ..., same_person_similarity: _Optional[float] = ...) -> None: ...
