"""Crowds of look-alikes: work and memory are limited, and the result is unchanged."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.metrics import adjusted_rand_score

from orchestrator.domain.explanation import grouping_of
from orchestrator.domain.moments import clustering, crowds
from orchestrator.domain.moments.capture_time import Captures
from orchestrator.domain.moments.clustering import cluster_scenes, pairwise_distances
from orchestrator.domain.moments.crowds import crowd_groups
from orchestrator.domain.moments.distances import Rows
from orchestrator.domain.moments.parameters import ClusterParameters, DbscanParameters
from orchestrator.domain.photo import Candidate, Decision, Reason
from orchestrator.domain.selection.ranking import MAX_COMPARED_COUNT, NOISE_DIFFERENCE
from orchestrator.domain.selection.selection import Selection
from orchestrator.domain.verdict_sentences import explain
from tests.unit.orchestrator.domain.moments.test_clustering import (
    BOUNDED,
    PLAIN,
    as_singles,
    scenes,
)
from tests.unit.values import FILTERS, candidate, rules

pytestmark = pytest.mark.slow

DBSCAN = replace(PLAIN, method="dbscan", dbscan=DbscanParameters(0.15, 3))
fixture_once = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def everything_is_crowded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes small albums take the code path of large ones."""
    monkeypatch.setattr(clustering, "DENSE_COUNT", 3)
    monkeypatch.setattr(clustering, "MAX_PAIR_COUNT", 8)


def looks_alike(count: int, seed: int = 0) -> NDArray[np.float32]:
    """Returns unit vectors within 0.01 of each other."""
    return scenes([count], 0.005, seed)


@fixture_once
@given(st.lists(st.integers(1, 12), min_size=1, max_size=6), st.integers(0, 10**6))
@pytest.mark.parametrize("parameters", [BOUNDED, DBSCAN], ids=["hdbscan", "dbscan"])
def test_crowded_scenes_are_grouped_like_other_scenes(
    parameters: ClusterParameters, sizes: list[int], seed: int
) -> None:
    vectors = scenes(sizes, 0.1, seed)
    plainly = cluster_scenes(vectors, parameters)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clustering, "DENSE_COUNT", 3)
        patch.setattr(clustering, "MAX_PAIR_COUNT", 8)
        crowded = cluster_scenes(vectors, parameters)
    assert adjusted_rand_score(as_singles(plainly), as_singles(crowded)) == 1.0
    assert ((plainly == -1) == (crowded == -1)).all()


@fixture_once
@given(
    st.lists(st.integers(1, 12), min_size=1, max_size=6),
    st.integers(0, 10**6),
    st.floats(0.01, 0.4),
)
def test_dbscan_of_a_crowd_gives_the_same_labels_as_scikit_learn(
    sizes: list[int], seed: int, eps: float
) -> None:
    vectors = scenes(sizes, 0.5, seed)
    wanted = replace(DBSCAN, dbscan=DbscanParameters(eps, 3))
    plainly = cluster_scenes(vectors, wanted)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clustering, "DENSE_COUNT", 3)
        patch.setattr(clustering, "MAX_PAIR_COUNT", 0)
        assert (cluster_scenes(vectors, wanted) == plainly).all()


