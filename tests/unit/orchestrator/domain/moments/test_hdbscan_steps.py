from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.typing import NDArray

from orchestrator.domain.moments import hdbscan_python, hdbscan_steps
from orchestrator.domain.moments.hdbscan_steps import link_by_distances, select_clusters
from orchestrator.domain.moments.parameters import WITHOUT_TIME, ClusterParameters, DbscanParameters

BOUNDED = ClusterParameters(
    method="hdbscan",
    metric="cosine",
    min_cluster_size=2,
    min_samples=2,
    cluster_selection_epsilon=0.15,
    cluster_selection_method="eom",
    scene_distance=0.2,
    dbscan=DbscanParameters(eps=0.3, min_samples=1),
    capture_time=WITHOUT_TIME,
    max_joint_count=None,
    compare_structure=False,
    view_weight=0.0,
)
EQUALLY_STABLE = (
    np.array(
        [
            [0, 9, 8, 7, 9, 2, 1, 5, 8, 9],
            [9, 0, 7, 8, 6, 9, 9, 3, 8, 2],
            [8, 7, 0, 9, 5, 1, 9, 3, 7, 9],
            [7, 8, 9, 0, 3, 2, 9, 1, 6, 6],
            [9, 6, 5, 3, 0, 6, 4, 9, 3, 8],
            [2, 9, 1, 2, 6, 0, 9, 6, 7, 6],
            [1, 9, 9, 9, 4, 9, 0, 9, 9, 7],
            [5, 3, 3, 1, 9, 6, 9, 0, 2, 3],
            [8, 8, 7, 6, 3, 7, 9, 2, 0, 6],
            [9, 2, 9, 6, 8, 6, 7, 3, 6, 0],
        ]
    )
    / 8
)
"""Three clusters that together are as stable as the root, except for rounding in the sum."""


@st.composite
def distance_matrices(draw: st.DrawFn) -> NDArray[np.float64]:
    """Matrices with few different distances, so with many ties."""
    count = draw(st.integers(3, 14))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    upper = np.triu(rng.integers(1, draw(st.integers(2, 40)), (count, count)), 1)
    return (upper + upper.T) / 8


@pytest.fixture(scope="module", params=["compiled", "python"])
def steps(request: pytest.FixtureRequest) -> Iterator[None]:
    """Runs hdbscan's compiled steps, or ours, which replace them where it has no wheel."""
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "python":
            patch.setattr(hdbscan_steps, "_linkage", hdbscan_python)
            patch.setattr(hdbscan_steps, "_tree", hdbscan_python)
        yield


@pytest.mark.usefixtures("steps")
@pytest.mark.parametrize("method", ["eom", "leaf"])
@pytest.mark.parametrize("allow_single_cluster", [False, True])
@given(distance_matrices(), st.integers(1, 5), st.integers(2, 5), st.sampled_from([0.0, 0.5, 2.0]))
@example(EQUALLY_STABLE, 1, 2, 0.0)
def test_labels_equal_those_of_hdbscan(
    method: str,
    allow_single_cluster: bool,
    distances: NDArray[np.float64],
    min_samples: int,
    min_cluster_size: int,
    epsilon: float,
) -> None:
    import hdbscan

    model = hdbscan.HDBSCAN(
        metric="precomputed",
        min_samples=min_samples,
        min_cluster_size=min_cluster_size,
        cluster_selection_method=method,
        cluster_selection_epsilon=epsilon,
        allow_single_cluster=allow_single_cluster,
    )
    parameters = replace(
        BOUNDED,
        min_samples=min_samples,
        min_cluster_size=min_cluster_size,
        cluster_selection_method=method,
        cluster_selection_epsilon=epsilon,
    )
    tree = link_by_distances(distances, min_samples)
    ours = select_clusters(tree, parameters, allow_single_cluster=allow_single_cluster)
    assert ours.tolist() == model.fit(distances).labels_.tolist()
