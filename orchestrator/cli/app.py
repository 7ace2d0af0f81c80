"""The `bestshot` command.

Slow modules are imported inside functions, so that `bestshot --help` responds at once.
"""

from __future__ import annotations

import enum
import importlib.util
import io
import itertools
import json
import os
import re
import sys
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table
from typer.core import TyperGroup

from models.cli import app as models_app
from orchestrator.cli.decide import app as decide_app
from orchestrator.cli.decisions import app as decisions_app
from orchestrator.cli.options import (
    LATEST,
    Address,
    ConfigDir,
    Data,
    Offline,
    RunId,
    check_places,
)
from orchestrator.cli.output import (
    AsJson,
    NoHeading,
    OnlyIds,
    OnlySelected,
    OnlyToken,
    Quiet,
    open_console,
    print_json,
    print_lines,
    print_message,
    print_notes,
)
from orchestrator.cli.parts import MODEL_SERVICES, PARTS, config_flags, part_command
from orchestrator.cli.people import app as people_app
from orchestrator.data_folder import data_folder
from orchestrator.domain.wording import pluralize
from orchestrator.export.files import FileTransfer, write_file
from services.common.config.folders import config_dir, profile_of_environment
from services.common.errors import EXIT_CONFIG, EXIT_FAILED, BestshotError, ConfigError
from services.common.platform.processes import defer_signals
from services.common.rpc.scopes import ScopeName

if TYPE_CHECKING:
    from bestshot.orchestrator.v1 import orchestrator_pb2 as pb

    from orchestrator.cli.api import Api
    from orchestrator.export.exporter import ExportOptions
    from orchestrator.records import ImageRecord, Run


class _Commands(TyperGroup):
    """All commands. Describes wrong values in our words, while Typer uses those of pydantic."""

    def invoke(self, ctx: typer.Context) -> object:  # type: ignore[override]
        try:
            return super().invoke(ctx)
        except typer.BadParameter as error:
            from pydantic import ValidationError

            from services.common.config.problems import describe_problem

            if isinstance(error.__cause__, ValidationError):
                error.message = describe_problem(error.__cause__.errors()[0])
            raise


app = typer.Typer(
    cls=_Commands,
    name="bestshot",
    help="Scores every photo in a folder, groups shots of the same moment, picks the best of each "
    "and explains why.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback(invoke_without_command=True)
def _start(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", is_eager=True)
    ] = False,
) -> None:
    if version:
        from importlib.metadata import version as installed_version

        print(f"bestshot {installed_version('bestshot')}")
        raise typer.Exit


app.add_typer(models_app, name="models")
app.add_typer(decisions_app, name="decisions")
app.add_typer(people_app, name="people")
app.add_typer(decide_app)


class ExportedAs(enum.StrEnum):
    """Output of `export`; named as in `DownloadFormat`, except for the folder."""

    FOLDER = "folder"
    CSV = "csv"
    JSON = "json"
    PARQUET = "parquet"
    XMP_ZIP = "xmp-zip"
    SELECTED_ZIP = "selected-zip"


class ExportedBy(enum.StrEnum):
    """What `export` makes a folder for."""

    PERSON = "person"


SHOWN_RUN_COUNT = 1000
EXIT_OTHER_INPUT, EXIT_OTHER_RESULTS = 3, 4
UP_MAX_DEATHS = 8
"""Because of the pauses, this many deaths take a minute. By then a photo that crashes a service has
made its run fail (`service_wait_s`), and everything else continues."""


def _parse_transfer(text: str) -> FileTransfer:
    try:
        return FileTransfer(text)
    except ValueError:
        raise typer.BadParameter(f"choose copy, hardlink or symlink (got {text!r})") from None


def _parse_share(text: str) -> float:
    is_percent = text.strip().endswith("%")
    try:
        share = float(text.strip().removesuffix("%")) / (100 if is_percent else 1)
    except ValueError:
        share = -1.0
    if not 0 < share <= 1:
        raise typer.BadParameter(f"expected a share such as 10% or 0.1 (got {text!r})")
    return share


