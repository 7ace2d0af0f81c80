"""Turns messages about a run and its photos into the JSON that the Cull view reads."""

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
_CORRECTIONS = (
    pb.DECISION_ACTION_MOVE,
    pb.DECISION_ACTION_SPLIT,
    pb.DECISION_ACTION_MERGE,
)
_DECISIONS = {pb.DECISION_KEEP: "keep", pb.DECISION_REJECT: "reject"}


def album_json(
    album: pb.Album, run: pb.Run, images: Iterable[pb.ImageResult], entry_count: int
) -> Json:
    """Builds the data for a run: its album, and every photo in the order of the moments.

    `entry_count` is the length of the album's log before the photos were read.
    """
    began = run.create_time.ToDatetime().astimezone()
    return {
        "album": {"id": album.id, "name": album.display_name},
        "run": {"id": run.id, "title": f"run from {began:%Y-%m-%d %H:%M}"},
        "entry_count": entry_count,
        "scores": [
            {"label": score.label, "lower_is_better": score.lower_is_better}
            for score in SHOWN_SCORES
        ],
        "photos": [photo_json(image) for image in images],
    }


def addition_json(addition: pb.WatchDecisionsResponse) -> Json:
    """Describes new decisions in the log, from here or elsewhere, and the affected photos."""
    return {
        "ids": [entry.id for entry in addition.entries],
        "regrouped": any(entry.action in _CORRECTIONS for entry in addition.entries),
        "users": sorted({entry.decided_by for entry in addition.entries} - {""}),
        "changed": [photo_json(image) for image in addition.images],
    }


def photo_json(image: pb.ImageResult) -> Json:
    """Describes a photo. `moment` is its cluster's number from 0, or null for a single shot."""
    readable = image.status == pb.IMAGE_STATUS_SCORED
    clustered = image.HasField("cluster_id") and image.cluster_id >= 0
    return {
        "path": image.path,
        "name": image.filename,
        "digest": image.content_digest,
        "error": "" if readable else image.error or "This file could not be read.",
        "moment": image.cluster_id if clustered else None,
        "decision": _DECISIONS.get(image.decision, ""),
        "stars": image.user_mark.stars,
        "label": image.user_mark.label,
        "picked": image.is_selected,
        "reason": image.reason,
        "lost_to": image.lost_to_path,
        "width": image.width_px,
        "height": image.height_px,
        "taken": image.capture_time,
        "facts": fact_lines(image, is_brief=True),
        "caption": image.face_caption,
        "damage": image.damage,
        "scores": [score_value(image, score) if readable else None for score in SHOWN_SCORES],
        "set": _set(image),
        "faces": list(map(_face, image.faces, image.face_signs)),
    }


def _set(image: pb.ImageResult) -> Json | None:
    """Describes a photo's position in a bracket, focus stack or burst."""
    if not image.set_kind:
        return None
    kind = image.set_kind.replace("_", " ")
    return {
        "id": image.set_id,
        "kind": f"{'an' if kind[0] in 'aeiou' else 'a'} {kind}",
        "place": image.set_place,
        "size": image.set_size,
    }


def _face(face: face_pb2.Face, signs: pb.FaceSigns) -> Json:
    box = face.box
    return {
        "left": box.left,
        "top": box.top,
        "width": box.width,
        "height": box.height,
        "eyes": signs.eyes,
        "smile": signs.smile,
        "prominent": signs.is_prominent,
        "person": signs.person_id,
        "name": signs.person_name,
        "important": signs.is_important,
    }
