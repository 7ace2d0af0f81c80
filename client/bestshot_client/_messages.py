"""Requests, results and errors that both clients share. Nothing here blocks."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, TypeVar

import grpc
from bestshot.embedding.v1 import embedding_pb2
from bestshot.face.v1 import face_pb2
from bestshot.image.v1 import image_pb2
from bestshot.orchestrator.v1 import orchestrator_pb2
from bestshot.quality.v1 import quality_pb2
from bestshot.siamese.v1 import siamese_pb2

from bestshot_client._errors import BestshotError, ImageError, image_error

Picture = bytes | str | Path
"""A complete image file, or its path."""
Embedding = tuple[float, ...]
"""Unit vector."""
ResultT = TypeVar("ResultT")

BATCH_COUNT = 16
BATCH_BYTES = 32 * 2**20
UPLOAD_CHUNK_BYTES = 2**20
PAGE_SIZE = 200


def new_album(
    folder: Path | str | Sequence[Path | str], display_name: str
) -> orchestrator_pb2.CreateAlbumRequest:
    """Builds the request for an album of one or more folders."""
    request = orchestrator_pb2.CreateAlbumRequest(display_name=display_name)
    if isinstance(folder, Path | str):
        request.folder = str(folder)
    else:
        request.folders.extend(map(str, folder))
    return request


def batches(request: Callable[..., Any], pictures: Sequence[Picture]) -> Iterator[Any]:
    """Yields requests that fit into a message; reads the pictures one after the other.

    Raises:
        OSError: A file cannot be read.
    """
    batch: list[image_pb2.Image] = []
    size = 0
    for picture in pictures:
        content = _content(picture)
        if batch and (len(batch) == BATCH_COUNT or size + len(content) > BATCH_BYTES):
            yield request(images=batch)
            batch, size = [], 0
        batch.append(image_pb2.Image(encoded=content))
        size += len(content)
    if batch:
        yield request(images=batch)


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
    return [image_error(item.error) if item.HasField("error") else read(item) for item in items]


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
    album_id: str, profile: str, settings: Mapping[str, Any] | None, reference_run_id: str | None
) -> orchestrator_pb2.StartRunRequest:
    """Builds the request for a run."""
    request = orchestrator_pb2.StartRunRequest(
        album_id=album_id, profile=profile, reference_run_id=reference_run_id
    )
    request.config_overrides.update(settings or {})
    return request


def reselection(
    run_id: str, settings: Mapping[str, Any], *, validate_only: bool
) -> orchestrator_pb2.ReselectRequest:
    """Builds the request for selecting again."""
    request = orchestrator_pb2.ReselectRequest(run_id=run_id, validate_only=validate_only)
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


def _content(picture: Picture) -> bytes:
    return picture if isinstance(picture, bytes) else Path(picture).read_bytes()


class FileDownload:
    """Writes a file beside its target, and moves it there once it is complete.

    Args:
        target: The file, or a folder for a file with the server's name.
    """

    def __init__(self, target: Path | str) -> None:
        self._target = Path(target)
        self._partial: IO[bytes] | None = None
        self._filename = ""

    def write(self, message: orchestrator_pb2.DownloadRunResponse) -> None:
        """Writes one message of the download.

        Raises:
            OSError: The file cannot be written.
        """
        self._filename = self._filename or Path(message.filename).name
        if self._partial is None:
            folder = self._target if self._target.is_dir() else self._target.parent
            self._partial = tempfile.NamedTemporaryFile(  # noqa: SIM115
                dir=folder, prefix=".bestshot-", suffix=".part", delete=False
            )
        self._partial.write(message.chunk)

    def finish(self) -> Path:
        """Moves the complete file to its place, which it returns."""
        assert self._partial is not None
        is_folder = self._target.is_dir()
        target = self._target / (self._filename or "download") if is_folder else self._target
        self._partial.flush()
        os.fsync(self._partial.fileno())
        self._partial.close()
        os.chmod(self._partial.name, 0o666 & ~_umask())  # temporary files are private
        os.replace(self._partial.name, target)
        self._partial = None
        return target

    def discard(self) -> None:
        """Removes an incomplete file."""
        if self._partial is not None:
            self._partial.close()
            Path(self._partial.name).unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
