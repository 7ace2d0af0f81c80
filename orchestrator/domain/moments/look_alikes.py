"""Separates photos whose embeddings are similar regardless of what they show.

One kind is nearly black frames, whose few lighter parts are compared by structure. Another is pages
of text: the embedding only shows that they are pages, but the structure shows where their lines,
headings and pictures are.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from orchestrator.domain.moments.distances import components
from orchestrator.domain.moments.frame_sets import SAME_VIEW, WINDOW_COUNT
from orchestrator.domain.moments.labels import labels_of
from orchestrator.domain.moments.parameters import NOISE
from orchestrator.domain.moments.structure import BLACK, Miniatures, Structures

DARK = 16.0
"""Mean 8-bit level below which a frame is dark: about six stops below a well-exposed one."""

Indices = NDArray[np.intp]
Mask = NDArray[np.bool_]


def dark_frames(miniatures: Miniatures) -> Mask:
    """Marks photos that are nearly black: (n,); photos without a miniature are not marked."""
    return np.asarray(miniatures.mean(axis=(1, 2)) < DARK)


def split_look_alikes(
    labels: NDArray[np.int64], is_doubtful: Mask, miniatures: Miniatures, structures: Structures
) -> NDArray[np.int64]:
    """Splits moments so that a doubtful photo stays only with photos of the same view.

    Each is compared with the nearest photos before and after it in the moment. Frames without any
    content (a lens cap) stay together, and so do the photos in a moment that are not doubtful.

    Args:
        labels: (n,), NOISE for single shots.
        is_doubtful: (n,), True for photos whose embedding says little about their content.
        miniatures: Miniatures of the n photos; photos without one are never split.
        structures: Structures of the same photos.

    Returns:
        int64, (n,), clusters numbered by their first photo; NOISE for single shots.
    """
    means = miniatures.mean(axis=(1, 2))
    moment = np.where(labels == NOISE, labels.max(initial=-1) + 1 + np.arange(len(labels)), labels)
    if not is_doubtful.any():
        return labels_of(moment)
    first, second = _pairs_to_check(labels, is_doubtful)
    is_same = structures.correlations(first, second) >= SAME_VIEW
    is_same |= (means[first] < BLACK) & (means[second] < BLACK)
    is_same |= np.isnan(means[first]) | np.isnan(means[second])
    sure_first, sure_second = _sure_pairs(labels, is_doubtful)
    joined = components(
        len(labels),
        np.concatenate([first[is_same], sure_first]),
        np.concatenate([second[is_same], sure_second]),
    )
    return labels_of(joined)


def _pairs_to_check(labels: NDArray[np.int64], is_doubtful: Mask) -> tuple[Indices, Indices]:
    """Finds pairs of neighbouring photos in a moment of which at least one is doubtful."""
    order = np.argsort(labels, kind="stable")
    pairs = [np.empty((0, 2), np.intp)]
    for step in range(1, min(WINDOW_COUNT, len(order))):
        one, other = order[:-step], order[step:]
        is_pair = (labels[one] == labels[other]) & (labels[one] != NOISE)
        is_pair &= is_doubtful[one] | is_doubtful[other]
        pairs.append(np.stack([one[is_pair], other[is_pair]], axis=1))
    found = np.concatenate(pairs)
    return found[:, 0], found[:, 1]


def _sure_pairs(labels: NDArray[np.int64], is_doubtful: Mask) -> tuple[Indices, Indices]:
    """Returns pairs that keep the other photos of each moment together."""
    sure = np.flatnonzero(~is_doubtful & (labels != NOISE))
    order = sure[np.argsort(labels[sure], kind="stable")]
    is_same = labels[order[:-1]] == labels[order[1:]]
    return order[:-1][is_same], order[1:][is_same]
