"""Turns messages about a run and its photos into the JSON that the grid reads."""

from __future__ import annotations

from typing import Any

from bestshot.orchestrator.v1 import orchestrator_pb2 as pb

from ui.cull.photos import photo_json

Json = dict[str, Any]

CHIPS: dict[str, tuple[str, pb.ImageFilter]] = {
    "picks": ("Picks", pb.IMAGE_FILTER_SELECTED),
    "undecided": ("Undecided", pb.IMAGE_FILTER_UNDECIDED),
    "kept": ("Kept", pb.IMAGE_FILTER_KEPT),
    "rejected": ("Rejected", pb.IMAGE_FILTER_REJECTED),
    "not-picked": ("Not picked", pb.IMAGE_FILTER_NOT_SELECTED),
    "eyes-closed": ("Eyes closed", pb.IMAGE_FILTER_EYES_CLOSED),
    "soft": ("Soft", pb.IMAGE_FILTER_SOFT),
    "duplicates": ("Duplicates", pb.IMAGE_FILTER_DUPLICATE),
    "faces": ("Faces", pb.IMAGE_FILTER_WITH_FACES),
    "sets": ("Sets", pb.IMAGE_FILTER_IN_SET),
    "singles": ("Single shots", pb.IMAGE_FILTER_NOISE),
    "unreadable": ("Unreadable", pb.IMAGE_FILTER_UNREADABLE),
    "documents": ("Documents", pb.IMAGE_FILTER_DOCUMENT),
    "screenshots": ("Screenshots", pb.IMAGE_FILTER_SCREENSHOT),
    "animations": ("Animations", pb.IMAGE_FILTER_ANIMATION),
    "blank": ("Blank", pb.IMAGE_FILTER_BLANK),
    "misfires": ("Misfires", pb.IMAGE_FILTER_MISFIRE),
    "stars-1": ("★ or more", pb.IMAGE_FILTER_STARS_1),
    "stars-2": ("★★ or more", pb.IMAGE_FILTER_STARS_2),
    "stars-3": ("★★★ or more", pb.IMAGE_FILTER_STARS_3),
    "stars-4": ("★★★★ or more", pb.IMAGE_FILTER_STARS_4),
    "stars-5": ("★★★★★", pb.IMAGE_FILTER_STARS_5),
    "red": ("Red label", pb.IMAGE_FILTER_LABEL_RED),
    "yellow": ("Yellow label", pb.IMAGE_FILTER_LABEL_YELLOW),
    "green": ("Green label", pb.IMAGE_FILTER_LABEL_GREEN),
    "blue": ("Blue label", pb.IMAGE_FILTER_LABEL_BLUE),
}
"""Title and filter, by name in the grid's address."""
_LEFT_OUT = ("facts", "scores", "faces")
"""Fields that the grid does not show and that would make up most of the response."""


def summary_json(
    album: pb.Album, run: pb.Run, statistics: pb.GetRunStatisticsResponse, entry_count: int
) -> Json:
    """Describes a run as the grid shows it before the photos load.

    `entry_count` is the length of the album's log before the photos are read.
    """
    counts = {entry.filter: entry.image_count for entry in statistics.filter_counts}
    began = run.create_time.ToDatetime().astimezone()
    return {
        "album": {"id": album.id, "name": album.display_name},
        "run": {"id": run.id, "title": f"run from {began:%Y-%m-%d %H:%M}"},
        "entry_count": entry_count,
        "chips": [
            {"name": name, "title": title, "count": counts.get(image_filter, 0)}
            for name, (title, image_filter) in CHIPS.items()
        ],
        "people": [
            {"id": person.person_id, "name": person.name, "count": person.image_count}
            for person in statistics.people
        ],
        "cameras": _values(statistics.cameras),
        "dates": _values(statistics.capture_dates),
    }


def page_json(answer: pb.ListImagesResponse) -> Json:
    """Describes a page of photos, with the total number of photos."""
    photos = [photo_json(image) for image in answer.images]
    for photo in photos:
        for key in _LEFT_OUT:
            del photo[key]
    return {"total": answer.total_count, "photos": photos}


def _values(counted: Any) -> list[Json]:  # noqa: ANN401
    return [{"value": one.value, "count": one.image_count} for one in counted]
