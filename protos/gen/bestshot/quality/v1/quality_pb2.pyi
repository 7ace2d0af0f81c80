from bestshot.auth.v1 import auth_pb2 as _auth_pb2
from bestshot.image.v1 import image_pb2 as _image_pb2
from bestshot.model.v1 import model_pb2 as _model_pb2
from bestshot.score.v1 import score_pb2 as _score_pb2
from google.rpc import status_pb2 as _status_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ScoreRequest(_message.Message):
    __slots__ = ("images",)
    IMAGES_FIELD_NUMBER: _ClassVar[int]
    images: _containers.RepeatedCompositeFieldContainer[_image_pb2.Image]
    def __init__(self, images: _Optional[_Iterable[_Union[_image_pb2.Image, _Mapping]]] = ...) -> None: ...

class ScoreResponse(_message.Message):
    __slots__ = ("results", "model_digest")
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    MODEL_DIGEST_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[ScoreResult]
    model_digest: str
    def __init__(self, results: _Optional[_Iterable[_Union[ScoreResult, _Mapping]]] = ..., model_digest: _Optional[str] = ...) -> None: ...

class ScoreResult(_message.Message):
    __slots__ = ("scores", "error")
    SCORES_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    scores: QualityScores
    error: _status_pb2.Status
    def __init__(self, scores: _Optional[_Union[QualityScores, _Mapping]] = ..., error: _Optional[_Union[_status_pb2.Status, _Mapping]] = ...) -> None: ...

class QualityScores(_message.Message):
    __slots__ = ("iqa_score", "ava_score", "ava_distribution", "sharpness", "exposure", "contrast", "colourfulness", "laplacian_variance", "focus_score", "noise_level", "brightness", "tonal_range", "flat_share", "luminance_grid", "detail_grid")
    IQA_SCORE_FIELD_NUMBER: _ClassVar[int]
    AVA_SCORE_FIELD_NUMBER: _ClassVar[int]
    AVA_DISTRIBUTION_FIELD_NUMBER: _ClassVar[int]
    SHARPNESS_FIELD_NUMBER: _ClassVar[int]
    EXPOSURE_FIELD_NUMBER: _ClassVar[int]
    CONTRAST_FIELD_NUMBER: _ClassVar[int]
    COLOURFULNESS_FIELD_NUMBER: _ClassVar[int]
    LAPLACIAN_VARIANCE_FIELD_NUMBER: _ClassVar[int]
    FOCUS_SCORE_FIELD_NUMBER: _ClassVar[int]
    NOISE_LEVEL_FIELD_NUMBER: _ClassVar[int]
    BRIGHTNESS_FIELD_NUMBER: _ClassVar[int]
    TONAL_RANGE_FIELD_NUMBER: _ClassVar[int]
    FLAT_SHARE_FIELD_NUMBER: _ClassVar[int]
    LUMINANCE_GRID_FIELD_NUMBER: _ClassVar[int]
    DETAIL_GRID_FIELD_NUMBER: _ClassVar[int]
    iqa_score: float
    ava_score: float
    ava_distribution: _containers.RepeatedScalarFieldContainer[float]
    sharpness: float
    exposure: float
    contrast: float
    colourfulness: float
    laplacian_variance: float
    focus_score: float
    noise_level: float
    brightness: float
    tonal_range: float
    flat_share: float
    luminance_grid: _containers.RepeatedScalarFieldContainer[int]
    detail_grid: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, iqa_score: _Optional[float] = ..., ava_score: _Optional[float] = ..., ava_distribution: _Optional[_Iterable[float]] = ..., sharpness: _Optional[float] = ..., exposure: _Optional[float] = ..., contrast: _Optional[float] = ..., colourfulness: _Optional[float] = ..., laplacian_variance: _Optional[float] = ..., focus_score: _Optional[float] = ..., noise_level: _Optional[float] = ..., brightness: _Optional[float] = ..., tonal_range: _Optional[float] = ..., flat_share: _Optional[float] = ..., luminance_grid: _Optional[_Iterable[int]] = ..., detail_grid: _Optional[_Iterable[int]] = ...) -> None: ...

class GetModelInfoRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetModelInfoResponse(_message.Message):
    __slots__ = ("model", "heuristic_aesthetic")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    HEURISTIC_AESTHETIC_FIELD_NUMBER: _ClassVar[int]
    model: _model_pb2.ModelInfo
    heuristic_aesthetic: bool
    def __init__(self, model: _Optional[_Union[_model_pb2.ModelInfo, _Mapping]] = ..., heuristic_aesthetic: bool = ...) -> None: ...
