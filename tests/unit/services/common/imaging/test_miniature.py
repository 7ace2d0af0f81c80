from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from services.common.imaging.miniature import miniature


@given(st.integers(1, 90), st.integers(1, 90), st.integers(0, 255))
def test_a_plain_picture_has_one_value(height: int, width: int, level: int) -> None:
    found = miniature(Image.fromarray(np.full((height, width, 3), level, np.uint8)))
    assert found.shape == (32, 32)
    assert found.dtype == np.uint16
    assert set(found.ravel().tolist()) == {256 * level}


def test_a_dark_frame_has_more_values_than_its_pixels() -> None:
    rng = np.random.default_rng(1)
    grey = (rng.random((640, 960)) < np.linspace(0, 1, 960)).astype(np.uint8)
    found = miniature(Image.fromarray(grey))
    assert len(np.unique(found)) > 100
    assert (np.diff(found.mean(axis=0)) > 0).all()


def test_parts_are_in_the_same_positions_as_in_the_picture() -> None:
    picture = np.zeros((64, 96, 3), np.uint8)
    picture[:2, 93:] = 200
    found = miniature(Image.fromarray(picture))
    assert found[0, 31] == 200 * 256
    assert np.count_nonzero(found) == 1
