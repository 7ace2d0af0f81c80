"""`bestshot curate`: from a folder of photos to its results, on one machine."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import os
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import grpc
from bestshot.orchestrator.v1 import orchestrator_pb2 as pb
from bestshot.orchestrator.v1 import orchestrator_pb2_grpc
from google.protobuf import struct_pb2
from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from orchestrator.cli.launcher import launcher
from orchestrator.cli.output import print_notes
from orchestrator.cli.parts import MODEL_SERVICES, config_flags
from orchestrator.cli.profile_choice import choose_profile
from orchestrator.cli.supervisor import Supervisor, interrupt_on_sigterm
from orchestrator.config import PipelineConfig, file_layers
from orchestrator.domain.wording import pluralize
from orchestrator.export.output_folder import (
    CURATE_LOCK,
    EXPORT_LOCK,
    SELECTED_FOLDER,
    TABLE_NAMES,
    open_output,
    translate_write_errors,
)
from orchestrator.ports import PhotoFile
from orchestrator.storage.album_folders import check_apart, open_folders
from orchestrator.storage.companions import is_sidecar
from orchestrator.storage.photo_source import FolderPhotoSource
from orchestrator.storage.results_manifest import MANIFEST_NAME
from orchestrator.storage.stored_folders import read_album_folders
from services.common.config.folders import DEFAULT_PROFILE
from services.common.config.layers import environment_layers, merge, profile_names, read_config_file
from services.common.config.sections import SharedSettings, load_section
from services.common.errors import BestshotError, ConfigError, InternalError
from services.common.rpc.auth import new_token, token_digest
from services.common.rpc.channels import (
    ClientOptions,
    call_metadata,
    call_once,
    client_options,
    open_channel,
    service_name,
)
from services.common.rpc.status import from_rpc_error
from services.common.stages import STAGE_TITLES
from services.common.temporary import temporary_folder

CALL_TIMEOUT_S = 60.0
EXPORT_TIMEOUT_S = 3600.0
LOCAL_ADDRESS = "127.0.0.1:0"
LOG_FOLDER = "logs"
MAX_DEATHS = 3
"""The command fails once a part has died this many times in a row, after about five seconds."""
MAX_RESUMES = 2
REWATCH_S = 60.0
"""How long to wait for an unreachable orchestrator: another one takes over within 15 s."""
REWATCH_PAUSE_S = 0.5

OWN_SETTINGS: dict[str, tuple[str, ...] | None] = {
    **{name: ("address",) for name in MODEL_SERVICES},
    "orchestrator": (
        "address",
        "allowed_roots",
        "database_url",
        "http_address",
        "resume_runs",
        "webhook_urls",
        *(f"{name}_address" for name in MODEL_SERVICES),
    ),
    "ui": None,
}
"""Keys of services.yaml that this command sets itself (see `start_all`); None = all keys."""


@dataclass(frozen=True)
class Request:
    """Arguments of `curate`, named after the command's options.

    Without `out`, nothing is exported. Without `profile`, a running orchestrator's own profile
    applies; one that is started uses `standard`, or `builtin` if the networks of `standard` are
    unavailable. With `is_offline`, nothing is fetched. With `album_id`, a running orchestrator
    curates that album; otherwise the album for the folders `photos`. If `reference_run_id` is None,
    the run keeps picks of the newest run that fits; if it is empty, the run keeps none.
    """

    photos: Sequence[Path]
    out: Path | None
    config_folder: Path
    data_folder: Path
    profile: str | None
    config_files: Sequence[Path]
    flags: Sequence[str]
    copy_selected: bool
    orchestrator: str | None
    force: bool = False
    album_id: str = ""
    is_offline: bool = False
    reference_run_id: str | None = None


def folder_for_results(photos: Path) -> Path:
    """Chooses where results go if the user names no folder: `PHOTOS-best`, beside the photos.

    Raises:
        ConfigError: The folder already contains files that bestshot did not write, or `photos` is
            the root of a file system.
    """
    folder = photos.resolve()
    if not folder.name:
        raise ConfigError(
            f"--out is required, because the default folder cannot be created next to {folder}"
        )
    chosen = folder.with_name(f"{folder.name}-best")
    if _has_foreign_files(chosen):
        raise ConfigError(
            f"{chosen}, where results go without --out, already has files that bestshot did not "
            f"write; name a folder with --out"
        )
    return chosen


def _has_foreign_files(folder: Path) -> bool:
    """Whether a folder has files and no manifest; hidden files, such as .DS_Store, do not count."""
    try:
        names = os.listdir(folder)
    except OSError:  # it does not exist, or writing to it will report the problem
        return False
    return MANIFEST_NAME not in names and not all(name.startswith(".") for name in names)


def curate(request: Request, console: Console) -> pb.Run:
    """Curates folders of photos into a folder of results.

    Raises:
        BestshotError: Something failed; the message is for the user. Scores computed so far are
            kept for the next run.
    """
    if request.orchestrator is None:
        launcher.fork()
    with _check_request(request), interrupt_on_sigterm():
        profile = _own_profile(request, console)
        try:
            return asyncio.run(_curate(request, profile, console))
        except KeyboardInterrupt:
            console.print(
                "interrupted; scores computed so far are kept: run the same command again to "
                "continue"
            )
            raise


@contextlib.contextmanager
def _check_request(request: Request) -> Iterator[None]:
    """Checks the request before anything is started, and locks the output folder."""
    folders = [folder.resolve() for folder in request.photos]
    check_apart(folders)
    found: list[PhotoFile] = []
    if request.orchestrator is None:
        source = open_folders(folders, lambda one: FolderPhotoSource(one, max_pixels=0))
        found = source.list_photos()
    _check_services(request)
    layers = file_layers(request.config_files, request.flags)
    PipelineConfig(request.config_folder, _profile_or_default(request), layers)
    if request.out is None:
        yield
        return
    photos, *albums = [*folders, *_list_album_folders(request)]
    # The export itself takes a separate lock, in the orchestrator's process.
    with open_output(request.out, photos, albums, lock=CURATE_LOCK):
        with (
            open_output(request.out, photos, albums, lock=EXPORT_LOCK) as output,
            translate_write_errors(output.path),
        ):
            # Check all photos, because any may be selected: better to fail now than after scoring.
            selected = [path for photo in found for path in (photo.path, *photo.companion_paths)]
            selected = [path for path in selected if not is_sidecar(path)]  # never replaced
            transferred = selected if request.copy_selected else []
            names = [*TABLE_NAMES, *(f"{SELECTED_FOLDER}/{path}" for path in transferred)]
            output.check_names(names, force=request.force)
            if request.orchestrator is None:
                logs = [f"{LOG_FOLDER}/{name}.log" for name in (*MODEL_SERVICES, "orchestrator")]
                output.claim_logs(logs, force=request.force)
        yield


def _check_services(request: Request) -> None:
    """Rejects service settings that this command would not apply."""
    if request.orchestrator is not None and request.is_offline:
        raise ConfigError(
            f"--offline has no effect on the orchestrator at {request.orchestrator}; leave it out"
        )
    for path in request.config_files:
        file = read_config_file(path)
        services = file.section("services").data
        if request.orchestrator is not None and services:
            raise ConfigError(
                f"services.{next(iter(services))} in {path}: the orchestrator at "
                f"{request.orchestrator} and its services have their own settings; remove "
                "the `services` section"
            )
        for section, keys in OWN_SETTINGS.items():
            for key in file.section("services", section).data:
                if keys is None or key in keys:
                    raise ConfigError(
                        f"services.{section}.{key} in {path}: `bestshot curate` "
                        + ("does not start a web UI" if section == "ui" else "sets this itself")
                        + "; remove it"
                    )


def _list_album_folders(request: Request) -> list[Path]:
    """Lists the folders of the albums in this command's own database."""
    return [] if request.orchestrator is not None else read_album_folders(request.data_folder)


