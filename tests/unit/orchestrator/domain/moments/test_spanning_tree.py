"""Clustering without a matrix gives the same result as with one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import hdbscan
import numpy as np
import pytest
from hdbscan._hdbscan_linkage import mst_linkage_core
from hdbscan._hdbscan_reachability import mutual_reachability
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform
from sklearn.cluster import DBSCAN
from sklearn.metrics import adjusted_rand_score, pairwise_distances

from orchestrator.domain.moments import clustering
from orchestrator.domain.moments.clustering import cluster_scenes
from orchestrator.domain.moments.complete_linkage import complete_linkage
from orchestrator.domain.moments.distances import Rows
from orchestrator.domain.moments.hdbscan_steps import select_clusters
from orchestrator.domain.moments.parameters import ClusterParameters, DbscanParameters
from orchestrator.domain.moments.spanning_tree import spanning_tree
from tests.unit.orchestrator.domain.moments.test_clustering import BOUNDED, PLAIN

pytestmark = pytest.mark.slow

Vectors = NDArray[np.float32]


def unit(rows: NDArray[np.float64]) -> Vectors:
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)


def scenes(count: int, dimensions: int, seed: int, spread: float, mean: float) -> Vectors:
    """Returns shots around random centres; their number per centre is geometrically distributed."""
    rng = np.random.default_rng(seed)
    rows: list[NDArray[np.float64]] = []
    while len(rows) < count:
        centre = rng.normal(size=dimensions)
        size = int(rng.geometric(1 / mean))
        rows += list(centre + spread * rng.normal(size=(size, dimensions)))
    return unit(np.array(rows[:count]))


def untied_sets() -> Iterator[tuple[str, Vectors]]:
    """Yields sets without equal distances."""
    rng = np.random.default_rng(7)
    for number in range(60):
        count = int(rng.choice([2, 3, 5, 9, 17, 40, 100, 257, 600]))
        dimensions = int(rng.choice([2, 3, 8, 32, 128, 384]))
        spread, mean = rng.choice([0.05, 0.3, 0.8]), rng.choice([1.5, 4.0, 20.0])
        found = scenes(count, dimensions, number, spread, mean)
        yield f"scenes {number}: {count} x {dimensions}", found
    for number in range(4):
        count = int(rng.integers(50, 900))
        yield f"noise {number}: {count}", unit(rng.normal(size=(count, 64)))
        count = int(rng.integers(50, 500))
        centre = rng.normal(size=64)
        yield f"one cluster {number}: {count}", unit(centre + 0.1 * rng.normal(size=(count, 64)))
    yield "scenes: 2500", scenes(2500, 96, 2500, 0.3, 4.0)


def tied_sets() -> Iterator[tuple[str, Vectors]]:
    """Yields sets with many equal distances."""
    rng = np.random.default_rng(8)
    for number in range(8):
        count, dimensions = int(rng.integers(2, 300)), int(rng.choice([2, 8, 64]))
        base = scenes(max(1, count // 3), dimensions, number, 0.3, 3.0)
        yield f"copies {number}: {count}", base[rng.integers(0, len(base), count)]
        count = int(rng.integers(3, 400))
        yield f"grid {number}: {count}", unit(rng.integers(1, 4, (count, 3)).astype(float))
        angles = np.arange(int(rng.integers(3, 200))) * 0.1
        yield f"arc {number}", unit(np.c_[np.cos(angles), np.sin(angles)])
    yield "a dozen copies each: 480", np.repeat(scenes(40, 32, 3, 0.3, 3.0), 12, axis=0)
    for count in (2, 5, 30, 120, 500):
        yield f"identical: {count}", np.repeat(scenes(1, 16, 1, 0.0, 1.0), count, axis=0)
        yield f"all at right angles: {count}", np.eye(count, dtype=np.float32)


SETS = dict([*untied_sets(), *tied_sets()])
UNTIED = [name for name, _ in untied_sets()]


def parameters_of(name: str) -> Iterator[ClusterParameters]:
    """Yields the plain parameters, and some variants."""
    rng = np.random.default_rng(sum(map(ord, name)))
    yield PLAIN
    yield replace(
        PLAIN,
        min_cluster_size=int(rng.integers(2, 6)),
        min_samples=int(rng.integers(1, 6)),
        cluster_selection_epsilon=float(rng.choice([0.0, 0.1, 0.3])),
        cluster_selection_method=str(rng.choice(["eom", "leaf"])),
    )


def hdbscan_labels(vectors: Vectors, wanted: ClusterParameters) -> NDArray[np.int64]:
    """Returns the result of hdbscan's generic path."""
    model = hdbscan.HDBSCAN(
        min_cluster_size=wanted.min_cluster_size,
        min_samples=wanted.min_samples,
        cluster_selection_epsilon=wanted.cluster_selection_epsilon,
        cluster_selection_method=wanted.cluster_selection_method,
        metric="cosine",
        algorithm="generic",
    )
    return np.asarray(model.fit(vectors.astype(np.float64)).labels_)


def assert_same(ours: NDArray[np.int64], theirs: NDArray[np.int64]) -> None:
    """Checks that noise and clusters are equal, regardless of the clusters' numbers."""
    np.testing.assert_array_equal(ours == -1, theirs == -1)
    assert adjusted_rand_score(theirs, ours) == 1.0