Profile = Annotated[
    str | None,
    typer.Option(
        help="Profile from configs/profiles. Default: BESTSHOT_PROFILE, or standard (its "
        "networks are downloaded on first use), or builtin if they are unavailable."
    ),
]
ConfigFiles = Annotated[
    list[Path] | None,
    typer.Option(
        "--config",
        help="YAML file with the sections `pipeline` and `services`, like those in "
        "configs/profiles, or with keys of pipeline.yaml only. Can be repeated.",
    ),
]
Flags = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Override one key of pipeline.yaml, e.g. select_best.max_images_per_cluster=3.",
    ),
]

Exclude = Annotated[
    list[str] | None,
    typer.Option(
        "--exclude",
        metavar="GLOB",
        help="Leave out files or folders matching a .gitignore pattern, such as 'screenshots/' or "
        "'*.png'. Can be repeated. Applies in addition to PHOTOS/.bestshotignore.",
    ),
]
Force = Annotated[
    bool,
    typer.Option(
        "--force",
        help="Replace files in OUT that bestshot did not write, or that were changed afterwards.",
    ),
]


GoalName = Annotated[
    str | None,
    typer.Option(
        "--goal",
        metavar="GOAL",
        help="moments: the best of each moment (the default). one_per_moment: only the best of "
        "each. all_but_failures: everything except blurred, poor, rejected and copied photos. "
        "everybody: like moments, plus at least one good photo of each person; requires "
        "people.enabled.",
    ),
]
GoalCount = Annotated[
    int | None,
    typer.Option("--count", min=1, help="Pick this many photos, spread over moments and time."),
]
GoalShare = Annotated[
    float | None,
    typer.Option(
        "--share",
        parser=_parse_share,
        metavar="SHARE",
        help="Pick this share of the photos, such as 10% or 0.1, spread in the same way.",
    ),
]


def _goal_flags(goal: str | None, count: int | None, share: float | None) -> list[str]:
    """Returns the settings for `--goal`, `--count` and `--share`; only one can be given."""
    given = {"--goal": goal, "--count": count, "--share": share}
    names = [name for name, value in given.items() if value is not None]
    if len(names) > 1:
        raise ConfigError(f"{' and '.join(names)} cannot be combined; choose one goal")
    if count is not None:
        return ["select_best.goal.pick=count", f"select_best.goal.count={count}"]
    if share is not None:
        return ["select_best.goal.pick=share", f"select_best.goal.share={share}"]
    return [f"select_best.goal.pick={goal}"] if goal is not None else []


def _exclude_flags(patterns: list[str] | None) -> list[str]:
    return [f"find_photos.exclude={json.dumps(patterns)}"] if patterns else []


Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")]
ShowsAll = Annotated[bool, typer.Option("--all", help="Show every change.")]


@app.command()
def curate(
    photos: Annotated[
        list[Path],
        typer.Argument(
            help="One or more folders of photos, with subfolders. If photos are identical, the "
            "one in the folder listed first is preferred."
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder for the results; created if missing. Default: PHOTOS-best, beside the "
            "first folder."
        ),
    ] = None,
    profile: Annotated[
        str | None,
        typer.Option(
            help="Profile from configs/profiles. Default: BESTSHOT_PROFILE; otherwise the running "
            "orchestrator's profile; otherwise standard (its networks are downloaded on first "
            "use), or builtin if they are unavailable."
        ),
    ] = None,
    config: ConfigFiles = None,
    set_: Flags = None,
    exclude: Exclude = None,
    goal: GoalName = None,
    count: GoalCount = None,
    share: GoalShare = None,
    copy_selected: Annotated[
        bool, typer.Option("--copy-selected", help="Copy the selected photos to OUT/selected.")
    ] = False,
    force: Force = False,
    offline: Offline = False,
    quiet: Quiet = False,
    orchestrator: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="Address of a running orchestrator; settings given here override its own. "
            "Otherwise one is started for this run.",
        ),
    ] = None,
    config_dir_: ConfigDir = None,
    data: Data = None,
) -> None:
    """Score, group and select the photos in one or more folders.

    Writes image_metrics.csv, results.json, run.json and index.html to OUT. A second run computes
    only what is new. All services are started for the run and stopped afterwards.
    """
    from orchestrator.cli import curate as curating

    check_places(orchestrator, data)
    curating.curate(
        curating.Request(
            photos=photos,
            out=out or curating.folder_for_results(photos[0]),
            config_folder=config_dir(config_dir_),
            data_folder=data_folder(data),
            profile=profile or profile_of_environment(),
            config_files=config or [],
            flags=[*(set_ or []), *_goal_flags(goal, count, share), *_exclude_flags(exclude)],
            copy_selected=copy_selected,
            orchestrator=orchestrator,
            force=force,
            is_offline=offline,
        ),
        Console(quiet=quiet),
    )


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder for photos and results.")] = Path(
        "bestshot-demo"
    ),
    offline: Offline = False,
    quiet: Quiet = False,
    data: Data = None,
) -> None:
    """Curate a small album of real pictures that ship with scikit-learn."""
    from orchestrator.cli import curate as curating
    from orchestrator.cli.demo import make_album

    console = Console(quiet=quiet)
    photos = out / "photos"
    count = make_album(photos)
    console.print(f"wrote {count} photos to {photos}", highlight=False)
    curating.curate(
        curating.Request(
            photos=[photos],
            out=out / "results",
            config_folder=config_dir(None),
            data_folder=data_folder(data),
            profile=profile_of_environment(),
            config_files=[],
            flags=[],
            copy_selected=False,
            orchestrator=None,
            is_offline=offline,
        ),
        console,
    )


