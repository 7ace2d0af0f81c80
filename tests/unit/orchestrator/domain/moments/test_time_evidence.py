from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.config import PipelineConfig, resolve_auto
from orchestrator.domain.explanation import Grouping, Neighbour
from orchestrator.domain.moments import time_evidence
from orchestrator.domain.moments.capture_time import Captures
from orchestrator.domain.moments.parameters import CaptureTimeParameters
from orchestrator.domain.moments.time_evidence import with_time_evidence
from orchestrator.domain.sets import WITHOUT_SETS
from orchestrator.domain.verdict_sentences import grouping_text
from orchestrator.records import ImageRecord
from orchestrator.runs.selection import find_moments
from services.common.config.layers import Layer
from tests.conftest import ROOT

HOUR = 3600.0
PARAMETERS = CaptureTimeParameters(
    weight=0.0,
    enabled=True,
    burst_seconds=2.0,
    burst_distance=0.6,
    separate_hours=3.0,
    separate_distance=0.1,
)


def at(*degrees: float) -> np.typing.NDArray[np.float32]:
    """Makes unit vectors in a plane; 26 degrees are a distance of 0.1, 66 degrees one of 0.6."""
    angles = np.radians(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


def regrouped(
    labels: Sequence[int],
    vectors: np.typing.NDArray[np.float32],
    seconds: Sequence[float],
    cameras: Sequence[str] | None = None,
) -> list[int]:
    captures = Captures(np.array(seconds), cameras or ["camera"] * len(labels))
    found = with_time_evidence(np.array(labels), vectors, captures, PARAMETERS, "cosine")
    return found.tolist()


def test_a_burst_is_one_moment_even_if_the_algorithm_splits_it() -> None:
    vectors = at(0, 40, 80, 170)
    assert regrouped([-1, -1, -1, -1], vectors, [0, 1.5, 3, 4]) == [0, 0, 0, -1]
    assert regrouped([-1, -1, -1, -1], vectors, [0, 5, 10, 15]) == [-1] * 4
    cameras = ["a", "b", "a", "b"]
    assert regrouped([-1, -1, -1, -1], vectors, [0, 1, 9, 10], cameras) == [-1] * 4
    assert regrouped([-1, -1, -1, -1], vectors, [0, 1, 2, 3], [""] * 4) == [-1] * 4


def test_a_burst_joins_the_moments_that_its_photos_are_in() -> None:
    vectors = at(0, 5, 50, 55)
    assert regrouped([0, 0, 1, 1], vectors, [0, 1, 2, 90]) == [0, 0, 0, 0]


def test_photos_hours_apart_are_several_moments_unless_nearly_identical() -> None:
    vectors = at(0, 5, 40, 45)
    assert regrouped([0, 0, 0, 0], vectors, [0, 60, 5 * HOUR, 5 * HOUR + 60]) == [0, 0, 1, 1]
    assert regrouped([0, 0, 0, 0], at(0, 5, 10, 15), [0, 60, 5 * HOUR, 6 * HOUR]) == [0] * 4
    assert regrouped([0, 0, 0, 0], vectors, [0, 2 * HOUR, 4 * HOUR, 6 * HOUR]) == [0] * 4
    assert regrouped([0, 0, 0, -1], vectors, [0, 60, 5 * HOUR, 5 * HOUR]) == [0, 0, 1, 1]


def test_a_photo_without_a_time_stays_with_the_nearest_part() -> None:
    vectors = at(0, 60, 70, 20)
    assert regrouped([0] * 4, vectors, [0, 9 * HOUR, np.nan, np.nan]) == [0, 1, 1, 0]
    assert regrouped([0] * 4, vectors, [np.nan] * 4) == [0] * 4


photos = st.lists(
    st.tuples(
        st.integers(-1, 3),
        st.floats(0, 180),
        st.sampled_from([np.nan, *range(6), 4 * HOUR, 4 * HOUR + 1, 9 * HOUR]),
        st.sampled_from(["a", "b", ""]),
    ),
    min_size=1,
    max_size=12,
)


def moments(labels: Sequence[int], order: Sequence[int]) -> set[frozenset[int]]:
    found: dict[object, set[int]] = {}
    for position, label in zip(order, labels, strict=True):
        key = ("single", position) if label < 0 else label
        found.setdefault(key, set()).add(position)
    return set(map(frozenset, found.values()))


@given(photos, st.randoms())
def test_the_order_of_the_photos_never_matters(
    drawn: list[tuple[int, float, float, str]], shuffler: st.DataObject
) -> None:
    def found(order: list[int]) -> set[frozenset[int]]:
        chosen = [drawn[index] for index in order]
        labels, angles, seconds, cameras = zip(*chosen, strict=True)
        return moments(regrouped(labels, at(*angles), seconds, cameras), order)

    straight = list(range(len(drawn)))
    shuffled = straight.copy()
    shuffler.shuffle(shuffled)  # type: ignore[attr-defined]
    assert found(straight) == found(shuffled)


def test_a_run_uses_time_only_if_enabled() -> None:
    records = [
        ImageRecord("a", "a", 1, capture_time="2026-05-17T10:00:00", camera="C"),
        ImageRecord("b", "b", 1, capture_time="2026-05-17T10:00:01", camera="C"),
    ]

    def labels(overrides: dict[str, object]) -> list[int]:
        changed = {"weight": 0.0, **overrides}
        layer = Layer("test", {"cluster_scenes": {"capture_time": changed}})
        settings = PipelineConfig(ROOT / "configs", "builtin", [layer]).load()
        parameters = resolve_auto(settings.cluster_scenes, (0.2, 0.1))
        miniatures = np.full((2, 32, 32), np.nan, np.float32)
        return find_moments(
            at(0, 50), miniatures, records, parameters, WITHOUT_SETS
        ).labels.tolist()

    assert labels({}) == [-1, -1]
    assert labels({"enabled": True}) == [0, 0]
    assert labels({"enabled": True, "burst_seconds": 0.5}) == [-1, -1]
    assert labels({"enabled": True, "burst_distance": 0.2}) == [-1, -1]


def test_an_explanation_mentions_the_time() -> None:
    grouping = Grouping(
        method="hdbscan",
        metric="cosine",
        scene_distance=0.4,
        cluster_selection_epsilon=0.3,
        dbscan_eps=0.3,
        cluster_size=2,
        nearest_inside=Neighbour("near.jpg", 0.5, 0.5, is_same_moment=True),
        farthest_inside=Neighbour("near.jpg", 0.5, 0.5, is_same_moment=True),
        nearest_outside=Neighbour("later.jpg", 0.8, 0.2, is_same_moment=False),
        joint_distance=0.3,
        core_distance=0.2,
        outside_core_distance=0.2,
        min_samples=2,
        separate_hours=3.0,
        separate_distance=0.1,
        pause_inside=1.5,
        pause_outside=5 * HOUR,
    )
    assert grouping_text(grouping) == (
        "Grouped with near.jpg (distance 0.500, taken 1.5 seconds apart). The nearest photo "
        "outside (later.jpg) is at a distance of 0.200, but the two were taken 5.0 hours apart; a "
        "pause of more than 3 h splits photos that are more than 0.1 apart."
    )


@given(st.integers(1, 24), st.integers(0, 10**6), st.integers(1, 5))
def test_work_in_blocks_gives_the_same_result_as_all_pairs_at_once(
    count: int, seed: int, block_count: int
) -> None:
    rng = np.random.default_rng(seed)
    vectors = at(*(rng.integers(0, 18, count) * 10 + rng.random(count)))
    seconds = rng.choice([0.0, 1.0, 2.5, 6 * HOUR, 12 * HOUR, np.nan], count)
    cameras = [str(name) for name in rng.choice(["", "a", "b"], count)]
    labels = rng.integers(-1, 3, count)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(time_evidence, "BLOCK_COUNT", block_count)
        found = regrouped(labels.tolist(), vectors, seconds.tolist(), cameras)
    assert found == regrouped(labels.tolist(), vectors, seconds.tolist(), cameras)
    distances = 1.0 - vectors.astype(np.float64) @ vectors.astype(np.float64).T
    for one in range(count):
        for other in range(count):
            is_burst = cameras[one] == cameras[other] != "" and (
                abs(seconds[one] - seconds[other]) <= PARAMETERS.burst_seconds
            )
            is_near = distances[one, other] <= PARAMETERS.burst_distance
            if is_burst and is_near and one != other:
                assert found[one] == found[other] != -1
            same = labels[one] == labels[other] != -1
            if same and distances[one, other] <= PARAMETERS.separate_distance and one != other:
                assert found[one] == found[other] != -1