def _own_profile(request: Request, console: Console) -> str:
    """Returns the profile of the parts that this command starts and of the settings it reads."""
    if request.orchestrator is not None:
        return _profile_or_default(request)
    return choose_profile(
        request.config_folder,
        [read_config_file(path) for path in request.config_files],
        request.profile,
        is_offline=request.is_offline,
        console=console,
    )


def _profile_or_default(request: Request) -> str:
    """Returns the profile named by the user, or the default one.

    A running orchestrator may have a profile that does not exist on this machine.
    """
    named = request.profile or DEFAULT_PROFILE
    is_foreign = request.orchestrator is not None and named not in profile_names(
        request.config_folder
    )
    return DEFAULT_PROFILE if is_foreign else named


async def _curate(request: Request, profile: str, console: Console) -> pb.Run:
    shared = load_section(
        request.config_folder,
        profile,
        "shared",
        SharedSettings,
        [read_config_file(path).section("services", "shared") for path in request.config_files],
    )
    options = client_options(shared)
    if request.orchestrator is not None:
        return await _call(request.orchestrator, options, request, console, None)
    with _own_orchestrator(request, profile, shared, console) as (address, token, supervisor):
        if token:
            options = dataclasses.replace(options, token=token, token_file=None)
        work = asyncio.ensure_future(_call(address, options, request, console, supervisor))
        failure = asyncio.ensure_future(asyncio.to_thread(supervisor.wait_for_failure))
        try:
            await asyncio.wait([work, failure], return_when=asyncio.FIRST_COMPLETED)
            if failure.done() and (error := failure.result()):
                raise _add_resume_advice(error)
            return work.result()
        finally:
            work.cancel()
            failure.cancel()  # the thread itself ends with the supervisor
            await asyncio.gather(work, return_exceptions=True)


