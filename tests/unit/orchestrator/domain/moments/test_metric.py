from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.domain.moments.metric import from_cosine_distance, to_cosine_distance


@given(st.floats(0, 2 * math.pi), st.floats(0, 2 * math.pi))
def test_the_euclidean_distance_of_unit_vectors_follows_from_their_cosine(
    first: float, second: float
) -> None:
    a, b = (np.array([math.cos(angle), math.sin(angle)]) for angle in (first, second))
    cosine = max(0.0, 1.0 - float(a @ b))
    found = from_cosine_distance(cosine, "euclidean")
    assert found == pytest.approx(float(np.linalg.norm(a - b)), abs=1e-7)
    assert to_cosine_distance(found, "euclidean") == pytest.approx(cosine)
    assert from_cosine_distance(cosine, "cosine") == cosine
    assert to_cosine_distance(cosine, "cosine") == cosine


@given(st.lists(st.floats(0, 2), min_size=1))
def test_a_number_and_an_array_convert_to_the_same_bits(distances: list[float]) -> None:
    in_array = from_cosine_distance(np.array(distances), "euclidean")
    alone = [from_cosine_distance(distance, "euclidean") for distance in distances]
    assert in_array.tolist() == alone
    assert all(type(distance) is float for distance in alone)
