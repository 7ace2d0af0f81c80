from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.domain.explanation import grouping_of
from orchestrator.domain.moments.capture_time import Captures
from orchestrator.domain.moments.clustering import cluster_scenes, pairwise_distances
from orchestrator.domain.moments.distances import Rows
from orchestrator.domain.moments.view_term import (
    JointTerm,
    ViewTerm,
    doubtful_distances,
    view_term,
    with_views,
)
from orchestrator.domain.verdict_sentences import grouping_text
from tests.unit.orchestrator.domain.moments.test_hdbscan_steps import BOUNDED

VIEWED = replace(BOUNDED, scene_distance=0.36, cluster_selection_epsilon=0.288, view_weight=0.14)
UNKNOWN = Captures(np.full(3, np.nan), [""] * 3)


def at_distances(*distances: float) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    """Returns unit vectors: the first one, and one at each cosine distance from it."""
    vectors = np.zeros((len(distances) + 1, len(distances) + 1), np.float32)
    vectors[0, 0] = 1.0
    for row, distance in enumerate(distances, start=1):
        vectors[row, 0], vectors[row, row] = 1.0 - distance, np.sqrt(1.0 - (1.0 - distance) ** 2)
    return vectors


@pytest.mark.parametrize(
    ("distance", "common", "labels"),
    [
        (0.38, 50, [0, 0]),  # too far apart by the embedding, but the same place
        (0.38, 12, [-1, -1]),
        (0.34, 12, [0, 0]),
        (0.34, 0, [-1, -1]),  # alike, but nothing in common
        (0.34, None, [0, 0]),
        (0.20, 0, [0, 0]),  # too near to be doubtful
        (0.50, 300, [-1, -1]),  # too far
    ],
)
def test_common_features_decide_doubtful_pairs(
    distance: float, common: int | None, labels: list[int]
) -> None:
    found = cluster_scenes(
        at_distances(distance), VIEWED, None, count_features=lambda pairs: [common] * len(pairs)
    )
    assert found.tolist() == labels


def test_only_doubtful_pairs_are_counted() -> None:
    asked: list[tuple[int, int]] = []

    def count(pairs: Sequence[tuple[int, int]]) -> list[int | None]:
        asked.extend(pairs)
        return [None] * len(pairs)

    vectors = at_distances(0.1, 0.34, 0.9)
    assert with_views(vectors, None, VIEWED, count) is None
    assert (0, 2) in asked
    assert not {(0, 1), (0, 3), (2, 3)} & set(asked)
    asked.clear()
    with_views(vectors, None, replace(VIEWED, view_weight=0.0), count)
    with_views(vectors, None, replace(VIEWED, method="dbscan"), count)
    with_views(vectors, None, replace(VIEWED, scene_distance=None), count)
    assert asked == []


def test_each_part_of_a_split_album_counts_its_own_photos() -> None:
    asked: set[tuple[int, int]] = set()

    def count(pairs: Sequence[tuple[int, int]]) -> list[int | None]:
        asked.update(pairs)
        return [50] * len(pairs)

    pair = at_distances(0.38)
    vectors = np.zeros((4, 4), np.float32)
    vectors[:2, :2], vectors[2:, 2:] = pair, pair
    captures = Captures(np.array([0.0, 1.0, 1e6, 1e6 + 1.0]), ["a", "b", "a", "b"])
    found = cluster_scenes(
        vectors, replace(VIEWED, max_joint_count=2), captures, lambda text: None, count
    )
    assert found.tolist() == [0, 0, 1, 1]
    assert asked == {(0, 1), (2, 3)}


@given(seed=st.integers(0, 2**32 - 1), count=st.integers(2, 30), tile=st.sampled_from([4, 7, 64]))
def test_tiles_pairs_and_matrices_agree(seed: int, count: int, tile: int) -> None:
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(count, 6)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    first, second = np.triu_indices(count, 1)
    chosen = rng.random(len(first)) < 0.3
    values = rng.uniform(-0.1, 0.1, int(chosen.sum()))
    term = JointTerm(None, ViewTerm.of(count, first[chosen], second[chosen], values))
    order = rng.permutation(count)
    rows = Rows(vectors[order], tile, term.take(order))
    matrix = pairwise_distances(vectors, "cosine", term)[np.ix_(order, order)]
    assert np.allclose(rows.matrix(np.arange(count)), matrix, atol=1e-6)
    found = rows.pairs_within(3.0, count**2)
    assert found is not None
    assert np.allclose(found[2], matrix[found[0], found[1]], atol=1e-6)
    for one in rows.tiles():
        expected = 1.0 - matrix[one.rows, one.columns]
        off = np.ones_like(expected, np.bool_)
        if one.is_diagonal:
            np.fill_diagonal(off, False)
        assert np.allclose(one.similarity[off], expected[off], atol=1e-5)


def test_the_explanation_names_common_features() -> None:
    vectors = at_distances(0.38, 0.9)
    views = view_term(3, np.array([0]), np.array([1]), VIEWED, lambda pairs: [50])
    paths = ["a", "b", "c"]
    found = grouping_of(0, paths, vectors, np.array([0, 0, -1]), UNKNOWN, VIEWED, views)
    assert found.nearest_inside is not None
    assert found.nearest_inside.distance == pytest.approx(0.38 - 0.14 * np.log10(50 / 12), abs=1e-6)
    assert "reduced by 0.087 because they share many details" in grouping_text(found)
    apart = view_term(3, np.array([0]), np.array([1]), VIEWED, lambda pairs: [0])
    alone = grouping_of(0, paths, vectors, np.array([-1, -1, -1]), UNKNOWN, VIEWED, apart)
    assert "increased by 0.067 because they share few details" in grouping_text(alone)


def test_the_doubtful_range_follows_the_settings() -> None:
    low, high = doubtful_distances(VIEWED) or (0.0, 0.0)
    assert low == pytest.approx(0.288 - 0.14 * np.log10(3))
    assert high == pytest.approx(0.36 + 0.14 * np.log10(50 / 12))
