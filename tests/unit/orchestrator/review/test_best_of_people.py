from __future__ import annotations

from typing import Any

from orchestrator.records import ImageRecord
from orchestrator.review.best_of_people import find_best_of_people


def record(path: str, score: float | None, *names: str, **changes: Any) -> ImageRecord:
    return ImageRecord(path, path, 1, composite_score=score, person_names=names, **changes)


def test_each_person_gets_the_photo_with_the_highest_score_that_is_not_rejected() -> None:
    records = [
        record("a", 0.4, "Ben"),
        record("b", 0.6, "Ann", "Ben"),
        record("c", 0.6, "Ann"),
        record("d", 0.9, "Ann", reason_code="USER_REJECT"),
        record("e", None, "Cid"),
    ]
    found = find_best_of_people(records)
    assert {name: best.path for name, best in found.items()} == {"Ann": "b", "Ben": "b"}
