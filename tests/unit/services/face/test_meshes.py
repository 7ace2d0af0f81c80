from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.face.networks.faces import Mesh, Sighting
from services.face.networks.meshes import FaceMesh468, FaceMesh478
from services.face.preprocess import Box
from tests.unit.services.face.graphs import FloatArray, Graph, picture_to_crop, ruler_picture

RULER = ruler_picture()


def face_points(count: int, centre: tuple[float, float], size: float, roll: float) -> FloatArray:
    """Returns points of a flat face in the picture: the corners of a square, and eyes in it."""
    points = np.zeros((count, 2))
    points[0], points[1] = (-0.5, -0.5), (0.5, 0.5)
    points[33], points[263] = (-0.3, -0.1), (0.3, -0.1)
    angle = math.radians(roll)
    turn = np.array([(math.cos(angle), -math.sin(angle)), (math.sin(angle), math.cos(angle))])
    return np.asarray(points @ turn.T * size + centre, np.float32)


def sighting(centre: tuple[float, float], size: float, roll: float) -> Sighting:
    """Returns a face from a detector, whose eyes may give a wrong roll."""
    angle = math.radians(roll)
    eye = np.array([math.cos(angle), math.sin(angle)]) * size / 4
    points = np.zeros((5, 2), np.float32)
    points[0], points[1] = -eye + centre, eye + centre
    box = Box(centre[0] - size / 2, centre[1] - size / 2, size, size)
    return Sighting(RULER, box, 0.9, points)


def mesh_graph(truth: FloatArray) -> Graph:
    """Returns a mesh network that finds the points of `truth` in any crop."""

    def answer(pixels: FloatArray) -> list[FloatArray]:
        crops = [crop if crop.shape[0] == 3 else crop.transpose(2, 0, 1) for crop in pixels]
        found = np.stack([picture_to_crop(crop, truth) for crop in crops])
        depth = np.zeros((*found.shape[:2], 1))
        return [np.concatenate([found, depth], axis=-1), np.ones((len(pixels), 1))]

    return Graph(answer)


@settings(max_examples=30, deadline=None)
@given(st.floats(300, 700), st.floats(300, 700), st.floats(80, 300), st.floats(-170, 170))
def test_points_are_mapped_back_to_the_picture(
    x: float, y: float, size: float, roll: float
) -> None:
    truth = face_points(468, (x, y), size, roll)
    (mesh,) = FaceMesh468(mesh_graph(truth)).find([sighting((x, y), size, roll)])
    tolerance = 2.0 + size / 100  # the ruler has steps of 4 pixels
    assert mesh.in_picture(mesh.points[:, :2]) == pytest.approx(truth, abs=tolerance)
    assert abs((mesh.roll_degrees - roll + 180) % 360 - 180) <= 3


@pytest.mark.parametrize("wrong", [-40, -10, 12, 60])
def test_a_second_pass_removes_the_roll(wrong: float) -> None:
    truth = face_points(468, (500, 480), 200, 20)
    graph = mesh_graph(truth)
    (mesh,) = FaceMesh468(graph).find([sighting((500, 480), 200, 20 + wrong)])
    assert len(graph.shapes) == 2
    assert mesh.roll_degrees == pytest.approx(20, abs=2)
    level = mesh.points[[33, 263], 1]
    assert level[0] == pytest.approx(level[1], abs=4)


def test_a_box_that_is_too_small_is_corrected_in_a_second_pass() -> None:
    truth = face_points(468, (500, 480), 200, 0)
    graph = mesh_graph(truth)
    FaceMesh468(graph).find([sighting((500, 480), 120, 0)])
    assert len(graph.shapes) == 2


def test_a_crop_that_is_well_placed_needs_no_second_pass() -> None:
    truth = face_points(468, (500, 480), 200, 10)
    graph = mesh_graph(truth)
    faces = [sighting((500, 480), 200, 11), sighting((505, 478), 190, 9)]
    assert len(FaceMesh468(graph).find(faces)) == 2
    assert graph.shapes == [(2, 3, 192, 192)]


def test_the_larger_mesh_has_one_pass_of_256_pixels() -> None:
    truth = face_points(478, (500, 480), 200, 30)
    graph = mesh_graph(truth)
    (mesh,) = FaceMesh478(graph).find([sighting((500, 480), 200, 30)])
    assert graph.shapes == [(1, 256, 256, 3)]
    assert mesh.in_picture(mesh.points[:, :2]) == pytest.approx(truth, abs=4)


def test_levelled_points_rotate_around_the_centre() -> None:
    mesh = Mesh(np.zeros((468, 3), np.float32), (10.0, 20.0), 90.0)
    moved = mesh.in_picture(np.array([(5, 0), (0, 5)], np.float32))
    assert moved == pytest.approx(np.array([(10, 25), (5, 20)]), abs=1e-4)
