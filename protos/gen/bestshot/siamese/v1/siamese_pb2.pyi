from bestshot.auth.v1 import auth_pb2 as _auth_pb2
from bestshot.image.v1 import image_pb2 as _image_pb2
from bestshot.model.v1 import model_pb2 as _model_pb2
from google.rpc import status_pb2 as _status_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class CompareRequest(_message.Message):
    __slots__ = ("images", "pairs")
    IMAGES_FIELD_NUMBER: _ClassVar[int]
    PAIRS_FIELD_NUMBER: _ClassVar[int]
    images: _containers.RepeatedCompositeFieldContainer[_image_pb2.Image]
    pairs: _containers.RepeatedCompositeFieldContainer[Pair]
    def __init__(self, images: _Optional[_Iterable[_Union[_image_pb2.Image, _Mapping]]] = ..., pairs: _Optional[_Iterable[_Union[Pair, _Mapping]]] = ...) -> None: ...

class Pair(_message.Message):
    __slots__ = ("first", "second")
    FIRST_FIELD_NUMBER: _ClassVar[int]
    SECOND_FIELD_NUMBER: _ClassVar[int]
    first: int
    second: int
    def __init__(self, first: _Optional[int] = ..., second: _Optional[int] = ...) -> None: ...

class CompareResponse(_message.Message):
    __slots__ = ("results", "model_digest")
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    MODEL_DIGEST_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[CompareResult]
    model_digest: str
    def __init__(self, results: _Optional[_Iterable[_Union[CompareResult, _Mapping]]] = ..., model_digest: _Optional[str] = ...) -> None: ...

class CompareResult(_message.Message):
    __slots__ = ("comparison", "error")
    COMPARISON_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    comparison: Comparison
    error: _status_pb2.Status
    def __init__(self, comparison: _Optional[_Union[Comparison, _Mapping]] = ..., error: _Optional[_Union[_status_pb2.Status, _Mapping]] = ...) -> None: ...

class Comparison(_message.Message):
    __slots__ = ("first_better_probability",)
    FIRST_BETTER_PROBABILITY_FIELD_NUMBER: _ClassVar[int]
    first_better_probability: float
    def __init__(self, first_better_probability: _Optional[float] = ...) -> None: ...

class GetModelInfoRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetModelInfoResponse(_message.Message):
    __slots__ = ("model",)
    MODEL_FIELD_NUMBER: _ClassVar[int]
    model: _model_pb2.ModelInfo
    def __init__(self, model: _Optional[_Union[_model_pb2.ModelInfo, _Mapping]] = ...) -> None: ...
