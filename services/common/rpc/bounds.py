"""Checks every field of every request against its limits, using the message descriptor."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from typing import Any

from google.api import field_behavior_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from services.common.errors import InvalidArgumentError

MAX_TEXT_BYTES = 4096
"""The longest path on Linux."""
MAX_ITEMS = 1000
_MANY = 100_000
_MAX_ITEMS_OF: Mapping[str, int] = {
    "bestshot.orchestrator.v1.ListImagesRequest.filters": 32,
    "bestshot.orchestrator.v1.ListImagesRequest.score_ranges": 32,
    "bestshot.orchestrator.v1.AppendDecisionRequest.paths": _MANY,
    "bestshot.orchestrator.v1.DecisionEntry.photos": _MANY,
    "bestshot.orchestrator.v1.ImportDecisionsRequest.entries": _MANY,
    # limited by shared.max_batch_count
    "bestshot.embedding.v1.EmbedRequest.images": _MANY,
    "bestshot.quality.v1.ScoreRequest.images": _MANY,
    "bestshot.face.v1.AnalyzeRequest.images": _MANY,
    "bestshot.siamese.v1.CompareRequest.images": _MANY,
    "bestshot.siamese.v1.CompareRequest.pairs": _MANY,
}
_MAX_BYTES_OF: Mapping[str, int] = {"google.protobuf.Struct": 2**16}
_TIMES = range(253_370_764_800)
"""Seconds of a Timestamp: 1970 to 9998, so that it is valid in every time zone."""


def check_message(message: Message, path: str = "") -> None:
    """Refuses a request with a field that exceeds its limits.

    Lists of numbers and bytes are limited only by the size of the message.

    Args:
        message: The request.
        path: Path of the message within the request, for the error.

    Raises:
        InvalidArgumentError: Names the field.
    """
    kind = message.DESCRIPTOR.full_name
    limit = _MAX_BYTES_OF.get(kind)
    if limit is not None and message.ByteSize() > limit:
        raise InvalidArgumentError(
            path, f"has {message.ByteSize()} bytes; at most {limit} are allowed"
        )
    if kind == "google.protobuf.Timestamp":
        _check_time(message, path)
    for field in _checked_fields(message.DESCRIPTOR):
        if field.has_presence and not message.HasField(field.name):
            continue
        value = getattr(message, field.name)
        name = f"{path}.{field.name}" if path else field.name
        if not field.is_repeated:
            _check_value(field, value, name)
        elif _is_map(field):
            _check_count(field, len(value), name)
            assert field.message_type is not None
            item = field.message_type.fields_by_name["value"]
            for key in value:
                inner = f"{name}.{key}" if path.count(".") < _MAX_NAMED_DEPTH else name
                if isinstance(key, str):
                    check_text(name, key)
                _check_value(item, value[key], inner)
        else:
            _check_count(field, len(value), name)
            for index, one in enumerate(value):
                _check_value(field, one, f"{name}[{index}]")
    _check_required(message, path)


@functools.cache
def _checked_fields(kind: Descriptor) -> tuple[FieldDescriptor, ...]:
    """Lists the fields that have limits; reading any other could copy a whole picture."""
    return tuple(
        field
        for field in kind.fields
        if field.type != FieldDescriptor.TYPE_BYTES
        and (not field.is_repeated or field.cpp_type in _CHECKED_ITEMS)
    )


def check_text(name: str, text: str) -> None:
    """Refuses a text that is too long or contains a NUL character.

    Raises:
        InvalidArgumentError: Names the field.
    """
    size = len(text.encode("utf-8", "replace"))
    if size > MAX_TEXT_BYTES:
        raise InvalidArgumentError(name, f"has {size} bytes; at most {MAX_TEXT_BYTES} are allowed")
    if "\0" in text:
        raise InvalidArgumentError(name, "must not contain a NUL character")


_MAX_NAMED_DEPTH = 16
_CHECKED_ITEMS = (
    FieldDescriptor.CPPTYPE_MESSAGE,
    FieldDescriptor.CPPTYPE_STRING,
    FieldDescriptor.CPPTYPE_ENUM,
)


def _check_required(message: Message, path: str) -> None:
    required = required_fields(message.DESCRIPTOR)
    if not required:
        return
    present = {field.name for field, _ in message.ListFields()}
    for name in required:
        if name not in present:
            raise InvalidArgumentError(
                f"{path}.{name}" if path else name, "is required and must not be empty"
            )


@functools.cache
def required_fields(kind: Descriptor) -> tuple[str, ...]:
    """Lists the fields that a proto file marks as REQUIRED (AIP-203)."""
    behavior = field_behavior_pb2.field_behavior
    return tuple(
        field.name
        for field in kind.fields
        if field_behavior_pb2.REQUIRED in field.GetOptions().Extensions[behavior]
    )


def _check_value(field: FieldDescriptor, value: Any, name: str) -> None:  # noqa: ANN401
    if field.type == FieldDescriptor.TYPE_STRING:
        check_text(name, value)
    elif field.cpp_type == FieldDescriptor.CPPTYPE_MESSAGE:
        check_message(value, name)
    elif isinstance(value, float) and not math.isfinite(value):
        raise InvalidArgumentError(name, f"must be a finite number (got {value})")


def _check_count(field: FieldDescriptor, count: int, name: str) -> None:
    limit = _MAX_ITEMS_OF.get(field.full_name, MAX_ITEMS)
    if count > limit:
        raise InvalidArgumentError(name, f"has {count} items; at most {limit} are allowed")


def _check_time(message: Any, path: str) -> None:  # noqa: ANN401
    if message.seconds not in _TIMES or not 0 <= message.nanos < 10**9:
        raise InvalidArgumentError(path, "must be a time in the years 1970 to 9998")


def _is_map(field: FieldDescriptor) -> bool:
    kind = field.message_type
    return kind is not None and bool(kind.GetOptions().map_entry)
