"""index.html: the moments, what was picked of each and why; a page that needs no server."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import jinja2

from orchestrator.domain.moments.parameters import NOISE
from orchestrator.records import Album, ImageRecord, Run

EYES_OPEN, SMILING, FACING = 0.5, 0.5, 0.5


@dataclass(frozen=True)
class Moment:
    """A cluster on the page: title and photos, selected ones first."""

    title: str
    photos: list[ImageRecord]


def gallery_html(album: Album, run: Run, records: Sequence[ImageRecord]) -> str:
    """Renders the page; thumbnails are expected in `thumbnails/` beside it."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["score_line"] = score_line
    environment.filters["face_line"] = face_line
    environment.filters["thumbnail"] = thumbnail_name
    return environment.get_template("gallery.html.j2").render(
        album=album,
        run=run,
        moments=moments(records),
        singles=_selected_first([r for r in records if r.cluster_id == NOISE]),
        unreadable=[record for record in records if not record.is_readable],
        records=records,
        photo_uri=lambda record: (Path(album.folder) / record.path).as_uri(),
    )


def moments(records: Sequence[ImageRecord]) -> list[Moment]:
    """Gathers the clusters, in order of their ids."""
    members: dict[int, list[ImageRecord]] = {}
    for record in records:
        if record.cluster_id is not None and record.cluster_id != NOISE:
            members.setdefault(record.cluster_id, []).append(record)
    return [
        Moment(f"Moment {cluster_id + 1}", _selected_first(members[cluster_id]))
        for cluster_id in sorted(members)
    ]


def thumbnail_name(record: ImageRecord) -> str:
    """File name of a photo's thumbnail."""
    return f"{record.content_digest[:32]}.jpg"


def score_line(record: ImageRecord) -> str:
    """Caption of a card, for example "IQA: 0.72 | AVA: 6.3 | Sharp: 0.55 | Score: 0.61"."""
    quality = record.quality
    if quality is None:
        return ""
    return (
        f"IQA: {quality.iqa_score:.2f} | AVA: {quality.ava_score:.1f} | "
        f"Sharp: {quality.sharpness:.2f} | Score: {record.composite_score or 0:.2f}"
    )


def face_line(record: ImageRecord) -> str:
    """Second line of a card, for example "2 faces | eyes open | smiling"; empty without faces."""
    if record.eyes_score is None or record.smile_score is None or record.pose_score is None:
        return ""
    count = len(record.faces)
    return " | ".join(
        [
            f"{count} face{'s' if count > 1 else ''}",
            "eyes open" if record.eyes_score >= EYES_OPEN else "eyes closed",
            "smiling" if record.smile_score >= SMILING else "not smiling",
            *(["turned away"] if record.pose_score < FACING else []),
        ]
    )


def _selected_first(records: Sequence[ImageRecord]) -> list[ImageRecord]:
    return sorted(
        records,
        key=lambda record: (
            not record.is_selected,
            record.reason_code not in ("USER_KEEP", "SELECTED_BEST"),
            -(record.composite_score or 0.0),
            record.path,
        ),
    )
