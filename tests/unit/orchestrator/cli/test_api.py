"""What a command says about runs that it cannot find."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from bestshot.orchestrator.v1 import orchestrator_pb2 as pb

from orchestrator.cli.api import Api
from services.common.errors import FailedPreconditionError


class NoRuns:
    """An orchestrator without runs."""

    async def call(self, request: Any) -> Any:
        assert isinstance(request, pb.ListRunsRequest)
        return pb.ListRunsResponse()

    async def stream(self, request: Any) -> AsyncIterator[Any]:
        raise NotImplementedError
        yield

    async def close(self) -> None:
        pass


def test_without_runs_the_newest_one_is_not_called_a_missing_run() -> None:
    with asyncio.Runner() as runner:
        api = Api(runner, NoRuns(), is_served=True)
        with pytest.raises(FailedPreconditionError, match="there are no runs yet"):
            api.find_run("latest")
