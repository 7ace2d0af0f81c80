from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.domain.scoring import (
    FaceFault,
    PersonPenalties,
    QualityWeights,
    composite_score,
    face_caption,
    face_faults,
    normalize_ava,
    person_penalty,
    worst_face,
)
from tests.unit.values import PENALTIES, face, quality

unit = st.floats(0, 1)


def test_composite_is_weighted_sum_on_a_scale_of_one() -> None:
    score = composite_score(
        quality(iqa_score=0.5, ava_score=10.0), QualityWeights(iqa=0.3, ava=0.7), -0.1
    )
    assert score == pytest.approx(0.3 * 0.5 + 0.7 - 0.1)


def test_without_faces_there_is_no_penalty() -> None:
    assert worst_face([], 0.3) is None
    assert person_penalty(None, PENALTIES) == 0.0


@pytest.mark.parametrize(
    ("scores", "penalty"),
    [
        ({}, 0.0),
        ({"eyes_score": 0.49}, -0.15),
        ({"pose_score": 0.49}, -0.10),
        ({"smile_score": 0.49}, -0.05),
        ({"eyes_score": 0.0, "pose_score": 0.0, "smile_score": 0.0}, -0.30),
        ({"eyes_score": 0.5, "pose_score": 0.5, "smile_score": 0.5}, 0.0),
    ],
)
def test_penalties_apply_below_their_thresholds(scores: dict[str, float], penalty: float) -> None:
    worst = worst_face([face(**scores)], 0.3)
    assert person_penalty(worst, PENALTIES) == pytest.approx(penalty)


def test_penalty_is_never_below_its_floor() -> None:
    heavy = PersonPenalties(
        eyes_closed=-0.5,
        face_turned=-0.5,
        not_smiling=-0.5,
        max_penalty=-0.7,
        eyes_threshold=0.5,
        pose_threshold=0.5,
        smile_threshold=0.5,
        prominent_face_ratio=0.3,
    )
    worst = worst_face([face(eyes_score=0, pose_score=0, smile_score=0)], 0.3)
    assert person_penalty(worst, heavy) == -0.7


def test_a_good_face_does_not_compensate_for_a_bad_one_of_the_same_size() -> None:
    worst = worst_face([face(eyes_score=1.0), face(eyes_score=0.1)], 0.3)
    assert worst is not None
    assert worst.eyes_score == pytest.approx(0.1)


def test_a_small_face_in_the_crowd_does_not_matter() -> None:
    small = face(width=0.05, height=0.05, eyes_score=0.0)
    worst = worst_face([face(width=0.5, height=0.5), small], 0.3)
    assert worst is not None
    assert worst.eyes_score == 1.0


@pytest.mark.parametrize(
    "changes",
    [
        {"width": 0.02, "height": 0.03},  # landscape: the width is relative to the long side
        {"width": 0.03, "height": 0.02},  # portrait
        {"confidence": 0.55},
    ],
)
def test_a_tiny_or_uncertain_face_is_never_penalized(changes: dict[str, float]) -> None:
    bad = face(eyes_score=0.0, pose_score=0.0, smile_score=0.0, **changes)
    assert worst_face([bad], 0.3) is None
    assert person_penalty(worst_face([bad], 0.3), PENALTIES) == 0.0
    assert face_caption([bad], ()) == "1 face"
    good = face(width=0.05, height=0.05)
    worst = worst_face([bad, good], 0.0)
    assert worst is not None
    assert (worst.pose_score, worst.eyes_score, worst.smile_score) == (1.0, 1.0, 1.0)
    assert face_caption([bad, good], ()) == "2 faces | eyes open | smiling"


def test_an_uncertain_face_does_not_set_the_size_of_prominent_faces() -> None:
    poster = face(width=0.9, height=0.9, confidence=0.55)
    worst = worst_face([poster, face(width=0.1, height=0.1, eyes_score=0.1)], 0.3)
    assert worst is not None
    assert worst.eyes_score == pytest.approx(0.1)


@given(st.lists(st.tuples(unit, st.floats(0.03, 1)), min_size=1, max_size=8))
def test_the_worst_face_is_between_the_minimum_and_the_largest_face(
    faces: list[tuple[float, float]],
) -> None:
    built = [face(eyes_score=score, width=side, height=side) for score, side in faces]
    worst = worst_face(built, 0.0)
    assert worst is not None
    largest = max(built, key=lambda item: item.area)
    assert min(item.eyes_score for item in built) - 1e-9 <= worst.eyes_score
    assert worst.eyes_score <= largest.eyes_score + 1e-9


def test_faults_caption_and_penalty_follow_the_thresholds_of_the_run() -> None:
    faces = [face(eyes_score=0.4)]
    worst = worst_face(faces, 0.3)
    lenient = replace(PENALTIES, eyes_threshold=0.3)
    assert face_faults(worst, PENALTIES) == (FaceFault.EYES_CLOSED,)
    assert face_caption(faces, face_faults(worst, PENALTIES)) == "1 face | eyes closed | smiling"
    assert person_penalty(worst, PENALTIES) == PENALTIES.eyes_closed
    assert face_faults(worst, lenient) == ()
    assert face_caption(faces, face_faults(worst, lenient)) == "1 face | eyes open | smiling"
    assert person_penalty(worst, lenient) == 0.0


def test_without_faces_there_is_no_fault_and_no_caption() -> None:
    assert face_faults(None, PENALTIES) == ()
    assert face_caption([], ()) == ""


def test_the_scale_of_ava_ends_at_0_and_1() -> None:
    assert [normalize_ava(vote) for vote in (1.0, 5.5, 10.0)] == [0.0, 0.5, 1.0]
