"""Photo counts and score distributions of a run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from orchestrator.records import Cluster
from orchestrator.scores import SCORES

BIN_COUNT = 20
_RANGES = {score.name: (score.minimum, score.maximum) for score in SCORES}


@dataclass(frozen=True)
class Histogram:
    """Distribution of a score; the fields are those in orchestrator.proto."""

    score: str
    minimum: float
    maximum: float
    counts: list[int]


def histograms(scores: Mapping[str, Sequence[float]]) -> list[Histogram]:
    """Bins every score that has values, over its range, which is extended to fit all values."""
    found = []
    for name, values in scores.items():
        if not values:
            continue
        declared_low, declared_high = _RANGES[name]
        low = min(0.0 if declared_low is None else declared_low, *values)
        high = max(1.0 if declared_high is None else declared_high, *values)
        counts, _ = np.histogram(values, BIN_COUNT, (low, high))
        found.append(Histogram(name, low, high, counts.tolist()))
    return found


def cluster_sizes(clusters: Sequence[Cluster], noise_count: int) -> list[tuple[int, int]]:
    """Lists (photos per cluster, cluster count), smallest first; each noise photo is a cluster."""
    counts = Counter(cluster.image_count for cluster in clusters)
    if noise_count:
        counts[1] += noise_count
    return sorted(counts.items())
