"""Filters and orders a run's photos in SQL."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    ColumnElement,
    ScalarSelect,
    Select,
    Text,
    and_,
    case,
    cast,
    false,
    func,
    or_,
    select,
)

from orchestrator.domain.moments.parameters import NOISE
from orchestrator.domain.photo import MAX_STARS, ColourLabel, ContentClass, Decision
from orchestrator.domain.scoring import FaceFault
from orchestrator.records import ImageFilter
from orchestrator.scores import SCORES
from orchestrator.storage.tables import decisions, faces, images, persons, runs, user_marks
from services.common.errors import InvalidArgumentError

SCORE_COLUMNS: dict[str, ColumnElement[Any]] = {
    score.name: images.c[score.parent][score.name].as_float()
    if score.parent
    else images.c[score.name]
    for score in SCORES
}
"""Columns of a photo's scores, keyed by their names in the API."""

IS_READABLE = images.c.error == ""
MOMENT = "moment"
_DATE_LENGTH = len("2024-05-01")
CAPTURE_DATE = func.substr(images.c.capture_time, 1, _DATE_LENGTH)
_COPY_REASONS = ("DUPLICATE", "COPY")
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
_SEARCHED_COLUMNS = (images.c.path, images.c.reason, images.c.camera, images.c.capture_time)
BEST_PATH = func.min(case((images.c.reason_code.in_(_BEST_REASONS), images.c.path)))


@dataclass(frozen=True)
class ScoreRange:
    """Inclusive bounds on a score; None = unbounded."""

    score: str
    minimum: float | None = None
    maximum: float | None = None

    def condition(self) -> ColumnElement[bool]:
        """Returns the condition on the `images` table; a photo without the score fails it.

        Raises:
            InvalidArgumentError: There is no such score, or a bound is not a number.
        """
        if self.score not in SCORE_COLUMNS:
            raise InvalidArgumentError(
                "score_ranges",
                f"{self.score!r} is not a score; use one of {', '.join(SCORE_COLUMNS)}",
            )
        bounds = [bound for bound in (self.minimum, self.maximum) if bound is not None]
        if any(math.isnan(bound) for bound in bounds):
            raise InvalidArgumentError("score_ranges", f"a bound of {self.score} is not a number")
        column = SCORE_COLUMNS[self.score]
        conditions: list[ColumnElement[bool]] = [column.is_not(None)]
        if self.minimum is not None:
            conditions.append(column >= self.minimum)
        if self.maximum is not None:
            conditions.append(column <= self.maximum)
        return and_(*conditions)


