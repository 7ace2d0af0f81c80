from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from services.face.networks.faces import Mesh
from services.face.networks.poses import LandmarkPose
from tests.unit.services.face.graphs import FloatArray


def turned_face(yaw: float, pitch: float, roll: float) -> FloatArray:
    """Returns points (468, 3) of the generic face from afar; yaw to the right edge, pitch up."""
    yaw, pitch, roll = (math.radians(angle) for angle in (yaw, pitch, roll))
    about_x = np.array(
        [(1, 0, 0), (0, math.cos(pitch), math.sin(pitch)), (0, -math.sin(pitch), math.cos(pitch))]
    )
    about_y = np.array(
        [(math.cos(yaw), 0, -math.sin(yaw)), (0, 1, 0), (math.sin(yaw), 0, math.cos(yaw))]
    )
    about_z = np.array(
        [(math.cos(roll), -math.sin(roll), 0), (math.sin(roll), math.cos(roll), 0), (0, 0, 1)]
    )
    points = np.zeros((468, 3))
    face = LandmarkPose.FACE @ (about_z @ about_y @ about_x).T
    points[list(LandmarkPose.POINTS)] = face
    points[[10, 8]] = face.min(axis=0), face.max(axis=0)
    return np.asarray(points, np.float32)


@pytest.mark.parametrize("yaw", [-50, -20, 0, 35, 60])
@pytest.mark.parametrize("pitch", [-25, 0, 20])
@pytest.mark.parametrize("roll", [-15, 0, 30])
def test_the_angles_of_a_turned_face_are_found(yaw: float, pitch: float, roll: float) -> None:
    mesh = Mesh(turned_face(yaw, pitch, roll), (0.0, 0.0), 40.0)
    (pose,) = LandmarkPose().poses([], [mesh])
    assert pose.yaw_degrees == pytest.approx(yaw, abs=8)
    assert pose.pitch_degrees - LandmarkPose.LEVEL_DEGREES == pytest.approx(pitch, abs=10)
    assert pose.roll_degrees == pytest.approx(roll + 40, abs=8)


@settings(max_examples=50, deadline=None)
@given(arrays(np.float32, (468, 3), elements=st.floats(-1e4, 1e4, width=32)), st.floats(-400, 400))
def test_any_points_give_angles_in_range(points: FloatArray, roll: float) -> None:
    (pose,) = LandmarkPose().poses([], [Mesh(points, (0.0, 0.0), roll)])
    assert -90 <= pose.yaw_degrees <= 90
    assert -90 <= pose.pitch_degrees <= 90
    assert -180 <= pose.roll_degrees <= 180


def test_a_face_of_one_point_has_a_pose() -> None:
    (pose,) = LandmarkPose().poses([], [Mesh(np.zeros((468, 3), np.float32), (0.0, 0.0), 0.0)])
    assert math.isfinite(pose.yaw_degrees + pose.pitch_degrees + pose.roll_degrees)
