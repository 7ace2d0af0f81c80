"""Tells dark frames of different scenes apart.

The embeddings of nearly black frames are alike whatever they show. What they do show, a few parts
that are lighter than others, is compared by structure.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from orchestrator.domain.moments.frame_sets import SAME_VIEW, WINDOW_COUNT
from orchestrator.domain.moments.labels import labels_of
from orchestrator.domain.moments.parameters import NOISE
from orchestrator.domain.moments.structure import BLACK, Miniatures, Structures
from orchestrator.domain.moments.tiles import components

DARK = 16.0
"""Mean 8-bit level below which a frame is dark: about six stops below a well exposed one."""

Indices = NDArray[np.intp]


def part_dark_frames(
    labels: NDArray[np.int64], miniatures: Miniatures, structures: Structures
) -> NDArray[np.int64]:
    """Splits moments so that a dark frame stays only with photos of its own view.

    A dark frame is compared with those before and after it in the moment. Frames in which nothing
    can be told (a lens cap) stay together.

    Args:
        labels: (n,), NOISE for single shots.
        miniatures: Of the n photos; one without a miniature is not dark.
        structures: Of the same.

    Returns:
        int64, (n,), clusters numbered by their first photo; NOISE for single shots.
    """
    means = miniatures.mean(axis=(1, 2))
    is_dark = means < DARK
    moment = np.where(labels == NOISE, labels.max(initial=-1) + 1 + np.arange(len(labels)), labels)
    if not is_dark.any():
        return labels_of(moment)
    first, second = _pairs_to_check(labels, is_dark)
    is_same = structures.correlations(first, second) >= SAME_VIEW
    is_same |= (means[first] < BLACK) & (means[second] < BLACK)
    light_first, light_second = _light_pairs(labels, is_dark)
    joined = components(
        len(labels),
        np.concatenate([first[is_same], light_first]),
        np.concatenate([second[is_same], light_second]),
    )
    return labels_of(joined)


def _pairs_to_check(
    labels: NDArray[np.int64], is_dark: NDArray[np.bool_]
) -> tuple[Indices, Indices]:
    """Pairs of one moment that follow each other and of which one is dark."""
    order = np.argsort(labels, kind="stable")
    pairs = [np.empty((0, 2), np.intp)]
    for step in range(1, min(WINDOW_COUNT, len(order))):
        one, other = order[:-step], order[step:]
        is_pair = (labels[one] == labels[other]) & (labels[one] != NOISE)
        is_pair &= is_dark[one] | is_dark[other]
        pairs.append(np.stack([one[is_pair], other[is_pair]], axis=1))
    found = np.concatenate(pairs)
    return found[:, 0], found[:, 1]


def _light_pairs(labels: NDArray[np.int64], is_dark: NDArray[np.bool_]) -> tuple[Indices, Indices]:
    """Pairs that hold the other photos of each moment together."""
    light = np.flatnonzero(~is_dark & (labels != NOISE))
    order = light[np.argsort(labels[light], kind="stable")]
    is_same = labels[order[:-1]] == labels[order[1:]]
    return order[:-1][is_same], order[1:][is_same]
