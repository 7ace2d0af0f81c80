"""Requests, results and errors that both clients share. Nothing here blocks."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import grpc
from bestshot.embedding.v1 import embedding_pb2
from bestshot.face.v1 import face_pb2
from bestshot.image.v1 import image_pb2
from bestshot.orchestrator.v1 import orchestrator_pb2
from bestshot.quality.v1 import quality_pb2
from bestshot.siamese.v1 import siamese_pb2

from bestshot_client._channels import MAX_ATTEMPTS

Picture = bytes | str | Path
"""A complete image file, or its path."""
Embedding = tuple[float, ...]
"""Unit vector."""
ResultT = TypeVar("ResultT")

BATCH_COUNT = 16
BATCH_BYTES = 32 * 2**20
UPLOAD_CHUNK_BYTES = 2**20
PAGE_SIZE = 200
REWATCH_S = 60.0
"""How long to wait for an unreachable orchestrator: another one takes over within 15 s."""
REWATCH_PAUSE_S = 0.5


class BestshotError(Exception):
    """A failed call or run.

    Attributes:
        code: gRPC status code.
        message: What happened, as a sentence.
    """

    def __init__(self, code: grpc.StatusCode, message: str) -> None:
        super().__init__(f"{code.name}: {message}")
        self.code = code
        self.message = message


class ImageError(Exception):
    """A picture could not be read or analysed; the other pictures in the call are not affected.

    Attributes:
        message: Why, as a sentence.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


def new_album(folder: Path | str | Sequence[Path | str]) -> orchestrator_pb2.CreateAlbumRequest:
    """Builds the request for an album of one or more folders."""
    if isinstance(folder, Path | str):
        return orchestrator_pb2.CreateAlbumRequest(folder=str(folder))
    return orchestrator_pb2.CreateAlbumRequest(folders=map(str, folder))


def error_of(error: grpc.RpcError) -> BestshotError:
    """Translates a failed call."""
    return BestshotError(error.code(), error.details() or error.code().name)


def is_repeatable(request: Any) -> bool:  # noqa: ANN401
    """Whether a mutating request may be repeated; fills in its `request_id` if it has one."""
    if not hasattr(request, "request_id"):
        return False
    request.request_id = request.request_id or str(uuid.uuid4())
    return True


def pause_after(error: grpc.RpcError, attempt: int) -> float | None:
    """Returns the seconds to wait before repeating a request; None if it must not be repeated.

    Args:
        error: The error that the call raised.
        attempt: Number of the attempt that failed, from 1.
    """
    if error.code() is not grpc.StatusCode.UNAVAILABLE or attempt >= MAX_ATTEMPTS:
        return None
    return float(min(1.0, 0.1 * 2 ** (attempt - 1)))


def batches(pictures: Sequence[Picture]) -> Iterator[list[image_pb2.Image]]:
    """Reads pictures in chunks that fit into one call.

    Raises:
        OSError: A file cannot be read.
    """
    batch: list[image_pb2.Image] = []
    size = 0
    for picture in pictures:
        content = _content(picture)
        if batch and (len(batch) == BATCH_COUNT or size + len(content) > BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(image_pb2.Image(encoded=content))
        size += len(content)
    if batch:
        yield batch


def comparisons(pairs: Sequence[tuple[Picture, Picture]]) -> Iterator[siamese_pb2.CompareRequest]:
    """Builds requests for pairs; each picture is sent once per request.

    Raises:
        OSError: A file cannot be read.
    """
    request, known, size = siamese_pb2.CompareRequest(), dict[Picture, int](), 0
    for pair in pairs:
        contents = {picture: _content(picture) for picture in pair if picture not in known}
        size += sum(map(len, contents.values()))
        if request.pairs and (len(known) + 2 > BATCH_COUNT or size > BATCH_BYTES):
            yield request
            request, known = siamese_pb2.CompareRequest(), {}
            contents = {picture: _content(picture) for picture in pair}
            size = sum(map(len, contents.values()))
        for picture, content in contents.items():
            known[picture] = len(known)
            request.images.append(image_pb2.Image(encoded=content))
        request.pairs.append(siamese_pb2.Pair(first=known[pair[0]], second=known[pair[1]]))
    if request.pairs:
        yield request


def results(items: Sequence[Any], read: Callable[[Any], ResultT]) -> list[ResultT | ImageError]:
    """Returns each item's result or error."""
    return [
        ImageError(item.error.message) if item.HasField("error") else read(item) for item in items
    ]


def embedding(item: embedding_pb2.EmbedResult) -> Embedding:
    """Reads a vector."""
    return tuple(item.embedding.values)


def scores(item: quality_pb2.ScoreResult) -> quality_pb2.QualityScores:
    """Reads scores."""
    return item.scores


def faces(item: face_pb2.AnalyzeResult) -> list[face_pb2.Face]:
    """Reads faces."""
    return list(item.faces.faces)


def probability(item: siamese_pb2.CompareResult) -> float:
    """Reads the probability that the first picture is the better one."""
    return item.comparison.first_better_probability


def run_request(
    album_id: str, profile: str, settings: Mapping[str, Any]
) -> orchestrator_pb2.StartRunRequest:
    """Builds the request for a run."""
    request = orchestrator_pb2.StartRunRequest(album_id=album_id, profile=profile)
    request.config_overrides.update(settings)
    return request


def check_completed(run: orchestrator_pb2.Run) -> orchestrator_pb2.Run:
    """Returns the run if it is completed; raises BestshotError otherwise."""
    if run.state != orchestrator_pb2.RUN_STATE_COMPLETED:
        state = orchestrator_pb2.RunState.Name(run.state).removeprefix("RUN_STATE_").lower()
        raise BestshotError(
            grpc.StatusCode.ABORTED, f"run {run.id} is {state}: {run.error or 'it has no results'}"
        )
    return run


def has_ended(run: orchestrator_pb2.Run) -> bool:
    """Whether the run is in a terminal state."""
    active = (orchestrator_pb2.RUN_STATE_PENDING, orchestrator_pb2.RUN_STATE_RUNNING)
    return run.state not in active


class Watching:
    """Decides how long to keep resuming a broken watch, because orchestrators may be replaced."""

    def __init__(self) -> None:
        self._last = time.monotonic()

    def note_answer(self) -> None:
        """Records that the orchestrator has answered."""
        self._last = time.monotonic()

    def pause_after(self, error: grpc.RpcError) -> float:
        """Returns the seconds to wait before the next try; raises BestshotError to give up."""
        is_passing = error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)
        if not is_passing or time.monotonic() - self._last > REWATCH_S:
            raise error_of(error) from error
        return REWATCH_PAUSE_S


def upload(
    header: orchestrator_pb2.UploadHeader, files: Sequence[Path | str]
) -> Iterator[orchestrator_pb2.UploadAlbumRequest]:
    """Yields the messages of an upload: the header, then each file in chunks."""
    request = orchestrator_pb2.UploadAlbumRequest
    yield request(header=header)
    for file in map(Path, files):
        yield request(filename=file.name)
        with file.open("rb") as opened:
            while chunk := opened.read(UPLOAD_CHUNK_BYTES):
                yield request(chunk=chunk)


def images_request(
    run_id: str, page_token: str, *, selected_only: bool
) -> orchestrator_pb2.ListImagesRequest:
    """Builds the request for a page of photos."""
    return orchestrator_pb2.ListImagesRequest(
        run_id=run_id, page_size=PAGE_SIZE, page_token=page_token, selected_only=selected_only
    )


def _content(picture: Picture) -> bytes:
    return picture if isinstance(picture, bytes) else Path(picture).read_bytes()
