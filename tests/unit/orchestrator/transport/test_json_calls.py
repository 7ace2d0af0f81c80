"""The JSON API offers what the gRPC API does."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
from bestshot.orchestrator.v1 import orchestrator_pb2 as pb
from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message
from pydantic import TypeAdapter

from orchestrator.transport.json_api import _ROUTES, ImagesQuery
from orchestrator.transport.json_calls import CALLS
from orchestrator.transport.json_messages import answer_model, body_model, json_value, read_message
from orchestrator.transport.problems import PROBLEM_TYPES
from services.common import errors
from services.common.errors import BestshotError, InvalidArgumentError
from tests.conftest import ROOT

METHODS = pb.DESCRIPTOR.services_by_name["OrchestratorService"].methods_by_name


def test_every_method_has_a_path() -> None:
    served = {call.method for call in CALLS} | {route.method for route in _ROUTES} | {"UploadAlbum"}
    assert served == set(METHODS)


@pytest.mark.parametrize("route", [one for one in _ROUTES if one.model], ids=lambda one: one.path)
def test_an_answer_has_every_field_of_the_message(route: Any) -> None:
    message: Any = METHODS[route.method].output_type
    if "/results/" in route.path or route.method in ("DiffRuns", "ListModels"):
        return  # these have forms of their own
    if (
        len(message.fields) == 1
        and message.fields[0].message_type
        and not route.method.startswith("List")
    ):
        message = message.fields[0].message_type
    schema = TypeAdapter(route.model).json_schema(mode="serialization")
    names = {field.name for field in message.fields}
    if message.full_name.endswith(".Album"):
        names = names - {"folders"} | {"more_folders"}
    assert names <= set(schema["properties"]), names - set(schema["properties"])


def test_photos_can_be_filtered_as_in_grpc() -> None:
    fields = {field.name for field in METHODS["ListImages"].input_type.fields}
    assert fields - {"run_id", "selected_only"} == set(ImagesQuery.model_fields)  # filters=SELECTED


def test_every_reason_of_an_error_is_described() -> None:
    kinds = [one for _, one in inspect.getmembers(errors, inspect.isclass)]
    reasons = {one.reason for one in kinds if issubclass(one, BestshotError)}
    assert reasons <= set(PROBLEM_TYPES)
    page = (ROOT / "docs" / "reference" / "json-api.md").read_text()
    for reason, found in PROBLEM_TYPES.items():
        assert f"| `{reason}` | {found.title} | {found.advice} |" in page


@pytest.mark.parametrize(
    ("request_", "body", "expected"),
    [
        (
            pb.SetDecisionRequest(),
            '{"album_id": "a", "path": "b", "decision": "keep"}',
            pb.SetDecisionRequest(album_id="a", path="b", decision=pb.DECISION_KEEP),
        ),
        (
            pb.StartRunRequest(),
            '{"album_id": "a", "reference_run_id": ""}',
            pb.StartRunRequest(album_id="a", reference_run_id=""),
        ),
        (pb.StartRunRequest(), '{"album_id": "a"}', pb.StartRunRequest(album_id="a")),
    ],
)
def test_a_body_becomes_the_message(request_: Message, body: str, expected: Message) -> None:
    kind: Any = request_.DESCRIPTOR
    found = body_model(kind).model_validate_json(body).model_dump(exclude_unset=True)
    read_message(request_, found)
    assert request_ == expected


def test_the_entries_of_a_log_can_be_imported_as_they_were_read() -> None:
    kind: Descriptor = pb.DecisionEntry.DESCRIPTOR  # type: ignore[assignment]
    entry = pb.DecisionEntry(id="1", action=pb.DECISION_ACTION_MOVE, label="red")
    entry.photos.add(content_digest="0", path="a.jpg")
    entry.target.path = "b.jpg"
    entry.create_time.FromJsonString("2026-01-02T03:04:05Z")
    text = TypeAdapter(answer_model(kind)).dump_json(answer_model(kind)(**json_value(entry)))
    again = pb.DecisionEntry()
    read_message(again, body_model(kind).model_validate_json(text).model_dump())
    assert again == entry


def test_a_number_that_does_not_fit_names_its_field() -> None:
    with pytest.raises(InvalidArgumentError, match="stars"):
        read_message(pb.AppendDecisionRequest(), {"stars": 2**40})
