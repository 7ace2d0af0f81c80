from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from services.face.networks.detectors import CenterFace, YuNet
from tests.unit.services.face.graphs import FloatArray, Graph

FIVE_POINTS = np.array([(0.3, 0.4), (0.7, 0.4), (0.5, 0.6), (0.35, 0.8), (0.65, 0.8)])
"""x and y relative to the box."""


def picture(width: int, height: int) -> NDArray[np.uint8]:
    return np.full((height, width, 3), 90, np.uint8)


def heat_maps(
    pixels: FloatArray, *faces: tuple[float, float, float, float, float]
) -> list[FloatArray]:
    """Builds CenterFace's output for faces (x, y, width, height, score), in detection pixels."""
    count, _, height, width = pixels.shape
    maps = [np.zeros((count, n, height // 4, width // 4), np.float32) for n in (1, 2, 2, 10)]
    heat, sizes, offsets, points = maps
    for x, y, box_width, box_height, score in faces:
        column, row = int(x // 4), int(y // 4)
        heat[:, 0, row, column] = score
        sizes[:, :, row, column] = np.log(np.array([box_height, box_width]) / 4)
        offsets[:, :, row, column] = y / 4 - row - 0.5, x / 4 - column - 0.5
        points[:, :, row, column] = FIVE_POINTS[:, ::-1].ravel()
    return maps


def test_a_face_is_found_at_the_position_in_the_heat_map() -> None:
    graph = Graph(lambda pixels: heat_maps(pixels, (200, 100, 40, 50, 0.9)))
    ((face,),) = CenterFace(graph).find([picture(1280, 960)])
    assert graph.shapes == [(1, 3, 480, 640)]
    box = face.box
    assert (box.left, box.top, box.width, box.height) == pytest.approx((360, 150, 80, 100))
    assert face.confidence == pytest.approx(0.9)
    assert face.points == pytest.approx(FIVE_POINTS * (80, 100) + (360, 150), abs=1e-2)
    assert face.roll_degrees == pytest.approx(0, abs=0.1)


@pytest.mark.parametrize(
    ("size", "canvas"),
    [
        ((1000, 700), (448, 640)),
        ((700, 1000), (640, 448)),
        ((8, 6000), (640, 32)),
        ((1, 1), (640, 640)),
    ],
)
def test_the_canvas_is_a_multiple_of_32(size: tuple[int, int], canvas: tuple[int, int]) -> None:
    graph = Graph(heat_maps)
    assert CenterFace(graph).find([picture(*size)]) == [[]]
    assert graph.shapes == [(1, 3, *canvas)]


def test_only_the_strongest_of_overlapping_boxes_is_kept() -> None:
    faces = ((200, 100, 40, 50, 0.7), (204, 104, 40, 50, 0.8), (400, 100, 40, 50, 0.6))
    found = CenterFace(Graph(lambda pixels: heat_maps(pixels, *faces))).find([picture(640, 480)])
    assert sorted(face.confidence for face in found[0]) == pytest.approx([0.6, 0.8])


def test_weak_faces_and_faces_in_the_padding_are_dropped() -> None:
    faces = ((200, 100, 40, 50, 0.49), (200, 420, 40, 50, 0.9))
    graph = Graph(lambda pixels: heat_maps(pixels, *faces))
    assert CenterFace(graph).find([picture(640, 417)]) == [[]]
    assert graph.shapes == [(1, 3, 448, 640)]


def test_an_absurd_size_is_limited() -> None:
    graph = Graph(lambda pixels: heat_maps(pixels, (320, 240, 1e30, 1e30, 0.9)))
    ((face,),) = CenterFace(graph).find([picture(640, 480)])
    assert face.box.width <= 1280


def test_pictures_of_one_shape_share_an_inference() -> None:
    def answer(pixels: FloatArray) -> list[FloatArray]:
        maps = heat_maps(pixels, (200, 100, 40, 50, 0.9))
        is_dark = pixels.mean(axis=(1, 2, 3)) < 50
        maps[0][is_dark] = 0
        return maps

    graph = Graph(answer)
    dark = np.zeros((480, 640, 3), np.uint8)
    found = CenterFace(graph).find([picture(640, 480), picture(480, 640), dark, picture(640, 480)])
    assert [len(faces) for faces in found] == [1, 1, 0, 1]
    assert sorted(graph.shapes) == [(1, 3, 640, 480), (3, 3, 480, 640)]


def test_yunet_is_decoded_as_in_opencv() -> None:
    names = [f"{name}_{stride}" for name in ("cls", "obj", "bbox", "kps") for stride in (8, 16, 32)]

    def answer(pixels: FloatArray) -> list[FloatArray]:
        outputs = []
        for name in names:
            kind, stride = name.split("_")
            cells = (640 // int(stride)) ** 2
            width = {"cls": 1, "obj": 1, "bbox": 4, "kps": 10}[kind]
            output = np.zeros((1, cells, width), np.float32)
            if stride == "16":
                cell = 10 * 40 + 20  # row 10, column 20
                output[0, cell] = {
                    "cls": 0.81,
                    "obj": 1.0,
                    "bbox": (0.5, 0.5, np.log(4), np.log(5)),
                    "kps": np.zeros(10),
                }[kind]
            outputs.append(output)
        return outputs

    ((face,),) = YuNet(Graph(answer, names, takes_batches=False)).find([picture(1280, 640)])
    box = face.box
    assert (box.left, box.top, box.width, box.height) == pytest.approx((592, 256, 128, 160))
    assert face.confidence == pytest.approx(0.9)
    assert face.points == pytest.approx(np.tile((640.0, 320.0), (5, 1)))
