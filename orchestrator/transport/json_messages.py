"""Derives bodies and answers of the JSON API from the messages of orchestrator.proto.

Names are those of the messages. Enum values are in lower case and without their prefix ("keep" for
DECISION_KEEP); the unspecified value is null. Albums, runs and photos have the same fields as in
the calls that read them.
"""

from __future__ import annotations

import datetime
import functools
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal

from bestshot.orchestrator.v1 import orchestrator_pb2 as pb
from google.protobuf import json_format
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.protobuf.message import Message
from pydantic import BaseModel, ConfigDict, Field, create_model

from orchestrator.records import Album, Run
from orchestrator.transport import json_models as models
from orchestrator.transport import values
from orchestrator.transport.converters import overrides_value
from services.common.errors import InvalidArgumentError
from services.common.rpc.bounds import required_fields

_INT32 = Annotated[int, Field(ge=-(2**31), le=2**31 - 1)]
_PLAIN: Mapping[int, Any] = {
    FieldDescriptor.TYPE_STRING: str,
    FieldDescriptor.TYPE_BOOL: bool,
    FieldDescriptor.TYPE_INT32: _INT32,
    FieldDescriptor.TYPE_INT64: int,
    FieldDescriptor.TYPE_FLOAT: float,
    FieldDescriptor.TYPE_DOUBLE: float,
}
_WELL_KNOWN: Mapping[str, Any] = {
    "google.protobuf.Timestamp": datetime.datetime,
    "google.protobuf.Struct": dict[str, Any],
    "google.protobuf.Value": Any,
    "google.protobuf.FieldMask": list[str],
}
_RECORDS: Mapping[str, tuple[Any, Callable[[Any], Any]]] = {
    pb.Album.DESCRIPTOR.full_name: (Album, values.album_value),
    pb.Run.DESCRIPTOR.full_name: (Run, values.run_value),
    pb.ImageResult.DESCRIPTOR.full_name: (models.Image, models.image_of),
}


@functools.cache
def body_model(kind: Descriptor, without: frozenset[str] = frozenset()) -> type[BaseModel]:
    """Returns the model of a request's body, without the fields that are in its path."""
    required: list[Any] = [name for name in required_fields(kind) if name not in without]
    definitions = {}
    for field in kind.fields:
        if field.name in without:
            continue
        default = _default_of(field)
        found = _type_of(field, body_model)
        if default is None:
            found = found | None
        if field.name in required:  # only described here; `check_message` checks it
            least: Any = {"minItems": 1} if field.is_repeated else {"minLength": 1}
            found = Annotated[found, Field(json_schema_extra=least)]
        definitions[field.name] = (found, default)
    config = ConfigDict(
        extra="forbid",
        strict=True,
        json_schema_extra={"required": required} if required else None,
    )
    name = kind.name if kind.name.endswith("Request") else f"{kind.name}Input"
    model: type[BaseModel] = create_model(  # type: ignore[call-overload]
        name,
        __config__=config,
        __doc__=f"See {kind.name} in orchestrator.proto.",
        **definitions,
    )
    return model


@functools.cache
def answer_model(kind: Descriptor) -> Any:  # noqa: ANN401
    """Returns the model of an answer."""
    if kind.full_name in _RECORDS:
        return _RECORDS[kind.full_name][0]
    definitions = {}
    for field in kind.fields:
        is_optional = field.has_presence or field.type == FieldDescriptor.TYPE_ENUM
        found = _type_of(field, answer_model)
        definitions[field.name] = (found | None if is_optional else found, ...)
    return create_model(  # type: ignore[call-overload]
        kind.name, __doc__=f"See {kind.name} in orchestrator.proto.", **definitions
    )


def read_message(request: Message, content: Mapping[str, Any]) -> None:
    """Fills a request from the content of its body and path.

    Raises:
        InvalidArgumentError: A value does not fit its field.
    """
    fields: Any = request.DESCRIPTOR.fields_by_name
    for name, value in content.items():
        field = fields[name]
        try:
            _set_field(request, field, value)
        except ValueError as error:  # for example, a number is too large
            raise InvalidArgumentError(name, str(error)) from error


