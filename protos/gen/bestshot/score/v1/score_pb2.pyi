from google.protobuf import descriptor_pb2 as _descriptor_pb2
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Optional as _Optional

DESCRIPTOR: _descriptor.FileDescriptor
SCORE_FIELD_NUMBER: _ClassVar[int]
score: _descriptor.FieldDescriptor

class Score(_message.Message):
    __slots__ = ("label", "column", "caption", "unit", "minimum", "maximum", "lower_is_better", "in_table")
    LABEL_FIELD_NUMBER: _ClassVar[int]
    COLUMN_FIELD_NUMBER: _ClassVar[int]
    CAPTION_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    MINIMUM_FIELD_NUMBER: _ClassVar[int]
    MAXIMUM_FIELD_NUMBER: _ClassVar[int]
    LOWER_IS_BETTER_FIELD_NUMBER: _ClassVar[int]
    IN_TABLE_FIELD_NUMBER: _ClassVar[int]
    label: str
    column: str
    caption: str
    unit: str
    minimum: float
    maximum: float
    lower_is_better: bool
    in_table: bool
    def __init__(self, label: _Optional[str] = ..., column: _Optional[str] = ..., caption: _Optional[str] = ..., unit: _Optional[str] = ..., minimum: _Optional[float] = ..., maximum: _Optional[float] = ..., lower_is_better: bool = ..., in_table: bool = ...) -> None: ...