@app.command()
def up(
    profile: Profile = None,
    config: ConfigFiles = None,
    config_dir_: ConfigDir = None,
    data: Data = None,
    ui: Annotated[bool, typer.Option(help="Whether to run the web UI too.")] = True,
    offline: Offline = False,
    insecure: Annotated[
        bool,
        typer.Option(
            "--insecure",
            help="Listen on non-loopback addresses without authentication.",
        ),
    ] = False,
) -> None:
    """Run everything until Ctrl-C: the four model services, the orchestrator and the web UI.

    Their addresses are set in configs/services.yaml. A part that dies is restarted; if it keeps
    dying, the command exits and shows its last log lines.
    """
    if ui and importlib.util.find_spec("gradio") is None:
        raise ConfigError(
            "the web UI is not installed: install 'bestshot[ui]', or leave it out with --no-ui"
        )
    from orchestrator.cli.launcher import launcher
    from orchestrator.cli.profile_choice import choose_profile
    from orchestrator.cli.supervisor import Supervisor, interrupt_on_sigterm
    from orchestrator.config import OrchestratorSettings
    from services.common.config.layers import read_config_file
    from services.common.config.sections import SharedSettings, load_section

    launcher.fork()
    console = open_console()
    folder = data_folder(data)
    configs = config_dir(config_dir_)
    files = [read_config_file(path) for path in config or []]
    layers = [file.section("services", "shared") for file in files]
    with interrupt_on_sigterm():
        chosen = choose_profile(
            configs,
            files,
            profile or profile_of_environment(),
            is_offline=offline,
            console=console,
        )
    shared = load_section(configs, chosen, "shared", SharedSettings, layers)
    scheme = "http" if shared.tls.certificate_file is None else "https"
    own_layers = [file.section("services", "orchestrator") for file in files]
    json_address = load_section(
        configs, chosen, "orchestrator", OrchestratorSettings, own_layers
    ).http_address
    common = ["--config-dir", str(configs), "--profile", chosen]
    supervisor = Supervisor(
        folder / "logs",
        [*common, *(["--insecure"] if insecure else [])],
        max_deaths=UP_MAX_DEATHS,
        report=lambda line: console.print(escape(line)),
    )
    with interrupt_on_sigterm():
        try:
            for name in MODEL_SERVICES:
                supervisor.start(name, config_flags(name, files))
            for name in MODEL_SERVICES:
                console.print(f"{name:<13} {supervisor.wait_for_address(name)}")
            flags = config_flags("orchestrator", files)
            supervisor.start("orchestrator", ["--data", str(folder), *flags])
            address = supervisor.wait_for_address("orchestrator")
            console.print(f"{'orchestrator':<13} {address}")
            if json_address is not None:
                console.print(f"{'JSON API':<13} {scheme}://{json_address}/api/v1/docs")
            if ui:
                supervisor.start("ui", config_flags("ui", files))
                page = f"{scheme}://{supervisor.wait_for_address('ui')}"
                console.print(f"{'ui':<13} {page}")
            console.print(f"logs are in {folder / 'logs'}")
            opening = f"open {page} in a browser; " if ui else ""
            console.print(f"{opening}press Ctrl-C to stop")
            if failure := supervisor.wait_for_failure():
                raise failure
        finally:
            supervisor.stop()


