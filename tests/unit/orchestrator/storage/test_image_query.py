"""Sorting, filters and searches give the same results on both databases."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Engine

from orchestrator.domain.decisions import DecisionAction
from orchestrator.domain.scoring import FaceFault
from orchestrator.records import ImageFilter, ImageRecord
from orchestrator.scores import SCORES, score_value
from orchestrator.storage.decision_log import SqlDecisionLog
from orchestrator.storage.image_query import SCORE_COLUMNS, ImageQuery, ScoreRange
from orchestrator.storage.run_store import SqlRunStore
from services.common.errors import InvalidArgumentError
from tests.unit.orchestrator.storage.test_storage import album, image, run
from tests.unit.values import entry, face, quality

MIN_SHARPNESS = 0.15
PATHS = ("B.jpg", "a.jpg", "a/z.jpg", "Äpfel.jpg", "é.jpg", "100%.jpg", "a_b.jpg", "zz.jpg")
"""In no particular order; in byte order, "B" comes before "a", and "Ä" after "z"."""


def records() -> list[ImageRecord]:
    """Returns photos with pairs of equal scores, some without scores, and two unreadable photos."""
    found = []
    for number, path in enumerate(PATHS):
        if number >= len(PATHS) - 2:
            found.append(image(path, error="torn", reason=f"It is torn, {number}."))
            continue
        scores = {name: 0.1 * (number // 2) for name in ("iqa_score", "sharpness", "focus_score")}
        has_faces = number % 3 != 0
        found.append(
            image(
                path,
                quality=quality(**scores, ava_score=None if number == 1 else 5.0 + number),
                faces=(face(),) * (number % 3),
                pose_score=0.5 if has_faces else None,
                eyes_score=0.2 * number if has_faces else None,
                smile_score=1.0 - 0.1 * number if has_faces else None,
                # contradicts a threshold of 0.5, because the filter must use the stored faults
                face_faults=(FaceFault.EYES_CLOSED,) if number == 1 else (),
                cluster_id=(0, 0, -1, 1, 1, -1)[number],
                composite_score=None if number == 5 else 0.3 * (number % 4),
                is_selected=number in (1, 3),
                reason_code=("COPY", "SELECTED_BEST", "DUPLICATE", "SELECTED_BEST", "", "")[number],
                reason=f"Reason {number}.",
                capture_time="" if number == 2 else f"2026-05-0{9 - number}T10:00:00",
                camera="" if number == 2 else f"Canon R{number % 2}",
                set_id=0 if number in (3, 4) else None,
            )
        )
    return found


@pytest.fixture
def store(engine: Engine) -> SqlRunStore:
    made = SqlRunStore(engine)
    made.add_album(album())
    shuffled = records()
    random.Random(3).shuffle(shuffled)
    config = {"filter_quality": {"min_sharpness": MIN_SHARPNESS}}
    made.save_results(run(config=config), shuffled)
    return made


def score_of(record: ImageRecord, name: str) -> float | None:
    return score_value(record, next(score for score in SCORES if score.name == name))


def paths(store: SqlRunStore, **query: object) -> list[str]:
    return [found.path for found in store.images("r", ImageQuery(**query))]  # type: ignore[arg-type]


def by_bytes(path: str) -> bytes:
    return path.encode()


def test_paths_are_sorted_by_their_bytes(store: SqlRunStore) -> None:
    assert paths(store) == sorted(PATHS, key=by_bytes)
    assert paths(store, order_by="path desc") == sorted(PATHS, key=by_bytes, reverse=True)


@pytest.mark.parametrize("is_descending", [False, True])
@pytest.mark.parametrize("name", SCORE_COLUMNS)
def test_unknown_scores_come_last_and_equal_ones_by_path(
    store: SqlRunStore, name: str, is_descending: bool
) -> None:
    def place(record: ImageRecord) -> tuple[bool, float, bytes]:
        score = score_of(record, name)
        value = 0.0 if score is None else (-score if is_descending else score)
        return score is None, value, by_bytes(record.path)

    wanted = [record.path for record in sorted(records(), key=place)]
    assert paths(store, order_by=f"{name}{' desc' if is_descending else ''}") == wanted


@pytest.mark.parametrize(
    ("order", "key"),
    [
        ("face_count", lambda record: len(record.faces)),
        ("status", lambda record: 2 if record.error else (0 if record.is_selected else 1)),
        ("reason", lambda record: record.reason),
        ("capture_time", lambda record: (not record.capture_time, record.capture_time)),
        ("cluster_id", lambda record: 99 if record.cluster_id is None else record.cluster_id),
    ],
)
def test_other_sort_orders(
    store: SqlRunStore, order: str, key: Callable[[ImageRecord], Any]
) -> None:
    wanted = sorted(records(), key=lambda record: (key(record), by_bytes(record.path)))
    assert paths(store, order_by=order) == [record.path for record in wanted]


def test_moments_have_their_best_photo_first(store: SqlRunStore) -> None:
    found = [
        next(record for record in records() if record.path == path)
        for path in paths(store, order_by="moment")
    ]
    assert [record.cluster_id for record in found] == [0, 0, 1, 1, -1, -1, None, None]
    assert [record.is_selected for record in found[:4]] == [True, False, True, False]
    assert [record.composite_score is None for record in found[4:6]] == [False, True]


def test_filters(store: SqlRunStore, engine: Engine) -> None:
    log = SqlDecisionLog(engine)
    log.append("a", [entry("e", DecisionAction.KEEP, "digest of a.jpg")])
    log.append("a", [entry("f", DecisionAction.REJECT, "digest of B.jpg")])
    log.append("a", [entry("g", DecisionAction.RATE, "digest of a.jpg", stars=3)])
    log.append("a", [entry("h", DecisionAction.RATE, "digest of zz.jpg", stars=5)])
    log.append("a", [entry("i", DecisionAction.LABEL, "digest of a.jpg", label="green")])
    wanted = {
        ImageFilter.SELECTED: lambda record: record.is_selected,
        ImageFilter.NOT_SELECTED: lambda record: not record.error and not record.is_selected,
        ImageFilter.UNREADABLE: lambda record: bool(record.error),
        ImageFilter.NOISE: lambda record: record.cluster_id == -1,
        ImageFilter.WITH_FACES: lambda record: record.pose_score is not None,
        ImageFilter.EYES_CLOSED: lambda record: FaceFault.EYES_CLOSED in record.face_faults,
        ImageFilter.DECIDED: lambda record: record.path in ("a.jpg", "B.jpg"),
        ImageFilter.UNDECIDED: lambda record: (
            not record.error and record.path not in ("a.jpg", "B.jpg")
        ),
        ImageFilter.KEPT: lambda record: record.path == "a.jpg",
        ImageFilter.REJECTED: lambda record: record.path == "B.jpg",
        ImageFilter.SOFT: lambda record: (
            record.quality is not None and record.quality.focus_score < MIN_SHARPNESS
        ),
        ImageFilter.DUPLICATE: lambda record: record.reason_code in ("COPY", "DUPLICATE"),
        ImageFilter.IN_SET: lambda record: record.set_id is not None,
        ImageFilter.STARS_1: lambda record: record.path in ("a.jpg", "zz.jpg"),
        ImageFilter.STARS_3: lambda record: record.path in ("a.jpg", "zz.jpg"),
        ImageFilter.STARS_4: lambda record: record.path == "zz.jpg",
        ImageFilter.STARS_5: lambda record: record.path == "zz.jpg",
        ImageFilter.LABEL_GREEN: lambda record: record.path == "a.jpg",
        ImageFilter.LABEL_RED: lambda _: False,
    }
    counts = store.count_by_filter("r")
    for name, passes in wanted.items():
        found = sorted((one.path for one in records() if passes(one)), key=by_bytes)
        assert paths(store, filters=[name]) == found
        assert counts[name] == store.count_images("r", ImageQuery([name])) == len(found)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("A.JPG", ["a.jpg"]),
        ("%", ["100%.jpg"]),
        ("_", ["a_b.jpg"]),
        ("reason 3", ["Äpfel.jpg"]),
        ("TORN", ["a_b.jpg", "zz.jpg"]),
        ("canon r1", ["100%.jpg", "a.jpg", "Äpfel.jpg"]),
        ("05-09", ["B.jpg"]),
        ("'; DROP TABLE images; --", []),
    ],
)
def test_search(store: SqlRunStore, text: str, found: list[str]) -> None:
    assert paths(store, search=text) == found


def test_cameras_and_days_are_counted_and_listed(store: SqlRunStore) -> None:
    assert store.count_by_camera("r") == {"Canon R0": 2, "Canon R1": 3}
    days = store.count_by_date("r")
    assert list(days) == [f"2026-05-0{day}" for day in (4, 5, 6, 8, 9)]
    assert set(days.values()) == {1}
    assert len(paths(store, camera="Canon R1")) == 3
    assert paths(store, camera="Canon R0", capture_date="2026-05-09") == ["B.jpg"]


def test_scores_are_within_their_bounds(store: SqlRunStore) -> None:
    def passes(record: ImageRecord) -> bool:
        smile = record.smile_score
        return smile is not None and 0.6 <= smile <= 0.9

    found = sorted((one.path for one in records() if passes(one)), key=by_bytes)
    assert found
    assert paths(store, score_ranges=[ScoreRange("smile_score", 0.6, 0.9)]) == found
    for bounds in (ScoreRange("path"), ScoreRange("focus_score", float("nan"))):
        with pytest.raises(InvalidArgumentError):
            paths(store, score_ranges=[bounds])


def test_clusters_and_scores(store: SqlRunStore) -> None:
    clusters = [dataclasses.astuple(cluster) for cluster in store.clusters("r")]
    assert clusters == [(0, 2, 1, "a.jpg"), (1, 2, 1, "Äpfel.jpg")]
    for name, values in store.scores("r").items():
        known = [score_of(record, name) for record in records()]
        assert sorted(values) == sorted(value for value in known if value is not None)


def test_pages_follow_each_other_without_a_gap(store: SqlRunStore) -> None:
    query = ImageQuery(order_by="iqa_score")
    pages = [store.images("r", query, limit=3, offset=offset) for offset in (0, 3, 6)]
    assert [record for page in pages for record in page] == store.images("r", query)