async def _call(
    address: str,
    options: ClientOptions,
    request: Request,
    console: Console,
    supervisor: Supervisor | None,
) -> pb.Run:
    """Curates by calling an orchestrator, which `supervisor`, if any, keeps running."""
    try:
        async with open_channel(address, service_name("orchestrator"), options) as channel:
            stub = orchestrator_pb2_grpc.OrchestratorServiceStub(channel)
            return await _drive(stub, options, request, console, supervisor)
    except grpc.RpcError as error:
        is_cut_off = error.code() is grpc.StatusCode.UNAVAILABLE
        if supervisor is not None and is_cut_off and await _has_died(supervisor):
            ended = InternalError(supervisor.last_words("orchestrator"))
            raise _add_resume_advice(ended) from error
        raise from_rpc_error(error, f"the orchestrator at {address}") from error


async def _has_died(supervisor: Supervisor) -> bool:
    """Whether the orchestrator that we started has ever died."""
    return await asyncio.to_thread(supervisor.has_died_since, "orchestrator", 0)


async def _wait_until_back(supervisor: Supervisor) -> None:
    try:
        await asyncio.to_thread(supervisor.wait_for_address, "orchestrator")
    except InternalError as error:
        raise _add_resume_advice(error) from error


def _add_resume_advice(error: BestshotError) -> InternalError:
    return InternalError(
        f"{error.sentence}\nScores computed so far are kept: run the same command again to continue"
    )


@contextlib.contextmanager
def _own_orchestrator(
    request: Request, profile: str, shared: SharedSettings, console: Console
) -> Iterator[tuple[str, str, Supervisor]]:
    """Starts an orchestrator and its services; yields its address and the token that it expects."""
    common = ["--config-dir", str(request.config_folder), "--profile", profile]
    files = [read_config_file(path) for path in request.config_files]
    common += config_flags(MODEL_SERVICES[0], files)  # pipeline settings are sent in StartRun
    logs = (request.out or request.data_folder).resolve() / LOG_FOLDER
    with contextlib.ExitStack() as stack:
        token = ""
        if shared.tokens_file is None:
            if shared.token_file is not None:
                console.print(
                    "shared.token_file is ignored: this command starts its own services, which "
                    "accept only the token created for them",
                    soft_wrap=True,
                )
            token, secrets = stack.enter_context(_create_secret())
            common += ["--config", str(secrets)]  # the last --config wins
        supervisor = Supervisor(
            logs,
            common,
            max_deaths=MAX_DEATHS,
            report=lambda line: console.print(escape(line), highlight=False, soft_wrap=True),
        )
        stack.callback(supervisor.stop)
        with console.status("starting the services"):
            address = start_all(supervisor, request)
        yield address, token, supervisor


