"""image_metrics.parquet: the columns of the CSV with their types."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Sequence
from types import ModuleType
from typing import Any

from orchestrator.export.metrics_csv import status
from orchestrator.records import ImageRecord
from orchestrator.scores import SCORES
from services.common.errors import FailedPreconditionError


def metrics_parquet(records: Sequence[ImageRecord]) -> bytes:
    """Writes one row per photo, with fields named as in the protos: quality flat, faces nested.

    Raises:
        FailedPreconditionError: pyarrow is not installed.
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise FailedPreconditionError(
            "Parquet needs pyarrow where the orchestrator runs: install 'bestshot[parquet]'"
        ) from error
    fields = [
        *((name, pa.string()) for name in ("path", "filename", "status")),
        *((name, pa.float64()) for name in ("iqa_score", "ava_score", "sharpness")),
        *((name, pa.float64()) for name in ("focus_score", "exposure", "contrast")),
        *((name, pa.float64()) for name in ("colourfulness", "laplacian_variance")),
        ("ava_distribution", pa.list_(pa.float64())),
        ("face_count", pa.int32()),
        *((name, pa.float64()) for name in ("pose_score", "eyes_score", "smile_score")),
        ("faces", pa.list_(_face_type(pa))),
        *((name, pa.int32()) for name in ("cluster_id", "machine_cluster_id")),
        *((name, pa.float64()) for name in ("person_penalty", "composite_score")),
        ("is_selected", pa.bool_()),
        *((name, pa.string()) for name in ("reason_code", "reason", "lost_to_path")),
        *((name, pa.int32()) for name in ("width_px", "height_px")),
        *((name, pa.string()) for name in ("format", "capture_time", "camera")),
        ("companion_paths", pa.list_(pa.string())),
        ("size_bytes", pa.int64()),
        *((name, pa.string()) for name in ("content_digest", "error", "damage")),
    ]
    known = {name for name, _ in fields}
    fields += [(score.name, pa.float64()) for score in SCORES if score.name not in known]
    fields += [("face_faults", pa.list_(pa.string())), ("face_caption", pa.string())]
    fields += [(name, pa.string()) for name in ("capture_time_source", "capture_utc_offset")]
    fields += [
        ("camera_facts", _camera_type(pa)),
        ("exposure_caption", pa.string()),
        ("megapixels", pa.float64()),
        ("owner_mark", _owner_type(pa)),
    ]
    fields += [("version_of_path", pa.string())]
    fields += [("set_kind", pa.string())]
    fields += [(name, pa.int32()) for name in ("set_id", "set_place", "set_size")]
    fields += [("content_class", pa.string())]
    fields += [("altered_from_path", pa.string()), ("alterations", pa.list_(pa.string()))]
    fields += [(name, pa.list_(pa.int64())) for name in ("luminance_grid", "detail_grid")]
    fields += [("user_mark", pa.struct([("stars", pa.int32()), ("label", pa.string())]))]
    fields += [("person_names", pa.list_(pa.string())), ("person_ids", pa.list_(pa.string()))]
    fields += [("judged_faces", pa.list_(pa.int32())), ("whole_moment_id", pa.int32())]
    fields += [("moment_people", pa.string()), ("brought_in_for", pa.list_(pa.string()))]
    schema = pa.schema(fields)
    table = pa.Table.from_pylist([_row(record) for record in records], schema=schema)
    target = io.BytesIO()
    pq.write_table(table, target, compression="zstd")
    return target.getvalue()


def _row(record: ImageRecord) -> dict[str, object]:
    fields = {field.name: getattr(record, field.name) for field in dataclasses.fields(record)}
    quality = dataclasses.asdict(record.quality) if record.quality else {}
    faces = [dataclasses.asdict(face) for face in record.faces]
    return {
        **fields,
        **quality,
        "faces": faces,
        "face_count": len(faces) if record.is_readable else None,
        "filename": record.filename,
        "face_caption": record.face_caption,
        "status": status(record),
        "camera_facts": dataclasses.asdict(record.camera_facts),
        "exposure_caption": record.exposure_caption,
        "megapixels": record.megapixels,
        "owner_mark": dataclasses.asdict(record.owner_mark),
        "user_mark": dataclasses.asdict(record.user_mark),
    }


def _camera_type(pa: ModuleType) -> Any:  # noqa: ANN401
    return pa.struct(
        [
            *((name, pa.string()) for name in ("make", "model", "lens")),
            *((name, pa.float64()) for name in ("focal_length_mm", "focal_length_35mm")),
            *((name, pa.float64()) for name in ("exposure_time_seconds", "f_number")),
            ("iso", pa.int32()),
            ("exposure_bias_ev", pa.float64()),
            ("exposure_mode", pa.string()),
            *((name, pa.bool_()) for name in ("is_flash_fired", "has_gps")),
            ("burst_id", pa.string()),
            ("sequence_number", pa.int32()),
            *((name, pa.string()) for name in ("drive_mode", "bracket_mode")),
            ("has_video", pa.bool_()),
        ]
    )


def _owner_type(pa: ModuleType) -> Any:  # noqa: ANN401
    texts = ((name, pa.string()) for name in ("pick", "label", "source"))
    return pa.struct([("rating", pa.int32()), *texts])


def _face_type(pa: ModuleType) -> Any:  # noqa: ANN401
    numbers = (
        *("left", "top", "width", "height", "confidence"),
        *("yaw_degrees", "pitch_degrees", "roll_degrees"),
        *("pose_score", "eyes_score", "smile_score"),
    )
    mark = pa.struct([("name", pa.string()), ("x", pa.float64()), ("y", pa.float64())])
    return pa.struct([*((name, pa.float64()) for name in numbers), ("landmarks", pa.list_(mark))])
