"""A run's photos, counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from orchestrator.records import Cluster

BIN_COUNT = 20
_RANGES = {"ava_score": (1.0, 10.0)}


@dataclass(frozen=True)
class Histogram:
    """How a score is distributed; fields as in orchestrator.proto."""

    score: str
    minimum: float
    maximum: float
    counts: list[int]


def histograms(scores: Mapping[str, Sequence[float]]) -> list[Histogram]:
    """Bins every score that has values: over its whole range, or more where values lie outside."""
    found = []
    for name, values in scores.items():
        if not values:
            continue
        low, high = _RANGES.get(name, (0.0, 1.0))
        low, high = min(low, *values), max(high, *values)
        counts, _ = np.histogram(values, BIN_COUNT, (low, high))
        found.append(Histogram(name, low, high, counts.tolist()))
    return found


def cluster_sizes(clusters: Sequence[Cluster], noise_count: int) -> list[tuple[int, int]]:
    """(photos in a cluster, clusters of that size), smallest first; noise as clusters of one."""
    counts = Counter(cluster.image_count for cluster in clusters)
    if noise_count:
        counts[1] += noise_count
    return sorted(counts.items())
