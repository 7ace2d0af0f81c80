"""Generates the reference pages: the commands from the application, the API from the protos."""

from __future__ import annotations

import re
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import grpc_tools
from google.protobuf import descriptor_pb2
from grpc_tools import protoc

ROOT = Path(__file__).parents[2]
MODEL_API = (
    *("bestshot.image.v1", "bestshot.model.v1", "bestshot.embedding.v1", "bestshot.quality.v1"),
    *("bestshot.face.v1", "bestshot.siamese.v1", "bestshot.auth.v1", "bestshot.score.v1"),
)
ORCHESTRATOR_API = ("bestshot.orchestrator.v1",)
Path_ = tuple[int, ...]
FieldType = descriptor_pb2.FieldDescriptorProto


def render_commands() -> str:
    """Returns every command with its options, as Typer describes them."""
    from typer.cli import get_docs_for_click
    from typer.main import get_command

    from orchestrator.cli.app import app

    command = get_command(app)
    context = command.make_context("bestshot", [], resilient_parsing=True)
    text = get_docs_for_click(obj=command, ctx=context, name="bestshot")
    return _escape(text.partition("\n")[2])  # the page has its own title


def render_api(packages: tuple[str, ...]) -> str:
    """Returns the services, messages and enums in the given packages, with their comments."""
    found = [one for one in read_protos() if one.package in packages]
    found.sort(key=lambda one: packages.index(one.package))
    return "\n".join(line for one in found for line in _render_file(one))


def read_protos() -> list[descriptor_pb2.FileDescriptorProto]:
    """Compiles the protos; unlike the generated code, the result keeps the comments."""
    well_known = Path(grpc_tools.__file__).parent / "_proto"
    google = next(
        Path(entry) for entry in sys.path if (Path(entry) / "google/rpc/status.proto").exists()
    )
    sources = sorted(str(path) for path in (ROOT / "protos" / "bestshot").rglob("*.proto"))
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "all"
        paths = [f"-I{ROOT / 'protos'}", f"-I{well_known}", f"-I{google}"]
        options = ["--include_source_info", f"--descriptor_set_out={target}"]
        if protoc.main(["protoc", *paths, *options, *sources]) != 0:
            raise SystemExit("protoc failed")
        return list(descriptor_pb2.FileDescriptorSet.FromString(target.read_bytes()).file)


def _render_file(file: descriptor_pb2.FileDescriptorProto) -> Iterator[str]:
    comments = {
        tuple(place.path): " ".join(place.leading_comments.split())
        for place in file.source_code_info.location
    }
    yield from (f"## {file.package}", "", comments.get((2,), ""), "")
    for number, service in enumerate(file.service):
        yield from (f"### {service.name}", "", comments[6, number], "")
        for index, method in enumerate(service.method):
            stream = "stream of " if method.server_streaming else ""
            answer = f"{stream}{_name(method.output_type)}"
            yield from (f"**{method.name}**({_name(method.input_type)}): {answer}", "")
            yield from (f":   {_escape(comments[6, number, 2, index])}", "")
    for number, message in enumerate(file.message_type):
        yield from _render_message(message, message.name, (4, number), comments)
    for number, enum in enumerate(file.enum_type):
        yield from _render_enum(enum, enum.name, (5, number), comments)


def _render_message(
    message: descriptor_pb2.DescriptorProto, name: str, path: Path_, comments: dict[Path_, str]
) -> Iterator[str]:
    if message.options.map_entry:
        return
    yield from (f"### {name}", "", _escape(comments.get(path, "")), "")
    if message.field:
        yield from ("| field | type | meaning |", "|---|---|---|")
    for index, field in enumerate(message.field):
        meaning = _escape(comments.get((*path, 2, index), "")).replace("|", "\\|")
        yield f"| `{field.name}` | {_type(field, message)} | {meaning} |"
    yield ""
    for index, nested in enumerate(message.nested_type):
        yield from _render_message(nested, f"{name}.{nested.name}", (*path, 3, index), comments)
    for index, enum in enumerate(message.enum_type):
        yield from _render_enum(enum, f"{name}.{enum.name}", (*path, 4, index), comments)


def _render_enum(
    enum: descriptor_pb2.EnumDescriptorProto, name: str, path: Path_, comments: dict[Path_, str]
) -> Iterator[str]:
    yield from (f"### {name}", "", _escape(comments.get(path, "")), "")
    yield from ("| value | meaning |", "|---|---|")
    for index, value in enumerate(enum.value):
        meaning = _escape(comments.get((*path, 2, index), "")).replace("|", "\\|")
        yield f"| `{value.name}` | {meaning} |"
    yield ""


def _type(field: FieldType, message: descriptor_pb2.DescriptorProto) -> str:
    """Returns a field's type as written in a proto file."""
    for nested in message.nested_type:
        if nested.options.map_entry and field.type_name.endswith(f".{nested.name}"):
            key, value = (_type(one, nested) for one in nested.field)
            return f"map of {key} to {value}"
    name = _name(field.type_name) or FieldType.Type.Name(field.type).removeprefix("TYPE_").lower()
    if field.label == FieldType.LABEL_REPEATED:
        return f"repeated {name}"
    return f"optional {name}" if field.proto3_optional else name


def _name(full: str) -> str:
    return full.rpartition(".")[2]


def _escape(text: str) -> str:
    """Escapes angle brackets, which would start an HTML element, except in code."""
    parts = re.split(r"(`[^`]*`)", text)
    return "".join(part if part[:1] == "`" else part.replace("<", "&lt;") for part in parts)


GENERATORS: dict[str, Callable[[], str]] = {
    "commands": render_commands,
    "model services": partial(render_api, MODEL_API),
    "orchestrator": partial(render_api, ORCHESTRATOR_API),
}
"""Each one's output replaces the line `<!-- generated: NAME -->`."""
