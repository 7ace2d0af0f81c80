"""Says in our words why a value does not fit its schema.

The words of pydantic ("Input should be ...", "Value error, ...") are meant for programmers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_TEXTS = {
    "assertion_error": "{error}",
    "enum": "must be {expected}",
    "extra_forbidden": "is unknown",
    "finite_number": "must be a finite number",
    "greater_than": "must be greater than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "json_invalid": "is not valid JSON ({error})",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
    "literal_error": "must be {expected}",
    "missing": "is missing",
    "multiple_of": "must be a multiple of {multiple_of}",
    "string_pattern_mismatch": "must match the pattern {pattern}",
    "string_too_long": "must have at most {max_length} characters",
    "string_too_short": "must have at least {min_length} characters",
    "string_unicode": "must be valid Unicode",
    "timezone_aware": "must have an offset from UTC, such as Z or +02:00",
    "too_long": "must have at most {max_length} items",
    "too_short": "must have at least {min_length} items",
    "union_tag_invalid": "must have a known {discriminator}: {expected_tags}",
    "value_error": "{error}",
}
_KINDS = {
    "bool": "true or false",
    "dataclass": "a mapping of names to values",
    "date": "a date such as 2026-01-31",
    "datetime": "a date and time such as 2026-01-31T12:00:00Z",
    "decimal": "a number",
    "dict": "a mapping of names to values",
    "float": "a number",
    "int": "an integer",
    "list": "a list",
    "mapping": "a mapping of names to values",
    "model": "a mapping of names to values",
    "none": "null",
    "path": "a path",
    "set": "a list",
    "string": "text",
    "tuple": "a list",
    "url": "an address such as https://example.com",
    "uuid": "a UUID",
}
"""What a value must be, by the first word of the error's type."""


def describe_problem(problem: Mapping[str, Any]) -> str:
    """Completes a sentence that begins with the value's name: "must be at least 1".

    Args:
        problem: An item of `errors()` of a pydantic or FastAPI validation error.
    """
    kind = str(problem["type"])
    values = {name: _plain(value) for name, value in (problem.get("ctx") or {}).items()}
    if values.get("min_length") == 1:
        return "must not be empty"
    if text := _TEXTS.get(kind):
        return text.format_map(values)
    expected = _KINDS.get(kind.partition("_")[0])
    return f"must be {expected}" if expected else "is invalid"


def _plain(value: object) -> object:
    return int(value) if isinstance(value, float) and value.is_integer() else value
