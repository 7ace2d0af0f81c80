"""image_metrics.csv: one row per photo, every score at full precision."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence

from orchestrator.domain.photo import CameraFacts
from orchestrator.records import ImageRecord
from orchestrator.scores import SCORES, score_value

_FIXED_COLUMNS = (
    "Image",
    "Status",
    "AVA",
    "IQA",
    "Sharpness",
    "Faces",
    "Pose",
    "Eyes",
    "Smile",
    "Cluster",
    "Composite",
    "Reason",
    "Lost_To",
    "Path",
    "Reason_Code",
    "Person_Penalty",
    "Focus",
    "Exposure",
    "Contrast",
    "Colourfulness",
    "Laplacian_Variance",
    "AVA_Distribution",
    "Face_Boxes",
    "Face_Confidences",
    "Face_Yaws",
    "Face_Pitches",
    "Face_Rolls",
    "Face_Pose_Scores",
    "Face_Eyes_Scores",
    "Face_Smile_Scores",
    "Width",
    "Height",
    "Format",
    "Capture_Time",
    "Size_Bytes",
    "Content_Digest",
    "Error",
    "Damage",
    "Machine_Cluster",
    "Camera",
    "Companions",
    "Noise",
    "Face_Faults",
    "Capture_Time_Source",
    "Capture_UTC_Offset",
    "Make",
    "Model",
    "Lens",
    "Focal_Length_mm",
    "Focal_Length_35mm",
    "Exposure_Time_s",
    "F_Number",
    "ISO",
    "Exposure_Bias_EV",
    "Exposure_Mode",
    "Flash",
    "GPS",
    "Burst_ID",
    "Sequence_Number",
    "Drive_Mode",
    "Bracket_Mode",
    "Megapixels",
    "Owner_Rating",
    "Owner_Pick",
    "Owner_Label",
    "Owner_Source",
    "Version_Of",
    "Set_Kind",
    "Set",
    "Set_Place",
    "Content_Class",
    "Brightness",
    "Tonal_Range",
    "Flat_Share",
    "Video",
    "Altered_From",
    "Alterations",
    "Stars",
    "Label",
    "People",
    "Whole_Moment",
    "Moment_People",
    "Judged_Faces",
    "Brought_In_For",
)
"""Columns in the order in which they were added, because readers may address them by position. New
scores are added automatically. A new column that is not a score is appended here, after the columns
of any scores that are not listed yet."""
COLUMNS = (
    *_FIXED_COLUMNS,
    *(score.column for score in SCORES if score.column not in _FIXED_COLUMNS),
)
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def metrics_csv(records: Sequence[ImageRecord]) -> str:
    """Writes the table with rows in the given order; lines end with CRLF, as in RFC 4180.

    Pose, Eyes and Smile are the face-size-weighted worst case over the prominent faces. The Face_
    columns list every face as JSON, largest first (boxes: left, top, width, height). Text that a
    spreadsheet would interpret as a formula is prefixed with an apostrophe. Numbers read back as
    the same float64.
    """
    target = io.StringIO(newline="")
    writer = csv.writer(target)
    writer.writerow(COLUMNS)
    for record in records:
        row = _row(record)
        writer.writerow([row[column] for column in COLUMNS])
    return target.getvalue()


def status(record: ImageRecord) -> str:
    """Returns a photo's result: selected, not_selected or unreadable."""
    if not record.is_readable:
        return "unreadable"
    return "selected" if record.is_selected else "not_selected"


