"""Indented JSON equals that of the standard library."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.export.json_text import indented_json

PLAIN = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
DATA = st.recursive(
    PLAIN,
    lambda inner: st.lists(inner) | st.lists(inner).map(tuple) | st.dictionaries(st.text(), inner),
    max_leaves=30,
)


@given(DATA)
def test_the_text_is_that_of_the_standard_library(data: object) -> None:
    expected = json.dumps(data, indent=2, sort_keys=True, ensure_ascii=False)
    assert indented_json(data) == expected
