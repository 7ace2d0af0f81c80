from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.metrics import adjusted_rand_score

from orchestrator.config import PipelineConfig, resolve_auto
from orchestrator.domain.explanation import grouping_of, neighbours_of
from orchestrator.domain.moments import clustering
from orchestrator.domain.moments.capture_time import Captures
from orchestrator.domain.moments.clustering import Labels, cluster_scenes, pairwise_distances
from orchestrator.domain.moments.distances import Rows
from orchestrator.domain.moments.hdbscan_steps import link_by_distances
from orchestrator.domain.moments.parameters import ClusterParameters
from orchestrator.domain.moments.spanning_tree import spanning_tree
from orchestrator.domain.moments.time_term import TimeTerm, time_term
from orchestrator.domain.sets import WITHOUT_SETS
from orchestrator.domain.verdict_sentences import grouping_text
from orchestrator.records import ImageRecord
from orchestrator.runs.selection import find_moments
from tests.conftest import ROOT
from tests.unit.orchestrator.domain.moments.test_clustering import PLAIN, as_singles, scenes
from tests.unit.orchestrator.domain.moments.test_hdbscan_steps import BOUNDED

HOUR = 3600.0


def weighted(parameters: ClusterParameters, weight: float) -> ClusterParameters:
    return replace(parameters, capture_time=replace(parameters.capture_time, weight=weight))


def term_of(
    seconds: Sequence[float], cameras: Sequence[str] | None = None, weight: float = 0.1
) -> TimeTerm:
    term = time_term(Captures(np.array(seconds), cameras or ["camera"] * len(seconds)), weight)
    assert term is not None
    return term


def all_pairs(term: TimeTerm) -> NDArray[np.float64]:
    own = np.arange(len(term.seconds))
    return term.of_pairs(own[:, np.newaxis], own)


