from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.cluster.hierarchy import fcluster, linkage

from orchestrator.domain.people.grouping import UNKNOWN, KnownPeople, Vectors, group_by_person

THRESHOLD = 0.4


def faces_of(persons: list[int], noise: float, seed: int = 0) -> Vectors:
    """Returns unit vectors of faces; those of one person differ by noise."""
    random = np.random.default_rng(seed)
    centres = random.normal(size=(max(persons) + 1, 64))
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    found = centres[persons] + random.normal(size=(len(persons), 64)) * noise / 8
    return np.asarray(found / np.linalg.norm(found, axis=1, keepdims=True), np.float32)


def photos_of(count: int) -> list[str]:
    return [f"{index}.jpg" for index in range(count)]


def partition(labels: NDArray[np.int64] | list[int]) -> set[frozenset[int]]:
    found: dict[int, set[int]] = {}
    for row, label in enumerate(labels):
        found.setdefault(int(label), set()).add(row)
    return {frozenset(rows) for rows in found.values()}


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), noise=st.floats(0.2, 2.0), threshold=st.floats(0.05, 0.9))
def test_without_constraints_it_is_average_linkage(
    seed: int, noise: float, threshold: float
) -> None:
    persons = np.random.default_rng(seed).integers(0, 8, 60).tolist()
    vectors = faces_of(persons, noise, seed)
    labels = group_by_person(vectors, photos_of(60), [1.0] * 60, threshold)
    tree = linkage(vectors.astype(np.float64), "average", metric="cosine")
    heights = np.abs(tree[:, 2] - (1 - threshold))
    if heights.min() > 1e-5:  # a merge exactly at the threshold may be rounded either way
        assert partition(labels) == partition(fcluster(tree, 1 - threshold, "distance"))


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_the_order_of_the_faces_does_not_matter(seed: int) -> None:
    random = np.random.default_rng(seed)
    persons = random.integers(0, 6, 40).tolist()
    vectors, weights = faces_of(persons, 0.9, seed), random.uniform(0.1, 1, 40)
    photos = [f"{index}.jpg" for index in random.integers(0, 25, 40)]
    labels = group_by_person(vectors, photos, weights.tolist(), THRESHOLD)
    order = random.permutation(40)
    shuffled = group_by_person(
        vectors[order], [photos[row] for row in order], weights[order].tolist(), THRESHOLD
    )
    original = {frozenset(int(order[row]) for row in rows) for rows in partition(shuffled)}
    assert original == partition(labels)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    noise=st.floats(0.0, 2.0),
    share_unclear=st.floats(0, 1),
    confirmed=st.dictionaries(st.integers(0, 29), st.integers(0, 3), max_size=8),
)
def test_what_the_user_said_always_holds(
    seed: int, noise: float, share_unclear: float, confirmed: dict[int, int]
) -> None:
    random = np.random.default_rng(seed)
    vectors = faces_of(random.integers(0, 4, 30).tolist(), noise, seed)
    photos = [f"{index}.jpg" for index in random.integers(0, 12, 30)]
    weights = np.where(random.random(30) < share_unclear, 0.0, 1.0).tolist()
    refused = {row: frozenset({0, 1}) for row in range(30) if row not in confirmed and row % 3 == 0}
    labels = group_by_person(vectors, photos, weights, THRESHOLD, KnownPeople(confirmed, refused))

    by_person = {
        person: {int(labels[row]) for row in confirmed if confirmed[row] == person}
        for person in confirmed.values()
    }
    assert all(len(found) == 1 and UNKNOWN not in found for found in by_person.values())
    assert len({min(found) for found in by_person.values()}) == len(by_person)
    for row, persons in refused.items():
        assert all(int(labels[row]) not in by_person.get(person, set()) for person in persons)
    for rows in partition(labels):
        group = [row for row in rows if labels[row] != UNKNOWN]
        own = [photos[row] for row in group if row not in confirmed]
        assert len(own) == len(set(own)), "two faces of one photo were joined"
    used = sorted(set(labels.tolist()) - {UNKNOWN})
    assert used == list(range(len(used)))


def test_an_unclear_face_joins_only_a_person_that_it_clearly_is() -> None:
    vectors = faces_of([0, 0, 1, 1, 0, 2], 0.3)
    vectors[5] = vectors[0] * 0.6 + vectors[2] * 0.6  # between both
    vectors[5] /= np.linalg.norm(vectors[5])
    labels = group_by_person(vectors, photos_of(6), [1, 1, 1, 1, 0, 0], THRESHOLD)
    assert labels.tolist() == [0, 0, 1, 1, 0, UNKNOWN]


def test_two_looks_of_a_confirmed_person_stay_together_and_attract_similar_faces() -> None:
    vectors = faces_of([0, 0, 1, 1, 2], 0.3)
    known = KnownPeople({0: 7, 2: 7})
    assert group_by_person(vectors, photos_of(5), [1] * 5, THRESHOLD).tolist() == [0, 0, 1, 1, 2]
    labels = group_by_person(vectors, photos_of(5), [1] * 5, THRESHOLD, known)
    assert labels[0] == labels[2]
    assert labels[4] != labels[0]


@pytest.mark.parametrize("weights", [[], [0.0], [1.0]])
def test_few_faces(weights: list[float]) -> None:
    count = len(weights)
    vectors = np.ones((count, 1), np.float32)
    labels = group_by_person(vectors, photos_of(count), weights, THRESHOLD)
    assert labels.tolist() == [0 if weight else UNKNOWN for weight in weights]
