"""All files of a run into one folder."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from orchestrator.export.files import FileTransfer, replace_file, transfer_file
from orchestrator.export.gallery import gallery_html, thumbnail_name
from orchestrator.export.metrics_csv import metrics_csv
from orchestrator.export.metrics_parquet import metrics_parquet
from orchestrator.export.results_json import results_json, run_json
from orchestrator.export.sidecars import sidecar_paths, write_sidecars, write_sidecars_beside
from orchestrator.ports import FeatureCache
from orchestrator.results import Album, ImageRecord, Run, check_completed
from orchestrator.thumbnails import thumbnail
from services.common.errors import InvalidArgumentError

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
    """

    selected_transfer: FileTransfer | None = None
    write_xmp: bool = False
    write_xmp_beside_photos: bool = False
    write_parquet: bool = False


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


def check_writable(folder: Path) -> None:
    """Makes the folder where absent, and proves that files can be written into it.

    Raises:
        InvalidArgumentError: They cannot; the message says why.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise InvalidArgumentError(
            "output_folder", f"cannot write into {folder}: {error.strerror}"
        ) from error


def export_run(
    album: Album,
    run: Run,
    records: Sequence[ImageRecord],
    cache: FeatureCache,
    folder: Path,
    options: ExportOptions,
) -> Exported:
    """Writes image_metrics.csv, results.json, run.json, index.html, and what else is asked for.

    Each file is replaced whole: a reader never sees half of one.

    Raises:
        FailedPreconditionError: The run is not completed, or Parquet cannot be written here.
        InvalidArgumentError: The folder cannot be written, or lies inside the album where copies
            would be taken for photos.
    """
    check_completed(run, "exported")
    photos = Path(album.folder)
    if options.selected_transfer and folder.resolve().is_relative_to(photos.resolve()):
        raise InvalidArgumentError(
            "output_folder",
            f"{folder} lies inside the album {album.folder}: copies would be taken for photos "
            f"in the next run; choose a folder outside",
        )
    check_writable(folder)
    files = {
        "image_metrics.csv": metrics_csv(records).encode(),
        "results.json": results_json(records).encode(),
        "run.json": run_json(album, run).encode(),
        "index.html": gallery_html(album, run, records).encode(),
    }
    if options.write_parquet:
        files["image_metrics.parquet"] = metrics_parquet(records)
    try:
        transferred_before = _transferred_before(folder)
        _write_thumbnails(records, cache, folder / THUMBNAIL_FOLDER)
        for name, content in files.items():
            replace_file(folder / name, content)
        transferred = 0
        if options.selected_transfer:
            transferred = _transfer_selected(
                photos, records, folder, transferred_before, options.selected_transfer
            )
    except OSError as error:
        raise InvalidArgumentError(
            "output_folder", f"cannot write into {folder}: {error.strerror}"
        ) from error
    warnings = list(_write_xmp(photos, records, folder, options))
    return Exported(paths=list(files), transferred_count=transferred, warnings=warnings)


def _write_xmp(
    photos: Path, records: Sequence[ImageRecord], folder: Path, options: ExportOptions
) -> Iterator[str]:
    """Writes the sidecars that are wanted; yields what could not be written."""
    if options.write_xmp:
        yield from write_sidecars(photos, records, folder / XMP_FOLDER)
        if options.selected_transfer:
            selected = [record for record in records if record.is_selected]
            yield from write_sidecars(photos, selected, folder / SELECTED_FOLDER)
    if options.write_xmp_beside_photos:
        yield from write_sidecars_beside(photos, records)


def _write_thumbnails(records: Sequence[ImageRecord], cache: FeatureCache, folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    for record in records:
        target = folder / thumbnail_name(record)
        if record.is_readable and not target.exists():
            replace_file(target, thumbnail(cache, record))


def _transferred_before(folder: Path) -> list[str]:
    """Paths that the export which stands in `folder` called selected."""
    try:
        images = json.loads((folder / "results.json").read_text(encoding="utf-8"))["images"]
        selected = [image for image in images if image["is_selected"]]
        return [path for image in selected for path in (image["path"], *image["companion_paths"])]
    except (OSError, ValueError, KeyError, TypeError):
        return []  # no export of ours stands there


def _transfer_selected(
    photos: Path,
    records: Sequence[ImageRecord],
    folder: Path,
    transferred_before: Sequence[str],
    transfer: FileTransfer,
) -> int:
    """Copies or links the selected photos; takes back what it did so earlier, nothing else."""
    target = folder / SELECTED_FOLDER
    selected = [record for record in records if record.is_selected]
    files = [path for record in selected for path in (record.path, *record.companion_paths)]
    names = sidecar_paths(records)
    for path in set(transferred_before) - set(files):
        (target / path).unlink(missing_ok=True)
        if path in names:
            (target / names[path]).unlink(missing_ok=True)
    for path in files:
        place = target / path
        place.parent.mkdir(parents=True, exist_ok=True)
        transfer_file(photos / path, place, transfer)
    return len(selected)
