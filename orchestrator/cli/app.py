"""The `bestshot` command."""

from __future__ import annotations

import enum
import importlib.util
import io
import os
import re
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from models.cli import app as models_app
from orchestrator.cli import curate as curating
from orchestrator.cli import reproduce as reproducing
from orchestrator.cli.curate import Request
from orchestrator.cli.decisions import app as decisions_app
from orchestrator.cli.demo import make_album
from orchestrator.cli.options import (
    LATEST,
    ConfigDir,
    Data,
    RunId,
    album_folders,
    allowed_roots,
    find_photo,
    find_run,
    open_stored,
    stored_features,
)
from orchestrator.cli.run_diff_text import diff_lines, reproduction_lines
from orchestrator.cli.supervisor import (
    MODEL_SERVICES,
    PARTS,
    Supervisor,
    interrupted_by_sigterm,
    part_command,
)
from orchestrator.data_folder import data_folder
from orchestrator.export.download import DownloadFormat, download
from orchestrator.export.exporter import SELECTED_FOLDER, ExportOptions, export_run
from orchestrator.export.files import FileTransfer, write_file
from orchestrator.export.gallery import moments, score_line
from orchestrator.records import ImageRecord
from orchestrator.review import evaluation, tuning
from orchestrator.review.explain_photo import explain_photo
from orchestrator.review.run_diff import compare_runs
from orchestrator.storage.decision_log import SqlDecisionLog
from orchestrator.storage.run_store import SqlRunStore
from services.common.config.layers import DEFAULT_PROFILE, config_dir
from services.common.config.sections import SharedSettings, load_section
from services.common.errors import EXIT_CONFIG, BestshotError, ConfigError
from services.common.rpc.auth import ScopeName, new_token, token_digest

app = typer.Typer(
    name="bestshot",
    help="Scores every photo of a folder, groups the shots of one moment, picks the best of each "
    "and says why.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

app.add_typer(models_app, name="models")
app.add_typer(decisions_app, name="decisions")


class ExportedAs(enum.StrEnum):
    """What `export` writes; the names of `DownloadFormat` but for the folder."""

    FOLDER = "folder"
    CSV = "csv"
    JSON = "json"
    PARQUET = "parquet"
    XMP_ZIP = "xmp-zip"
    SELECTED_ZIP = "selected-zip"


EXIT_FAILED = 1
EXIT_OTHER_INPUT, EXIT_OTHER_RESULTS = 3, 4
UP_MAX_DEATHS = 8
"""Reached after a minute of pauses: by then a photo that kills a service has failed its run
(`service_wait_s`), and everything else continues."""

Profile = Annotated[str, typer.Option(help="Profile of configs/profiles.")]
ConfigFiles = Annotated[
    list[Path] | None,
    typer.Option("--config", help="YAML file nested like configs/pipeline.yaml; repeatable."),
]
Flags = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Override one key of pipeline.yaml, as select_best.max_images_per_cluster=3.",
    ),
]

Force = Annotated[
    bool,
    typer.Option(
        "--force",
        help="Replace files in OUT that bestshot did not write or that have changed since.",
    ),
]
ShowsAll = Annotated[bool, typer.Option("--all", help="Show every change, however many.")]


@app.command()
def curate(
    photos: Annotated[Path, typer.Argument(help="Folder of photos; sub-folders count.")],
    out: Annotated[Path, typer.Option(help="Folder for the results; made where absent.")],
    profile: Annotated[
        str | None,
        typer.Option(
            help="Profile of configs/profiles; builtin, or what a running orchestrator has, if "
            "none is named."
        ),
    ] = None,
    config: ConfigFiles = None,
    set_: Flags = None,
    copy_selected: Annotated[
        bool, typer.Option("--copy-selected", help="Copy the selected photos into OUT/selected.")
    ] = False,
    force: Force = False,
    orchestrator: Annotated[
        str | None,
        typer.Option(
            help="Address of a running orchestrator, whose own settings lie beneath what is set "
            "here; else one is started for this run."
        ),
    ] = None,
    config_dir_: ConfigDir = None,
    data: Data = None,
) -> None:
    """Score, group and select the photos of a folder.

    Writes image_metrics.csv, results.json, run.json and index.html into OUT. A second run computes
    only what is new. Starts all services itself, and stops them.
    """
    if orchestrator is not None and data is not None:
        raise ConfigError("leave out --data: the orchestrator at --orchestrator has its own")
    curating.curate(
        Request(
            photos=photos,
            out=out,
            config_folder=config_dir(config_dir_),
            data_folder=data_folder(data),
            profile=profile,
            config_files=config or [],
            flags=set_ or [],
            copy_selected=copy_selected,
            orchestrator=orchestrator,
            force=force,
        ),
        Console(),
    )


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder for photos and results.")] = Path(
        "bestshot-demo"
    ),
    data: Data = None,
) -> None:
    """Curate a small album of real pictures that ship with scikit-learn."""
    console = Console()
    photos = out / "photos"
    count = make_album(photos)
    console.print(f"{count} photos made in {photos}", highlight=False)
    curating.curate(
        Request(
            photos=photos,
            out=out / "results",
            config_folder=config_dir(None),
            data_folder=data_folder(data),
            profile=None,
            config_files=[],
            flags=[],
            copy_selected=False,
            orchestrator=None,
        ),
        console,
    )
    page = (out / "results" / "index.html").resolve()
    console.print(f"open {page.as_uri()} in a browser", highlight=False, soft_wrap=True)


