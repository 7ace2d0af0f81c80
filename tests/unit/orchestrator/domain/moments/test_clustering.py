from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import hdbscan
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.cluster import DBSCAN
from sklearn.metrics import adjusted_rand_score

from orchestrator.domain.moments.capture_time import Captures, capture_seconds, parts_by_time
from orchestrator.domain.moments.clustering import cluster_scenes, pairwise_distances
from orchestrator.domain.moments.parameters import DbscanParameters
from tests.unit.orchestrator.domain.moments.test_hdbscan_steps import BOUNDED

PLAIN = replace(BOUNDED, scene_distance=None, cluster_selection_epsilon=0.0)


def scenes(sizes: list[int], spread: float, seed: int = 0) -> NDArray[np.float32]:
    """Returns unit vectors around one random centre per size."""
    rng = np.random.default_rng(seed)
    rows = []
    for size in sizes:
        centre = rng.normal(size=64)
        centre /= np.linalg.norm(centre)
        rows.append(centre + spread * rng.normal(size=(size, 64)) / 8)
    vectors = np.vstack(rows)
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def truth(sizes: list[int]) -> list[int]:
    return [label for label, size in enumerate(sizes) for _ in range(size)]


def as_singles(labels: NDArray[np.int64]) -> list[int]:
    """Returns labels in which every noise photo is a separate cluster."""
    return [int(label) if label >= 0 else 1000 + row for row, label in enumerate(labels)]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("method", ["eom", "leaf"])
@pytest.mark.parametrize("min_samples", [1, 2, 4])
def test_without_a_scene_distance_labels_equal_those_of_hdbscan(
    seed: int, method: str, min_samples: int
) -> None:
    vectors = scenes([5, 3, 8, 1, 1, 1, 4], 0.4, seed)
    parameters = replace(PLAIN, min_samples=min_samples, cluster_selection_method=method)
    direct = hdbscan.HDBSCAN(
        min_cluster_size=2,
        min_samples=min_samples,
        cluster_selection_epsilon=0.0,
        cluster_selection_method=method,
        metric="cosine",
        algorithm="generic",
    ).fit(vectors.astype(np.float64))
    ours = cluster_scenes(vectors, parameters)
    assert ((ours == -1) == (direct.labels_ == -1)).all()
    assert adjusted_rand_score(direct.labels_, ours) == 1.0


def test_dbscan_labels_equal_those_of_scikit_learn() -> None:
    vectors = scenes([5, 3, 1, 1, 4], 0.4)
    parameters = replace(PLAIN, method="dbscan", dbscan=DbscanParameters(0.25, 2))
    direct = DBSCAN(eps=0.25, min_samples=2, metric="cosine").fit(vectors.astype(np.float64))
    assert adjusted_rand_score(direct.labels_, cluster_scenes(vectors, parameters)) == 1.0


def test_scenes_among_single_shots_are_found() -> None:
    sizes = [4, 1, 1, 2, 1, 6, 1, 1, 3, 1]
    labels = cluster_scenes(scenes(sizes, 0.3), BOUNDED)
    assert adjusted_rand_score(truth(sizes), as_singles(labels)) == 1.0


@pytest.mark.parametrize("size", [2, 3, 8, 40])
def test_an_album_of_one_scene_has_one_moment(size: int) -> None:
    assert set(cluster_scenes(scenes([size], 0.3), BOUNDED)) == {0}


@pytest.mark.parametrize("size", [1, 2, 3, 40])
def test_an_album_of_unrelated_photos_has_no_moment(size: int) -> None:
    assert set(cluster_scenes(scenes([1] * size, 0.3), BOUNDED)) == {-1}


def test_without_photos_there_are_no_labels() -> None:
    empty = np.empty((0, 1), np.float32)
    assert len(cluster_scenes(empty, BOUNDED)) == 0
    assert len(cluster_scenes(empty, PLAIN)) == 0


def test_exact_copies_are_one_moment() -> None:
    vectors = np.repeat(scenes([1], 0.0), 5, axis=0)
    assert set(cluster_scenes(vectors, BOUNDED)) == {0}


def test_photos_farther_apart_than_the_scene_distance_are_never_joined() -> None:
    vectors = scenes([6, 5], 0.3)
    tight = replace(BOUNDED, scene_distance=1e-6, cluster_selection_epsilon=0.0)
    assert set(cluster_scenes(vectors, tight)) == {-1}


def test_clusters_are_numbered_by_their_first_photo() -> None:
    labels = cluster_scenes(scenes([2, 1, 3, 2], 0.2), BOUNDED)
    assert labels.tolist() == [0, 0, -1, 1, 1, 1, 2, 2]


@given(st.lists(st.integers(1, 6), min_size=1, max_size=8), st.integers(0, 10**6))
def test_groups_do_not_depend_on_the_order_of_the_photos(sizes: list[int], seed: int) -> None:
    vectors = scenes(sizes, 0.3, seed)
    order = np.random.default_rng(seed).permutation(len(vectors))
    straight, shuffled = cluster_scenes(vectors, BOUNDED), cluster_scenes(vectors[order], BOUNDED)
    assert adjusted_rand_score(as_singles(straight[order]), as_singles(shuffled)) == 1.0


