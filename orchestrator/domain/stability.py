"""Keeps an earlier run's moments and picks where nothing that affects them has changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from orchestrator.domain.moments.labels import labels_of
from orchestrator.domain.moments.parameters import NOISE

Labels = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Reference:
    """An earlier run of the album, by content digest.

    Attributes:
        moments: The moment that the algorithm put each photo into, NOISE for single shots; empty
            if moments are not kept.
        picks: Photos that the algorithm picked; empty if picks are not kept.
    """

    moments: Mapping[str, int]
    picks: frozenset[str]


NO_REFERENCE = Reference(MappingProxyType({}), frozenset())


def keep_moments(
    labels: Labels, content_digests: Sequence[str], reference: Mapping[str, int]
) -> Labels:
    """Restores the moments of an earlier run that no added or removed photo has touched.

    Clustering is global: a new photo can move the borders of moments that it has nothing to do
    with. Old and new moments that share photos form a group, which keeps its old moments unless one
    of its photos is new or a photo of one of its old moments is gone.

    Args:
        labels: int64, (n,), the new moments, NOISE for single shots.
        content_digests: (n,).
        reference: Earlier moments by content digest; empty = nothing is restored.

    Returns:
        int64, (n,), moments numbered by their first photos; NOISE for single shots.
    """
    if not reference:
        return labels
    groups = _Groups(len(labels))
    old = [reference.get(digest) for digest in content_digests]
    groups.join_equal([None if label == NOISE else int(label) for label in labels])
    groups.join_equal([None if label == NOISE else label for label in old])
    present = set(content_digests)
    broken = {label for digest, label in reference.items() if digest not in present} - {NOISE}
    copied = {digest for digest, count in Counter(content_digests).items() if count > 1}
    touched = {
        groups.find(row)
        for row, (label, digest) in enumerate(zip(old, content_digests, strict=True))
        # a new file may have the same content, and then a single shot is no longer single
        if label is None or label in broken or (label == NOISE and digest in copied)
    }
    moments = np.where(labels == NOISE, NOISE, labels)
    free = int(labels.max(initial=NOISE)) + 1
    for row, label in enumerate(old):
        if label is not None and groups.find(row) not in touched:
            moments[row] = NOISE if label == NOISE else free + label
    is_single = moments == NOISE
    moments[is_single] = moments.max(initial=NOISE) + 1 + np.arange(int(is_single.sum()))
    return labels_of(moments)


class _Groups:
    """Groups of rows that are joined, directly or through others."""

    def __init__(self, count: int) -> None:
        self._parents = list(range(count))

    def find(self, row: int) -> int:
        while self._parents[row] != row:
            self._parents[row] = self._parents[self._parents[row]]
            row = self._parents[row]
        return row

    def join_equal(self, values: Sequence[int | None]) -> None:
        """Joins the rows with equal values; None equals nothing."""
        first: dict[int, int] = {}
        for row, value in enumerate(values):
            if value is not None:
                self._parents[self.find(row)] = self.find(first.setdefault(value, row))
