"""Turns messages about a run and its photos into what the Cull view reads as JSON."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from bestshot.face.v1 import face_pb2
from bestshot.orchestrator.v1 import orchestrator_pb2 as pb

from services.common.scores import Score
from ui.facts import fact_lines
from ui.scores import SCORES, score_value

Json = dict[str, Any]

SHOWN_SCORES: tuple[Score, ...] = tuple(score for score in SCORES if score.in_table)
_DECISIONS = {pb.DECISION_KEEP: "keep", pb.DECISION_REJECT: "reject"}


def album_json(album: pb.Album, run: pb.Run, images: Iterable[pb.ImageResult]) -> Json:
    """A run as the view loads it: its album, and every photo in the order of the moments."""
    began = run.create_time.ToDatetime().astimezone()
    return {
        "album": {"id": album.id, "name": album.display_name},
        "run": {"id": run.id, "title": f"run of {began:%Y-%m-%d %H:%M}"},
        "scores": [
            {"label": score.label, "lower_is_better": score.lower_is_better}
            for score in SHOWN_SCORES
        ],
        "photos": [photo_json(image) for image in images],
    }


def photo_json(image: pb.ImageResult) -> Json:
    """A photo. `moment` is its cluster's number from 0, and null for a shot of its own."""
    readable = image.status == pb.IMAGE_STATUS_SCORED
    clustered = image.HasField("cluster_id") and image.cluster_id >= 0
    return {
        "path": image.path,
        "name": image.filename,
        "digest": image.content_digest,
        "error": "" if readable else image.error or "This file could not be read.",
        "moment": image.cluster_id if clustered else None,
        "decision": _DECISIONS.get(image.decision, ""),
        "picked": image.is_selected,
        "reason": image.reason,
        "lost_to": image.lost_to_path,
        "width": image.width_px,
        "height": image.height_px,
        "taken": image.capture_time,
        "facts": fact_lines(image),
        "caption": image.face_caption,
        "damage": image.damage,
        "scores": [score_value(image, score) if readable else None for score in SHOWN_SCORES],
        "faces": [_face(face) for face in image.faces],
    }


def _face(face: face_pb2.Face) -> Json:
    box = face.box
    return {"left": box.left, "top": box.top, "width": box.width, "height": box.height}
