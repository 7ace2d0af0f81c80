"""The orchestrator's API, as used by the views."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
from bestshot.orchestrator.v1 import orchestrator_pb2 as pb
from bestshot.orchestrator.v1 import orchestrator_pb2_grpc

from services.common.rpc.channels import (
    ClientOptions,
    call_metadata,
    call_once,
    open_channel,
    service_name,
)
from services.common.rpc.status import from_rpc_error

PAGE_SIZE = 1000
STATUS_DETAILS_KEY = "grpc-status-details-bin"
"""Metadata key of every error that our own parts report; a failed connection has none."""
TRANSFER_TIMEOUT_S = 3600.0


class OrchestratorError(Exception):
    """A failed call.

    Attributes:
        message: What happened, for the user.
        advice: What to do about it; may be empty.
        code: gRPC status code.
    """

    def __init__(self, message: str, advice: str, code: grpc.StatusCode) -> None:
        super().__init__(message)
        self.message = message
        self.advice = advice
        self.code = code


class Orchestrator:
    """Calls the orchestrator; every failure is an OrchestratorError.

    Args:
        address: Address of the orchestrator.
        timeout_s: Deadline of a call.
        options: Options of its channel.
        user: Who uses this UI, for the decision log; empty = unknown.
    """

    def __init__(
        self, address: str, timeout_s: float, options: ClientOptions, user: str = ""
    ) -> None:
        self.user = user
        self._channel = open_channel(address, service_name("orchestrator"), options)
        self._options = options
        self.stub = orchestrator_pb2_grpc.OrchestratorServiceStub(self._channel)
        self._address = address
        self._timeout_s = timeout_s

    async def call(self, method: Callable[..., Any], request: Any) -> Any:  # noqa: ANN401
        """Calls a method of `stub` with a single response."""
        timeout = TRANSFER_TIMEOUT_S if method is self.stub.UploadAlbum else self._timeout_s
        try:
            return await call_once(method, request, timeout, self._options)
        except grpc.aio.AioRpcError as error:
            raise self._translate_error(error) from error

    async def stream(self, request: pb.DownloadRunRequest) -> AsyncIterator[pb.DownloadRunResponse]:
        """Downloads a run's results piece by piece."""
        async for piece in self._stream(self.stub.DownloadRun, request, TRANSFER_TIMEOUT_S):
            yield piece

    async def watch_decisions(
        self, request: pb.WatchDecisionsRequest
    ) -> AsyncIterator[pb.WatchDecisionsResponse]:
        """Yields additions to an album's log until the orchestrator goes away."""
        async for addition in self._stream(self.stub.WatchDecisions, request, None):
            yield addition

    async def _stream(
        self,
        method: Callable[..., Any],
        request: Any,  # noqa: ANN401
        timeout_s: float | None,
    ) -> AsyncIterator[Any]:
        call = method(request, timeout=timeout_s, metadata=call_metadata(self._options))
        try:
            async for message in call:
                yield message
        except grpc.aio.AioRpcError as error:
            raise self._translate_error(error) from error
        finally:
            call.cancel()  # does nothing to a call that has ended

    async def albums(self) -> list[pb.Album]:
        """Returns all albums, oldest first."""
        found: list[pb.Album] = []
        token = ""
        while True:
            request = pb.ListAlbumsRequest(page_size=PAGE_SIZE, page_token=token)
            answer = await self.call(self.stub.ListAlbums, request)
            found += answer.albums
            token = answer.next_page_token
            if not token:
                return found

    async def runs(self, album_id: str = "", count: int = 50) -> list[pb.Run]:
        """Returns the newest runs of an album, or of all albums."""
        request = pb.ListRunsRequest(album_id=album_id, page_size=count)
        return list((await self.call(self.stub.ListRuns, request)).runs)

    async def run(self, run_id: str) -> pb.Run:
        """Returns one run, with all fields."""
        answer: pb.GetRunResponse = await self.call(
            self.stub.GetRun, pb.GetRunRequest(run_id=run_id)
        )
        return answer.run

    async def image(self, run_id: str, path: str) -> pb.ImageResult:
        """Returns one photo in a run."""
        request = pb.GetImageRequest(run_id=run_id, path=path)
        answer: pb.GetImageResponse = await self.call(self.stub.GetImage, request)
        return answer.image

    async def models(self) -> list[pb.ServedModel]:
        """Returns the state of every model service."""
        return list((await self.call(self.stub.ListModels, pb.ListModelsRequest())).models)

    async def settings(self, profile: str = "") -> pb.DescribeSettingsResponse:
        """Returns the settings of a profile."""
        request = pb.DescribeSettingsRequest(profile=profile)
        answer: pb.DescribeSettingsResponse = await self.call(self.stub.DescribeSettings, request)
        return answer

    async def aclose(self) -> None:
        """Closes the channel."""
        await self._channel.close()

    def _translate_error(self, error: grpc.aio.AioRpcError) -> OrchestratorError:
        code, details = error.code(), error.details() or ""
        if code is grpc.StatusCode.UNAVAILABLE and not _is_answer(error):
            return OrchestratorError(
                f"The orchestrator at {self._address} is not responding.",
                "Start it with `bestshot up`, or set ui.orchestrator_address in services.yaml to "
                "its address. This page reconnects when it is back.",
                code,
            )
        if code is grpc.StatusCode.DEADLINE_EXCEEDED:
            return OrchestratorError(
                f"The orchestrator did not answer within {self._timeout_s:.0f} seconds.",
                "Try again. If it keeps happening, check the orchestrator's log.",
                code,
            )
        if code is grpc.StatusCode.INVALID_ARGUMENT:
            details = from_rpc_error(error, self._address).sentence
        return OrchestratorError(details[:1].upper() + details[1:], "", code)


def _is_answer(error: grpc.aio.AioRpcError) -> bool:
    """Whether the orchestrator itself reported the error; if not, it could not be reached."""
    return any(key == STATUS_DETAILS_KEY for key, _ in error.trailing_metadata() or ())
