"""Writes JSON for readers: indented, with sorted keys."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

_STEP = "  "
_CONTAINERS = frozenset({dict, list, tuple})


def indented_json(data: object) -> str:
    """Writes the text of `json.dumps(data, indent=2, sort_keys=True, ensure_ascii=False)`.

    If it indents, that function encodes every value in Python, which takes seconds for the grids of
    thousands of photos; here, C code encodes all lists and objects that hold only plain values.
    """
    return _encode(data, "\n")


def _encode(data: Any, line: str) -> str:  # noqa: ANN401
    """Encodes a value; `line` is the line break and indentation of the value that contains it."""
    if not data or type(data) not in _CONTAINERS:
        return _encoder("").encode(data)
    is_object, inner = isinstance(data, dict), line + _STEP
    if _CONTAINERS.isdisjoint(map(type, data.values() if is_object else data)):
        text = _encoder(inner).encode(data)
        return f"{text[0]}{inner}{text[1:-1]}{line}{text[-1]}"
    if is_object:
        parts = [f"{_encoder('').encode(key)}: {_encode(data[key], inner)}" for key in sorted(data)]
        return f"{{{inner}{f',{inner}'.join(parts)}{line}}}"
    return f"[{inner}{f',{inner}'.join([_encode(value, inner) for value in data])}{line}]"


@cache
def _encoder(line: str) -> json.JSONEncoder:
    return json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(f",{line}", ": "))
