"""What the comparator may decide: ties between photos that differ in what it was trained on."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.domain.photo import Candidate
from orchestrator.domain.selection.ranking import FACE_DIFFERENCE
from orchestrator.domain.selection.selection import Selection
from orchestrator.domain.selection.verdict import Verdict
from tests.unit.values import FILTERS, candidate, face, rules

NAMES = "abcdef"
unit = st.floats(0, 1)
shots = st.tuples(
    st.fixed_dictionaries({"ava_score": st.floats(5.8, 6.4), "sharpness": unit}),
    st.lists(st.builds(face, eyes_score=unit, smile_score=unit), max_size=1),
)


def select(photos: list[Candidate], probabilities: dict[tuple[str, str], float]) -> list[Verdict]:
    vectors = np.eye(len(photos), dtype=np.float32)
    return Selection(photos, vectors, FILTERS, rules(), {}).verdicts(probabilities)


@given(st.lists(shots, min_size=2, max_size=6), st.integers(0, 2**16))
def test_it_never_overrules_a_clear_face_difference(drawn: list[Any], seed: int) -> None:
    photos = [
        replace(candidate(name, **scores), faces=tuple(faces))
        for name, (scores, faces) in zip(NAMES, drawn, strict=False)
    ]
    random = np.random.default_rng(seed)
    pairs = itertools.combinations([photo.path for photo in photos], 2)
    verdicts = select(photos, {pair: float(random.integers(2)) for pair in pairs})
    for one, other in itertools.permutations(verdicts, 2):
        has_better_faces = one.person_penalty > other.person_penalty + FACE_DIFFERENCE
        if has_better_faces and one.composite_score > other.composite_score:
            assert one.rank < other.rank, (one, other)


def test_it_does_not_move_a_worse_face_ahead_of_a_better_one_by_way_of_the_leader() -> None:
    """Two unsmiling shots tie, with a smiling one between them; the comparator prefers the last."""
    unsmiling = (face(smile_score=0.0),)
    leader = replace(candidate("a", ava_score=7.0, sharpness=0.5), faces=unsmiling)
    smiling = replace(candidate("b", ava_score=6.3, sharpness=0.6), faces=(face(),))
    last = replace(candidate("c", ava_score=6.8, sharpness=0.7), faces=unsmiling)
    prefers_last = {("a", "b"): 0.5, ("a", "c"): 0.0, ("b", "c"): 0.0}
    a, b, c = select([leader, smiling, last], prefers_last)
    assert a.composite_score > b.composite_score > c.composite_score
    assert b.rank < c.rank


@pytest.mark.parametrize(
    ("scores", "winner"),
    [
        ({"ava_score": 6.1}, "a"),
        ({"ava_score": 6.1, "sharpness": 0.5}, "b"),
        ({"ava_score": 6.1, "exposure": 0.6}, "b"),
        ({"ava_score": 6.1, "noise_level": 4.0}, "b"),
    ],
)
def test_it_decides_only_where_something_it_knows_differs(
    scores: dict[str, float], winner: str
) -> None:
    """The comparator prefers b in each case, although a scores slightly more."""
    slightly_better = candidate("a", **{"noise_level": 1.0, **scores})
    photos = [slightly_better, candidate("b", noise_level=1.0)]
    selection = Selection(photos, np.eye(2, dtype=np.float32), FILTERS, rules(), {})
    assert selection.pairs_to_compare() == ([("a", "b")] if winner == "b" else [])
    first = min(selection.verdicts({("a", "b"): 0.1}), key=lambda verdict: verdict.rank)
    assert first.path == winner
