"""The files that every export contains: tables, the page, and its thumbnails."""

from __future__ import annotations

from collections.abc import Sequence

from orchestrator.export.gallery import gallery_html, thumbnail_name
from orchestrator.export.metrics_csv import metrics_csv
from orchestrator.export.output_folder import TABLE_NAMES
from orchestrator.export.results_json import results_json, run_json
from orchestrator.records import Album, ImageRecord, Run

THUMBNAIL_FOLDER = "thumbnails"


def tables(album: Album, run: Run, records: Sequence[ImageRecord]) -> dict[str, bytes]:
    """Renders the files named by `TABLE_NAMES`, in that order."""
    contents = (
        metrics_csv(records),
        results_json(records),
        run_json(album, run),
        gallery_html(album, run, records),
    )
    return {name: text.encode() for name, text in zip(TABLE_NAMES, contents, strict=True)}


def thumbnails_by_name(records: Sequence[ImageRecord]) -> dict[str, ImageRecord]:
    """Maps the path of each thumbnail in the folder to its photo."""
    return {
        f"{THUMBNAIL_FOLDER}/{thumbnail_name(record)}": record
        for record in records
        if record.is_readable
    }