@app.command(
    context_settings={
        "allow_extra_args": True,
        "ignore_unknown_options": True,
        "allow_interspersed_args": False,  # options after PART, even --help, belong to the part
    }
)
def serve(
    context: typer.Context,
    part: Annotated[str, typer.Argument(help=f"One of {', '.join(PARTS)}.")],
) -> None:
    """Run one part in the foreground, as the containers do.

    `bestshot serve PART --help` lists its options.
    """
    if part not in PARTS:
        raise ConfigError(f"unknown part {part!r}; choose one of {', '.join(PARTS)}")
    command = part_command(part, context.args)
    with defer_signals():  # until the part can end without a traceback
        os.execv(command[0], command)  # noqa: S606


@app.command()
def token(
    name: Annotated[
        str, typer.Argument(help="Name of the token's owner: letters, digits, - and _.")
    ],
    scope: Annotated[
        ScopeName, typer.Option(help="What it allows; each scope includes those before it.")
    ],
    days: Annotated[
        int | None,
        typer.Option(min=1, max=36500, help="Days until the token expires. Default: never."),
    ] = None,
    as_json: AsJson = False,
    quiet: OnlyToken = False,
) -> None:
    """Create a token, and print it with its entry for shared.tokens_file."""
    if not re.fullmatch(r"[\w-]+", name):
        raise ConfigError(f"a name may contain only letters, digits, - and _ (got {name!r})")
    from orchestrator.records import utc_now
    from services.common.rpc.auth import new_token, token_digest

    secret = new_token()
    entry = {"sha256": token_digest(secret), "scope": scope}
    if days is not None:
        entry["expires"] = f"{(utc_now() + timedelta(days)):%Y-%m-%dT%H:%M:%SZ}"
    if as_json:
        print_json({"token": secret, "tokens": {name: entry}})
        return
    if quiet:
        print_lines([secret])
        return
    console = open_console()
    console.print(f"token, for the caller's shared.token_file:\n{secret}\n")
    console.print("for the server's shared.tokens_file, under `tokens:`:")
    fields = ", ".join(f"{key}: {value}" for key, value in entry.items())
    console.print(f"  {name}: {{{fields}}}")


@app.command()
def runs(
    as_json: AsJson = False,
    quiet: OnlyIds = False,
    orchestrator: Address = None,
    data: Data = None,
) -> None:
    """List the 1,000 most recent runs, newest first."""
    from orchestrator.cli.api import open_api

    # fold, because the end of a long path is more informative than its beginning
    album = Column("Album", overflow="fold")
    run_id, started = Column("Run", no_wrap=True), Column("Started", no_wrap=True)
    columns = (run_id, started, "State", "Profile", "Photos", "Selected", album)
    table = Table(*columns, box=None, pad_edge=False)
    with open_api(orchestrator, data) as api:
        folders = {album.id: ", ".join(album.folders) for album in api.albums()}
        found = list(itertools.islice(api.runs(), SHOWN_RUN_COUNT))
    if as_json:
        print_json({"runs": found, "albums": folders})
        return
    if quiet:
        print_lines(run.id for run in found)
        return
    for run in found:
        summary = run.summary
        table.add_row(
            run.id[:12],
            _start_time(run),
            run.state.value.lower(),
            escape(run.profile),
            str(summary.photo_count) if summary else "",
            str(summary.selected_count) if summary else "",
            escape(folders.get(run.album_id, "")),
        )
    open_console().print(table, soft_wrap=False)


def _start_time(run: Run) -> str:
    """Returns when a run was started, in local time."""
    return f"{run.create_time.astimezone():%Y-%m-%d %H:%M}"