@app.command()
def up(
    profile: Profile = DEFAULT_PROFILE,
    config_dir_: ConfigDir = None,
    data: Data = None,
    ui: Annotated[bool, typer.Option(help="Whether to serve the web UI too.")] = True,
    insecure: Annotated[
        bool,
        typer.Option(
            "--insecure",
            help="Listen beyond loopback though nobody is asked for a token or a certificate.",
        ),
    ] = False,
) -> None:
    """Run everything until Ctrl-C: the four model services, the orchestrator and the web UI.

    They listen where configs/services.yaml says. A part that dies is restarted; if one keeps dying,
    the command exits and shows its last log lines.
    """
    if ui and importlib.util.find_spec("gradio") is None:
        raise ConfigError(
            "the web UI is not installed: install 'bestshot[ui]', or leave it out with --no-ui"
        )
    console = Console(highlight=False, soft_wrap=True)
    folder = data_folder(data)
    configs = config_dir(config_dir_)
    shared = load_section(configs, profile, "shared", SharedSettings)
    common = ["--config-dir", str(configs), "--profile", profile]
    supervisor = Supervisor(
        folder / "logs",
        [*common, *(["--insecure"] if insecure else [])],
        max_deaths=UP_MAX_DEATHS,
        report=lambda line: console.print(escape(line)),
    )
    with interrupted_by_sigterm():
        try:
            for name in MODEL_SERVICES:
                supervisor.start(name, [])
            for name in MODEL_SERVICES:
                console.print(f"{name:<13} {supervisor.wait_for_address(name)}")
            supervisor.start("orchestrator", ["--data", str(folder)])
            address = supervisor.wait_for_address("orchestrator")
            console.print(f"{'orchestrator':<13} {address}")
            if ui:
                supervisor.start("ui", [])
                scheme = "http" if shared.tls.certificate_file is None else "https"
                page = f"{scheme}://{supervisor.wait_for_address('ui')}"
                console.print(f"{'ui':<13} {page}")
            console.print(f"logs in {folder / 'logs'}; Ctrl-C stops")
            if failure := supervisor.wait_for_failure():
                raise failure
        finally:
            supervisor.stop()


@app.command(
    context_settings={
        "allow_extra_args": True,
        "ignore_unknown_options": True,
        "allow_interspersed_args": False,  # what follows PART is for the part, --help too
    }
)
def serve(
    context: typer.Context,
    part: Annotated[str, typer.Argument(help=f"One of {', '.join(PARTS)}.")],
) -> None:
    """Run one part in the foreground: what the containers call.

    `bestshot serve PART --help` lists its options.
    """
    if part not in PARTS:
        raise ConfigError(f"there is no part {part!r}; known are {', '.join(PARTS)}")
    command = part_command(part, context.args)
    os.execv(command[0], command)  # noqa: S606


@app.command()
def token(
    name: Annotated[str, typer.Argument(help="Who will have it: letters, digits, - and _.")],
    scope: Annotated[ScopeName, typer.Option(help="What it allows; each includes the former.")],
) -> None:
    """Make a token: print it once, and the lines for shared.tokens_file that let it in."""
    if not re.fullmatch(r"[\w-]+", name):
        raise ConfigError(f"the name {name!r} must be of letters, digits, - and _")
    secret = new_token()
    console = Console(highlight=False, soft_wrap=True)
    console.print(f"token, for the caller's shared.token_file:\n{secret}\n")
    console.print("for the server's shared.tokens_file, below `tokens:`:")
    console.print(f"  {name}: {{sha256: {token_digest(secret)}, scope: {scope}}}")


