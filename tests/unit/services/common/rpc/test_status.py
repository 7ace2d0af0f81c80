from __future__ import annotations

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from services.common.errors import (
    BestshotError,
    ConfigError,
    FailedPreconditionError,
    InternalError,
    InvalidArgumentError,
    InvalidImageError,
    NonFiniteError,
    NotFoundError,
    PermissionDeniedError,
    ResourceExhaustedError,
    UnavailableError,
)
from services.common.rpc.status import from_rpc_error, from_status, to_status

EVERY_ERROR = [
    (ConfigError("x"), grpc.StatusCode.FAILED_PRECONDITION, "CONFIG_INVALID"),
    (InvalidArgumentError("images[3]", "x"), grpc.StatusCode.INVALID_ARGUMENT, "ARGUMENT_INVALID"),
    (InvalidImageError("x"), grpc.StatusCode.INVALID_ARGUMENT, "IMAGE_INVALID"),
    (NotFoundError("run", "7"), grpc.StatusCode.NOT_FOUND, "NOT_FOUND"),
    (FailedPreconditionError("x"), grpc.StatusCode.FAILED_PRECONDITION, "PRECONDITION_FAILED"),
    (ResourceExhaustedError("x"), grpc.StatusCode.RESOURCE_EXHAUSTED, "LIMIT_REACHED"),
    (UnavailableError("x"), grpc.StatusCode.UNAVAILABLE, "UNAVAILABLE"),
    (InternalError("x"), grpc.StatusCode.INTERNAL, "INTERNAL"),
    (NonFiniteError("x"), grpc.StatusCode.INTERNAL, "NON_FINITE"),
]


@pytest.mark.parametrize(("error", "code", "reason"), EVERY_ERROR)
def test_every_error_has_a_code_and_a_reason_for_programs(
    error: BestshotError, code: grpc.StatusCode, reason: str
) -> None:
    status = to_status(error)
    assert status.code == code.value[0]
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    assert (info.reason, info.domain) == (reason, "bestshot.dev")


@pytest.mark.parametrize(
    ("error", "metadata"),
    [
        (InvalidArgumentError("page_size", "no"), {"field": "page_size"}),
        (NotFoundError("run", "7"), {"resource_type": "run", "resource_name": "7"}),
        (PermissionDeniedError("/a/B", "run"), {"method": "/a/B", "required_scope": "run"}),
        (InternalError("x"), {}),
    ],
)
def test_every_name_in_a_message_is_in_its_metadata(
    error: BestshotError, metadata: dict[str, str]
) -> None:
    info = error_details_pb2.ErrorInfo()
    assert to_status(error).details[0].Unpack(info)
    assert dict(info.metadata) == metadata


def test_details_name_the_field_the_resource_and_the_delay() -> None:
    request = error_details_pb2.BadRequest()
    assert to_status(InvalidArgumentError("page_size", "no")).details[1].Unpack(request)
    assert request.field_violations[0].field == "page_size"
    resource = error_details_pb2.ResourceInfo()
    assert to_status(NotFoundError("run", "7")).details[1].Unpack(resource)
    assert (resource.resource_type, resource.resource_name) == ("run", "7")
    retry = error_details_pb2.RetryInfo()
    assert to_status(UnavailableError("x")).details[1].Unpack(retry)
    assert retry.retry_delay.seconds == 1


def test_the_status_of_an_item_becomes_the_original_error() -> None:
    assert isinstance(from_status(to_status(InvalidImageError("torn"))), InvalidImageError)
    assert isinstance(from_status(to_status(UnavailableError("x"))), InternalError)


class FailedCall(grpc.RpcError):
    """A call as the client sees it when the server has reported an error."""

    def __init__(self, error: BestshotError) -> None:
        super().__init__()
        self.status = rpc_status.to_status(to_status(error))

    def code(self) -> grpc.StatusCode:
        return self.status.code

    def details(self) -> str:
        return self.status.details

    def trailing_metadata(self) -> tuple[tuple[str, bytes], ...]:
        return self.status.trailing_metadata


@pytest.mark.parametrize(
    ("problem", "sentence"),
    [
        ("there is no profile 'lit'", "there is no profile 'lit'"),
        ("/out: it is a file", "/out: it is a file"),
        ("must not be negative", "page_size must not be negative"),
    ],
)
def test_people_read_a_sentence_and_programs_the_field(problem: str, sentence: str) -> None:
    error = InvalidArgumentError("page_size", problem)
    assert error.message == f"page_size: {problem}"
    received = from_rpc_error(FailedCall(error), "the orchestrator")
    assert isinstance(received, InvalidArgumentError)
    for one in (error, received):
        assert (one.field, one.message, one.sentence) == ("page_size", error.message, sentence)
    assert InvalidArgumentError("", "it is not XML").sentence == "it is not XML"
