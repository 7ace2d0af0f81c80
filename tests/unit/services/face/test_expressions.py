from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from services.face.networks.expressions import Blendshapes, MouthWidth, with_irises
from services.face.networks.faces import Mesh
from tests.unit.services.face.graphs import FloatArray, Graph


def mesh(mouth: float, count: int = 468) -> Mesh:
    """Returns a face of width 100 whose mouth has the given width."""
    points = np.zeros((count, 3), np.float32)
    points[[234, 454], 0] = -50, 50
    points[[61, 291], 0] = -mouth / 2, mouth / 2
    points[[33, 133, 362, 263], 0] = -40, -16, 16, 40
    return Mesh(points, (0.0, 0.0), 0.0)


def test_a_wide_mouth_counts_as_a_smile() -> None:
    scores = MouthWidth().smiles([], [mesh(width) for width in (30, 38, 42, 48, 60)])
    assert scores == sorted(scores)
    assert scores[1] < 0.2
    assert scores[2] == pytest.approx(0.5)
    assert scores[3] > 0.9


@settings(max_examples=50, deadline=None)
@given(arrays(np.float32, (468, 3), elements=st.floats(-1e4, 1e4, width=32)))
def test_any_points_have_a_score(points: FloatArray) -> None:
    (score,) = MouthWidth().smiles([], [Mesh(points, (0.0, 0.0), 0.0)])
    assert 0 <= score <= 1


def test_irises_are_placed_in_the_middle_of_the_eyes() -> None:
    points = with_irises(mesh(40).points)
    assert points.shape == (478, 3)
    assert points[468, 0] == pytest.approx((-40 - 16 + 0 + 0) / 4)
    assert points[473, 0] == pytest.approx((40 + 16 + 0 + 0) / 4)
    assert points[469, 0] - points[468, 0] == pytest.approx(0.2 * 24)
    assert with_irises(points) is points


@pytest.mark.parametrize("count", [468, 478])
def test_blendshapes_accept_either_mesh(count: int) -> None:
    answer = np.zeros(52, np.float32)
    answer[[44, 45]] = 0.6, 0.8
    graph = Graph(lambda points: [answer], takes_batches=False)
    meshes = [mesh(40, count), mesh(50, count)]
    assert Blendshapes(graph).smiles([], meshes) == pytest.approx([0.7, 0.7])
    assert graph.shapes == [(1, 146, 2)] * 2