@app.command()
def runs(data: Data = None) -> None:
    """List the runs, newest first."""
    store = SqlRunStore(open_stored(data))
    table = Table("Run", "Started", "State", "Photos", "Selected", "Album")
    for run in store.list_runs("", 1000, 0):
        summary = run.summary
        table.add_row(
            run.id[:12],
            run.create_time.astimezone().strftime("%Y-%m-%d %H:%M:%S"),
            run.state.value.lower(),
            str(summary.photo_count) if summary else "",
            str(summary.selected_count) if summary else "",
            escape(store.album(run.album_id).folder),
        )
    Console().print(table)


@app.command()
def show(
    run: RunId = LATEST,
    data: Data = None,
) -> None:
    """Show what a run selected and why; without an id, the newest one."""
    store = SqlRunStore(open_stored(data))
    found = find_run(store, run)
    console = Console(soft_wrap=True, highlight=False)
    console.print(f"[bold]run {found.id}[/bold], {found.state.value.lower()}")
    console.print(f"album {escape(store.album(found.album_id).folder)}")
    if found.error:
        console.print(f"[red]{escape(found.error)}[/red]")
    for role, model in found.models.items():
        wanted = model["fallback_for_model_id"]
        instead = f", standing in for {wanted}" if wanted else ""
        console.print(
            f"  {role}: {model['id']} ({model['origin']}{instead}): {model['description']}"
        )
    records = store.images(found.id)
    for moment in moments(records):
        console.print(f"\n[bold]{moment.title}[/bold]: {len(moment.photos)} shots")
        _print_photos(moment.photos, console)
    console.print("\n[bold]Single shots and unreadable files[/bold]")
    _print_photos(
        [record for record in records if record.cluster_id is None or record.cluster_id < 0],
        console,
    )


@app.command()
def explain(
    photo: Annotated[str, typer.Argument(help="Path of a photo in its album, or its file name.")],
    run: RunId = LATEST,
    data: Data = None,
) -> None:
    """Show everything that led to what became of a photo, with the numbers that were used."""
    engine = open_stored(data)
    store = SqlRunStore(engine)
    found = find_run(store, run)
    path = find_photo(store, found, photo)
    explanation = explain_photo(store, stored_features(engine), found, path)
    console = Console(soft_wrap=True, highlight=False)
    console.print(f"[bold]{escape(path)}[/bold], run {found.id}")
    for line in explanation.lines:
        console.print(escape(line))


@app.command()
def export(
    out: Annotated[Path, typer.Option(help="Folder for the files; with --as a file to write.")],
    run: RunId = LATEST,
    as_: Annotated[
        ExportedAs, typer.Option("--as", help="All files into a folder, or one of them.")
    ] = ExportedAs.FOLDER,
    selected: Annotated[
        FileTransfer | None,
        typer.Option(help="Put the selected photos into OUT/selected, as copies or links."),
    ] = None,
    xmp: Annotated[
        bool, typer.Option("--xmp", help="Write XMP sidecars into OUT/xmp, and beside copies.")
    ] = False,
    xmp_beside_photos: Annotated[
        bool,
        typer.Option(
            "--xmp-beside-photos",
            help="Write XMP sidecars beside your photos; those that are there are merged into.",
        ),
    ] = False,
    parquet: Annotated[
        bool, typer.Option("--parquet", help="Write the Parquet table too.")
    ] = False,
    force: Force = False,
    data: Data = None,
) -> None:
    """Write what a run found: tables, gallery, sidecars, the selected photos."""
    if as_ is not ExportedAs.FOLDER and (selected or xmp or xmp_beside_photos or parquet):
        raise ConfigError(
            "--selected, --xmp, --xmp-beside-photos and --parquet add to a folder: leave "
            f"out --as {as_}"
        )
    engine = open_stored(data)
    store = SqlRunStore(engine)
    found = find_run(store, run)
    album, records = store.album(found.album_id), store.images(found.id)
    albums = album_folders(store)
    roots = allowed_roots(data)
    console = Console(soft_wrap=True, highlight=False)
    if as_ is not ExportedAs.FOLDER:
        with download(album, found, records, DownloadFormat[as_.name], roots) as content:
            write_file(out, content, albums=albums, force=force)
        console.print(escape(str(out)))
        return
    options = ExportOptions(selected, xmp, xmp_beside_photos, parquet, force)
    done = export_run(
        album,
        found,
        records,
        stored_features(engine),
        out,
        options,
        other_albums=albums,
        roots=roots,
    )
    for path in done.paths:
        console.print(escape(f"  {out / path}"))
    if done.transferred_count:
        console.print(escape(f"  {out / SELECTED_FOLDER}: {done.transferred_count} photos"))
    for warning in done.warnings:
        console.print(f"[yellow]{escape(warning)}[/yellow]")


