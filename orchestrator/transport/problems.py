"""The problem types of the JSON API (RFC 9457), and the page that explains them."""

from __future__ import annotations

import html
import http
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match, Route

from orchestrator.transport.json_models import Problem
from services.common.config.problems import describe_problem
from services.common.errors import (
    MAX_MESSAGE_BYTES,
    BestshotError,
    InternalError,
    InvalidArgumentError,
    shorten,
)
from services.common.rpc.status import HTTP_STATUS, RETRY_DELAY_S

PREFIX = "/api/v1"
DOCS_PATH = f"{PREFIX}/docs"
PROBLEM_TYPE = f"{DOCS_PATH}#"
"""Start of a problem's type, which is an address on this server; the reason follows."""
HTTP_REASON = "HTTP"
_LATER = (429, 503)
_PLACES = (("query",), ("path",), ("body",))
"""FastAPI names the part of the request before the field."""


@dataclass(frozen=True)
class ProblemType:
    """What a reason means, and what the caller can do."""

    title: str
    advice: str


PROBLEM_TYPES: Mapping[str, ProblemType] = {
    "ARGUMENT_INVALID": ProblemType(
        "A parameter or a field of the body is invalid",
        "`field` names it, and `detail` says what is expected.",
    ),
    "IMAGE_INVALID": ProblemType(
        "A picture cannot be read", "Check that the file opens in another program."
    ),
    "UNAUTHENTICATED": ProblemType(
        "The request has no valid token",
        "Send `Authorization: Bearer TOKEN` with a token that the server knows and that has not "
        "expired; `bestshot token` makes one.",
    ),
    "SCOPE_MISSING": ProblemType(
        "The token does not allow this", "Use a token with the scope that `detail` names."
    ),
    "NOT_FOUND": ProblemType(
        "The album, run, photo or person does not exist",
        "Check the id or path; what it names may have been deleted.",
    ),
    "PRECONDITION_FAILED": ProblemType(
        "The current state does not allow this",
        "`detail` says what has to happen first: for example, that a run must have ended.",
    ),
    "CONFIG_INVALID": ProblemType(
        "The server's own settings are wrong", "Its operator has to correct them."
    ),
    "LIMIT_REACHED": ProblemType(
        "A limit was reached", "Wait for as long as `Retry-After` says, then repeat the request."
    ),
    "UNAVAILABLE": ProblemType(
        "A service cannot be reached or is still starting",
        "Wait for as long as `Retry-After` says, then repeat the request. A change with "
        "a `request_id` is applied only once.",
    ),
    "INTERNAL": ProblemType("Something failed on the server", "See the server's log."),
    "NON_FINITE": ProblemType(
        "A model returned NaN or infinity", "Report the problem, naming the model and the photo."
    ),
    "HOST_UNKNOWN": ProblemType(
        "The request names an unknown host",
        "Call the server by the address that it listens on, or add the name to "
        "`shared.allowed_hosts`.",
    ),
    "ORIGIN_FOREIGN": ProblemType(
        "The request comes from a page of another web site",
        "Only this server's own pages, and programs other than browsers, may call it.",
    ),
    HTTP_REASON: ProblemType(
        "The server does not support this request",
        "The path, the method, the content type or the size of the body is wrong; `status` and "
        "`detail` say which.",
    ),
}


async def answer_error(request: Request, error: Exception) -> Response:
    """Answers one of our own errors."""
    assert isinstance(error, BestshotError)
    status = HTTP_STATUS.get(error.code, 500)
    field = error.field if isinstance(error, InvalidArgumentError) else ""
    return _problem(status, error.message, error.reason, field)


async def answer_invalid(request: Request, error: Exception) -> Response:
    """Answers a request whose parameters or body do not fit their schema."""
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    place = first["loc"][1:] if first["loc"][:1] in _PLACES else first["loc"]
    field, problem = ".".join(map(str, place)), describe_problem(first)
    detail = f"{field}: {problem}" if field else f"the body {problem}"
    return _problem(400, detail, InvalidArgumentError.reason, field)


async def answer_http(request: Request, error: Exception) -> Response:
    """Answers an HTTP error, such as an unknown path."""
    assert isinstance(error, HTTPException)
    detail = error.detail
    if error.status_code == 404:  # from the router, so the path itself is unknown
        detail = f"there is nothing at {request.url.path}; {DOCS_PATH} lists all calls"
    answer = _problem(error.status_code, detail, HTTP_REASON)
    answer.headers.update(error.headers or {})
    if error.status_code == 405:  # from one route, but others may have the same path
        answer.headers["Allow"] = ", ".join(sorted(_find_methods(request)))
    return answer


def _find_methods(request: Request) -> set[str]:
    """Returns the methods of all routes with the request's path."""
    return {
        method
        for route in request.app.routes
        if isinstance(route, Route) and route.matches(request.scope)[0] is not Match.NONE
        for method in route.methods or ()
    }


async def answer_unexpected(request: Request, error: Exception) -> Response:
    """Answers an unexpected error; its details are only in the server's log."""
    return _problem(500, "internal error; see the server's log", InternalError.reason)


def _problem(status: int, detail: str, reason: str, field: str = "") -> Response:
    is_http = reason == HTTP_REASON
    content = Problem(
        type=PROBLEM_TYPE + reason,
        status=status,
        title=http.HTTPStatus(status).phrase if is_http else PROBLEM_TYPES[reason].title,
        detail=shorten(detail, MAX_MESSAGE_BYTES),
        reason=reason,
        field=shorten(field, MAX_MESSAGE_BYTES),
    )
    headers = {"WWW-Authenticate": "Bearer"} if status == 401 else {}
    if status in _LATER:
        headers["Retry-After"] = str(RETRY_DELAY_S)
    return JSONResponse(
        content.model_dump(), status, headers, media_type="application/problem+json"
    )


def render_docs(document: Mapping[str, Any]) -> str:
    """Renders the OpenAPI document and the problem types as a page without scripts."""
    return "\n".join(
        [
            "<!doctype html><html lang=en><meta charset=utf-8><title>bestshot JSON API</title>",
            "<style>body{font:16px/1.5 sans-serif;max-width:60em;margin:2em auto;padding:0 1em}"
            "code{background:#eee;padding:.1em .3em}dt{margin-top:1em}</style>",
            f"<h1>bestshot JSON API</h1><p>{html.escape(str(document['info']['description']))}</p>",
            f"<p>For programs: <a href='{PREFIX}/openapi.json'>openapi.json</a>, with the "
            "parameters and bodies of every call.</p>",
            "<h2>Calls</h2><dl>",
            *_render_calls(document),
            "</dl><h2>Problems</h2><p>An error is a problem document (RFC 9457). Its "
            "<code>type</code> links to an entry below, and <code>reason</code> is its name.</p>"
            "<dl>",
            *(
                f"<dt id='{reason}'><code>{reason}</code> {found.title}<dd>{_code(found.advice)}"
                for reason, found in PROBLEM_TYPES.items()
            ),
            "</dl></html>",
        ]
    )


def _render_calls(document: Mapping[str, Any]) -> Iterator[str]:
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            words = operation.get("description") or operation.get("summary", "")
            names = [one["name"] for one in operation.get("parameters", ()) if one["in"] == "query"]
            query = f" Parameters: {', '.join(names)}." if names else ""
            line = html.escape(f"{words}{query}")
            yield f"<dt><code>{method.upper()} {html.escape(path)}</code><dd>{line}"


def _code(text: str) -> str:
    parts = html.escape(text).split("`")
    return "".join(f"<code>{part}</code>" if n % 2 else part for n, part in enumerate(parts))