@contextlib.contextmanager
def _create_secret() -> Iterator[tuple[str, Path]]:
    """Creates a token that only the parts of this command accept and send.

    A call that reaches a part of another command by mistake is therefore rejected, and other users
    of this machine cannot call this orchestrator, which can read all of the user's files.

    Yields:
        The token, and a --config file that passes it to the parts.
    """
    with temporary_folder("bestshot-") as folder:
        token = new_token()
        known = {"tokens": {"curate": {"sha256": token_digest(token), "scope": "admin"}}}
        files = {"tokens_file": json.dumps(known), "token_file": token}
        for name, content in files.items():
            (folder / name).write_text(content, encoding="utf-8")
        paths = {name: str(folder / name) for name in files}
        secrets = folder / "secrets.yaml"
        secrets.write_text(json.dumps({"services": {"shared": paths}}))
        yield token, secrets


def start_all(supervisor: Supervisor, request: Request) -> str:
    """Starts all services and the orchestrator on free ports; returns the latter's address."""
    for name in MODEL_SERVICES:
        supervisor.start(name, ["--address", LOCAL_ADDRESS])
    roots = [str(path.resolve()) for path in (*request.photos, request.out) if path is not None]
    arguments = [
        *("--address", LOCAL_ADDRESS),
        *("--data", str(request.data_folder)),
        *("--set", "resume_runs=false"),
        *("--set", "database_url=null"),  # a shared database contains others' runs
        *("--set", "http_address=null"),
        *("--set", "webhook_urls=[]"),
        *("--set", f"allowed_roots={roots}"),
    ]
    for name in MODEL_SERVICES:
        arguments += ["--set", f"{name}_address={supervisor.wait_for_address(name)}"]
    supervisor.start("orchestrator", arguments)
    return supervisor.wait_for_address("orchestrator")


async def _drive(
    stub: orchestrator_pb2_grpc.OrchestratorServiceStub,
    options: ClientOptions,
    request: Request,
    console: Console,
    supervisor: Supervisor | None,
) -> pb.Run:
    album_id = request.album_id
    if not album_id:
        folders = [str(folder.resolve()) for folder in request.photos]
        new_album = (
            pb.CreateAlbumRequest(folder=folders[0])  # older orchestrators only know this field
            if len(folders) == 1
            else pb.CreateAlbumRequest(folders=folders)
        )
        created = await call_once(stub.CreateAlbum, new_album, CALL_TIMEOUT_S, options)
        album_id = created.album.id
    started = await call_once(
        stub.StartRun,
        pb.StartRunRequest(
            album_id=album_id,
            profile=request.profile or "",
            config_overrides=_overrides(request),
            reference_run_id=request.reference_run_id,
        ),
        CALL_TIMEOUT_S,
        options,
    )
    run_id = started.run.id
    try:
        run = await show_progress(_snapshots(stub, run_id, options, supervisor), console)
    except asyncio.CancelledError:
        if supervisor is not None and supervisor.has_failed:
            raise  # do not cancel the run: it ends as interrupted, and its scores are cached
        cancelled = pb.CancelRunRequest(run_id=run_id)
        with contextlib.suppress(grpc.RpcError):  # the orchestrator itself may have died
            await call_once(stub.CancelRun, cancelled, CALL_TIMEOUT_S, options)
        raise
    if run.state != pb.RUN_STATE_COMPLETED:
        state = pb.RunState.Name(run.state).removeprefix("RUN_STATE_").lower()
        raise InternalError(run.error or f"the run did not complete (state: {state})")
    if request.out is not None:
        exported = await call_once(
            stub.ExportRun,
            pb.ExportRunRequest(
                run_id=run_id,
                output_folder=str(request.out.resolve()),
                copy_selected=request.copy_selected,
                overwrite_foreign_files=request.force,
            ),
            EXPORT_TIMEOUT_S,
            options,
        )
        print_summary(run, console)
        _print_files(request.out, exported, console)
    return run


class Watching:
    """Decides how long to keep trying to resume a broken watch.

    The orchestrator may be replaced during a run.
    """

    def __init__(self) -> None:
        self._last = time.monotonic()

    def note_answer(self) -> None:
        """Records that the orchestrator has answered."""
        self._last = time.monotonic()

    def pause_after(self, error: grpc.RpcError) -> float:
        """Returns the seconds to wait before the next try, or raises `error` to give up."""
        is_passing = error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)
        if not is_passing or time.monotonic() - self._last > REWATCH_S:
            raise error
        return REWATCH_PAUSE_S


