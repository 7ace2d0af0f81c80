"""results.json and run.json: all data about the photos and the run."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from orchestrator import features as codec
from orchestrator.export.json_text import indented_json
from orchestrator.export.metrics_csv import status
from orchestrator.records import Album, ImageRecord, Run


def results_json(records: Sequence[ImageRecord]) -> str:
    """Writes the photos with field names as in orchestrator.proto and floats at full precision."""
    return _dump({"images": [_image(record) for record in records]})


def run_json(album: Album, run: Run) -> str:
    """Writes the run: config in force, models with digests, versions, timings and summary."""
    data = dataclasses.asdict(run)
    for name in ("create_time", "start_time", "end_time"):
        data[name] = data[name].isoformat() if data[name] else None
    data["album"] = {
        "id": album.id,
        "display_name": album.display_name,
        "folder": album.folder,
        "folders": album.folders,
    }
    return _dump(data)


def _image(record: ImageRecord) -> dict[str, Any]:
    data = {
        field.name: getattr(record, field.name)
        for field in dataclasses.fields(record)
        if field.name not in ("quality", "faces", "face_people")
    }
    data["filename"] = record.filename
    data["face_caption"] = record.face_caption
    data["exposure_caption"] = record.exposure_caption
    data["megapixels"] = record.megapixels
    data["camera_facts"] = codec.plain_fields(record.camera_facts)
    data["owner_mark"] = codec.plain_fields(record.owner_mark)
    data["user_mark"] = codec.plain_fields(record.user_mark)
    data["status"] = status(record)
    data["quality"] = codec.quality_to_json(record.quality) if record.quality else None
    data["faces"] = codec.faces_to_json(record.faces)
    return data


def _dump(data: object) -> str:
    return indented_json(data) + "\n"