@app.command()
def show(
    run: RunId = LATEST,
    as_json: AsJson = False,
    quiet: OnlySelected = False,
    orchestrator: Address = None,
    data: Data = None,
) -> None:
    """Show what a run selected and why. Default: the newest run."""
    from orchestrator.cli.api import open_api
    from orchestrator.export.gallery import moments

    with open_api(orchestrator, data) as api:
        found = api.find_run(run)
        album = api.album(found.album_id)
        records = api.images(found.id)
    if as_json:
        print_json({"album": album, "run": found, "images": records})
        return
    if quiet:
        print_lines(record.path for record in records if record.is_selected)
        return
    console = open_console()
    console.print(f"[bold]run {found.id}[/bold], {found.state.value.lower()}")
    console.print(f"album {escape(', '.join(album.folders))}")
    if found.error:
        console.print(f"[red]{escape(found.error)}[/red]")
    for role, model in found.models.items():
        missing = model["fallback_for_model_id"]
        instead = f", used instead of {missing}" if missing else ""
        console.print(
            f"  {role}: {model['id']} ({model['origin']}{instead}): {model['description']}"
        )
    groups = [
        (f"[bold]{moment.title}[/bold]: {pluralize(len(moment.photos), 'shot')}", moment.photos)
        for moment in moments(records)
    ]
    readable = [record for record in records if record.is_readable]
    single = [record for record in readable if record.cluster_id is None or record.cluster_id < 0]
    groups.append(("[bold]Single shots[/bold]", single))
    broken = [record for record in records if not record.is_readable]
    groups.append(("[bold]Unreadable files[/bold]", broken))
    for title, members in groups:
        if members:
            console.print(f"\n{title}")
            _print_photos(members, console)


@app.command()
def delete_run(
    run: RunId,
    yes: Yes = False,
    orchestrator: Address = None,
    data: Data = None,
) -> None:
    """Delete a run and its results; your decisions, photos and exported files stay."""
    from bestshot.orchestrator.v1 import orchestrator_pb2 as pb

    from orchestrator.cli.api import open_api

    with open_api(orchestrator, data) as api:
        found = api.find_run(run)
        folders = ", ".join(api.album(found.album_id).folders)
        if not yes:
            question = f"Delete run {found.id} of {folders}, started {_start_time(found)}?"
            typer.confirm(question, abort=True)
        api.call(pb.DeleteRunRequest(run_id=found.id))
    print(f"deleted run {found.id}")


@app.command()
def delete_album(
    album: Annotated[str, typer.Argument(help="Folder of the album.")],
    yes: Yes = False,
    orchestrator: Address = None,
    data: Data = None,
) -> None:
    """Delete an album with its runs and decisions; your photos and exported files stay."""
    from bestshot.orchestrator.v1 import orchestrator_pb2 as pb

    from orchestrator.cli.api import open_api

    with open_api(orchestrator, data) as api:
        found = api.find_album(album)
        folders = ", ".join(found.folders)
        if not yes:
            question = f"Delete the album {folders} with all its runs and decisions?"
            typer.confirm(question, abort=True)
        api.call(pb.DeleteAlbumRequest(album_id=found.id))
    print(f"deleted the album {folders}")


@app.command()
def explain(
    photo: Annotated[str, typer.Argument(help="Path of a photo in its album, or its file name.")],
    run: RunId = LATEST,
    as_json: AsJson = False,
    quiet: NoHeading = False,
    orchestrator: Address = None,
    data: Data = None,
) -> None:
    """Show why a photo was or wasn't picked, with the numbers that were used."""
    from orchestrator.cli.api import open_api

    with open_api(orchestrator, data) as api:
        found = api.find_run(run)
        path = api.find_photo(found, photo)
        answer = api.explain(found.id, path)
    if as_json:
        print_message(answer)
        return
    console = open_console()
    if not quiet:
        console.print(f"[bold]{escape(path)}[/bold], run {found.id}")
    for line in answer.explanation.lines:
        console.print(escape(line))


