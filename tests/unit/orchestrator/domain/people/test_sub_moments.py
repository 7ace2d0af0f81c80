"""Moments that are split by who is in the photos."""

from __future__ import annotations

from itertools import combinations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.domain.moments.parameters import NOISE
from orchestrator.domain.people.persons import Person, find_familiar, list_persons
from orchestrator.domain.people.sub_moments import Company, split_by_people

companies = st.builds(
    Company,
    st.frozensets(st.sampled_from("abc"), max_size=2),
    st.sampled_from([0, 0, 0, 1]),
)
rows = st.lists(st.tuples(st.sampled_from([NOISE, 0, 1]), companies), min_size=1, max_size=12)


def split(shots: list[tuple[int, Company]], kin: list[int] | None = None) -> list[int]:
    labels = np.array([label for label, _ in shots], np.int64)
    found = split_by_people(labels, [who for _, who in shots], kin or list(range(len(shots))))
    for moment in {label for label, _ in shots}:
        rows = [row for row, (label, _) in enumerate(shots) if label == moment]
        people = {found.people[row] for row in rows}
        assert people == {None} or (None not in people and len(people) > 1)
    numbers: list[int] = found.labels.tolist()
    return numbers


@given(rows)
def test_photos_share_a_part_only_if_the_same_persons_may_be_on_them(
    shots: list[tuple[int, Company]],
) -> None:
    parts = split(shots)
    for one, other in combinations(range(len(shots)), 2):
        (first, mine), (second, theirs) = shots[one], shots[other]
        if parts[one] == parts[other] != NOISE:
            assert first == second != NOISE
            if not mine.unknown_count and not theirs.unknown_count:
                assert mine.people == theirs.people
        elif first == second != NOISE:
            is_same = mine.people == theirs.people
            assert not is_same or mine.unknown_count or theirs.unknown_count


@given(rows)
def test_kin_stay_together(shots: list[tuple[int, Company]]) -> None:
    together = [label for label, _ in shots]
    if NOISE not in together:
        counts = {label: together.count(label) for label in together}
        expected = [NOISE if counts[label] == 1 else label for label in together]
        parts = split(shots, kin=together)
        assert [part == NOISE for part in parts] == [label == NOISE for label in expected]


def test_a_shot_with_a_face_that_was_not_recognized_joins_the_largest_part_it_fits() -> None:
    ann, both = Company(frozenset("a")), Company(frozenset("ab"))
    turned = Company(frozenset("a"), 1)
    shots = [(0, ann), (0, both), (0, both), (0, turned), (0, Company(frozenset()))]
    assert split(shots) == [NOISE, 0, 0, 0, NOISE]
    assert split([(0, ann), (0, ann), (0, turned)]) == [0, 0, 0]


def test_passers_by_are_not_familiar() -> None:
    persons = {
        "n": Person("n", "Ann", is_ignored=False),
        "i": Person("i", "", is_ignored=False, is_important=True),
        "x": Person("x", "Dan", is_ignored=True),
        "often": Person("often", "", is_ignored=False),
        "twice": Person("twice", "", is_ignored=False),
    }
    photos = [["often", "twice", ""], ["often", "often", "twice"], ["often", "x"]]
    assert find_familiar(photos, persons) == {"n", "i", "often"}
    assert list_persons(["n", "i", "often"], persons) == "Ann and 2 unnamed people"
    assert list_persons(["i"], persons) == "an unnamed person"
