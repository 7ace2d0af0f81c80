"""The orchestrator's API for commands: a running server, or an orchestrator in this process."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any, Protocol

import grpc
from bestshot.orchestrator.v1 import orchestrator_pb2 as pb
from bestshot.orchestrator.v1 import orchestrator_pb2_grpc
from google.protobuf.message import Message
from prometheus_client import CollectorRegistry
from sqlalchemy import Engine

from orchestrator.cli.options import LATEST, check_places
from orchestrator.config import OrchestratorSettings, PipelineConfig
from orchestrator.data_folder import DATABASE_NAME, data_folder
from orchestrator.domain.decisions import DecisionEntry
from orchestrator.export.download import DownloadFormat
from orchestrator.records import Album, ImageRecord, Run
from orchestrator.review.run_diff import RunDiff
from orchestrator.storage.database import open_database, open_postgresql
from orchestrator.transport import values
from orchestrator.transport.build import Orchestrator, build_orchestrator
from orchestrator.transport.converters import entry_value, overrides_value
from services.common.config.folders import config_dir, default_profile
from services.common.config.layers import merge, tree_of
from services.common.config.sections import SharedSettings, load_section
from services.common.errors import ConfigError, FailedPreconditionError, NotFoundError
from services.common.rpc.bounds import check_message
from services.common.rpc.channels import (
    ClientOptions,
    call_metadata,
    call_once,
    client_options,
    open_channel,
    service_name,
)
from services.common.rpc.status import from_rpc_error
from services.common.temporary import temporary_file

CALL_TIMEOUT_S = 60.0
LONG_TIMEOUT_S = 3600.0
"""Timeout of calls that compute or send files."""
PAGE_SIZE = 1000
ID_LENGTH = 32
_LONG_CALLS = (
    pb.TuneRunRequest,
    pb.EvaluateRunRequest,
    pb.DiffRunsRequest,
    pb.CorrectPeopleRequest,
    pb.UndoPeopleCorrectionRequest,
    pb.ErasePeopleRequest,
)


class Calls(Protocol):
    """Calls methods of the API; every failure is a BestshotError."""

    async def call(self, request: Message) -> Any:  # noqa: ANN401
        """Calls a method that returns one answer."""
        ...

    def stream(self, request: Message) -> AsyncIterator[Any]:
        """Calls a method that streams its answers."""
        ...

    async def close(self) -> None:
        """Releases all resources."""
        ...


class ServedCalls:
    """Calls an orchestrator over gRPC."""

    def __init__(self, address: str, options: ClientOptions) -> None:
        self._options = options
        self._channel = open_channel(address, service_name("orchestrator"), options)
        self._stub = orchestrator_pb2_grpc.OrchestratorServiceStub(self._channel)
        self._target = f"the orchestrator at {address}"

    async def call(self, request: Message) -> Any:  # noqa: ANN401
        """Calls a method that returns one answer."""
        timeout_s = LONG_TIMEOUT_S if isinstance(request, _LONG_CALLS) else CALL_TIMEOUT_S
        try:
            return await call_once(
                getattr(self._stub, _method(request)), request, timeout_s, self._options
            )
        except grpc.RpcError as error:
            raise from_rpc_error(error, self._target) from error

    async def stream(self, request: Message) -> AsyncIterator[Any]:
        """Calls a method that streams its answers."""
        method = getattr(self._stub, _method(request))
        try:
            async for answer in method(
                request, timeout=LONG_TIMEOUT_S, metadata=call_metadata(self._options)
            ):
                yield answer
        except grpc.RpcError as error:
            raise from_rpc_error(error, self._target) from error

    async def close(self) -> None:
        """Closes the channel."""
        await self._channel.close()


class LocalCalls:
    """Calls an orchestrator in this process, which does not execute runs."""

    def __init__(self, orchestrator: Orchestrator, engine: Engine) -> None:
        self._orchestrator = orchestrator
        self._engine = engine

    async def call(self, request: Message) -> Any:  # noqa: ANN401
        """Calls a method that returns one answer."""
        check_message(request)
        return await getattr(self._orchestrator.servicer, _method(request))(request, None)

    async def stream(self, request: Message) -> AsyncIterator[Any]:
        """Calls a method that streams its answers."""
        check_message(request)
        async for answer in getattr(self._orchestrator.servicer, _method(request))(request, None):
            yield answer

    async def close(self) -> None:
        """Closes the database and the channels to the model services."""
        for caller in self._orchestrator.callers:
            await caller.close()
        self._engine.dispose()


class Api:
    """The API for commands, which have no event loop.

    Attributes:
        is_served: Whether the orchestrator and its photos may be on another machine.
    """

    def __init__(self, runner: asyncio.Runner, calls: Calls, *, is_served: bool) -> None:
        self.is_served = is_served
        self._runner = runner
        self._calls = calls

    def call(self, request: Message) -> Any:  # noqa: ANN401
        """Calls the request's method and returns its response."""
        return self._runner.run(self._calls.call(request))

    def stream(self, request: Message) -> Iterator[Any]:
        """Calls the request's method and yields its responses."""
        answers = aiter(self._calls.stream(request))
        while (answer := self._runner.run(_next(answers))) is not None:
            yield answer

    def albums(self) -> list[Album]:
        """Returns all albums, oldest first."""
        return [
            values.album_value(album)
            for page in self._pages(pb.ListAlbumsRequest)
            for album in page.albums
        ]

    def album(self, album_id: str) -> Album:
        """Returns one album."""
        return values.album_value(self.call(pb.GetAlbumRequest(album_id=album_id)).album)

    def album_folders(self) -> list[Path]:
        """Returns the folders of all albums, to which no command may write."""
        return [Path(folder) for album in self.albums() for folder in album.folders]

    def runs(self) -> Iterator[Run]:
        """Yields the runs, newest first, without config, models and decisions."""
        for page in self._pages(pb.ListRunsRequest):
            yield from map(values.run_value, page.runs)

    def run(self, run_id: str) -> Run:
        """Returns one run with all fields."""
        return values.run_value(self.call(pb.GetRunRequest(run_id=run_id)).run)

    def find_run(self, prefix: str) -> Run:
        """Finds a run by the start of its id, or the newest run.

        Raises:
            NotFoundError: There is no such run.
            FailedPreconditionError: There are no runs at all.
            ConfigError: Several ids start with `prefix`.
        """
        if prefix == LATEST:
            newest = self.call(pb.ListRunsRequest(page_size=1)).runs
            if not newest:
                raise FailedPreconditionError("there are no runs yet")
            return self.run(newest[0].id)
        if len(prefix) == ID_LENGTH:
            return self.run(prefix)
        found = [run.id for run in self.runs() if run.id.startswith(prefix)]
        if len(found) > 1:
            raise ConfigError(f"{prefix!r} is ambiguous ({len(found)} runs); use a longer id")
        return self.run(found[0] if found else prefix)

    def find_album(self, folder: str) -> Album:
        """Finds the album of a folder, or the album of the newest run.

        Raises:
            NotFoundError: There is no such album.
            ConfigError: The folder is in several albums, and each of them has other folders too.
        """
        if folder == LATEST:
            return self.album(self.find_run(LATEST).album_id)
        named = {folder, str(Path(folder).resolve())}
        found = [album for album in self.albums() if named.intersection(album.folders)]
        alone = [album for album in found if not album.more_folders]
        if not found:
            raise NotFoundError("album", folder)
        if len(found) > 1 and not alone:
            raise ConfigError(
                f"{folder} is ambiguous: it is in {len(found)} albums with several folders"
            )
        return (alone or found)[0]

    def images(self, run_id: str, search: str = "") -> list[ImageRecord]:
        """Returns a run's photos whose path or reason contains `search`, ordered by path."""
        return [
            values.image_value(image)
            for page in self._pages(pb.ListImagesRequest, run_id=run_id, search=search)
            for image in page.images
        ]

    def find_photo(self, run: Run, name: str) -> str:
        """Finds a photo in a run by its path or, if that is unique, by its file name.

        Raises:
            NotFoundError: There is no such photo.
            ConfigError: Several photos have that file name.
        """
        paths = [record.path for record in self.images(run.id, search=name)]
        if name in paths:
            return name
        same = [path for path in paths if path.rpartition("/")[2] == name]
        if len(same) > 1:
            raise ConfigError(f"{name!r} is ambiguous ({len(same)} photos): {', '.join(same)}")
        if not same:
            raise NotFoundError("photo", name)
        return same[0]

    def diff(self, run_id: str, other_run_id: str) -> RunDiff:
        """Compares two runs."""
        pages = list(self._pages(pb.DiffRunsRequest, run_id=run_id, other_run_id=other_run_id))
        changes = [change for page in pages for change in page.photo_changes]
        return values.diff_value(pages[0], changes)

    def explain(self, run_id: str, path: str) -> pb.ExplainImageResponse:
        """Explains a photo's result."""
        request = pb.ExplainImageRequest(run_id=run_id, path=path)
        answer: pb.ExplainImageResponse = self.call(request)
        return answer

    def evaluate(self, run_id: str) -> pb.EvaluateRunResponse:
        """Compares the algorithm's choices with the user's decisions."""
        answer: pb.EvaluateRunResponse = self.call(pb.EvaluateRunRequest(run_id=run_id))
        return answer

    def tune(self, run_id: str) -> pb.TuneRunResponse:
        """Proposes settings that fit the user's decisions better."""
        answer: pb.TuneRunResponse = self.call(pb.TuneRunRequest(run_id=run_id))
        return answer

    def count_pairs(self, run_id: str) -> pb.ListPairsResponse:
        """Returns how many pairs are answered and how many are left, with the first one left."""
        answer: pb.ListPairsResponse = self.call(pb.ListPairsRequest(run_id=run_id, page_size=1))
        return answer

    def learn(self, run_id: str) -> pb.ProposeWeightsResponse:
        """Proposes weights that predict more of the user's answers about pairs."""
        answer: pb.ProposeWeightsResponse = self.call(pb.ProposeWeightsRequest(run_id=run_id))
        return answer

    def keep_weights(self, run: Run, learned: pb.ProposeWeightsResponse, name: str) -> None:
        """Stores proposed weights as a profile that is based on the run's profile."""
        request = pb.KeepProfileRequest(
            name=name, base_profile=run.profile, description=learned.profile_description
        )
        settings = learned.proposed_settings
        request.config_overrides.update(
            merge(tree_of(setting.key.split("."), setting.after) for setting in settings)
        )
        self.call(request)

    def decisions(self, album_id: str) -> list[DecisionEntry]:
        """Returns an album's log, oldest first."""
        return [
            entry_value(entry)
            for page in self._pages(pb.ListDecisionsRequest, album_id=album_id)
            for entry in page.entries
        ]

    def people(self) -> list[pb.Person]:
        """Returns the people of all albums, named ones first."""
        return [person for page in self._pages(pb.ListPeopleRequest) for person in page.people]

    def person_faces(self, person_id: str) -> list[pb.PersonFace]:
        """Returns a person's faces, the clearest first."""
        pages = self._pages(pb.ListPersonFacesRequest, person_id=person_id)
        return [face for page in pages for face in page.faces]

    def settings(self, profile: str) -> dict[str, Any]:
        """Returns the settings of a profile, nested like configs/pipeline.yaml."""
        described = self.call(pb.DescribeSettingsRequest(profile=profile))
        return overrides_value(described.config)

    def download(self, run_id: str, wanted: DownloadFormat) -> IO[bytes]:
        """Downloads a run's results as one file; the caller closes it."""
        target = temporary_file()
        request = pb.DownloadRunRequest(run_id=run_id, format=f"DOWNLOAD_FORMAT_{wanted.name}")
        try:
            for piece in self.stream(request):
                target.write(piece.chunk)
        except BaseException:
            target.close()
            raise
        target.seek(0)
        return target

    def _pages(self, kind: Callable[..., Any], **fields: object) -> Iterator[Any]:
        """Yields all pages of a List call."""
        token = ""
        while True:
            page = self.call(kind(page_size=PAGE_SIZE, page_token=token, **fields))
            yield page
            token = page.next_page_token
            if not token:
                return


