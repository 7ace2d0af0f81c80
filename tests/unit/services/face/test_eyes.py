from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from services.face.networks.eyes import IrisContour, Ocec, contour_openness
from services.face.networks.faces import Mesh, Sighting
from services.face.preprocess import Box
from tests.unit.services.face.graphs import FloatArray, Graph, crop_to_picture, ruler_picture


def contour(upper: float, lower: float, width: float = 30.0) -> FloatArray:
    """Returns 71 points of an eye; the lids' distances are fractions of its width."""
    points = np.zeros((71, 2), np.float32)
    along = np.linspace(0, 1, 9)
    points[:9, 0] = along * width
    points[9:16, 0] = along[1:-1] * width
    points[1:8, 1] = lower * width
    points[9:16, 1] = -upper * width
    return points + 20


def face(picture: FloatArray, eyes: tuple[tuple[float, float], tuple[float, float]]) -> Sighting:
    points = np.zeros((5, 2), np.float32)
    points[:2] = eyes
    return Sighting(picture, Box(300, 300, 400, 400), 0.9, points)


def mesh() -> Mesh:
    """Returns a mesh with eyes 60 pixels wide at (400, 450) and (600, 450)."""
    points = np.zeros((468, 3), np.float32)
    points[[33, 133, 362, 263], 0] = 370, 430, 570, 630
    points[[33, 133, 362, 263], 1] = 450
    return Mesh(points - (500, 500, 0), (500.0, 500.0), 0.0)


def test_openness_grows_with_the_gap_between_the_lids() -> None:
    eyes = [(-0.1, 0.1), (0.0, 0.05), (0.1, 0.0), (0.12, 0.1), (0.3, 0.15)]
    opened = contour_openness(np.stack([contour(*eye) for eye in eyes]))
    assert list(opened) == sorted(opened)
    assert opened[0] == pytest.approx(-0.1)
    assert opened[-1] == pytest.approx(0.45 / 2 + 0.3)


def test_openness_does_not_depend_on_size_or_position() -> None:
    small, large = contour(0.2, 0.1, 10.0), contour(0.2, 0.1, 40.0) + 7
    assert contour_openness(small[np.newaxis]) == pytest.approx(contour_openness(large[np.newaxis]))


@settings(max_examples=50, deadline=None)
@given(arrays(np.float32, (2, 71, 2), elements=st.floats(-1e4, 1e4, width=32)))
def test_any_contour_has_a_finite_openness(contours: FloatArray) -> None:
    opened = contour_openness(contours)
    assert np.isfinite(opened).all()
    assert (np.abs(opened) <= 1).all()


def test_the_network_sees_each_eye_as_a_left_one() -> None:
    seen = []

    def answer(pixels: FloatArray) -> list[FloatArray]:
        seen.extend(crop_to_picture(crop) for crop in pixels)
        return [np.stack([np.pad(contour(0.3, 0.1), ((0, 0), (0, 1)))] * len(pixels))]

    eyes = ((400, 450), (600, 450))
    (score,) = IrisContour(Graph(answer)).openness([face(ruler_picture(), eyes)], [mesh()])
    assert score > 0.9
    left, right = seen
    assert left @ (32, 32, 1) == pytest.approx((400, 450), abs=3)
    assert right @ (32, 32, 1) == pytest.approx((600, 450), abs=3)
    scale = 2.3 * 60 / 64
    assert left[0, 0] == pytest.approx(scale, abs=0.05)
    assert right[0, 0] == pytest.approx(-scale, abs=0.05)


@pytest.mark.parametrize(
    ("left", "right", "is_open"),
    [
        ((0.3, 0.1), (0.3, 0.1), True),
        ((-0.1, 0.1), (-0.1, 0.1), False),
        ((0.3, 0.1), (0.0, 0.05), True),
    ],
)
def test_the_score_depends_on_both_eyes(
    left: tuple[float, float], right: tuple[float, float], is_open: bool
) -> None:
    contours = np.stack([np.pad(contour(*eye), ((0, 0), (0, 1))) for eye in (left, right)])
    picture = np.zeros((1000, 1000, 3), np.uint8)
    found = IrisContour(Graph(lambda pixels: [contours])).openness(
        [face(picture, ((400, 450), (600, 450)))], [mesh()]
    )
    assert (found[0] > 0.5) is is_open


def test_the_classifiers_score_is_that_of_the_more_certain_eye() -> None:
    graph = Graph(lambda pixels: [np.array([0.2, 0.9, 0.1, 0.3])])
    picture = np.zeros((1000, 1000, 3), np.uint8)
    faces = [face(picture, ((400, 450), (600, 450)))] * 2
    assert Ocec(graph).openness(faces, [mesh()] * 2) == pytest.approx([0.9, 0.3])
    assert graph.shapes == [(4, 3, 24, 40)]
