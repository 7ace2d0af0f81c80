"""Requests that are not valid."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast
from uuid import uuid4

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from ui.client import Orchestrator
from ui.http_errors import refuse_invalid_requests
from ui.people.routes import people_router


@pytest.mark.parametrize(
    "values",
    [
        '"action": NaN',
        '"action": "\\ud800"',
        '"action": "name", "name": "\\ud800"',
        '"action": "not_face", "faces": [{"digest": "", "box": [NaN]}]',
    ],
)
def test_an_invalid_request_is_the_callers_mistake(values: str) -> None:
    server = FastAPI()
    refuse_invalid_requests(server)
    server.include_router(people_router(cast(Orchestrator, SimpleNamespace(user=""))))
    body = f'{{"request_id": "{uuid4()}", {values}}}'
    answer = TestClient(server).post("/people/corrections", content=body)
    assert answer.status_code == 400
    assert isinstance(answer.json()["detail"], str)
