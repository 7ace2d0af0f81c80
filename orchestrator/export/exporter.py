"""All files of a run into one folder."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from orchestrator.export.files import FileTransfer
from orchestrator.export.gallery import gallery_html, thumbnail_name
from orchestrator.export.metrics_csv import metrics_csv
from orchestrator.export.metrics_parquet import metrics_parquet
from orchestrator.export.output_folder import (
    EXPORT_LOCK,
    OutputFolder,
    open_output,
    writing_errors,
)
from orchestrator.export.pictures import thumbnail
from orchestrator.export.results_json import results_json, run_json
from orchestrator.export.sidecars import sidecar_paths, stage_sidecars, write_sidecars_beside
from orchestrator.ports import FeatureCache
from orchestrator.records import Album, ImageRecord, Run, check_completed
from orchestrator.storage.containment import open_inside
from services.common.errors import FailedPreconditionError, InvalidImageError

TABLE_NAMES = ("image_metrics.csv", "results.json", "run.json", "index.html")

SELECTED_FOLDER = "selected"
THUMBNAIL_FOLDER = "thumbnails"
XMP_FOLDER = "xmp"


@dataclass(frozen=True)
class ExportOptions:
    """What is written beside the usual files.

    Attributes:
        selected_transfer: How selected photos come into `selected/`; None = not at all.
        write_xmp: Sidecars into `xmp/`, and beside copied photos.
        write_xmp_beside_photos: Sidecars into the album itself.
        write_parquet: image_metrics.parquet.
        force: Replace files with these names that bestshot did not write or that have changed
            since.
    """

    selected_transfer: FileTransfer | None = None
    write_xmp: bool = False
    write_xmp_beside_photos: bool = False
    write_parquet: bool = False
    force: bool = False


@dataclass(frozen=True)
class Exported:
    """What was written.

    Attributes:
        paths: Files, relative to the folder.
        transferred_count: Photos copied or linked.
        warnings: What could not be written, and why.
    """

    paths: list[str]
    transferred_count: int
    warnings: list[str]


def export_run(
    album: Album,
    run: Run,
    records: Sequence[ImageRecord],
    cache: FeatureCache,
    folder: Path,
    options: ExportOptions,
    *,
    other_albums: Iterable[Path] = (),
    roots: Sequence[Path] = (),
) -> Exported:
    """Writes image_metrics.csv, results.json, run.json, index.html, and what else is asked for.

    Each file is replaced atomically, and if one cannot be written the folder is unchanged.

    Args:
        album: The run's album.
        run: A completed run.
        records: Its photos.
        cache: Has their thumbnails.
        folder: Created if missing.
        options: What else to write.
        other_albums: Folders that must not be written to either.
        roots: Resolved folders that links in the album may lead into.

    Raises:
        FailedPreconditionError: The run is not completed, another export writes into the folder,
            a selected photo cannot be read, or Parquet cannot be written here.
        InvalidArgumentError: The folder cannot be written, is, contains or is inside an album, or
            has files in the way that bestshot did not write.
    """
    check_completed(run, "exported")
    photos = Path(album.folder)
    files = {
        "image_metrics.csv": metrics_csv(records).encode(),
        "results.json": results_json(records).encode(),
        "run.json": run_json(album, run).encode(),
        "index.html": gallery_html(album, run, records).encode(),
    }
    if options.write_parquet:
        files["image_metrics.parquet"] = metrics_parquet(records)
    warnings: list[str] = []
    with (
        open_output(folder, photos, other_albums, lock=EXPORT_LOCK) as output,
        writing_errors(output.path),
    ):
        selected = _selected_files(records) if options.selected_transfer else []
        thumbnails = {
            f"{THUMBNAIL_FOLDER}/{thumbnail_name(record)}": record
            for record in records
            if record.is_readable
        }
        transferred = [f"{SELECTED_FOLDER}/{path}" for path in selected]
        output.guard({(photos / record.path).parent for record in records})
        output.check_names([*files, *thumbnails, *transferred], force=options.force)
        for name, record in thumbnails.items():
            output.stage(name, thumbnail(cache, record))
        for name, content in files.items():
            output.stage(name, content)
        stale: list[str] = []
        if options.selected_transfer:
            warnings += _stage_selected(photos, selected, output, options.selected_transfer, roots)
            stale = _stale(output, records, selected)
        warnings += _stage_xmp(photos, records, output, options, roots)
        count = sum(
            output.has_staged(f"{SELECTED_FOLDER}/{record.path}")
            for record in records
            if record.is_selected
        )
        warnings += output.commit(stale)
    if options.write_xmp_beside_photos:
        warnings += write_sidecars_beside(photos, records)
    return Exported(paths=list(files), transferred_count=count, warnings=warnings)


def _stage_xmp(
    photos: Path,
    records: Sequence[ImageRecord],
    output: OutputFolder,
    options: ExportOptions,
    roots: Sequence[Path],
) -> Iterator[str]:
    """Stages the requested sidecars; yields what could not be written."""
    if options.write_xmp:
        yield from stage_sidecars(photos, records, output, XMP_FOLDER, roots)
        if options.selected_transfer:
            selected = [record for record in records if record.is_selected]
            yield from stage_sidecars(photos, selected, output, SELECTED_FOLDER, roots)


def _selected_files(records: Sequence[ImageRecord]) -> list[str]:
    """Paths of the selected photos with their companions."""
    selected = [record for record in records if record.is_selected]
    return [path for record in selected for path in (record.path, *record.companion_paths)]


def _stage_selected(
    photos: Path,
    paths: Sequence[str],
    output: OutputFolder,
    transfer: FileTransfer,
    roots: Sequence[Path],
) -> Iterator[str]:
    """Stages copies or links of photos; yields what is left out, and why."""
    for path in paths:
        place, name = photos / path, f"{SELECTED_FOLDER}/{path}"
        try:
            source = open_inside(place, photos, roots)
        except InvalidImageError as error:
            yield f"{place} is left out: {error.message}"
            continue
        except OSError as error:
            raise FailedPreconditionError(
                f"{path} can no longer be read: {error.strerror}"
            ) from error
        with source:
            if transfer is FileTransfer.COPY:
                output.stage_copy(name, source)
            else:
                output.stage_link(name, source, place, transfer, roots)


def _stale(
    output: OutputFolder, records: Sequence[ImageRecord], selected: Sequence[str]
) -> list[str]:
    """What earlier exports put into `selected/` for photos that are no longer selected."""
    names = sidecar_paths(records)
    current = {*selected, *(names[path] for path in selected if path in names)}
    below = output.names_below(SELECTED_FOLDER)
    return [name for name in below if name.removeprefix(f"{SELECTED_FOLDER}/") not in current]
