"""Translates failed calls to the orchestrator into HTTP errors."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import grpc
from fastapi import FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response

from services.common.config.problems import describe_problem
from ui.client import OrchestratorError

_STATUS = {
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.FAILED_PRECONDITION: 409,
    grpc.StatusCode.UNAVAILABLE: 503,
    grpc.StatusCode.DEADLINE_EXCEEDED: 504,
}


@contextlib.contextmanager
def http_errors() -> Iterator[None]:
    """Translates failed calls in the block; unlisted codes become 500.

    Raises:
        HTTPException: A call failed.
    """
    try:
        yield
    except OrchestratorError as error:
        text = f"{error.message} {error.advice}".strip()
        raise HTTPException(_STATUS.get(error.code, 500), text) from error


def refuse_invalid_requests(server: FastAPI) -> None:
    """Answers 400 to requests that are not valid.

    FastAPI's own answer repeats the input, and JSON cannot contain NaN or half of a surrogate pair.
    """
    server.add_exception_handler(RequestValidationError, _refuse_fields)
    server.add_exception_handler(UnicodeEncodeError, _refuse_text)


def _refuse_fields(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    problems = [
        f"{problem['loc'][-1]}: {describe_problem(problem)}" for problem in error.errors()[:3]
    ]
    return _bad_request("; ".join(problems))


def _refuse_text(request: Request, error: Exception) -> Response:
    return _bad_request("text in the request is not valid Unicode")


def _bad_request(problem: str) -> Response:
    printable = problem.encode("utf-8", "replace").decode()
    return JSONResponse({"detail": printable}, status_code=400)