@app.command()
def evaluate(run: RunId = LATEST, data: Data = None) -> None:
    """Show how well a run's own choice agrees with what you decided."""
    engine = open_stored(data)
    store = SqlRunStore(engine)
    found = find_run(store, run)
    result = evaluation.evaluate(store, SqlDecisionLog(engine), stored_features(engine), found)
    console = Console(soft_wrap=True, highlight=False)
    console.print(f"run {found.id}")
    for line in evaluation.evaluation_lines(result):
        console.print(escape(line))


@app.command()
def tune(
    run: RunId = LATEST,
    out: Annotated[Path | None, typer.Option(help="YAML file to write, for --config.")] = None,
    data: Data = None,
) -> None:
    """Propose weights and thresholds that fit your decisions better, cross-validated.

    Changes nothing by itself.
    """
    engine = open_stored(data)
    store = SqlRunStore(engine)
    found = find_run(store, run)
    console = Console(soft_wrap=True, highlight=False)
    with console.status("fitting"):
        proposal = tuning.tune(store, SqlDecisionLog(engine), stored_features(engine), found)
    console.print(f"run {found.id}")
    for line in tuning.proposal_lines(proposal):
        console.print(escape(line))
    if out is not None and proposal.after:
        content = io.BytesIO(tuning.proposal_yaml(proposal).encode())
        write_file(out, content, albums=album_folders(store), force=True)
        console.print(escape(f"written into {out}"))


@app.command()
def diff(
    first: RunId,
    second: Annotated[str, typer.Argument(help="The run to compare it with.")] = LATEST,
    all_: ShowsAll = False,
    data: Data = None,
) -> None:
    """Show how two runs differ: settings, models, photos, picks, moments and scores."""
    store = SqlRunStore(open_stored(data))
    before, after = (find_run(store, name) for name in (first, second))
    found = compare_runs(before, store.images(before.id), after, store.images(after.id))
    console = Console(soft_wrap=True, highlight=False)
    console.print(f"run {before.id} and run {after.id}")
    for line in diff_lines(found, shows_all=all_):
        console.print(escape(line))


@app.command()
def reproduce(
    run: RunId = LATEST,
    all_: ShowsAll = False,
    config_dir_: ConfigDir = None,
    data: Data = None,
) -> None:
    """Compute a run again from its photos and what was stored of it, and show what differs.

    Exit code 0: everything is equal. 3: settings, models or photos are others than they were. 4:
    they are the same, and gave other results.
    """
    store = SqlRunStore(open_stored(data))
    console = Console(soft_wrap=True, highlight=False)
    found = reproducing.reproduce(store, find_run(store, run), config_dir(config_dir_), console)
    for line in reproduction_lines(found, shows_all=all_):
        console.print(escape(line))
    if not found.is_same_input:
        raise typer.Exit(EXIT_OTHER_INPUT)
    if found.diff.results:
        raise typer.Exit(EXIT_OTHER_RESULTS)


def _print_photos(records: list[ImageRecord], console: Console) -> None:
    for record in records:
        mark = "[green]+[/green]" if record.is_selected else "-"
        lines = filter(None, (score_line(record), record.face_caption))
        console.print(f"{mark} {escape(record.path)}  {' | '.join(lines)}")
        console.print(f"    {escape(record.reason)}")


def main() -> None:
    """Runs the command; a user's mistake is a message and an exit code, never a traceback."""
    try:
        app()
    except ConfigError as error:
        _fail(error, EXIT_CONFIG)
    except BestshotError as error:
        _fail(error, EXIT_FAILED)


def _fail(error: BestshotError, code: int) -> None:
    print(f"error: {error.message}", file=sys.stderr)
    raise SystemExit(code) from None
