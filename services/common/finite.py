"""Finds NaN and infinity before they are sent, accepted, cached or stored.

A NaN passes comparisons unnoticed, and SQLite stores it as NULL, so a model's result for one photo
could fail the run of a whole album.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from services.common.errors import NonFiniteError


def non_finite_place(value: object) -> str | None:
    """Finds a NaN or an infinity in numbers, arrays, dataclasses, mappings and sequences.

    Returns:
        A path such as ".faces[2].yaw_degrees", empty for the value itself; None if all numbers are
        finite.
    """
    if isinstance(value, float):  # includes np.float64
        return None if math.isfinite(value) else ""
    if isinstance(value, np.ndarray | np.number):
        return None if bool(np.isfinite(value).all()) else ""
    parts: Iterable[tuple[str, object]]
    if dataclasses.is_dataclass(value):
        names = [field.name for field in dataclasses.fields(value)]
        parts = ((f".{name}", getattr(value, name)) for name in names)
    elif isinstance(value, Mapping):
        parts = ((f".{key}", part) for key, part in value.items())
    elif isinstance(value, Sequence) and not isinstance(value, str | bytes):
        if _is_surely_finite(value):
            return None
        parts = ((f"[{index}]", part) for index, part in enumerate(value))
    else:
        return None
    for name, part in parts:
        place = non_finite_place(part)
        if place is not None:
            return name + place
    return None


def _is_surely_finite(values: Sequence[object]) -> bool:
    """Checks a long list quickly; False = it may contain anything."""
    kinds = set(map(type, values))
    return kinds <= {int} or (kinds == {float} and all(map(math.isfinite, values)))  # type: ignore[arg-type]


def check_finite(value: object, source: str) -> None:
    """Refuses a result that contains NaN or infinity.

    Args:
        value: As in `non_finite_place`.
        source: The source of the result, for the message: "the model".

    Raises:
        NonFiniteError: The result contains such a number; the message says where.
    """
    place = non_finite_place(value)
    if place is not None:
        where = f" ({place.lstrip('.')})" if place else ""
        raise NonFiniteError(f"{source} returned a number that is not finite{where}")
