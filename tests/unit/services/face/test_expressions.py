from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from services.face.networks.expressions import Blendshapes, MouthShape, with_irises
from services.face.networks.faces import Mesh
from tests.unit.services.face.graphs import FloatArray, Graph


def mesh(mouth: float = 42, *, opening: float = 4, chin: float = 30, count: int = 468) -> Mesh:
    """Returns a face of width 100.

    Args:
        mouth: Width of its mouth.
        opening: Distance between its lips.
        chin: Distance of the chin below the mouth.
        count: Number of points.
    """
    points = np.zeros((count, 3), np.float32)
    points[[234, 454], 0] = -50, 50
    points[[61, 291], 0] = -mouth / 2, mouth / 2
    points[[13, 14], 1] = -opening / 2, opening / 2
    points[152, 1] = chin
    points[[33, 133, 362, 263], 0] = -40, -16, 16, 40
    return Mesh(points, (0.0, 0.0), 0.0)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("mouth", (30, 38, 44, 50, 60)),
        ("opening", (0, 3, 6, 9, 12)),
        ("chin", (40, 36, 32, 24, 20)),
    ],
)
def test_wide_open_mouths_near_the_chin_count_as_smiles(
    name: str, values: tuple[float, ...]
) -> None:
    neutral = {"mouth": 42, "opening": 4, "chin": 30}
    scores = MouthShape().smiles([], [mesh(**{**neutral, name: value}) for value in values])
    assert scores == sorted(scores)
    assert scores[0] < 0.5 < scores[-1]


def test_a_turned_or_larger_face_has_the_same_smile() -> None:
    points = mesh().points
    turned = points @ np.array([[0.6, 0, 0.8], [0, 1, 0], [-0.8, 0, 0.6]], np.float32)
    meshes = [Mesh(one, (0.0, 0.0), 0.0) for one in (points, turned, 3 * points)]
    scores = MouthShape().smiles([], meshes)
    assert scores == pytest.approx([scores[0]] * 3, abs=1e-3)


@settings(max_examples=50, deadline=None)
@given(arrays(np.float32, (468, 3), elements=st.floats(-1e4, 1e4, width=32)))
def test_any_points_have_a_score(points: FloatArray) -> None:
    (score,) = MouthShape().smiles([], [Mesh(points, (0.0, 0.0), 0.0)])
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
    meshes = [mesh(40, count=count), mesh(50, count=count)]
    assert Blendshapes(graph).smiles([], meshes) == pytest.approx([0.7, 0.7])
    assert graph.shapes == [(1, 146, 2)] * 2
