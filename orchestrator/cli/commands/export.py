"""`bestshot export`."""

from __future__ import annotations

import enum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from orchestrator.cli.options import LATEST, Address, Data, Force, RunId
from orchestrator.cli.output import Quiet, open_console
from orchestrator.domain.wording import pluralize
from orchestrator.export.files import FileTransfer, write_file
from services.common.errors import ConfigError

if TYPE_CHECKING:
    from bestshot.orchestrator.v1 import orchestrator_pb2 as pb

    from orchestrator.cli.api import Api
    from orchestrator.export.exporter import ExportOptions
    from orchestrator.records import Run

app = typer.Typer()


class ExportedAs(enum.StrEnum):
    """Output of `export`; named as in `DownloadFormat`, except for the folder."""

    FOLDER = "folder"
    CSV = "csv"
    JSON = "json"
    PARQUET = "parquet"
    XMP_ZIP = "xmp-zip"
    SELECTED_ZIP = "selected-zip"


class ExportedBy(enum.StrEnum):
    """What `export --by` makes folders for."""

    PERSON = "person"


def _parse_transfer(text: str) -> FileTransfer:
    try:
        return FileTransfer(text)
    except ValueError:
        raise typer.BadParameter(f"choose copy, hardlink or symlink (got {text!r})") from None


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
        bool, typer.Option("--parquet", help="Also write the Parquet table.")
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
        export_files = _download_and_write if api.is_served else _write_directly
        done = export_files(api, found, out, options)
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


def _write_directly(api: Api, run: Run, out: Path, options: ExportOptions) -> pb.ExportRunResponse:
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


def _download_and_write(
    api: Api, run: Run, out: Path, options: ExportOptions
) -> pb.ExportRunResponse:
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