@dataclass(frozen=True)
class ImageQuery:
    """Photos of a run that pass all filters.

    Attributes:
        filters: Properties that photos must have.
        cluster_id: The cluster of the photos; None = any.
        search: Text in path, reason, camera, capture time or a person's name, case-insensitive.
        order_by: As in orchestrator.proto.
        camera: The camera that took the photos; empty = any.
        capture_date: The day, month or year they were taken, such as "2024-05-01"; empty = any.
        score_ranges: Bounds on their scores.
        person_id: A person who is in the photos; empty = any.
    """

    filters: Sequence[ImageFilter] = ()
    cluster_id: int | None = None
    search: str = ""
    order_by: str = ""
    camera: str = ""
    capture_date: str = ""
    score_ranges: Sequence[ScoreRange] = ()
    person_id: str = ""

    def order(self, statement: Select[Any]) -> Select[Any]:
        """Adds the sort order to a statement on the `images` table.

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
        if self.camera:
            statement = statement.where(images.c.camera == self.camera)
        if self.capture_date:
            taken = images.c.capture_time.startswith(self.capture_date, autoescape=True)
            statement = statement.where(taken)
        for bounds in self.score_ranges:
            statement = statement.where(bounds.condition())
        if self.person_id:
            statement = statement.where(_shows(faces.c.person_id == self.person_id))
        if self.search:
            found = (column.icontains(self.search, autoescape=True) for column in _SEARCHED_COLUMNS)
            is_named = persons.c.name.icontains(self.search, autoescape=True)
            named = select(persons.c.id).where(is_named, persons.c.is_ignored.is_(False))
            statement = statement.where(or_(*found, _shows(faces.c.person_id.in_(named))))
        return statement


def _shows(condition: ColumnElement[bool]) -> ColumnElement[bool]:
    """Whether a photo has a face that meets a condition."""
    return images.c.content_digest.in_(select(faces.c.content_digest).where(condition))


_CONDITIONS: dict[ImageFilter, ColumnElement[bool]] = {
    ImageFilter.SELECTED: images.c.is_selected,
    ImageFilter.NOT_SELECTED: IS_READABLE & ~images.c.is_selected,
    ImageFilter.UNREADABLE: ~IS_READABLE,
    ImageFilter.NOISE: images.c.cluster_id == NOISE,
    ImageFilter.WITH_FACES: images.c.pose_score.is_not(None),
    # as text: SQLite and PostgreSQL search JSON lists with different functions
    ImageFilter.EYES_CLOSED: cast(images.c.face_faults, Text).contains(
        f'"{FaceFault.EYES_CLOSED}"'
    ),
    ImageFilter.DUPLICATE: images.c.reason_code.in_(_COPY_REASONS),
    ImageFilter.IN_SET: images.c.set_id.is_not(None),
    **{
        ImageFilter[kind]: images.c.content_class == ContentClass[kind].value
        for kind in ("DOCUMENT", "SCREENSHOT", "BLANK", "MISFIRE", "ANIMATION")
    },
}
"""Filters that depend on the photo alone."""
_MARKS: dict[ImageFilter, ColumnElement[bool]] = {
    **{
        ImageFilter[f"STARS_{least}"]: user_marks.c.stars >= least
        for least in range(1, MAX_STARS + 1)
    },
    **{
        ImageFilter[f"LABEL_{label.name}"]: user_marks.c.label == label.value
        for label in ColourLabel
    },
}
"""Filters by the stars and the label that the user gave."""


def filter_condition(wanted: ImageFilter, run_id: str) -> ColumnElement[bool]:
    """Returns the condition for one filter on the `images` table."""
    match wanted:
        case ImageFilter.SOFT:
            minimum = runs.c.config["filter_quality"]["min_sharpness"].as_float()
            limit = select(minimum).where(runs.c.id == run_id).scalar_subquery()
            # without a score, the comparison would be null
            return func.coalesce(SCORE_COLUMNS["focus_score"] < limit, false())
        case ImageFilter.DECIDED:
            return images.c.content_digest.in_(_find_decided(run_id))
        case ImageFilter.UNDECIDED:
            return IS_READABLE & images.c.content_digest.not_in(_find_decided(run_id))
        case ImageFilter.KEPT:
            return images.c.content_digest.in_(_find_decided(run_id, Decision.KEEP))
        case ImageFilter.REJECTED:
            return images.c.content_digest.in_(_find_decided(run_id, Decision.REJECT))
        case _ if wanted in _MARKS:
            return images.c.content_digest.in_(_find_marked(run_id, _MARKS[wanted]))
        case _:
            return _CONDITIONS[wanted]


def _find_decided(run_id: str, decision: Decision | None = None) -> Select[Any]:
    """Selects photos with this decision, or any decision, in the log of the run's album."""
    found = select(decisions.c.content_digest).where(decisions.c.album_id == _album_of(run_id))
    return found if decision is None else found.where(decisions.c.decision == decision.value)


def _find_marked(run_id: str, condition: ColumnElement[bool]) -> Select[Any]:
    """Selects photos whose stars or label in the run's album meet a condition."""
    marked = user_marks.c.album_id == _album_of(run_id)
    return select(user_marks.c.content_digest).where(marked & condition)


def _album_of(run_id: str) -> ScalarSelect[str]:
    return select(runs.c.album_id).where(runs.c.id == run_id).scalar_subquery()