@app.command()
def export(
    out: Annotated[Path, typer.Option(help="Folder to write to; with --as, the file to write.")],
    run: RunId = LATEST,
    as_: Annotated[
        ExportedAs, typer.Option("--as", help="Write a folder with all files, or only one file.")
    ] = ExportedAs.FOLDER,
    selected: Annotated[
        FileTransfer | None,
        typer.Option(
            parser=_parse_transfer,
            metavar="copy|hardlink|symlink",
            help="Put the selected photos in OUT/selected, as copies or links.",
        ),
    ] = None,
    by: Annotated[
        ExportedBy | None,
        typer.Option(
            help="Also put the selected photos in one folder per named person, OUT/people/NAME: as "
            "copies, unless --selected says otherwise."
        ),
    ] = None,
    xmp: Annotated[
        bool,
        typer.Option("--xmp", help="Write XMP sidecars to OUT/xmp, and next to copied photos."),
    ] = False,
    xmp_beside_photos: Annotated[
        bool,
        typer.Option(
            "--xmp-beside-photos",
            help="Write XMP sidecars beside your photos, merged into existing ones.",
        ),
    ] = False,
    parquet: Annotated[
        bool, typer.Option("--parquet", help="Write the Parquet table too.")
    ] = False,
    force: Force = False,
    quiet: Quiet = False,
    orchestrator: Address = None,
    data: Data = None,
) -> None:
    """Write a run's results: tables, gallery, sidecars, selected photos.

    With --orchestrator, the files are downloaded and written on this machine.
    """
    from orchestrator.cli.api import open_api
    from orchestrator.export.download import DownloadFormat, list_skipped
    from orchestrator.export.exporter import ExportOptions
    from orchestrator.export.output_folder import PEOPLE_FOLDER, SELECTED_FOLDER

    if as_ is not ExportedAs.FOLDER and (selected or by or xmp or xmp_beside_photos or parquet):
        raise ConfigError(
            "--selected, --by, --xmp, --xmp-beside-photos and --parquet write to a folder: "
            f"leave out --as {as_}"
        )
    is_link = selected in (FileTransfer.HARDLINK, FileTransfer.SYMLINK)
    if orchestrator is not None and (is_link or xmp_beside_photos):
        raise ConfigError(
            "--selected hardlink, --selected symlink and --xmp-beside-photos work only on "
            "the machine that has the photos: run this there without --orchestrator, or use "
            "--selected copy and --xmp"
        )
    options = ExportOptions(selected, xmp, xmp_beside_photos, parquet, force, by is not None)
    console, warnings = open_console(is_quiet=quiet), open_console()
    with open_api(orchestrator, data, writes_to=[out.absolute()]) as api:
        found = api.find_run(run)
        if as_ is not ExportedAs.FOLDER:
            with api.download(found.id, DownloadFormat[as_.name]) as content:
                write_file(out, content, albums=api.album_folders(), force=force)
                skipped = list_skipped(content)
            console.print(escape(str(out)))
            for line in skipped:
                warnings.print(f"[yellow]skipped {escape(line)}[/yellow]")
            return
        done = (_export_here if api.is_served else _export_there)(api, found, out, options)
    for path in done.paths:
        console.print(escape(f"  {out / path}"))
    if selected and done.copied_count:
        console.print(escape(f"  {out / SELECTED_FOLDER}: {pluralize(done.copied_count, 'photo')}"))
    if done.person_count:
        console.print(escape(f"  {out / PEOPLE_FOLDER}: {pluralize(done.person_count, 'person')}"))
    for warning in done.warnings:
        warnings.print(f"[yellow]{escape(warning)}[/yellow]")
    if done.warning_count > len(done.warnings):
        warnings.print(f"[yellow]... and {done.warning_count - len(done.warnings)} more[/yellow]")


def _export_there(api: Api, run: Run, out: Path, options: ExportOptions) -> pb.ExportRunResponse:
    """Exports using the orchestrator, which runs in this process and has access to the photos."""
    from bestshot.orchestrator.v1 import orchestrator_pb2 as pb

    transfer = options.selected_transfer
    answer: pb.ExportRunResponse = api.call(
        pb.ExportRunRequest(
            run_id=run.id,
            output_folder=str(out.absolute()),
            selected_transfer=f"FILE_TRANSFER_{transfer.name if transfer else 'UNSPECIFIED'}",
            write_xmp=options.write_xmp,
            write_xmp_beside_photos=options.write_xmp_beside_photos,
            write_parquet=options.write_parquet,
            overwrite_foreign_files=options.force,
            by_person=options.by_person,
        )
    )
    return answer