def at(*degrees: float) -> NDArray[np.float32]:
    """Makes unit vectors in a plane; 37 degrees are a cosine distance of 0.2, 53 of 0.4."""
    angles = np.radians(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


@pytest.mark.parametrize(
    ("apart", "wanted"),
    [(0, -0.1), (2, -0.1), (29, 0.0), (299, 0.1), (2999, 0.2), (3 * HOUR, 0.25), (1e9, 0.25)],
)
def test_the_term_grows_with_the_logarithm_of_the_time(apart: float, wanted: float) -> None:
    assert all_pairs(term_of([0, apart]))[0, 1] == pytest.approx(wanted, abs=1e-9)


def test_photos_from_two_cameras_or_without_a_time_are_compared_by_content_alone() -> None:
    found = all_pairs(term_of([0, 1, 2, 3, np.nan], ["a", "a", "b", "", "a"]))
    assert found[0, 1] == found[1, 0] == -0.1
    assert np.count_nonzero(np.triu(found, 1)) == 1


def test_there_is_no_term_if_no_two_photos_can_be_compared() -> None:
    seconds = np.array([0.0, 1.0, np.nan, 3.0])
    assert time_term(Captures(seconds, ["a", "b", "a", ""]), 0.1) is None
    assert time_term(Captures(seconds, ["a"] * 4), 0.0) is None
    assert time_term(None, 0.1) is None


captures = st.lists(
    st.tuples(
        st.one_of(
            st.just(float("nan")), st.floats(0, 60), st.floats(0, 5 * HOUR), st.floats(0, 1e9)
        ),
        st.sampled_from(["a", "b", ""]),
    ),
    min_size=1,
    max_size=40,
)


@given(captures, st.floats(0.01, 2), st.integers(0, 10**6), st.integers(1, 9))
def test_tiles_equal_the_matrix_of_all_pairs(
    drawn: list[tuple[float, str]], weight: float, seed: int, tile_count: int
) -> None:
    seconds, cameras = zip(*drawn, strict=True)
    term = time_term(Captures(np.array(seconds), cameras), weight)
    vectors = scenes([len(drawn)], 1.0, seed)
    rows = Rows(vectors, tile_count, term)
    exact = rows.matrix(np.arange(len(drawn)))
    np.testing.assert_allclose(pairwise_distances(vectors, "cosine", term), exact, atol=1e-6)
    for tile in rows.tiles():
        wanted = 1.0 - exact[tile.rows, tile.columns]
        off = np.abs(tile.similarity - wanted)
        if tile.is_diagonal:
            np.fill_diagonal(off, 0.0)
        assert off.max() <= rows.tolerance


@given(captures, st.floats(0.01, 0.5), st.integers(0, 10**6), st.integers(2, 9))
def test_the_spanning_tree_has_the_same_weights_as_that_of_the_matrix(
    drawn: list[tuple[float, str]], weight: float, seed: int, tile_count: int
) -> None:
    if len(drawn) < 2:
        return
    seconds, cameras = zip(*drawn, strict=True)
    term = time_term(Captures(np.array(seconds), cameras), weight)
    vectors = scenes([len(drawn)], 1.0, seed)
    rows = Rows(vectors, tile_count, term)
    ours = spanning_tree(rows, 2)
    theirs = link_by_distances(rows.matrix(np.arange(len(drawn))), 2)
    np.testing.assert_allclose(np.sort(ours[:, 2]), np.sort(theirs[:, 2]), atol=1e-12)


def album(seed: int) -> tuple[NDArray[np.float32], Captures]:
    """Makes scenes too similar to distinguish by content, minutes apart, from two cameras."""
    rng = np.random.default_rng(seed)
    vectors = scenes([20, 20, 20, 20], 0.5, seed)
    seconds = np.repeat(np.arange(4) * 2000.0, 20) + rng.uniform(0, 60, 80)
    seconds[::9] = np.nan
    return vectors, Captures(seconds, [str(name) for name in rng.choice(["a", "b"], 80)])


PARAMETERS = {
    "scene_distance": BOUNDED,
    "plain": PLAIN,
    "dbscan": replace(PLAIN, method="dbscan"),
    "euclidean": replace(
        BOUNDED, metric="euclidean", scene_distance=0.9, cluster_selection_epsilon=0.7
    ),
}


@pytest.mark.parametrize("name", PARAMETERS)
def test_the_labels_are_the_same_with_and_without_matrices(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = weighted(PARAMETERS[name], 0.05)
    for seed in range(4):
        vectors, taken = album(seed)
        dense = cluster_scenes(vectors, wanted, taken)
        with monkeypatch.context() as patch:
            patch.setattr(clustering, "DENSE_COUNT", 2)
            patch.setattr(clustering, "DENSE_PAIR_COUNT", 0)
            tiled = cluster_scenes(vectors, wanted, taken)
        assert adjusted_rand_score(as_singles(dense), as_singles(tiled)) == 1.0


@cache
def labels_of_album(seed: int) -> Labels:
    vectors, taken = album(seed)
    return cluster_scenes(vectors, weighted(BOUNDED, 0.12), taken)


@given(st.integers(0, 10**6))
def test_the_order_of_the_photos_does_not_matter(seed: int) -> None:
    vectors, taken = album(seed % 7)
    order = np.random.default_rng(seed).permutation(len(vectors))
    straight = labels_of_album(seed % 7)
    shuffled = cluster_scenes(vectors[order], weighted(BOUNDED, 0.12), taken.take(order))
    assert adjusted_rand_score(as_singles(straight[order]), as_singles(shuffled)) == 1.0


def test_a_crowd_with_times_stays_within_the_scene_distance(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(clustering, "MAX_PAIR_COUNT", 50)
    vectors, taken = album(1)
    wanted = weighted(BOUNDED, 0.12)
    notes: list[str] = []
    labels = cluster_scenes(vectors, wanted, taken, notes.append)
    assert notes
    distances = pairwise_distances(vectors, "cosine", time_term(taken, 0.12))
    for label in range(labels.max() + 1):
        members = np.flatnonzero(labels == label)
        assert distances[np.ix_(members, members)].max() <= (wanted.scene_distance or 0) + 1e-4


def labels_of(angles: Sequence[float], times: Sequence[str], profile: str = "builtin") -> list[int]:
    records = [
        ImageRecord(str(row), str(row), 1, capture_time=time, camera="C")
        for row, time in enumerate(times)
    ]
    settings = PipelineConfig(ROOT / "configs", "builtin").load(profile).cluster_scenes
    parameters = resolve_auto(settings, (0.32, 0.256))
    miniatures = np.full((len(records), 32, 32), np.nan, np.float32)
    found = find_moments(at(*angles), miniatures, records, parameters, WITHOUT_SETS)
    return found.labels.tolist()


def test_a_run_uses_the_term_by_default() -> None:
    near, hours_later = "2026-05-17T10:00:02", "2026-05-17T16:00:00"
    start = "2026-05-17T10:00:00"
    assert labels_of([0, 52], [start, ""]) == [-1, -1]  # 0.38, too far apart
    assert labels_of([0, 52], [start, near]) == [0, 0]
    assert labels_of([0, 30], [start, ""]) == [0, 0]  # 0.13
    assert labels_of([0, 30], [start, hours_later]) == [-1, -1]


def test_profiles_with_plain_hdbscan_do_not_use_the_term() -> None:
    config = PipelineConfig(ROOT / "configs", "builtin")
    for profile in ("reference", "full", "pretrained"):
        assert config.load(profile).cluster_scenes.capture_time.weight == 0.0


def test_an_explanation_shows_how_time_changes_distances() -> None:
    taken = Captures(np.array([0.0, 1.5, 5 * HOUR, 5 * HOUR]), ["a", "a", "a", "b"])
    paths = ["one.jpg", "two.jpg", "later.jpg", "other.jpg"]
    vectors, labels = at(0, 53.130102, 36.869898, 180), np.array([0, 0, -1, -1])
    wanted = replace(weighted(BOUNDED, 0.1), scene_distance=0.32, cluster_selection_epsilon=0.256)
    found = grouping_of(0, paths, vectors, labels, taken, wanted)
    assert grouping_text(found) == (
        "Grouped with two.jpg (distance 0.300, reduced by 0.100 because they were taken 1.5 "
        "seconds apart). The nearest photo outside (later.jpg) is at a distance of 0.450 "
        "(increased by 0.250 because they were taken 5.0 hours apart); a moment with both would "
        "span 0.450, more than the 0.320 allowed."
    )
    alone = grouping_of(2, paths, vectors, labels, taken, wanted)
    assert "later.jpg" not in grouping_text(alone)
    assert "because they were taken 5.0 hours apart" in grouping_text(alone)
    nearest = neighbours_of(0, paths, vectors, taken, labels, wanted, 3)
    assert [one.path for one in nearest] == ["later.jpg", "two.jpg", "other.jpg"]
    assert [round(one.time_part, 9) for one in nearest] == [0.25, -0.1, 0.0]
