from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.domain.wording import format_comparison, pluralize


def test_one_is_singular() -> None:
    assert [pluralize(count, "photo") for count in (0, 1, 2)] == ["0 photos", "1 photo", "2 photos"]


@pytest.mark.parametrize(
    ("first", "second", "texts"),
    [
        (0.5, 0.7, ("0.50", "0.70")),
        (0.4, 0.4, ("0.40", "0.40")),
        (0.3962, 0.4, ("0.396", "0.400")),
        (0.39996, 0.4, ("0.39996", "0.40000")),
    ],
)
def test_numbers_have_as_many_digits_as_the_comparison_needs(
    first: float, second: float, texts: tuple[str, str]
) -> None:
    assert format_comparison(first, second) == texts


@given(st.floats(-1, 1), st.floats(-1, 1))
def test_the_displayed_numbers_never_contradict_the_comparison(first: float, second: float) -> None:
    shown = [float(text) for text in format_comparison(first, second)]
    assert not (shown[0] > shown[1] and first < second)
    if abs(first - second) > 1e-14:
        assert (shown[0] < shown[1]) == (first < second)
