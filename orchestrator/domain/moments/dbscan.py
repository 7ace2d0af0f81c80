"""DBSCAN for a crowd: the same labels as scikit-learn's, without a list of near pairs."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from orchestrator.domain.moments.distances import Indices, Rows, Tile
from orchestrator.domain.moments.parameters import NOISE


def dbscan_of_crowd(rows: Rows, eps: float, min_samples: int) -> NDArray[np.int64]:
    """Labels clusters in the order of their first core points; memory is linear in the rows.

    Args:
        rows: The photos.
        eps: Neighbourhood radius, as a cosine distance.
        min_samples: Number of neighbours, including the point itself, that make a core point.
    """
    core = np.flatnonzero(rows.degrees_within(eps) + 1 >= min_samples)
    labels = np.full(len(rows), NOISE, np.int64)
    if not len(core):
        return labels
    component = rows.take(core).components_within(eps)
    _, begins, number = np.unique(component, return_index=True, return_inverse=True)
    labels[core] = np.argsort(np.argsort(begins))[number]
    is_core = np.zeros(len(rows), np.bool_)
    is_core[core] = True
    if len(core) < len(rows):
        _label_borders(rows, eps, labels, is_core)
    return labels


def _label_borders(
    rows: Rows, eps: float, labels: NDArray[np.int64], is_core: NDArray[np.bool_]
) -> None:
    """Gives each non-core point the lowest label of any core point near it, like scikit-learn."""
    lowest = np.full(len(rows), len(rows), np.int64)

    def one_is_core(tile: Tile) -> NDArray[np.bool_]:
        own = is_core[tile.rows]
        return np.asarray(own[:, np.newaxis] != is_core[tile.columns])

    for first, second in rows.near_pairs(eps, one_is_core):
        core: Indices = np.where(is_core[first], first, second)
        border = np.where(is_core[first], second, first)
        np.minimum.at(lowest, border, labels[core])
    reached = ~is_core & (lowest < len(rows))
    labels[reached] = lowest[reached]