@fixture_once
@given(
    st.integers(2, 60),
    st.integers(0, 10**6),
    st.floats(0.05, 1.0),
    st.integers(2, 20),
    st.sampled_from([0, 5, 10_000]),
)
def test_no_two_photos_in_a_group_of_a_crowd_exceed_the_diameter(
    count: int, seed: int, diameter: float, block_count: int, max_pair_count: int
) -> None:
    vectors = scenes([count], 1.0, seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(crowds, "BLOCK_COUNT", block_count)
        group = crowd_groups(Rows(vectors, tile_count=7), diameter, max_pair_count)
    distances = pairwise_distances(vectors, "cosine")
    assert (group <= np.arange(count)).all()
    assert (group[group] == group).all()
    assert distances[group[:, np.newaxis] == group].max() <= diameter + 1e-9


@pytest.mark.usefixtures("everything_is_crowded")
@pytest.mark.parametrize("count", [20, 40])
def test_no_array_of_a_crowd_has_an_entry_for_every_pair(
    count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise AssertionError("a matrix of all distances")

    monkeypatch.setattr(clustering, "pairwise_distances", refused)
    monkeypatch.setattr(clustering, "link_by_distances", refused)
    sizes: list[int] = []
    near_groups = crowds._near_groups
    monkeypatch.setattr(crowds, "BLOCK_COUNT", 5)
    monkeypatch.setattr(clustering, "MAX_PAIR_COUNT", 30)

    def noted(*arguments: object) -> object:
        found = near_groups(*arguments)  # type: ignore[arg-type]
        sizes.append(len(found[0]) if found else 0)
        return found

    monkeypatch.setattr(crowds, "_near_groups", noted)
    assert set(cluster_scenes(looks_alike(count), replace(BOUNDED, min_cluster_size=2))) == {0}
    blocks = count // 5
    assert sizes == [blocks * (blocks - 1) // 2]


def test_special_treatment_of_too_many_photos_is_noted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    notes: list[str] = []
    vectors = looks_alike(20)
    cluster_scenes(vectors, BOUNDED, note=notes.append)
    assert not notes
    cluster_scenes(vectors, replace(BOUNDED, max_joint_count=8), note=notes.append)
    assert len(notes) == 1
    assert notes[0].startswith("20 photos are too many to group at once")
    monkeypatch.setattr(clustering, "DENSE_COUNT", 3)
    monkeypatch.setattr(clustering, "MAX_PAIR_COUNT", 8)
    cluster_scenes(vectors, BOUNDED, note=notes.append)
    assert len(notes) == 2
    assert notes[1].startswith("20 photos look so alike")


@pytest.fixture(scope="module")
def crowd() -> list[Candidate]:
    """Photos of one moment whose scores all tie."""
    return [
        candidate(
            f"{number:04}.jpg",
            cluster_id=0,
            ava_score=7.0 + number / 10_000,
            noise_level=2.0 * NOISE_DIFFERENCE * number,  # so that all may be compared
        )
        for number in range(2 * MAX_COMPARED_COUNT)
    ]


def test_comparisons_of_a_moment_are_limited_and_the_sentences_mention_it(
    crowd: list[Candidate],
) -> None:
    limit = MAX_COMPARED_COUNT
    every_pair = limit * (limit - 1) // 2
    for count in (limit, limit + 1, 2 * limit):
        vectors = scenes([count], 1.0)
        pairs = Selection(crowd[-count:], vectors, FILTERS, rules(), {}).pairs_to_compare()
        assert len(pairs) == every_pair
        best = {photo.path for photo in crowd[-limit:]}
        assert {path for pair in pairs for path in pair} == best
    selection = Selection(crowd, scenes([len(crowd)], 1.0), FILTERS, rules(), {})
    verdicts = selection.verdicts(dict.fromkeys(pairs, 0.5))
    sentences = explain(selection, verdicts)
    assert sorted(verdict.rank for verdict in verdicts) == list(range(1, len(crowd) + 1))
    assert all(sentences)
    assert f"(not compared: {limit} more" in sentences[-1]
    lost = [
        sentence
        for verdict, sentence in zip(verdicts, sentences, strict=True)
        if verdict.reason is Reason.LOWER_SCORE and verdict.points is None
    ]
    assert lost
    assert all(
        f"only the best {limit} shots with about that score" in sentence for sentence in lost
    )


def test_the_closest_of_many_kept_photos_is_found(crowd: list[Candidate]) -> None:
    vectors = scenes([len(crowd)], 0.3)
    kept = {photo.path: Decision.KEEP for photo in crowd[:150]}
    far = replace(rules(), siamese=replace(rules().siamese, duplicate_threshold=-1.0))
    for verdict in Selection(crowd, vectors, FILTERS, far, kept).verdicts({})[150:]:
        own = vectors[int(verdict.path[:4])]
        assert verdict.reason is Reason.DUPLICATE
        assert verdict.similarity == max(float(own @ vectors[other]) for other in range(150))


def test_explaining_a_photo_of_a_crowd_computes_a_limited_number_of_distances(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from orchestrator.domain import explanation

    calls: list[int] = []
    real = explanation._closeness

    def counted(index: int, photos: explanation._Photos) -> NDArray[np.float64]:
        calls.append(len(photos))
        return real(index, photos)

    monkeypatch.setattr(explanation, "_closeness", counted)
    monkeypatch.setattr(explanation, "MAX_DISTANCE_COUNT", 100)
    work = []
    for count in (100, 200):
        calls.clear()
        vectors = np.vstack([looks_alike(count, 1), looks_alike(count, 2)])
        labels = np.repeat([0, 1], count)
        paths = [f"{number}.jpg" for number in range(2 * count)]
        captures = Captures(np.full(2 * count, np.nan), [""] * 2 * count)
        found = grouping_of(0, paths, vectors, labels, captures, PLAIN)
        exact = pairwise_distances(vectors, "cosine").max()
        assert found.joint_distance is not None
        assert found.joint_distance == pytest.approx(exact, abs=0.01)
        work.append(sum(calls))
    assert work[1] <= 2.5 * work[0]
