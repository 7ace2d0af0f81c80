"""Moments as labels: clusters numbered by their first photo, single shots as noise."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from orchestrator.domain.moments.parameters import NOISE


def labels_of(moments: NDArray[np.integer]) -> NDArray[np.int64]:
    """Numbers moments in the order that all runs use.

    Args:
        moments: (n,), any number for each moment; each single shot has its own number.

    Returns:
        int64, (n,), clusters numbered from 0 by their first photo; NOISE for single shots.
    """
    _, begins, number, sizes = np.unique(
        moments, return_index=True, return_inverse=True, return_counts=True
    )
    order = np.full(len(sizes), NOISE, np.int64)
    joint = np.flatnonzero(sizes > 1)
    order[joint[np.argsort(begins[joint])]] = np.arange(len(joint))
    return order[number]
