"""The client for asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any

import grpc
from bestshot.embedding.v1 import embedding_pb2, embedding_pb2_grpc
from bestshot.face.v1 import face_pb2, face_pb2_grpc
from bestshot.orchestrator.v1 import orchestrator_pb2 as pb
from bestshot.orchestrator.v1 import orchestrator_pb2_grpc
from bestshot.quality.v1 import quality_pb2, quality_pb2_grpc
from bestshot.siamese.v1 import siamese_pb2_grpc

from bestshot_client import _messages
from bestshot_client._channels import Addresses, Role, Security, channel_options
from bestshot_client._messages import Embedding, ImageError, Picture

CALL_TIMEOUT_S = 120.0
TRANSFER_TIMEOUT_S = 3600.0


class AsyncClient:
    """Calls the model services and the orchestrator; use it in `async with`, or `close` it.

    Every method raises BestshotError if a call fails, OSError if a file cannot be read, and
    ValueError if it needs a part whose address is not set or would send the token unencrypted.

    Args:
        addresses: Addresses of the parts.
        security: Token and certificates.
        timeout_s: Deadline of a call.
    """

    def __init__(
        self,
        addresses: Addresses | None = None,
        security: Security | None = None,
        *,
        timeout_s: float = CALL_TIMEOUT_S,
    ) -> None:
        self._addresses = addresses or Addresses()
        self._security = security or Security()
        self._credentials = self._security.credentials()
        self._metadata = self._security.metadata()
        self._timeout_s = timeout_s
        self._channels: dict[Role, grpc.aio.Channel] = {}

    async def __aenter__(self) -> AsyncClient:
        """Returns the client."""
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Closes the client."""
        await self.close()

    async def close(self) -> None:
        """Closes its channels."""
        for channel in self._channels.values():
            await channel.close()
        self._channels.clear()

    async def embed(self, pictures: Sequence[Picture]) -> list[Embedding | ImageError]:
        """Embeds pictures; returns, in order, a unit vector or an error for each."""
        stub = embedding_pb2_grpc.EmbeddingServiceStub(self._channel("embedding"))
        found: list[Embedding | ImageError] = []
        for images in _messages.batches(pictures):
            answer = await self._call(stub.Embed, embedding_pb2.EmbedRequest(images=images))
            found += _messages.results(answer.results, _messages.embedding)
        return found

    async def score(
        self, pictures: Sequence[Picture]
    ) -> list[quality_pb2.QualityScores | ImageError]:
        """Scores pictures; returns, in order, all quality scores or an error for each."""
        stub = quality_pb2_grpc.QualityServiceStub(self._channel("quality"))
        found: list[quality_pb2.QualityScores | ImageError] = []
        for images in _messages.batches(pictures):
            answer = await self._call(stub.Score, quality_pb2.ScoreRequest(images=images))
            found += _messages.results(answer.results, _messages.scores)
        return found

    async def analyze(self, pictures: Sequence[Picture]) -> list[list[face_pb2.Face] | ImageError]:
        """Finds faces; returns, in order, the faces (largest first) or an error for each."""
        stub = face_pb2_grpc.FaceServiceStub(self._channel("face"))
        found: list[list[face_pb2.Face] | ImageError] = []
        for images in _messages.batches(pictures):
            answer = await self._call(stub.Analyze, face_pb2.AnalyzeRequest(images=images))
            found += _messages.results(answer.results, _messages.faces)
        return found

    async def compare(self, pairs: Sequence[tuple[Picture, Picture]]) -> list[float | ImageError]:
        """Compares pairs; returns, in order, the probability that the first is the better photo."""
        stub = siamese_pb2_grpc.SiameseServiceStub(self._channel("siamese"))
        found: list[float | ImageError] = []
        for request in _messages.comparisons(pairs):
            answer = await self._call(stub.Compare, request)
            found += _messages.results(answer.results, _messages.probability)
        return found

    async def curate(
        self,
        folder: Path | str | Sequence[Path | str],
        *,
        profile: str = "",
        settings: Mapping[str, Any] | None = None,
        on_progress: Callable[[pb.Run], None] | None = None,
    ) -> pb.Run:
        """Curates a folder on the orchestrator's host; `photos` then returns the results.

        Args:
            folder: One or more absolute paths below the orchestrator's allowed roots. Of identical
                photos, the one in the earlier folder is preferred.
            profile: One of the orchestrator's profiles; empty = its default.
            settings: Settings to override, nested like configs/pipeline.yaml.
            on_progress: Called with the run after every change.

        Returns:
            The completed run.

        Raises:
            BestshotError: The run failed or was cancelled.
        """
        answer = await self._call(self._orchestrator().CreateAlbum, _messages.new_album(folder))
        return await self.run(
            answer.album.id, profile=profile, settings=settings, on_progress=on_progress
        )

    async def upload(self, display_name: str, files: Sequence[Path | str]) -> pb.Album:
        """Uploads local files as an album that the orchestrator stores; `run` then curates it."""
        header = pb.UploadHeader(display_name=display_name)

        def send(timeout: float, metadata: Any) -> Any:  # noqa: ANN401
            call = self._orchestrator().UploadAlbum
            return call(_messages.upload(header, files), timeout=timeout, metadata=metadata)

        answer = await self._repeat(send, header, TRANSFER_TIMEOUT_S)
        album: pb.Album = answer.album
        return album

    async def run(
        self,
        album_id: str,
        *,
        profile: str = "",
        settings: Mapping[str, Any] | None = None,
        on_progress: Callable[[pb.Run], None] | None = None,
    ) -> pb.Run:
        """Curates an album; arguments, result and errors as for `curate`."""
        stub = self._orchestrator()
        request = _messages.run_request(album_id, profile, settings or {})
        run: pb.Run = (await self._call(stub.StartRun, request)).run
        watching = _messages.Watching()
        while not _messages.has_ended(run):
            watched = stub.WatchRun(pb.WatchRunRequest(run_id=run.id), metadata=self._metadata)
            try:
                async for snapshot in watched:
                    run = snapshot.run
                    watching.note_answer()
                    if on_progress is not None:
                        on_progress(run)
            except grpc.RpcError as error:
                await asyncio.sleep(watching.pause_after(error))
        return _messages.check_completed(run)

    async def photos(
        self, run_id: str, *, selected_only: bool = False
    ) -> AsyncIterator[pb.ImageResult]:
        """Yields the photos in a run, ordered by path, each with all its results."""
        token = ""
        while True:
            request = _messages.images_request(run_id, token, selected_only=selected_only)
            answer = await self._call(self._orchestrator().ListImages, request)
            for image in answer.images:
                yield image
            token = answer.next_page_token
            if not token:
                return

    async def download(self, run_id: str, file_format: pb.DownloadFormat) -> bytes:
        """Downloads a run's results: CSV, JSON, Parquet, XMP sidecars or the selected photos."""
        request = pb.DownloadRunRequest(run_id=run_id, format=file_format)
        content = bytearray()
        try:
            pieces = self._orchestrator().DownloadRun(
                request, timeout=TRANSFER_TIMEOUT_S, metadata=self._metadata
            )
            async for piece in pieces:
                content += piece.chunk
        except grpc.RpcError as error:
            raise _messages.error_of(error) from error
        return bytes(content)

    def _orchestrator(self) -> orchestrator_pb2_grpc.OrchestratorServiceStub:
        return orchestrator_pb2_grpc.OrchestratorServiceStub(self._channel("orchestrator"))

    def _channel(self, role: Role) -> grpc.aio.Channel:
        if role not in self._channels:
            address, options = self._addresses.of(role), channel_options(role)
            self._security.check(address)
            self._channels[role] = (
                grpc.aio.insecure_channel(address, options)
                if self._credentials is None
                else grpc.aio.secure_channel(address, self._credentials, options)
            )
        return self._channels[role]

    async def _call(self, method: Any, request: Any) -> Any:  # noqa: ANN401
        return await self._repeat(partial(method, request), request, self._timeout_s)

    async def _repeat(self, call: Any, request: Any, timeout_s: float) -> Any:  # noqa: ANN401
        """Makes a call, and retries it if there is no answer and `request` has a request_id."""
        is_repeatable, attempt = _messages.is_repeatable(request), 1
        while True:
            try:
                return await call(timeout=timeout_s, metadata=self._metadata)
            except grpc.RpcError as error:
                pause = _messages.pause_after(error, attempt) if is_repeatable else None
                if pause is None:
                    raise _messages.error_of(error) from error
            await asyncio.sleep(pause)
            attempt += 1
