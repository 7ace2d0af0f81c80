"""All files of a run into one folder."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from orchestrator.export.gallery import gallery_html, thumbnail_name
from orchestrator.export.metrics_csv import metrics_csv
from orchestrator.export.metrics_parquet import metrics_parquet
from orchestrator.export.results_json import results_json, run_json
from orchestrator.export.xmp import sidecar, sidecar_paths
from orchestrator.ports import FeatureCache
from orchestrator.results import Album, ImageRecord, Run, check_completed
from orchestrator.thumbnails import thumbnail
from services.common.errors import InvalidArgumentError

SELECTED_FOLDER = "selected"
THUMBNAIL_FOLDER = "thumbnails"
XMP_FOLDER = "xmp"


@dataclass(frozen=True)
class ExportOptions:
    """What is written beside the usual files; fields as in orchestrator.proto."""

    copy_selected: bool = False
    write_xmp: bool = False
    write_parquet: bool = False


@dataclass(frozen=True)
class Exported:
    """What was written: paths relative to the folder, and the number of photos copied."""

    paths: list[str]
    copied_count: int


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
    if options.copy_selected and folder.resolve().is_relative_to(Path(album.folder).resolve()):
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
        copied_before = _copied_before(folder)
        _write_thumbnails(records, cache, folder / THUMBNAIL_FOLDER)
        for name, content in files.items():
            _replace(folder / name, content)
        copied = 0
        if options.copy_selected:
            copied = _copy_selected(album, records, folder, copied_before)
        if options.write_xmp:
            _write_sidecars(records, folder, beside_copies=options.copy_selected)
    except OSError as error:
        raise InvalidArgumentError(
            "output_folder", f"cannot write into {folder}: {error.strerror}"
        ) from error
    return Exported(paths=list(files), copied_count=copied)


def _write_sidecars(records: Sequence[ImageRecord], folder: Path, *, beside_copies: bool) -> None:
    names = sidecar_paths(records)
    for record in records:
        if not record.is_readable:
            continue
        targets = [folder / XMP_FOLDER]
        if beside_copies and record.is_selected:
            targets.append(folder / SELECTED_FOLDER)
        for target in targets:
            path = target / names[record.path]
            path.parent.mkdir(parents=True, exist_ok=True)
            _replace(path, sidecar(record))


def _write_thumbnails(records: Sequence[ImageRecord], cache: FeatureCache, folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    for record in records:
        target = folder / thumbnail_name(record)
        if record.is_readable and not target.exists():
            _replace(target, thumbnail(cache, record))


def _copied_before(folder: Path) -> list[str]:
    """Paths that the export which stands in `folder` called selected."""
    try:
        images = json.loads((folder / "results.json").read_text(encoding="utf-8"))["images"]
        return [image["path"] for image in images if image["is_selected"]]
    except (OSError, ValueError, KeyError, TypeError):
        return []  # no export of ours stands there


def _copy_selected(
    album: Album, records: Sequence[ImageRecord], folder: Path, copied_before: Sequence[str]
) -> int:
    """Copies the selected photos, sub-folders kept; takes back its own earlier copies only."""
    target = folder / SELECTED_FOLDER
    selected = [record.path for record in records if record.is_selected]
    names = sidecar_paths(records)
    for path in set(copied_before) - set(selected):
        (target / path).unlink(missing_ok=True)
        if path in names:
            (target / names[path]).unlink(missing_ok=True)
    for path in selected:
        copy = target / path
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(Path(album.folder) / path, copy)
    return len(selected)


def _replace(target: Path, content: bytes) -> None:
    partial = target.with_name(f".{target.name}.partial")
    partial.write_bytes(content)
    os.replace(partial, target)