@given(st.integers(1, 60), st.sampled_from(["cosine", "euclidean"]))
def test_distances_are_symmetric_with_a_zero_diagonal(count: int, metric: str) -> None:
    vectors = scenes([count], 1.0, count)
    distances = pairwise_distances(vectors, metric)
    assert (distances == distances.T).all()
    assert (np.diag(distances) == 0).all()
    assert (distances >= 0).all()
    cosine = 1 - vectors.astype(np.float64) @ vectors.T.astype(np.float64)
    wanted = cosine if metric == "cosine" else np.sqrt(np.maximum(2 * cosine, 0))
    off = ~np.eye(count, dtype=bool)
    assert np.allclose(distances[off], wanted[off], atol=1e-6)


@pytest.mark.parametrize(
    ("name", "value", "argument"),
    [
        ("min_cluster_size", 3, "min_cluster_size"),
        ("min_samples", 5, "min_samples"),
        ("cluster_selection_epsilon", 0.123, "cluster_selection_epsilon"),
        ("cluster_selection_method", "leaf", "cluster_selection_method"),
        ("metric", "euclidean", "metric"),
    ],
)
def test_every_parameter_reaches_hdbscan(
    name: str, value: object, argument: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, object] = {}
    real = hdbscan.HDBSCAN

    def spy(**arguments: object) -> object:
        seen.update(arguments)
        return real(**arguments)

    monkeypatch.setattr(hdbscan, "HDBSCAN", spy)
    cluster_scenes(scenes([6, 5], 0.3), replace(PLAIN, **{name: value}))
    assert seen[argument] == value


@pytest.mark.parametrize(
    ("changes", "labels"),
    [
        ({}, "aaabbb.cc.dd"),
        ({"min_cluster_size": 3}, "aaabbbccc..."),
        ({"min_samples": 3}, "..aa...bb.cc"),
        ({"cluster_selection_epsilon": 0.005}, "aaabbbccc.dd"),
        ({"cluster_selection_method": "leaf"}, "aaabbb....cc"),
        ({"scene_distance": 0.04}, "aa..bb.cc.dd"),
    ],
)
def test_every_parameter_matters_within_a_scene_distance(
    changes: dict[str, object], labels: str
) -> None:
    degrees = [1.0, 2.1, 5.0, 13.2, 19.0, 22.3, 35.0, 40.4, 43.0, 50.5, 62.0, 72.6]
    vectors = np.array([[np.cos(angle), np.sin(angle)] for angle in np.radians(degrees)])
    plain = replace(BOUNDED, cluster_selection_epsilon=0.0, min_samples=1)
    found = cluster_scenes(vectors.astype(np.float32), replace(plain, **changes))
    assert "".join("abcd."[label] for label in found) == labels


@pytest.mark.parametrize(
    ("name", "value"),
    [("eps", 0.123), ("min_samples", 7)],
)
def test_every_parameter_reaches_dbscan(
    name: str, value: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, object] = {}

    def spy(**arguments: object) -> DBSCAN:
        seen.update(arguments)
        return DBSCAN(**arguments)

    monkeypatch.setattr("sklearn.cluster.DBSCAN", spy)
    changed = replace(PLAIN.dbscan, **{name: value})
    cluster_scenes(scenes([6, 5], 0.3), replace(PLAIN, method="dbscan", dbscan=changed))
    assert seen[name] == value


def taken(seconds: NDArray[np.float64]) -> Captures:
    return Captures(seconds, ["camera"] * len(seconds))


def test_an_album_above_the_joint_count_is_split_by_time() -> None:
    vectors = scenes([6, 6, 6, 6], 0.2)
    seconds = np.array([scene * 3600.0 + shot for scene in range(4) for shot in range(6)])
    order = np.random.default_rng(1).permutation(len(vectors))
    joint = cluster_scenes(vectors, BOUNDED)
    few = replace(BOUNDED, max_joint_count=8)
    split = cluster_scenes(vectors[order], few, taken(seconds[order]))
    assert adjusted_rand_score(joint[order], split) == 1.0
    again = cluster_scenes(vectors, replace(BOUNDED, max_joint_count=24), taken(seconds))
    assert (again == joint).all()


@given(
    st.lists(st.one_of(st.just(float("nan")), st.floats(0, 1e9)), min_size=1, max_size=80),
    st.integers(1, 20),
)
def test_parts_by_time_contain_every_photo_once_and_stay_within_the_limit(
    seconds: list[float], max_count: int
) -> None:
    parts = parts_by_time(np.array(seconds), max_count)
    assert sorted(np.concatenate(parts).tolist()) == list(range(len(seconds)))
    assert all(0 < len(part) <= max_count for part in parts)
    known = [[seconds[i] for i in part if seconds[i] == seconds[i]] for part in parts]
    ends = [(min(part), max(part)) for part in known if part]
    assert all(before[1] <= after[0] for before, after in pairwise(ends))


def test_albums_are_split_at_the_longest_pause() -> None:
    seconds = np.array([0, 1, 2, 3, 1000, 1001, 1002, 1003, 1004, 1005], float)
    assert [part.tolist() for part in parts_by_time(seconds, 6)] == [
        [0, 1, 2, 3],
        [4, 5, 6, 7, 8, 9],
    ]


@pytest.mark.parametrize("text", ["", "0000-00-00T00:00:00", "2026-13-45T99:00:00"])
def test_an_invalid_time_is_unknown(text: str) -> None:
    assert np.isnan(capture_seconds(text))
    assert capture_seconds("1970-01-02T00:00:01.5") == 86401.5
