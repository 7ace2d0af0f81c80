"""The whole face model, with networks that may return anything."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from services.common.finite import non_finite_place
from services.common.inference.registry import package_path, read_registry
from services.face.cascade_model import CascadeFaceModel
from services.face.model import Face
from services.face.network_model import NetworkFaceModel
from services.face.networks.detectors import CenterFace, YuNet
from services.face.networks.expressions import Blendshapes, MiniXception, MouthShape
from services.face.networks.eyes import IrisContour, Ocec
from services.face.networks.meshes import FaceMesh468, FaceMesh478
from services.face.networks.poses import FsaNet, LandmarkPose
from tests.conftest import ROOT
from tests.unit.services.face.graphs import FloatArray, Graph

pytestmark = pytest.mark.slow

YUNET_OUTPUTS = [
    f"{name}_{stride}" for name in ("cls", "obj", "bbox", "kps") for stride in (8, 16, 32)
]


class Anything:
    """Networks that return random numbers, sometimes large ones.

    Args:
        seed: Seed of the numbers.
        size: Their standard deviation.
    """

    def __init__(self, seed: int, size: float) -> None:
        self._random = np.random.default_rng(seed)
        self._size = size

    def numbers(self, *shape: int) -> FloatArray:
        return self._random.normal(0, self._size, shape).astype(np.float32)

    def graph(self, *shape: int, takes_batches: bool = True) -> Graph:
        return Graph(
            lambda pixels: [self.numbers(len(pixels), *shape)], takes_batches=takes_batches
        )

    def shares(self, *shape: int) -> Graph:
        return Graph(lambda pixels: [self._random.random((len(pixels), *shape))])

    def centerface(self) -> Graph:
        def answer(pixels: FloatArray) -> list[FloatArray]:
            count, rows, columns = len(pixels), pixels.shape[2] // 4, pixels.shape[3] // 4
            heat = np.zeros((count, 1, rows, columns))
            for one in heat[:, 0]:
                one[0, 0] = 0.8  # inside even the thinnest picture
                one[self._random.integers(rows), self._random.integers(columns)] = 0.9
            offsets = self._random.random((count, 2, rows, columns)) * 0.2 - 0.5
            maps = [self.numbers(count, 2, rows, columns), offsets]
            maps.append(self.numbers(count, 10, rows, columns))
            return [heat, *maps]

        return Graph(answer, ("score", "size", "offset", "landmarks"))

    def yunet(self) -> Graph:
        def answer(pixels: FloatArray) -> list[FloatArray]:
            outputs = []
            for name in YUNET_OUTPUTS:
                kind, stride = name.split("_")
                cells = (640 // int(stride)) ** 2
                width = {"cls": 1, "obj": 1, "bbox": 4, "kps": 10}[kind]
                found = self.numbers(1, cells, width)
                if width == 1:
                    found[:] = 0.0
                    found[:, cells // 5 :: 97] = 0.95
                elif width == 4:
                    found[..., :2] = self._random.random((1, cells, 2))
                outputs.append(found)
            return outputs

        return Graph(answer, YUNET_OUTPUTS, takes_batches=False)

    def model(self, **parts: Any) -> NetworkFaceModel:
        standard = {
            "detector": CenterFace(self.centerface()),
            "landmarks": FaceMesh468(self.graph(468, 3)),
            "pose": LandmarkPose(),
            "eyes": IrisContour(self.graph(71, 3)),
            "expression": MouthShape(),
        }
        return NetworkFaceModel(**{**standard, **parts})

    def others(self) -> dict[str, list[Any]]:
        return {
            "detector": [YuNet(self.yunet())],
            "landmarks": [FaceMesh478(self.graph(1, 1, 1434))],
            "pose": [FsaNet(self.graph(3, takes_batches=False), self.graph(3))],
            "eyes": [Ocec(self.shares())],
            "expression": [
                Blendshapes(Graph(lambda points: [self.numbers(52)], takes_batches=False)),
                MiniXception(self.shares(7)),
            ],
        }


def assert_valid(faces: list[Face]) -> None:
    assert non_finite_place(faces) is None
    areas = [face.box.area for face in faces]
    assert areas == sorted(areas, reverse=True)
    for face in faces:
        box = face.box
        for share in (
            *(box.left, box.top, box.width, box.height, face.confidence),
            *(face.pose_score, face.eyes_score, face.smile_score),
            *itertools.chain.from_iterable(face.landmarks.values()),
        ):
            assert 0 <= share <= 1
        assert box.left + box.width <= 1 + 1e-9
        assert box.top + box.height <= 1 + 1e-9
        assert -90 <= face.yaw_degrees <= 90
        assert face.pitch_degrees is None or -90 <= face.pitch_degrees <= 90
        assert -180 <= face.roll_degrees <= 180


def noise(width: int, height: int, is_grey: bool) -> NDArray[np.uint8]:
    picture = np.random.default_rng(width).integers(0, 256, (height, width, 3), np.uint8)
    return np.repeat(picture[..., :1], 3, axis=2) if is_grey else picture


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 90), st.integers(1, 90)), min_size=1, max_size=3),
    st.booleans(),
    st.integers(0, 1000),
    st.sampled_from([0.1, 1.0, 30.0, 1000.0]),
)
def test_any_output_of_the_networks_gives_a_valid_result(
    sizes: list[tuple[int, int]], is_grey: bool, seed: int, size: float
) -> None:
    pictures = [noise(*one, is_grey) for one in sizes]
    found = Anything(seed, size).model().analyze(pictures)
    assert len(found) == len(pictures)
    for faces in found:
        assert_valid(faces)


@pytest.mark.parametrize("shape", [(1, 1), (8, 6000), (6000, 8), (1024, 768)])
@pytest.mark.parametrize("size", [1.0, 300.0])
def test_odd_shapes_are_analyzed(shape: tuple[int, int], size: float) -> None:
    (faces,) = Anything(3, size).model().analyze([noise(*shape, is_grey=False)])
    assert faces
    assert_valid(faces)


@pytest.mark.parametrize("part", ["detector", "landmarks", "pose", "eyes", "expression"])
def test_each_part_can_be_replaced(part: str) -> None:
    for size in (1.0, 300.0):
        anything = Anything(5, size)
        for other in anything.others()[part]:
            found = anything.model(**{part: other}).analyze([noise(300, 200, is_grey=False)] * 2)
            assert any(found)
            for faces in found:
                assert_valid(faces)


def test_the_faces_of_all_pictures_share_batches() -> None:
    anything = Anything(1, 0.3)
    mesh = anything.graph(468, 3)
    model = anything.model(landmarks=FaceMesh468(mesh))
    pictures = [noise(640, 480, is_grey=False) for _ in range(4)]
    count = sum(map(len, model.analyze(pictures)))
    assert count > 4
    assert mesh.shapes[0][0] == count


def test_eyes_and_mouth_of_a_profile_are_neutral() -> None:
    class Profile(LandmarkPose):
        def poses(self, faces: Any, meshes: Any) -> Any:
            return [type(pose)(60.0, 0.0, 0.0) for pose in super().poses(faces, meshes)]

    iris = Graph(lambda pixels: pytest.fail("a hidden eye was analysed"))
    model = Anything(1, 0.3).model(pose=Profile(), eyes=IrisContour(iris))
    (faces,) = model.analyze([noise(640, 480, is_grey=False)])
    assert faces
    for face in faces:
        assert (face.eyes_score, face.smile_score) == (0.5, 0.5)
        assert face.pose_score == pytest.approx(1 - 60 / 90)


def test_a_picture_without_faces_runs_only_the_detector() -> None:
    def answer(pixels: FloatArray) -> list[FloatArray]:
        rows, columns = pixels.shape[2] // 4, pixels.shape[3] // 4
        return [np.zeros((len(pixels), channels, rows, columns)) for channels in (1, 2, 2, 10)]

    mesh = Graph(lambda pixels: pytest.fail("a mesh without a face"))
    model = Anything(1, 0.3).model(detector=CenterFace(Graph(answer)), landmarks=FaceMesh468(mesh))
    assert model.analyze([noise(640, 480, is_grey=False)] * 2) == [[], []]
    assert model.analyze([]) == []


@pytest.mark.parametrize("shape", [(1, 1), (8, 6000), (300, 200)])
def test_cascades_accept_odd_shapes(shape: tuple[int, int]) -> None:
    entry = read_registry(ROOT / "configs").models["builtin-face"]
    paths = {key: package_path("builtin-face", file) for key, file in entry.files.items()}
    (faces,) = CascadeFaceModel(paths).analyze([noise(*shape, is_grey=True)])
    assert_valid(faces)
    assert all(math.isfinite(face.confidence) for face in faces)
