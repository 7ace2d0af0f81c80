"""Formats numbers and lists for sentences."""

from __future__ import annotations

from collections.abc import Sequence

_MAX_DIGITS = 15
"""Beyond these, the digits of a float64 are noise."""


def pluralize(count: int, noun: str) -> str:
    """Formats a count with its noun, for example "1 photo", "2 photos" or "2 people"."""
    if count == 1:
        return f"1 {noun}"
    return f"{count} people" if noun == "person" else f"{count} {noun}s"


def list_words(words: Sequence[str]) -> str:
    """Lists words, for example "Ann, Bob and Cid"; empty without words."""
    return " and ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))


def format_comparison(first: float, second: float, digits: int = 2) -> tuple[str, str]:
    """Formats two numbers with enough digits to show which one is larger.

    Args:
        first: The first number.
        second: The number that it is compared with.
        digits: Minimum number of digits after the point.
    """
    while (
        first != second and round(first, digits) == round(second, digits) and digits < _MAX_DIGITS
    ):
        digits += 1
    return f"{first:.{digits}f}", f"{second:.{digits}f}"
