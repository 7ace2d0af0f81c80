"""Writes a run's results as one file."""

from __future__ import annotations

import enum
import os
import time
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from orchestrator.export.metrics_csv import metrics_csv
from orchestrator.export.metrics_parquet import metrics_parquet
from orchestrator.export.originals import CHANGED, has_changed
from orchestrator.export.result_files import tables, thumbnails_by_name
from orchestrator.export.results_json import results_json
from orchestrator.export.sidecars import merged_sidecar_of, sidecar_paths
from orchestrator.export.zip_names import zip_names
from orchestrator.ports import FeatureCache
from orchestrator.records import Album, ImageRecord, Run, check_completed
from orchestrator.storage.album_folders import AlbumFolders
from orchestrator.storage.containment import open_inside
from orchestrator.storage.photo_io import report_progress
from orchestrator.viewing.pictures import read_thumbnails
from services.common.errors import FailedPreconditionError, InvalidImageError
from services.common.temporary import temporary_file

SKIPPED_NAME = "SKIPPED.txt"
"""Zip entry that lists the files left out, if any."""
_CHUNK_BYTES = 2**20
_EPOCH, _LAST = (1980, 1, 1, 0, 0, 0), (2107, 12, 31, 23, 59, 58)
"""The range of times that a zip file can store."""


class DownloadFormat(enum.StrEnum):
    """A download format, named as in orchestrator.proto; the value is its file name."""

    CSV = "image_metrics.csv"
    JSON = "results.json"
    PARQUET = "image_metrics.parquet"
    XMP_ZIP = "xmp-sidecars.zip"
    SELECTED_ZIP = "selected-photos.zip"
    RESULTS_ZIP = "results.zip"


def download(
    album: Album,
    run: Run,
    records: Sequence[ImageRecord],
    wanted: DownloadFormat,
    cache: FeatureCache,
    roots: Sequence[Path] = (),
) -> IO[bytes]:
    """Writes a temporary file and returns it, positioned at the start.

    Links are followed only if they point into the album or into `roots` (resolved). Links
    that point elsewhere, and photos that have changed since they were scored, are left out of a zip
    and listed in its SKIPPED.txt.

    Raises:
        FailedPreconditionError: The run has not completed, a selected photo can no longer be read,
            or Parquet needs pyarrow, which is not installed.
    """
    check_completed(run, "exported")
    target = temporary_file()
    match wanted:
        case DownloadFormat.CSV:
            target.write(metrics_csv(records).encode())
        case DownloadFormat.JSON:
            target.write(results_json(records).encode())
        case DownloadFormat.PARQUET:
            target.write(metrics_parquet(records))
        case DownloadFormat.XMP_ZIP:
            _write_zip(target, album, zipped_records(records, wanted), roots)
        case DownloadFormat.SELECTED_ZIP:
            _write_zip(target, album, zipped_records(records, wanted), roots, has_photos=True)
        case DownloadFormat.RESULTS_ZIP:
            _write_results_zip(target, album, run, records, cache)
    target.seek(0)
    return target


def list_skipped(content: IO[bytes]) -> list[str]:
    """Returns the files left out of a download, with reasons; none if it is not a zip."""
    content.seek(0)
    if not zipfile.is_zipfile(content):
        return []
    with zipfile.ZipFile(content) as archive:
        return read_skipped(archive)


def read_skipped(archive: zipfile.ZipFile) -> list[str]:
    """Returns the files left out of a zip, each as "path: reason"."""
    if SKIPPED_NAME not in archive.namelist():
        return []
    return archive.read(SKIPPED_NAME).decode().splitlines()


def zipped_records(records: Sequence[ImageRecord], wanted: DownloadFormat) -> list[ImageRecord]:
    """Returns the photos that a zip covers; they determine the names in the zip."""
    if wanted is DownloadFormat.SELECTED_ZIP:
        return [record for record in records if record.is_selected]
    return [record for record in records if record.is_readable]


def _write_results_zip(
    target: IO[bytes], album: Album, run: Run, records: Sequence[ImageRecord], cache: FeatureCache
) -> None:
    """Compresses the tables and the page, but not the thumbnails: JPEGs do not compress further."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for name, content in tables(album, run, records).items():
            entry = zipfile.ZipInfo(name, _EPOCH)
            archive.writestr(entry, content, zipfile.ZIP_DEFLATED)
            report_progress()
        for name, content in read_thumbnails(cache, thumbnails_by_name(records)):
            archive.writestr(zipfile.ZipInfo(name, _EPOCH), content)
            report_progress()


def _write_zip(
    target: IO[bytes],
    album: Album,
    records: Sequence[ImageRecord],
    roots: Sequence[Path],
    *,
    has_photos: bool = False,
) -> None:
    """Writes sidecars, and photos if requested; uncompressed, because photos would not shrink."""
    folders = AlbumFolders(album)
    sidecars, names = sidecar_paths(records), zip_names(records)
    skipped: list[str] = []
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED, strict_timestamps=False) as archive:
        for record in records:
            if has_changed(folders, record, roots):
                skipped.append(f"{record.path}: {CHANGED}\n")
                continue
            merged = sidecars[record.path]
            for sidecar in merged:
                report_progress()
                archive.writestr(
                    zipfile.ZipInfo(names[sidecar], _EPOCH),
                    merged_sidecar_of(folders, record, sidecar, roots),
                )
            for path in (record.path, *record.companion_paths) if has_photos else ():
                if path in merged:
                    continue
                photos, within = folders.locate(path)
                try:
                    with open_inside(photos / within, photos, roots) as opened:
                        _add(archive, names[path], opened)
                except InvalidImageError as error:
                    skipped.append(f"{path}: {error.message}\n")
                except OSError as error:
                    raise FailedPreconditionError(
                        f"{path} can no longer be read: {error.strerror}"
                    ) from error
        if skipped:
            archive.writestr(zipfile.ZipInfo(SKIPPED_NAME, _EPOCH), "".join(skipped))


def _add(archive: zipfile.ZipFile, name: str, opened: IO[bytes]) -> None:
    """Like `ZipFile.write`, but for an open file, because a path may now lead elsewhere."""
    status = os.fstat(opened.fileno())
    modified = time.localtime(status.st_mtime)[:6]
    entry = zipfile.ZipInfo(name, min(max(_EPOCH, modified), _LAST))
    entry.external_attr = (status.st_mode & 0xFFFF) << 16
    entry.file_size = status.st_size
    with archive.open(entry, "w") as target:
        while chunk := opened.read(_CHUNK_BYTES):
            report_progress()
            target.write(chunk)
