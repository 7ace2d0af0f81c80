"""Filters and orders a run's photos in SQL."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Select, Text, case, cast, func, select

from orchestrator.domain.moments.parameters import NOISE
from orchestrator.domain.photo import ContentClass
from orchestrator.domain.scoring import FaceFault
from orchestrator.records import ImageFilter
from orchestrator.scores import SCORES
from orchestrator.storage.tables import decisions, images, runs
from services.common.errors import InvalidArgumentError

SCORE_COLUMNS: dict[str, ColumnElement[Any]] = {
    score.name: images.c[score.parent][score.name].as_float()
    if score.parent
    else images.c[score.name]
    for score in SCORES
}
"""A photo's scores by their names in the API."""

IS_READABLE = images.c.error == ""
MOMENT = "moment"
_BEST_REASONS = ("USER_KEEP", "OWNER_KEEP", "SELECTED_BEST")

_STATUS = case((~IS_READABLE, 2), (images.c.is_selected, 0), else_=1)
_ORDERS: dict[str, ColumnElement[Any]] = {
    **SCORE_COLUMNS,
    "path": images.c.path,
    "status": _STATUS,
    "face_count": func.json_array_length(images.c.faces),
    "cluster_id": images.c.cluster_id,
    "reason": images.c.reason,
    "capture_time": func.nullif(images.c.capture_time, ""),
}
ORDER_PATTERN = rf"^(({'|'.join(_ORDERS)})( asc| desc)?|{MOMENT})?$"
"""Pattern of a valid `order_by`."""
_MOMENT_ORDER = (
    case((~IS_READABLE, 2), (images.c.cluster_id == NOISE, 1), else_=0),
    case((images.c.cluster_id == NOISE, 0), else_=images.c.cluster_id),
    ~images.c.is_selected,
    images.c.reason_code.not_in(_BEST_REASONS),
    images.c.composite_score.desc().nulls_last(),
)
BEST_PATH = func.min(case((images.c.reason_code.in_(_BEST_REASONS), images.c.path)))


@dataclass(frozen=True)
class ImageQuery:
    """Photos of a run that pass all filters.

    Attributes:
        filters: Properties that photos must have.
        cluster_id: Their cluster; None = any.
        search: Text in path or reason, case-insensitive.
        order_by: As in orchestrator.proto.
    """

    filters: Sequence[ImageFilter] = ()
    cluster_id: int | None = None
    search: str = ""
    order_by: str = ""

    def order(self, statement: Select[Any]) -> Select[Any]:
        """Adds the order to a statement on the `images` table.

        Raises:
            InvalidArgumentError: `order_by` is not a valid sort order.
        """
        words = self.order_by.split() or ["path"]
        name, direction = words[0], words[1:] or ["asc"]
        if name == MOMENT and words[1:] == []:
            return statement.order_by(*_MOMENT_ORDER, images.c.path)
        if name not in _ORDERS or direction not in (["asc"], ["desc"]):
            raise InvalidArgumentError(
                "order_by",
                f"{self.order_by!r} is not a valid sort order; use {MOMENT} or one of "
                f'{", ".join(sorted(_ORDERS))}, followed by "desc" to put the highest first',
            )
        column = _ORDERS[name]
        by = column.desc() if direction == ["desc"] else column.asc()
        return statement.order_by(by.nulls_last(), images.c.path)

    def restrict(self, statement: Select[Any], run_id: str) -> Select[Any]:
        """Adds the conditions to a statement on the `images` table."""
        statement = statement.where(images.c.run_id == run_id)
        for wanted in self.filters:
            statement = statement.where(filter_condition(wanted, run_id))
        if self.cluster_id is not None:
            statement = statement.where(images.c.cluster_id == self.cluster_id)
        if self.search:
            found = images.c.path.icontains(self.search, autoescape=True)
            statement = statement.where(
                found | images.c.reason.icontains(self.search, autoescape=True)
            )
        return statement


def filter_condition(wanted: ImageFilter, run_id: str) -> ColumnElement[bool]:
    """Returns the condition for one filter on the `images` table."""
    match wanted:
        case ImageFilter.SELECTED:
            return images.c.is_selected
        case ImageFilter.NOT_SELECTED:
            return IS_READABLE & ~images.c.is_selected
        case ImageFilter.UNREADABLE:
            return ~IS_READABLE
        case ImageFilter.NOISE:
            return images.c.cluster_id == NOISE
        case ImageFilter.WITH_FACES:
            return images.c.pose_score.is_not(None)
        case ImageFilter.EYES_CLOSED:
            # as text: SQLite and PostgreSQL search JSON lists with different functions
            return cast(images.c.face_faults, Text).contains(f'"{FaceFault.EYES_CLOSED}"')
        case (
            ImageFilter.DOCUMENT
            | ImageFilter.SCREENSHOT
            | ImageFilter.BLANK
            | ImageFilter.MISFIRE
            | ImageFilter.ANIMATION
        ):
            return images.c.content_class == ContentClass[wanted.name].value
        case ImageFilter.DECIDED:
            album = select(runs.c.album_id).where(runs.c.id == run_id).scalar_subquery()
            decided = select(decisions.c.content_digest).where(decisions.c.album_id == album)
            return images.c.content_digest.in_(decided)