def tree_of(vectors: Vectors, min_samples: int, name: str) -> NDArray[np.float64]:
    few = max(7, len(vectors) // 30)  # thousands of tiles are slow and test nothing else
    tile_count = (few, 64, 500, 4096)[len(name) % 4] if len(vectors) < 1000 else 700
    return spanning_tree(Rows(vectors, tile_count), min_samples)


@pytest.mark.parametrize("name", UNTIED)
def test_the_tree_without_a_matrix_gives_the_same_labels_as_hdbscan(name: str) -> None:
    vectors = SETS[name]
    for wanted in parameters_of(name):
        if len(vectors) < wanted.min_cluster_size:
            continue
        tree = tree_of(vectors, wanted.min_samples, name)
        ours = select_clusters(tree, wanted)
        assert_same(ours, hdbscan_labels(vectors, wanted))


@pytest.mark.parametrize("name", SETS)
def test_the_tree_has_the_same_weights_as_hdbscans_tree_despite_ties(name: str) -> None:
    """All minimum spanning trees of a set have the same weights, regardless of which tied pairs
    they use."""
    vectors = SETS[name]
    for min_samples in (1, 2, 5):
        distances = pairwise_distances(vectors.astype(np.float64), metric="cosine")
        theirs = mst_linkage_core(mutual_reachability(distances, min_samples))
        ours = tree_of(vectors, min_samples, name)
        np.testing.assert_allclose(np.sort(ours[:, 2]), np.sort(theirs[:, 2]), atol=1e-12)
        assert set(ours[:, 1].astype(int)) == set(range(1, len(vectors)))


@pytest.mark.parametrize("name", SETS)
def test_labels_equal_those_of_hdbscan_even_with_ties(name: str) -> None:
    vectors = SETS[name]
    for wanted in parameters_of(name):
        if len(vectors) >= wanted.min_cluster_size:
            assert_same(cluster_scenes(vectors, wanted), hdbscan_labels(vectors, wanted))


def test_a_set_too_large_for_a_matrix_gets_the_same_labels_as_with_hdbscan() -> None:
    vectors = scenes(clustering.DENSE_COUNT + 500, 128, 3, 0.4, 5.0)
    assert_same(cluster_scenes(vectors, PLAIN), hdbscan_labels(vectors, PLAIN))


def test_dbscan_without_a_matrix_gives_the_same_labels_as_scikit_learn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(clustering, "DENSE_COUNT", 0)
    for name in list(SETS)[::9]:
        vectors = SETS[name]
        for min_samples in (1, 3):
            wanted = replace(
                PLAIN, method="dbscan", dbscan=DbscanParameters(0.2512345, min_samples)
            )
            model = DBSCAN(eps=0.2512345, min_samples=min_samples, metric="cosine")
            theirs = model.fit(vectors.astype(np.float64)).labels_
            assert_same(cluster_scenes(vectors, wanted), np.asarray(theirs))


def test_a_bounded_clustering_is_the_same_with_and_without_matrices(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in UNTIED[::5]:
        vectors = SETS[name]
        sparse = cluster_scenes(vectors, BOUNDED)
        with monkeypatch.context() as patch:
            patch.setattr(clustering, "DENSE_PAIR_COUNT", 0)
            assert_same(cluster_scenes(vectors, BOUNDED), sparse)


@given(st.integers(2, 40), st.integers(0, 10**6), st.floats(0.05, 1.5))
def test_complete_linkage_on_near_pairs_equals_that_of_scipy(
    count: int, seed: int, diameter: float
) -> None:
    vectors = scenes(count, 5, seed, 0.3, 3.0)
    distances = pairwise_distances(vectors.astype(np.float64), metric="cosine")
    first, second = np.nonzero(np.triu(distances <= diameter, 1))
    ours = complete_linkage(count, first, second, distances[first, second])
    tree = linkage(squareform(distances, checks=False), "complete")
    theirs = fcluster(tree, diameter, "distance")
    assert adjusted_rand_score(theirs, ours) == 1.0
    assert (ours <= np.arange(count)).all()


@given(st.integers(1, 60), st.integers(0, 10**6), st.floats(0.0, 2.0), st.integers(1, 70))
def test_near_pairs_equal_those_of_the_matrix(
    count: int, seed: int, radius: float, tile_count: int
) -> None:
    vectors = scenes(count, 6, seed, 0.3, 3.0)
    found = Rows(vectors, tile_count).pairs_within(radius, count**2)
    assert found is not None
    pairs = set(zip(found[0].tolist(), found[1].tolist(), strict=True))
    distances = pairwise_distances(vectors.astype(np.float64), metric="cosine")
    assert pairs == {
        (i, j) for i in range(count) for j in range(i + 1, count) if distances[i, j] <= radius
    }


@given(st.integers(2, 60), st.integers(0, 10**6), st.integers(1, 70))
def test_nearest_rows_equal_those_of_the_matrix(count: int, seed: int, tile_count: int) -> None:
    vectors = scenes(count, 6, seed, 0.3, 3.0)
    wanted = min(count - 1, 4)
    indices, similarities = Rows(vectors, tile_count).nearest(wanted)
    exact = vectors.astype(np.float64) @ vectors.T.astype(np.float64)
    np.fill_diagonal(exact, -np.inf)
    best = -np.sort(-exact, axis=1)[:, :wanted]
    np.testing.assert_allclose(similarities, best, atol=1e-6)
    np.testing.assert_allclose(np.take_along_axis(exact, indices, axis=1), best, atol=1e-6)
    assert all(len(set(row)) == wanted for row in indices.tolist())
