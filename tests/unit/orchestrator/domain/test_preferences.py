from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.domain.preferences import (
    FAULTS,
    LARGEST_PENALTY,
    MIN_ANSWER_COUNT,
    TERMS,
    Choice,
    fit_weights,
    propose_weights,
)
from orchestrator.domain.scoring import (
    QualityWeights,
    composite_score,
    person_penalty,
    score_terms,
    worst_face,
)
from tests.unit.values import PENALTIES, face, quality

CURRENT = {
    "iqa": 0.3,
    "ava": 0.7,
    "eyes_closed": -0.15,
    "face_turned": -0.1,
    "not_smiling": -0.05,
}
SHARE = st.floats(0, 1)
LIMIT = -0.7


def terms(**values: float) -> dict[str, float]:
    return {**dict.fromkeys(TERMS, 0.0), "iqa": 0.5, "ava": 0.5, **values}


ANY_TERMS = st.fixed_dictionaries(dict.fromkeys(TERMS, SHARE))
CHOICES = st.lists(st.builds(Choice, st.sampled_from("abcdefg"), ANY_TERMS, ANY_TERMS), max_size=40)
ANY_WEIGHTS = st.builds(
    lambda iqa, faults: {"iqa": iqa, "ava": 1 - iqa, **dict(zip(FAULTS, faults, strict=True))},
    SHARE,
    st.tuples(*(st.floats(-LARGEST_PENALTY, 0) for _ in FAULTS)),
)


@given(CHOICES, ANY_WEIGHTS)
def test_weights_keep_their_sum_and_bounds(
    choices: list[Choice], current: dict[str, float]
) -> None:
    fitted = fit_weights(choices, current)
    assert fitted["iqa"] + fitted["ava"] == pytest.approx(current["iqa"] + current["ava"], abs=1e-5)
    assert min(fitted["iqa"], fitted["ava"]) >= -1e-6
    assert all(-LARGEST_PENALTY <= fitted[name] <= 0 for name in FAULTS)


@given(ANY_WEIGHTS)
def test_no_answers_change_nothing(current: dict[str, float]) -> None:
    assert fit_weights([], current) == pytest.approx(current, abs=1e-5)


@given(st.lists(st.tuples(SHARE, SHARE, SHARE), min_size=1, max_size=40), ANY_WEIGHTS)
def test_preferring_the_sharper_shot_never_lowers_its_weight(
    answers: list[tuple[float, float, float]], current: dict[str, float]
) -> None:
    choices = [
        Choice("m", terms(iqa=max(one, two), ava=ava), terms(iqa=min(one, two), ava=ava))
        for one, two, ava in answers
    ]
    fitted = fit_weights(choices, current)
    assert fitted["iqa"] >= current["iqa"]
    assert {name: fitted[name] for name in FAULTS} == pytest.approx(
        {name: current[name] for name in FAULTS}
    )


@given(st.integers(1, 40), st.sampled_from(FAULTS), ANY_WEIGHTS)
def test_avoiding_a_fault_never_lowers_its_penalty(
    count: int, fault: str, current: dict[str, float]
) -> None:
    choices = [Choice("m", terms(), terms(**{fault: 1.0}))] * count
    assert fit_weights(choices, current)[fault] <= current[fault]


def test_one_answer_changes_little_and_many_change_much() -> None:
    answer = Choice("m", terms(iqa=0.7), terms(iqa=0.6, ava=0.6))
    one, many = (fit_weights([answer] * count, CURRENT)["iqa"] for count in (1, 40))
    assert 0.3 <= one < 0.35
    assert many > 0.45


def answers(likes: Mapping[str, float], count: int, seed: int = 1) -> list[Choice]:
    """Choices of somebody whose weights are `likes`, in moments of four."""
    rng = random.Random(seed)
    found = []
    for number in range(count):
        shots = [
            terms(
                iqa=rng.uniform(0.4, 0.9),
                ava=rng.uniform(0.4, 0.7),
                eyes_closed=float(rng.random() < 0.3),
            )
            for _ in range(2)
        ]
        shots.sort(key=lambda shot: -sum(likes[name] * shot[name] for name in TERMS))
        found.append(Choice(f"moment {number // 4}", *shots))
    return found


def test_a_taste_is_found_and_predicts_answers_that_were_left_out() -> None:
    found = propose_weights(answers({**CURRENT, "iqa": 0.6, "ava": 0.4}, 80), CURRENT, LIMIT)
    assert found.is_better
    assert 0.35 < found.after["iqa"] <= 0.65
    assert found.held_out > found.predicted_before
    assert found.held_out - found.predicted_before == found.gained_count - found.lost_count
    assert found.chance < 0.05


def test_a_taste_like_the_current_weights_proposes_nothing() -> None:
    found = propose_weights(answers(CURRENT, 80), CURRENT, LIMIT)
    assert found.predicted_before == found.choice_count == 80
    assert found.after == CURRENT
    assert not found.is_better


def test_too_few_answers_or_moments_propose_nothing() -> None:
    likes = {**CURRENT, "iqa": 1.0, "ava": 0.0}
    few = propose_weights(answers(likes, MIN_ANSWER_COUNT - 1), CURRENT, LIMIT)
    one_moment = [replace(answer, moment="m") for answer in answers(likes, 80)]
    narrow = propose_weights(one_moment, CURRENT, LIMIT)
    for found in (few, narrow):
        assert not found.is_enough
        assert found.after == CURRENT


@given(
    st.lists(
        st.builds(face, eyes_score=SHARE, pose_score=SHARE, smile_score=SHARE, width=st.just(0.2)),
        max_size=3,
    ),
    SHARE,
    st.floats(1, 10),
)
def test_the_terms_add_up_to_the_composite_score(
    faces: list[object], iqa: float, ava: float
) -> None:
    scores = quality(iqa_score=iqa, ava_score=ava)
    worst = worst_face(faces, 0.3)  # type: ignore[arg-type]
    parts = score_terms(scores, worst, PENALTIES)
    weights = QualityWeights(CURRENT["iqa"], CURRENT["ava"])
    composite = composite_score(scores, weights, person_penalty(worst, PENALTIES))
    assert sum(CURRENT[name] * parts[name] for name in TERMS) == pytest.approx(composite)