@contextlib.contextmanager
def open_api(
    orchestrator: str | None,
    data: Path | None,
    *,
    config_folder: Path | None = None,
    writes_to: Sequence[Path] = (),
) -> Iterator[Api]:
    """Opens the API of a served orchestrator, or one for the runs in a local data folder.

    `bestshot up` may be running with the same data folder.

    Args:
        orchestrator: Address; None = the data folder.
        data: The data folder; None = the user's.
        config_folder: None = the default one.
        writes_to: Folders that exports on this machine may write to.

    Raises:
        ConfigError: There are no runs yet, both a folder and a server are given, or a setting is
            invalid.
    """
    configs = config_dir(config_folder)
    data_folder(data)  # first, because it contains profiles
    shared = load_section(configs, default_profile(), "shared", SharedSettings)
    check_places(orchestrator, data)
    with asyncio.Runner() as runner:
        if orchestrator is not None:
            calls = runner.run(_open_served(orchestrator, shared))
        else:
            calls = runner.run(_open_local(configs, shared, data, writes_to))
        try:
            yield Api(runner, calls, is_served=orchestrator is not None)
        finally:
            runner.run(calls.close())


async def _open_served(address: str, shared: SharedSettings) -> Calls:
    return ServedCalls(address, client_options(shared))


async def _open_local(
    configs: Path, shared: SharedSettings, data: Path | None, writes_to: Sequence[Path]
) -> Calls:
    settings = load_section(configs, default_profile(), "orchestrator", OrchestratorSettings)
    folder = data_folder(data)
    engine = _open_stored(settings, data)
    try:
        built = build_orchestrator(
            engine,
            configs,
            shared,
            settings,
            PipelineConfig(configs, default_profile()),
            folder,
            CollectorRegistry(),
            allowed_roots=[*settings.allowed_roots, *writes_to],
        )
    except BaseException:
        engine.dispose()
        raise
    return LocalCalls(built, engine)


def _open_stored(settings: OrchestratorSettings, data: Path | None) -> Engine:
    """Opens the database named in the settings, or the one in the data folder.

    Raises:
        ConfigError: There is no database yet.
    """
    if data is None and settings.database_url is not None:
        return open_postgresql(settings.database_url, settings.database_password_file)
    folder = data_folder(data)
    if not (folder / DATABASE_NAME).exists():
        raise ConfigError(f"there are no runs in {folder} yet; start one with `bestshot curate`")
    return open_database(folder)


def _method(request: Message) -> str:
    return request.DESCRIPTOR.name.removesuffix("Request")


async def _next(answers: AsyncIterator[Any]) -> Any:  # noqa: ANN401
    return await anext(answers, None)
