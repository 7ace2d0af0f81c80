"""`bestshot runs`, `show`, `delete-run` and `delete-album`."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Column, Table

from orchestrator.cli.options import LATEST, Address, Data, RunId
from orchestrator.cli.output import (
    AsJson,
    OnlyIds,
    OnlySelected,
    open_console,
    print_json,
    print_lines,
)
from orchestrator.domain.wording import pluralize

if TYPE_CHECKING:
    from rich.console import Console

    from orchestrator.records import ImageRecord, Run

SHOWN_RUN_COUNT = 1000

app = typer.Typer()

Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")]


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
    for title, members in _group(records):
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
    """Delete a run and its results; your decisions, photos and exported files are kept."""
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
    """Delete an album with its runs and decisions; your photos and exported files are kept."""
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


def _start_time(run: Run) -> str:
    """Returns when a run was started, in local time."""
    return f"{run.create_time.astimezone():%Y-%m-%d %H:%M}"


def _group(records: list[ImageRecord]) -> Iterator[tuple[str, list[ImageRecord]]]:
    """Yields the moments, then all other photos, each group with its title."""
    from orchestrator.export.gallery import moments

    for moment in moments(records):
        count = pluralize(len(moment.photos), "shot")
        yield f"[bold]{moment.title}[/bold]: {count}", moment.photos
    readable = [record for record in records if record.is_readable]
    single = [record for record in readable if record.cluster_id is None or record.cluster_id < 0]
    yield "[bold]Single shots[/bold]", single
    yield "[bold]Unreadable files[/bold]", [one for one in records if not one.is_readable]


def _print_photos(records: list[ImageRecord], console: Console) -> None:
    from orchestrator.export.gallery import score_line

    for record in records:
        mark = "[green]+[/green]" if record.is_selected else "-"
        lines = filter(None, (score_line(record), record.face_caption))
        console.print(f"{mark} {escape(record.path)}  {' | '.join(lines)}")
        console.print(f"    {escape(record.reason)}")
