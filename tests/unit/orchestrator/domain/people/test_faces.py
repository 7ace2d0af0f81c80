"""How clear a face is."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.domain.people.faces import Box, rate_clarity
from tests.unit.values import face


@pytest.mark.parametrize(
    "fault", [{"pose_score": 0.2}, {"width": 0.02}, {"confidence": 0.55}], ids=str
)
def test_a_small_turned_or_uncertain_face_is_unclear(fault: dict[str, Any]) -> None:
    assert rate_clarity(face()) == 1.0
    assert rate_clarity(face(**fault)) == 0.0


def test_the_overlap_of_boxes_is_their_intersection_over_union() -> None:
    box = Box(0.1, 0.1, 0.2, 0.2)
    assert box.overlap(box) == pytest.approx(1.0)
    assert box.overlap(Box(0.2, 0.1, 0.2, 0.2)) == pytest.approx(1 / 3)
    assert box.overlap(Box(0.5, 0.5, 0.2, 0.2)) == 0.0