def _export_here(api: Api, run: Run, out: Path, options: ExportOptions) -> pb.ExportRunResponse:
    """Downloads the files and writes them on this machine."""
    from bestshot.orchestrator.v1 import orchestrator_pb2 as pb

    from orchestrator.export.downloaded import DownloadedSource
    from orchestrator.export.exporter import write_export

    with DownloadedSource(
        api.album(run.album_id), api.images(run.id), partial(api.download, run.id)
    ) as source:
        done = write_export(source, out, options, other_albums=api.album_folders())
    return pb.ExportRunResponse(
        paths=done.paths,
        copied_count=done.transferred_count,
        warnings=done.warnings,
        warning_count=len(done.warnings),
        person_count=done.person_count,
    )


@app.command()
def reselect(
    run: RunId = LATEST,
    set_: Flags = None,
    goal: GoalName = None,
    count: GoalCount = None,
    share: GoalShare = None,
    preview: Annotated[
        bool, typer.Option("--preview", help="Only show what would change; store nothing.")
    ] = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
    orchestrator: Address = None,
    data: Data = None,
) -> None:
    """Regroup and reselect with different settings, using a run's stored scores, as a new run."""
    from bestshot.orchestrator.v1 import orchestrator_pb2 as pb

    from orchestrator.cli.api import open_api
    from services.common.config.layers import flag_layer, merge

    flags = [*(set_ or []), *_goal_flags(goal, count, share)]
    with open_api(orchestrator, data) as api:
        request = pb.ReselectRequest(run_id=api.find_run(run).id, validate_only=preview)
        request.config_overrides.update(merge(flag_layer(flag).data for flag in flags))
        answer = api.call(request)
    if as_json:
        print_message(answer)
        return
    console = open_console(is_quiet=quiet)
    for mark, paths in (("[green]+[/green]", answer.gained_paths), ("-", answer.lost_paths)):
        for path in paths:
            console.print(f"{mark} {escape(path)}")
    name = "preview" if preview else f"run {answer.run.id}"
    console.print(
        f"{name}: {answer.run.summary.selected_count} selected; {len(answer.gained_paths)} gained, "
        f"{len(answer.lost_paths)} lost"
    )
    print_notes(answer.run.notes, console)


@app.command()
def evaluate(
    run: RunId = LATEST,
    as_json: AsJson = False,
    quiet: NoHeading = False,
    orchestrator: Address = None,
    data: Data = None,
) -> None:
    """Show how well the algorithm's choices agree with your decisions."""
    from orchestrator.cli.api import open_api

    with open_api(orchestrator, data) as api:
        found = api.find_run(run)
        answer = api.evaluate(found.id)
    if as_json:
        print_message(answer)
        return
    console = open_console()
    if not quiet:
        console.print(f"run {found.id}")
    for line in answer.lines:
        console.print(escape(line))


@app.command()
def tune(
    run: RunId = LATEST,
    out: Annotated[
        Path | None, typer.Option(help="YAML file to save the proposal to, for --config.")
    ] = None,
    pairs: Annotated[
        bool,
        typer.Option(
            "--pairs",
            help='Learn the weights from your answers to "Which one?" in the web UI instead.',
        ),
    ] = False,
    keep: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="With --pairs: save the proposed weights as a profile, for --profile NAME.",
        ),
    ] = None,
    as_json: AsJson = False,
    quiet: NoHeading = False,
    orchestrator: Address = None,
    data: Data = None,
) -> None:
    """Propose cross-validated weights and thresholds that fit your decisions better.

    Changes nothing by itself.
    """
    from orchestrator.cli.api import open_api

    if keep is not None and not pairs:
        raise ConfigError("--keep needs --pairs; for a proposal from decisions, use --out FILE")
    if pairs and out is not None:
        raise ConfigError("--pairs takes --keep NAME, not --out")
    if pairs:
        from orchestrator.cli.pairs import learn_from_pairs

        learn_from_pairs(
            run, keep, as_json=as_json, is_quiet=quiet, orchestrator=orchestrator, data=data
        )
        return
    console = open_console()
    with open_api(orchestrator, data) as api:
        found = api.find_run(run)
        with Console(stderr=True).status("fitting"):
            proposal = api.tune(found.id)
        albums = api.album_folders()
    if as_json:
        print_message(proposal)
    else:
        if not quiet:
            console.print(f"run {found.id}")
        for line in proposal.lines:
            console.print(escape(line))
    if out is not None and proposal.settings_yaml:
        content = io.BytesIO(proposal.settings_yaml.encode())
        write_file(out, content, albums=albums, force=True)
        print(f"wrote {out}", file=sys.stderr if as_json else sys.stdout)


