from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.domain.photo import FaceScores
from orchestrator.domain.scoring import (
    FaceFault,
    FaceSigns,
    PersonPenalties,
    QualityWeights,
    composite_score,
    face_caption,
    face_faults,
    find_judged,
    normalize_ava,
    person_penalty,
    read_signs,
    worst_face,
)
from tests.unit.values import PENALTIES, face, quality

unit = st.floats(0, 1)


@given(
    st.lists(st.tuples(st.sampled_from(["a", "b", "c", ""]), st.sampled_from([0.01, 0.3]))),
    st.frozensets(st.sampled_from(["a", "b"])),
)
def test_only_faces_of_important_persons_and_unknown_ones_in_their_place_count(
    people: list[tuple[str, float]], important: frozenset[str]
) -> None:
    faces = [face(width=size, height=size) for _, size in people]
    judged = find_judged(faces, [who for who, _ in people], important)
    if not judged:
        return  # all count
    present = {who for who, size in people if size > 0.1}
    assert important
    for place, (who, _) in enumerate(people):
        is_missing = not important <= present
        assert (place in judged) == (who in important or (who == "" and is_missing))
    assert any(people[place][1] > 0.1 for place in judged)


def test_a_strangers_closed_eyes_cost_nothing_beside_an_important_person() -> None:
    asleep, awake = face(eyes_score=0.0), face(left=0.6)
    for people, judged in (
        (("stranger", "a"), (1,)),
        (("", "a"), (1,)),
        (("a", "stranger"), (0,)),
        (("", "stranger"), (0,)),  # it may be hers
        (("stranger", "stranger"), ()),
    ):
        assert find_judged([asleep, awake], people, {"a"}) == judged
    assert find_judged([asleep, awake], ("stranger", ""), ()) == ()


def test_the_composite_is_a_weighted_sum_from_0_to_1() -> None:
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
        ({"eyes_score": 0.25, "smile_score": 0.5}, -0.15),
        ({"pose_score": 0.25}, -0.10),
        ({"smile_score": 0.25}, -0.05),
        ({"eyes_score": 0.375, "pose_score": 0.375, "smile_score": 0.49}, -0.127),
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


def test_a_good_face_does_not_make_up_for_a_bad_one_of_the_same_size() -> None:
    worst = worst_face([face(eyes_score=1.0), face(eyes_score=0.1, smile_score=0.5)], 0.3)
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
        {"width": 0.025, "height": 0.05},  # landscape: the width is relative to the long side
        {"width": 0.05, "height": 0.025},  # portrait
        {"confidence": 0.6},
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
    small = face(width=0.1, height=0.1, eyes_score=0.1, smile_score=0.5)
    worst = worst_face([poster, small], 0.3)
    assert worst is not None
    assert worst.eyes_score == pytest.approx(0.1)


@given(st.lists(st.tuples(unit, st.floats(0.05, 1)), min_size=1, max_size=8))
def test_the_worst_face_score_is_between_the_minimum_and_the_largest_face(
    faces: list[tuple[float, float]],
) -> None:
    built = [
        face(eyes_score=score, smile_score=0.5, width=side, height=side) for score, side in faces
    ]
    worst = worst_face(built, 0.0)
    assert worst is not None
    largest = max(built, key=lambda item: item.area)
    assert min(item.eyes_score for item in built) - 1e-9 <= worst.eyes_score
    assert worst.eyes_score <= largest.eyes_score + 1e-9


def test_faults_caption_and_penalty_follow_the_thresholds_of_the_run() -> None:
    faces = [face(eyes_score=0.4, smile_score=0.5)]
    worst = worst_face(faces, 0.3)
    lenient = replace(PENALTIES, eyes_threshold=0.3)
    assert face_faults(worst, PENALTIES) == (FaceFault.EYES_CLOSED,)
    assert face_caption(faces, face_faults(worst, PENALTIES)) == "1 face | eyes closed | smiling"
    assert person_penalty(worst, PENALTIES) == pytest.approx(0.4 * PENALTIES.eyes_closed)
    assert face_faults(worst, lenient) == ()
    assert face_caption(faces, face_faults(worst, lenient)) == "1 face | eyes open | smiling"
    assert person_penalty(worst, lenient) == 0.0