def json_value(message: Message) -> Any:  # noqa: ANN401
    """Converts a message to values for its `answer_model`."""
    kind: Any = message.DESCRIPTOR  # two types of descriptors share an interface
    if kind.full_name in _RECORDS:
        return _RECORDS[kind.full_name][1](message)
    if kind.full_name == "google.protobuf.Timestamp":
        return message.ToDatetime(datetime.UTC)  # type: ignore[attr-defined]
    if kind.full_name == "google.protobuf.Struct":
        return overrides_value(message)  # type: ignore[arg-type]
    if kind.full_name in _WELL_KNOWN:
        return json_format.MessageToDict(message)
    return {field.name: _field_value(message, field) for field in kind.fields}


def _field_value(message: Message, field: FieldDescriptor) -> Any:  # noqa: ANN401
    value = getattr(message, field.name)
    if _is_map(field):
        item = _item_of(field)
        return {key: _item_value(item, value[key]) for key in value}
    if field.is_repeated:
        return [_item_value(field, one) for one in value]
    if field.has_presence and not message.HasField(field.name):
        return None
    return _item_value(field, value)


def _item_value(field: FieldDescriptor, value: Any) -> Any:  # noqa: ANN401
    if field.message_type is not None:
        return json_value(value)
    if field.enum_type is not None:
        return _enum_names(field.enum_type).get(value)
    return value


def _type_of(field: FieldDescriptor, derive: Callable[[Descriptor], Any]) -> Any:  # noqa: ANN401
    if _is_map(field):
        return dict[str, _item_type(_item_of(field), derive)]  # type: ignore[misc]
    item = _item_type(field, derive)
    return list[item] if field.is_repeated else item  # type: ignore[valid-type]


def _item_type(field: FieldDescriptor, derive: Callable[[Descriptor], Any]) -> Any:  # noqa: ANN401
    if field.message_type is not None:
        return _WELL_KNOWN.get(field.message_type.full_name) or derive(field.message_type)
    if field.enum_type is not None:
        return Literal[tuple(_enum_names(field.enum_type).values())]
    return _PLAIN[field.type]


def _default_of(field: FieldDescriptor) -> Any:  # noqa: ANN401
    """Returns the default of an absent field; required fields are checked as they are for gRPC."""
    if field.is_repeated:
        return Field(default_factory=dict if _is_map(field) else list)
    if field.has_presence or field.enum_type is not None:
        return None
    return field.default_value


def _set_field(message: Message, field: FieldDescriptor, value: Any) -> None:  # noqa: ANN401
    if value is None:
        return
    if field.is_repeated:
        target = getattr(message, field.name)
        for one in value:
            if field.message_type is not None:
                read_message(target.add(), one)
            else:
                target.append(one)
    elif field.message_type is not None:
        target = getattr(message, field.name)
        target.SetInParent()
        _set_message(target, value)
    elif field.enum_type is not None:
        names = _enum_names(field.enum_type)
        setattr(message, field.name, next(one for one in names if names[one] == value))
    else:
        setattr(message, field.name, value)


def _set_message(message: Any, value: Any) -> None:  # noqa: ANN401
    match message.DESCRIPTOR.full_name:
        case "google.protobuf.Timestamp":
            message.FromDatetime(value)
        case "google.protobuf.Struct":
            message.update(value)
        case "google.protobuf.FieldMask":
            message.paths.extend(value)
        case _:
            read_message(message, value)


@functools.cache
def _enum_names(kind: EnumDescriptor) -> dict[int, str]:
    """Returns the JSON names by number, without the unspecified value."""
    prefix = kind.values_by_number[0].name.removesuffix("UNSPECIFIED")
    return {one.number: one.name.removeprefix(prefix).lower() for one in kind.values if one.number}


def _is_map(field: FieldDescriptor) -> bool:
    return field.message_type is not None and field.message_type.GetOptions().map_entry


def _item_of(field: FieldDescriptor) -> FieldDescriptor:
    assert field.message_type is not None
    return field.message_type.fields_by_name["value"]
