"""index.html: the moments with their picks and the reasons. The page works without a server."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import jinja2

from orchestrator.domain.moments.parameters import NOISE
from orchestrator.records import Album, ImageRecord, Run
from orchestrator.scores import SCORES, score_value
from orchestrator.storage.album_folders import AlbumFolders
from services.common.scores import score_caption


@dataclass(frozen=True)
class Moment:
    """A cluster on the page: title and photos, selected ones first."""

    title: str
    photos: list[ImageRecord]


def gallery_html(album: Album, run: Run, records: Sequence[ImageRecord]) -> str:
    """Renders the page; thumbnails are expected in `thumbnails/` beside it."""
    folders = AlbumFolders(album)
    return _template().render(
        album=album,
        run=run,
        moments=moments(records),
        singles=_sort_selected_first([r for r in records if r.cluster_id == NOISE]),
        unreadable=[record for record in records if not record.is_readable],
        records=records,
        scores=[score for score in SCORES if score.in_table],
        score_value=score_value,
        photo_uri=lambda record: folders.place(record.path).as_uri(),
    )


@cache  # compiling it takes longer than exporting a few photos
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["score_line"] = score_line
    environment.filters["thumbnail"] = thumbnail_name
    return environment.get_template("gallery.html.j2")


def moments(records: Sequence[ImageRecord]) -> list[Moment]:
    """Groups the photos by cluster, ordered by id."""
    members: dict[int, list[ImageRecord]] = {}
    for record in records:
        if record.cluster_id is not None and record.cluster_id != NOISE:
            members.setdefault(record.cluster_id, []).append(record)
    return [
        Moment(f"Moment {cluster_id + 1}", _sort_selected_first(members[cluster_id]))
        for cluster_id in sorted(members)
    ]


def thumbnail_name(record: ImageRecord) -> str:
    """Returns the file name of a photo's thumbnail."""
    return f"{record.content_digest[:32]}.jpg"


def score_line(record: ImageRecord) -> str:
    """Returns a card's caption, such as "IQA: 0.72 | AVA: 6.3 | Sharp: 0.55 | Score: 0.61"."""
    return score_caption((score, score_value(record, score)) for score in SCORES)


def _sort_selected_first(records: Sequence[ImageRecord]) -> list[ImageRecord]:
    return sorted(
        records,
        key=lambda record: (
            not record.is_selected,
            record.reason_code not in ("USER_KEEP", "OWNER_KEEP", "SELECTED_BEST"),
            -(record.composite_score or 0.0),
            record.path,
        ),
    )