async def _snapshots(
    stub: orchestrator_pb2_grpc.OrchestratorServiceStub,
    run_id: str,
    options: ClientOptions,
    supervisor: Supervisor | None,
) -> AsyncIterator[pb.WatchRunResponse]:
    """Yields snapshots of a run until it ends, even if the orchestrator is replaced.

    If the orchestrator was already running, its replacement resumes the run. If this command
    started it, it has no replacement, so the run is resumed here.
    """
    watching = Watching()
    resume_count = 0
    death_count = 0
    run = pb.Run()
    while True:
        try:
            watched = pb.WatchRunRequest(run_id=run_id)
            async for snapshot in stub.WatchRun(watched, metadata=call_metadata(options)):
                run = snapshot.run
                watching.note_answer()
                yield snapshot
        except grpc.RpcError as error:
            if supervisor is not None:
                await _wait_until_back(supervisor)
                if supervisor.death_count("orchestrator") > death_count:
                    death_count = supervisor.death_count("orchestrator")
                    watching.note_answer()  # the channel may take longer to notice that it is back
            await asyncio.sleep(watching.pause_after(error))
            continue
        if supervisor is None or run.state != pb.RUN_STATE_INTERRUPTED:
            return
        if resume_count == MAX_RESUMES:  # the run itself may be what crashes it
            raise _add_resume_advice(InternalError(supervisor.last_words("orchestrator")))
        resume_count += 1
        resume = pb.ResumeRunRequest(run_id=run_id)
        await call_once(stub.ResumeRun, resume, CALL_TIMEOUT_S, options)


def _overrides(request: Request) -> struct_pb2.Struct:
    """Collects the settings given to this command, which override the orchestrator's own."""
    layers = [
        *environment_layers("PIPELINE"),
        *file_layers(request.config_files, request.flags),
    ]
    message = struct_pb2.Struct()
    message.update(merge(layer.data for layer in layers))
    return message


async def show_progress(snapshots: AsyncIterator[pb.WatchRunResponse], console: Console) -> pb.Run:
    """Draws one bar per stage until the run ends; returns its final state."""
    run = pb.Run()
    columns = (
        TextColumn("{task.description:<17}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("left"),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=console) as progress:
        bars: dict[str, TaskID] = {}
        async for snapshot in snapshots:
            run = snapshot.run
            for stage in run.stages:
                if stage.stage not in bars:
                    title = STAGE_TITLES.get(stage.stage, stage.stage)
                    bars[stage.stage] = progress.add_task(title, total=None, note="")
                progress.update(
                    bars[stage.stage],
                    completed=stage.completed_count,
                    total=stage.total_count,
                    note=_note(stage),
                )
    return run


def _note(stage: pb.StageProgress) -> str:
    notes = []
    if stage.cached_count:
        notes.append(f"{stage.cached_count} from the cache")
    if stage.failed_count:
        notes.append(f"{stage.failed_count} failed")
    return ", ".join(notes)


def print_summary(run: pb.Run, console: Console) -> None:
    """Prints a run's summary."""
    summary = run.summary
    rate = summary.photo_count / summary.elapsed_seconds if summary.elapsed_seconds else 0.0
    moments = pluralize(summary.cluster_count + summary.noise_count, "moment")
    single_shots = pluralize(summary.noise_count, "single shot")
    table = Table.grid(padding=(0, 1))
    table.add_column(justify="right", style="bold")
    table.add_column()
    for line in (
        f"{pluralize(summary.photo_count, 'photo')} ({summary.cached_count} from the cache)",
        f"{summary.unreadable_count} unreadable",
        f"{moments} ({summary.cluster_count} with several shots, {single_shots})",
        f"{summary.selected_count} selected",
        f"{summary.elapsed_seconds:.1f} seconds ({rate:.1f} photos per second)",
    ):
        table.add_row(*line.split(" ", 1))
    table.add_row("", f"with the `{escape(run.profile)}` profile")
    console.print(table)
    print_notes(run.notes, console)


def _print_files(out: Path, exported: pb.ExportRunResponse, console: Console) -> None:
    """Lists the files that were written, and ends with the address of the page."""
    for path in exported.paths:
        console.print(f"  {out / path}", highlight=False, soft_wrap=True)
    if exported.copied_count:
        console.print(f"  {out / 'selected'}: {pluralize(exported.copied_count, 'photo')} copied")
    page = (out / "index.html").resolve()
    console.print(f"open {page.as_uri()} in a browser", highlight=False, soft_wrap=True)