def _row(record: ImageRecord) -> dict[str, str]:
    quality = record.quality
    faces = record.faces
    return {
        **{score.column: _number(score_value(record, score)) for score in SCORES},
        "Image": _text(record.filename),
        "Status": status(record),
        "Faces": str(len(faces)) if quality else "",
        "Cluster": _number(record.cluster_id),
        "Reason": _text(record.reason),
        "Lost_To": _text(record.lost_to_path),
        "Path": _text(record.path),
        "Reason_Code": record.reason_code,
        "AVA_Distribution": _list(list(quality.ava_distribution) if quality else []),
        "Face_Boxes": _list([[face.left, face.top, face.width, face.height] for face in faces]),
        "Face_Confidences": _list([face.confidence for face in faces]),
        "Face_Yaws": _list([face.yaw_degrees for face in faces]),
        "Face_Pitches": _list([face.pitch_degrees for face in faces]),
        "Face_Rolls": _list([face.roll_degrees for face in faces]),
        "Face_Pose_Scores": _list([face.pose_score for face in faces]),
        "Face_Eyes_Scores": _list([face.eyes_score for face in faces]),
        "Face_Smile_Scores": _list([face.smile_score for face in faces]),
        "Width": str(record.width_px) if quality else "",
        "Height": str(record.height_px) if quality else "",
        "Format": record.format,
        "Capture_Time": record.capture_time,
        "Size_Bytes": str(record.size_bytes),
        "Content_Digest": record.content_digest,
        "Error": _text(record.error),
        "Damage": _text(record.damage),
        "Machine_Cluster": _number(record.machine_cluster_id),
        "Camera": _text(record.camera),
        "Companions": json.dumps(record.companion_paths, ensure_ascii=False)
        if record.companion_paths
        else "",
        "Face_Faults": json.dumps(record.face_faults) if record.face_faults else "",
        "Capture_Time_Source": _text(record.capture_time_source),
        "Capture_UTC_Offset": _text(record.capture_utc_offset),
        **_camera_columns(record.camera_facts),
        "Megapixels": f"{record.megapixels:.2f}" if quality else "",
        "Owner_Rating": _number(record.owner_mark.rating),
        "Owner_Pick": record.owner_mark.pick,
        "Owner_Label": _text(record.owner_mark.label),
        "Owner_Source": _text(record.owner_mark.source),
        "Version_Of": _text(record.version_of_path),
        "Set_Kind": record.set_kind,
        "Set": _number(record.set_id),
        "Set_Place": _number(record.set_place),
        "Content_Class": record.content_class,
        "Altered_From": _text(record.altered_from_path),
        "Alterations": ", ".join(record.alterations),
        "Stars": _number(record.user_mark.stars or None),
        "Label": record.user_mark.label,
        "People": json.dumps(record.person_names, ensure_ascii=False)
        if record.person_names
        else "",
        "Whole_Moment": _number(record.whole_moment_id),
        "Moment_People": _text(record.moment_people),
        "Judged_Faces": _list(record.judged_faces),
        "Brought_In_For": json.dumps(record.brought_in_for, ensure_ascii=False)
        if record.brought_in_for
        else "",
    }


def _camera_columns(facts: CameraFacts) -> dict[str, str]:
    return {
        "Make": _text(facts.make),
        "Model": _text(facts.model),
        "Lens": _text(facts.lens),
        "Focal_Length_mm": _number(facts.focal_length_mm),
        "Focal_Length_35mm": _number(facts.focal_length_35mm),
        "Exposure_Time_s": _number(facts.exposure_time_seconds),
        "F_Number": _number(facts.f_number),
        "ISO": _number(facts.iso),
        "Exposure_Bias_EV": _number(facts.exposure_bias_ev),
        "Exposure_Mode": facts.exposure_mode,
        "Flash": _yes_or_no(facts.is_flash_fired),
        "GPS": _yes_or_no(facts.has_gps),
        "Burst_ID": _text(facts.burst_id),
        "Sequence_Number": _number(facts.sequence_number),
        "Drive_Mode": facts.drive_mode,
        "Bracket_Mode": facts.bracket_mode,
        "Video": _yes_or_no(facts.has_video),
    }


def _yes_or_no(value: bool | None) -> str:
    """Formats a flag; empty if unknown."""
    return {True: "yes", False: "no", None: ""}[value]


def _number(value: float | None) -> str:
    return "" if value is None else repr(value)


def _list(values: Sequence[float | None] | Sequence[list[float]]) -> str:
    """Formats a JSON list; an empty list becomes an empty cell."""
    return json.dumps(list(values)) if values else ""


def _text(value: str) -> str:
    return f"'{value}" if value.startswith(_FORMULA_STARTS) else value
