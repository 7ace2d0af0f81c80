"""Complete linkage up to a diameter, on the pairs that are no farther apart than that.

Two groups with a missing pair are farther apart than the diameter and are never joined, so the
missing distances are not needed, and neither is a full matrix.
"""

from __future__ import annotations

import heapq

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.intp]


def complete_linkage(
    count: int, first: Indices, second: Indices, distance: NDArray[np.float64]
) -> Indices:
    """Groups items so that all pairs of a group are among the given ones.

    The two groups whose farthest members are closest are joined first; ties go to the pair with the
    lowest first group, then to the lowest second group, each named after its lowest item.

    Args:
        count: Number of items.
        first: One item of each pair; no pair occurs twice.
        second: The other item of each pair.
        distance: The distance of each pair.

    Returns:
        (count,): group of each item, named after its lowest item.
    """
    farthest: list[dict[int, float]] = [{} for _ in range(count)]
    for one, other, apart in zip(first.tolist(), second.tolist(), distance.tolist(), strict=True):
        farthest[one][other] = farthest[other][one] = apart
    queue = [
        (apart, one, other)
        for one, others in enumerate(farthest)
        for other, apart in others.items()
        if one < other
    ]
    heapq.heapify(queue)
    group = np.arange(count)
    while queue:
        apart, one, other = heapq.heappop(queue)
        if farthest[one].get(other) != apart:  # one of them has been joined since
            continue
        _join(farthest, one, other, queue)
        group[other] = one
    for item in range(count):  # ascending, so the group of a lower item is already final
        group[item] = group[group[item]]
    return group


def _join(
    farthest: list[dict[int, float]],
    one: int,
    other: int,
    queue: list[tuple[float, int, int]],
) -> None:
    """Merges group `other` into `one`, which is lower; only groups near both remain near it."""
    near, near_other = farthest[one], farthest[other]
    joined: dict[int, float] = {}
    for third in near:
        if third in (one, other):
            continue
        del farthest[third][one]
        if third in near_other:
            joined[third] = max(near[third], near_other[third])
    for third in near_other:
        if third != one:
            del farthest[third][other]
    for third, apart in joined.items():
        farthest[third][one] = apart
        heapq.heappush(queue, (apart, min(one, third), max(one, third)))
    farthest[one], farthest[other] = joined, {}
