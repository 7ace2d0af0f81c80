"""Converting pictures to the tensors of graphs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from services.common.inference.registry import Preprocessing
from services.common.inference.tensor import picture_vector, to_tensor

PLAIN = {
    "side_px": 8,
    "resample": "box",
    "layout": "nchw",
    "mean": (0.0, 0.0, 0.0),
    "std": (1.0, 1.0, 1.0),
}


def wanted(**changes: Any) -> Preprocessing:
    return Preprocessing(**{**PLAIN, **changes})


def halves(width: int, height: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Returns a picture that is black on the left and white on the right."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[:, width // 2 :] = 255
    return pixels


def test_the_whole_picture_is_squashed() -> None:
    tensor = to_tensor(halves(64, 16), wanted())
    assert tensor.shape == (1, 3, 8, 8)
    assert tensor.dtype == np.float32
    np.testing.assert_array_equal(tensor[0, :, :, :4], 0)
    np.testing.assert_array_equal(tensor[0, :, :, 4:], 255)


@pytest.mark.parametrize("size", [(64, 16), (16, 64)])
def test_the_centre_is_cropped(size: tuple[int, int]) -> None:
    width, height = size
    pixels = np.zeros((height, width, 3), np.uint8)
    middle = (slice(height // 2 - 4, height // 2 + 4), slice(width // 2 - 4, width // 2 + 4))
    pixels[middle] = 200
    tensor = to_tensor(pixels, wanted(short_side_px=16))
    np.testing.assert_array_equal(tensor, np.full((1, 3, 8, 8), 200, np.float32))


def test_values_are_shifted_and_scaled_and_axes_ordered() -> None:
    pixels = np.full((8, 8, 3), (10, 20, 30), np.uint8)
    options = {"layout": "nhwc", "mean": (10.0, 10.0, 10.0), "std": (1.0, 2.0, 4.0)}
    tensor = to_tensor(pixels, wanted(**options))
    assert tensor.shape == (1, 8, 8, 3)
    np.testing.assert_array_equal(tensor[0, 0, 0], [0, 5, 5])


def test_the_first_token_of_a_vision_transformer_describes_the_picture() -> None:
    tokens = np.arange(6, dtype=np.float32).reshape(1, 3, 2)
    np.testing.assert_array_equal(picture_vector(tokens, "vision-transformer"), [0.0, 1.0])
    np.testing.assert_array_equal(picture_vector(tokens[:, 1], None), [2.0, 3.0])
