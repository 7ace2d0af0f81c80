from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.face.model import Face
from services.face.networks.identities import (
    ALIGNED_POINTS,
    IdentifyingModel,
    MobileFaceNet,
    SFace,
    align,
)
from services.face.preprocess import Box
from tests.unit.services.face.graphs import (
    SIDE_PX,
    FloatArray,
    Graph,
    picture_to_crop,
    ruler_picture,
)

ALIGNED = np.array(list(ALIGNED_POINTS.values()))


def face_at(points: FloatArray) -> Face:
    """Returns a face of `ruler_picture` with the five landmarks (5, 2), in pixels."""
    places = zip(ALIGNED_POINTS, (points / SIDE_PX).tolist(), strict=True)
    landmarks = {name: (x, y) for name, (x, y) in places}
    return Face(Box(0.1, 0.1, 0.5, 0.5), 0.9, landmarks, 0, 0, 0, 1, 1, 1)


def turn(points: FloatArray, degrees: float, scale: float) -> FloatArray:
    """Turns and scales points around a crop's middle, and moves that to the picture's middle."""
    angle = np.radians(degrees)
    matrix = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return np.asarray((points - 56) @ matrix.T * scale + SIDE_PX / 2, np.float32)


@settings(max_examples=30, deadline=None)
@given(degrees=st.floats(-180, 180), scale=st.floats(0.5, 5))
def test_the_landmarks_of_an_aligned_face_are_in_their_places(degrees: float, scale: float) -> None:
    seen = turn(ALIGNED, degrees, scale)
    crop = align(ruler_picture(), face_at(seen)).astype(np.float32).transpose(2, 0, 1) / 255
    assert picture_to_crop(crop, seen) == pytest.approx(ALIGNED, abs=1.5)


def test_a_mirrored_face_is_not_mirrored_back() -> None:
    mirrored = turn(ALIGNED * (-1, 1) + (112, 0), 0, 2)
    crop = align(ruler_picture(), face_at(mirrored))
    assert crop[56, 100, 0] > crop[56, 12, 0]  # red still grows to the right


@pytest.mark.parametrize(
    ("network", "low", "high"), [(MobileFaceNet, -1.0, 1.0), (SFace, 0.0, 255.0)]
)
def test_the_network_gets_its_range_and_its_vector_has_unit_length(
    network: type[MobileFaceNet | SFace], low: float, high: float
) -> None:
    ranges = []

    def answer(pixels: FloatArray) -> list[FloatArray]:
        ranges.append((float(pixels.min()), float(pixels.max())))
        return [np.full((len(pixels), 128), 3.0, np.float32)]

    picture = np.zeros((SIDE_PX, SIDE_PX, 3), np.uint8)
    picture[:, SIDE_PX // 2 :] = 255
    graph = Graph(answer)
    (vector,) = network(graph).identify([(picture, face_at(turn(ALIGNED, 0, 2)))])
    assert graph.shapes == [(1, 3, 112, 112)]
    assert ranges == [(low, high)]
    assert np.linalg.norm(vector) == pytest.approx(1)


class Found:
    """Finds given faces."""

    def __init__(self, faces: list[list[Face]]) -> None:
        self.faces = faces

    def analyze(self, pictures: object) -> list[list[Face]]:
        return self.faces


def test_only_faces_with_all_landmarks_are_identified() -> None:
    known = face_at(turn(ALIGNED, 0, 2))
    blind = dataclasses.replace(known, landmarks={"left_eye": (0.1, 0.1)})
    network = MobileFaceNet(Graph(lambda pixels: [np.ones((len(pixels), 4), np.float32)]))
    model = IdentifyingModel(Found([[blind, known], [], [blind]]), network)
    picture = ruler_picture()
    (first, second), none, (last,) = model.analyze([picture] * 3)
    assert none == []
    assert [len(face.identity) for face in (first, second, last)] == [0, 4, 0]
    assert dataclasses.replace(second, identity=()) == known
