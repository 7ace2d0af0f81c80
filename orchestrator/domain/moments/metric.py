"""Converts between the two metrics of unit vectors; `distances` computes the distances.

For unit vectors |a - b|^2 = 2 - 2 cos(a, b), so the euclidean distance is sqrt(2 d) for the cosine
distance d = 1 - cos. It is monotonic in d, so both metrics order pairs the same way.
"""

from __future__ import annotations

from typing import overload

import numpy as np
from numpy.typing import NDArray


@overload
def from_cosine_distance(distance: float, metric: str) -> float: ...
@overload
def from_cosine_distance(distance: NDArray[np.float64], metric: str) -> NDArray[np.float64]: ...
def from_cosine_distance(
    distance: float | NDArray[np.float64], metric: str
) -> float | NDArray[np.float64]:
    """Converts cosine distances, 0 or more, to the unit of `metric` ("cosine" or "euclidean")."""
    if metric == "cosine":
        return distance
    # np.sqrt for plain numbers too: x ** 0.5 can differ in the last bit, and an explanation must
    # show the exact distance that the clustering compared.
    root = np.sqrt(2.0 * distance)
    return float(root) if isinstance(distance, float) else root


def to_cosine_distance(distance: float, metric: str) -> float:
    """Converts a distance in the unit of `metric` to a cosine distance."""
    return distance if metric == "cosine" else distance**2 / 2.0
