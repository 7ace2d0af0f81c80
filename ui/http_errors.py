"""Translates failed calls to the orchestrator into HTTP errors."""

from __future__ import annotations

import grpc
from fastapi import HTTPException

from ui.client import OrchestratorError

_STATUS = {
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.FAILED_PRECONDITION: 409,
    grpc.StatusCode.UNAVAILABLE: 503,
    grpc.StatusCode.DEADLINE_EXCEEDED: 504,
}


def http_error(error: OrchestratorError) -> HTTPException:
    """Translates a failed call; unlisted codes become 500."""
    return HTTPException(_STATUS.get(error.code, 500), f"{error.message} {error.advice}".strip())
