from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.viewing.pictures import cut_face
from tests.unit.values import face

SHARES = st.floats(0.01, 0.99)


@given(SHARES, SHARES, SHARES, SHARES, st.integers(8, 90), st.integers(8, 90))
def test_a_cut_is_a_square_inside_the_picture(
    left: float, top: float, width: float, height: float, wide: int, tall: int
) -> None:
    picture = np.full((tall, wide, 3), 200, np.uint8)
    cut = cut_face(picture, face(left=left, top=top, width=width, height=height), 16)
    assert cut.shape == (16, 16, 3)
    assert (cut == 200).all(), "nothing from outside"


def test_a_cut_shows_the_face() -> None:
    picture = np.zeros((100, 200, 3), np.uint8)
    picture[40:60, 140:160] = 255
    cut = cut_face(picture, face(left=0.7, top=0.4, width=0.1, height=0.2), 24)
    assert (cut[8:16, 8:16] == 255).all()
    assert cut.mean() > 128