def test_without_faces_there_is_no_fault_and_no_caption() -> None:
    assert face_faults(None, PENALTIES) == ()
    assert face_caption([], ()) == ""


def test_ava_scores_are_scaled_to_0_to_1() -> None:
    assert [normalize_ava(vote) for vote in (1.0, 5.5, 10.0)] == [0.0, 0.5, 1.0]


@pytest.mark.parametrize("changes", [{"width": 0.0375, "height": 0.0375}, {"confidence": 0.7}])
def test_faults_of_a_small_or_uncertain_face_count_partly(changes: dict[str, float]) -> None:
    worst = worst_face([face(eyes_score=0.0, **changes)], 0.3)
    assert worst is not None
    assert worst.eyes_score == pytest.approx(0.5)


def test_lowered_and_laughing_eyes_are_not_closed() -> None:
    def eyes(**changes: float) -> float:
        worst = worst_face([face(**changes)], 0.3)
        assert worst is not None
        return worst.eyes_score

    assert eyes(eyes_score=0.0, pitch_degrees=-30.0) == 0.5
    assert eyes(eyes_score=0.0, pitch_degrees=-10.0) == 0.0
    assert eyes(eyes_score=0.0, pitch_degrees=30.0) == 0.0
    assert eyes(eyes_score=0.3, smile_score=0.95) == 0.5
    assert eyes(eyes_score=0.3, smile_score=0.4) == pytest.approx(0.3)
    assert eyes(eyes_score=0.01, smile_score=0.95) == pytest.approx(0.01)  # a blink while smiling
    assert eyes(eyes_score=0.9, pitch_degrees=-30.0) == pytest.approx(0.9)


@given(st.integers(2, 12), st.data())
def test_a_frame_of_a_group_with_fewer_closed_eyes_has_a_smaller_penalty(
    count: int, data: st.DataObject
) -> None:
    fewer = data.draw(st.integers(0, count - 1))
    more = data.draw(st.integers(fewer + 1, count))

    def cost(shut: int) -> float:
        faces = [face(eyes_score=0.0 if index < shut else 1.0) for index in range(count)]
        return person_penalty(worst_face(faces, 0.3), PENALTIES)

    assert cost(more) < cost(fewer)
    assert cost(1) <= 0.5 * PENALTIES.eyes_closed
    assert cost(count) == pytest.approx(PENALTIES.eyes_closed)


def test_what_is_said_about_a_face_agrees_with_its_penalty() -> None:
    told = {
        "open": face(),
        "closed": face(eyes_score=0.01),
        "lowered": face(eyes_score=0.1, pitch_degrees=-30.0),
        "laughing": face(eyes_score=0.3, smile_score=0.95),
        "serious": face(smile_score=0.1),
        "small": face(width=0.05, height=0.05),
        "tiny": face(width=0.02, height=0.02, eyes_score=0.0),
        "statue": face(confidence=0.5, eyes_score=0.0),
    }
    signs = dict(zip(told, read_signs(list(told.values()), PENALTIES), strict=True))
    assert signs == {
        "open": FaceSigns("open", "smiling", is_prominent=True),
        "closed": FaceSigns("closed", "smiling", is_prominent=True),
        "lowered": FaceSigns("", "smiling", is_prominent=True),
        "laughing": FaceSigns("", "smiling", is_prominent=True),
        "serious": FaceSigns("open", "not_smiling", is_prominent=True),
        "small": FaceSigns("open", "smiling", is_prominent=False),
        "tiny": FaceSigns("", "", is_prominent=False),
        "statue": FaceSigns("", "", is_prominent=False),
    }


@given(
    st.builds(
        face,
        width=st.sampled_from([0.02, 0.04, 0.2]),
        confidence=st.sampled_from([0.5, 0.7, 0.9]),
        pitch_degrees=st.sampled_from([None, -18.0, -30.0]),
        eyes_score=st.floats(0, 1),
        smile_score=st.floats(0, 1),
    )
)
def test_a_face_alone_has_a_fault_only_if_its_signs_say_so(one: FaceScores) -> None:
    (signs,) = read_signs([one], PENALTIES)
    faults = face_faults(worst_face([one], 0.3), PENALTIES)
    assert (FaceFault.EYES_CLOSED not in faults) or signs.eyes == "closed"
    assert (FaceFault.NOT_SMILING not in faults) or signs.smile == "not_smiling"