@app.command()
def diff(
    first: RunId,
    second: Annotated[
        str, typer.Argument(help="ID of the other run, or the start of that ID.")
    ] = LATEST,
    all_: ShowsAll = False,
    as_json: AsJson = False,
    quiet: NoHeading = False,
    orchestrator: Address = None,
    data: Data = None,
) -> None:
    """Show how two runs differ: settings, models, photos, picks, moments and scores."""
    from orchestrator.cli.api import open_api
    from orchestrator.cli.run_diff_text import diff_lines

    with open_api(orchestrator, data) as api:
        before, after = (api.find_run(name) for name in (first, second))
        found = api.diff(before.id, after.id)
    if as_json:
        print_json({"run_id": before.id, "other_run_id": after.id, "diff": found})
        return
    console = open_console()
    if not quiet:
        console.print(f"run {before.id} and run {after.id}")
    for line in diff_lines(found, shows_all=all_):
        console.print(escape(line))


@app.command()
def reproduce(
    run: RunId = LATEST,
    all_: ShowsAll = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
    config_dir_: ConfigDir = None,
    orchestrator: Address = None,
    data: Data = None,
) -> None:
    """Repeat a run from its photos and stored settings, and show what differs.

    Without --orchestrator, this starts its own services, computes everything again, and stores
    nothing. With --orchestrator, the server computes a new run, using its cached scores, and keeps
    it.

    Exit code 0: results are identical. 3: settings, models, photos or decisions have changed. 4:
    inputs are identical but results differ.
    """
    from orchestrator.cli import reproduce as reproducing
    from orchestrator.cli.api import open_api
    from orchestrator.cli.launcher import launcher
    from orchestrator.cli.run_diff_text import reproduction_lines

    if orchestrator is None:
        launcher.fork()
    console = Console(stderr=True, quiet=quiet) if as_json else open_console(is_quiet=quiet)
    configs = config_dir(config_dir_)
    with open_api(orchestrator, data, config_folder=configs) as api:
        found = reproducing.reproduce(api, api.find_run(run), configs, orchestrator, console)
    if as_json:
        print_json({"is_same_input": found.is_same_input, "reproduction": found})
    else:
        for line in reproduction_lines(found, shows_all=all_):
            console.print(escape(line))
    if not found.is_same_input:
        raise typer.Exit(EXIT_OTHER_INPUT)
    if found.diff.results:
        raise typer.Exit(EXIT_OTHER_RESULTS)


def _print_photos(records: list[ImageRecord], console: Console) -> None:
    from orchestrator.export.gallery import score_line

    for record in records:
        mark = "[green]+[/green]" if record.is_selected else "-"
        lines = filter(None, (score_line(record), record.face_caption))
        console.print(f"{mark} {escape(record.path)}  {' | '.join(lines)}")
        console.print(f"    {escape(record.reason)}")


def main() -> None:
    """Runs the command; a user error ends it with a message and an exit code."""
    try:
        app()
    except ConfigError as error:
        _fail(error, EXIT_CONFIG)
    except BestshotError as error:
        _fail(error, EXIT_FAILED)


def _fail(error: BestshotError, code: int) -> None:
    print(f"error: {error.sentence}", file=sys.stderr)
    raise SystemExit(code) from None
