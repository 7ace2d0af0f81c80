from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ModelOrigin(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    MODEL_ORIGIN_UNSPECIFIED: _ClassVar[ModelOrigin]
    MODEL_ORIGIN_BUILTIN: _ClassVar[ModelOrigin]
    MODEL_ORIGIN_PRETRAINED: _ClassVar[ModelOrigin]
MODEL_ORIGIN_UNSPECIFIED: ModelOrigin
MODEL_ORIGIN_BUILTIN: ModelOrigin
MODEL_ORIGIN_PRETRAINED: ModelOrigin

class ModelInfo(_message.Message):
    __slots__ = ("id", "version", "digest", "input_long_side_px", "execution_providers", "origin", "description", "max_batch_count", "paths", "file_digests", "fallback_for_model_id", "missing_execution_providers", "runtime_versions", "file_sources", "is_heuristic")
    class RuntimeVersionsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    ID_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    INPUT_LONG_SIDE_PX_FIELD_NUMBER: _ClassVar[int]
    EXECUTION_PROVIDERS_FIELD_NUMBER: _ClassVar[int]
    ORIGIN_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    MAX_BATCH_COUNT_FIELD_NUMBER: _ClassVar[int]
    PATHS_FIELD_NUMBER: _ClassVar[int]
    FILE_DIGESTS_FIELD_NUMBER: _ClassVar[int]
    FALLBACK_FOR_MODEL_ID_FIELD_NUMBER: _ClassVar[int]
    MISSING_EXECUTION_PROVIDERS_FIELD_NUMBER: _ClassVar[int]
    RUNTIME_VERSIONS_FIELD_NUMBER: _ClassVar[int]
    FILE_SOURCES_FIELD_NUMBER: _ClassVar[int]
    IS_HEURISTIC_FIELD_NUMBER: _ClassVar[int]
    id: str
    version: str
    digest: str
    input_long_side_px: int
    execution_providers: _containers.RepeatedScalarFieldContainer[str]
    origin: ModelOrigin
    description: str
    max_batch_count: int
    paths: _containers.RepeatedScalarFieldContainer[str]
    file_digests: _containers.RepeatedScalarFieldContainer[str]
    fallback_for_model_id: str
    missing_execution_providers: _containers.RepeatedScalarFieldContainer[str]
    runtime_versions: _containers.ScalarMap[str, str]
    file_sources: _containers.RepeatedScalarFieldContainer[str]
    is_heuristic: bool
    def __init__(self, id: _Optional[str] = ..., version: _Optional[str] = ..., digest: _Optional[str] = ..., input_long_side_px: _Optional[int] = ..., execution_providers: _Optional[_Iterable[str]] = ..., origin: _Optional[_Union[ModelOrigin, str]] = ..., description: _Optional[str] = ..., max_batch_count: _Optional[int] = ..., paths: _Optional[_Iterable[str]] = ..., file_digests: _Optional[_Iterable[str]] = ..., fallback_for_model_id: _Optional[str] = ..., missing_execution_providers: _Optional[_Iterable[str]] = ..., runtime_versions: _Optional[_Mapping[str, str]] = ..., file_sources: _Optional[_Iterable[str]] = ..., is_heuristic: bool = ...) -> None: ...
