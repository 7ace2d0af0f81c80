"""Common local features as soft evidence: what they add to two photos' distance.

An embedding captures what kind of place a photo shows, so two shelves or two forests look alike to
it. Local features show whether it is the same place: two views of one scene have features in a
consistent geometry, and views of two similar scenes rarely do (spatial verification, Philbin et al.
2007). The term falls with the logarithm of the number of common features:

    weight * clip(log10(12 / common features), log10(12 / 50), log10(12 / 4))

A small number of common features counts only if both photos have many features: plain, blurred or
out-of-focus photos have nothing to share. Moving people and a large change of viewpoint also leave
few common features in one scene, so the term is small compared with the scene distance. The
constants and the weight did best on eight labelled albums: `album` and `temple`, which
`make accuracy` also evaluates, and six others; `trip` was left out.

Only doubtful pairs are compared: those that the term could move across the scene distance or
`cluster_selection_epsilon`. Of these, the nearest are compared, at most `PAIRS_PER_PHOTO` per photo
on average.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from orchestrator.domain.moments.distances import DistanceTerm, Rows
from orchestrator.domain.moments.metric import to_cosine_distance
from orchestrator.domain.moments.parameters import ClusterParameters

NEUTRAL_COUNT = 12
"""Number of common features at which the term is 0."""
FEWEST, MOST = 4, 50
"""Numbers of common features beyond which the term does not change."""
LOWEST, HIGHEST = math.log10(NEUTRAL_COUNT / MOST), math.log10(NEUTRAL_COUNT / FEWEST)
"""Range of the term, as multiples of the weight."""
PAIRS_PER_PHOTO = 4
MAX_NEAR_COUNT = 2**22
"""Maximum number of near pairs to search for doubtful ones; they take up to 0.1 GiB. If there are
more, no pairs are compared."""

Indices = NDArray[np.intp]
Doubles = NDArray[np.float64]
Singles = NDArray[np.float32]
CountFeatures = Callable[[Sequence[tuple[int, int]]], Sequence[int | None]]
"""Counts the common features of pairs of rows; None if the count says nothing."""


@dataclass(frozen=True, slots=True, eq=False)
class ViewTerm:
    """What common features add to the cosine distances between photos.

    Attributes:
        count: Number of photos.
        keys: int64, ascending: row * count + column, for each pair in both orders.
        values: float64, the term of each key; it is 0 for all other pairs.
    """

    count: int
    keys: NDArray[np.int64]
    values: Doubles

    @staticmethod
    def of(count: int, first: Indices, second: Indices, values: Doubles) -> ViewTerm:
        """Creates the term from pairs, each given once."""
        keys = np.concatenate([first * count + second, second * count + first]).astype(np.int64)
        order = np.argsort(keys)
        return ViewTerm(count, keys[order], np.concatenate([values, values])[order])

    def take(self, rows: Indices) -> ViewTerm:
        """Returns the term of some photos, in the given order."""
        place = np.full(self.count, -1, np.intp)
        place[rows] = np.arange(len(rows))
        first, second = (place[side] for side in np.divmod(self.keys, self.count))
        is_kept = (first >= 0) & (second > first)  # each pair once
        return ViewTerm.of(len(rows), first[is_kept], second[is_kept], self.values[is_kept])

    def of_pairs(self, first: Indices, second: Indices) -> Doubles:
        """Returns the term of pairs of photos; the two arrays are broadcast."""
        pair_keys = np.asarray(first, np.int64) * self.count + second
        if len(self.keys) == 0:
            return np.zeros(pair_keys.shape)
        place = np.minimum(np.searchsorted(self.keys, pair_keys), len(self.keys) - 1)
        return np.where(self.keys[place] == pair_keys, self.values[place], 0.0)

    def lower(self, similarity: Singles, rows: slice, columns: slice) -> None:
        """Lowers similarities by the term, in place; none is above 1 afterwards."""
        bounds = [rows.start * self.count, rows.stop * self.count]
        start, stop = np.searchsorted(self.keys, bounds)
        row, column = np.divmod(self.keys[start:stop], self.count)
        is_inside = (column >= columns.start) & (column < columns.stop)
        place = row[is_inside] - rows.start, column[is_inside] - columns.start
        lowered = similarity[place] - self.values[start:stop][is_inside].astype(np.float32)
        similarity[place] = np.minimum(lowered, np.float32(1.0))


@dataclass(frozen=True, slots=True, eq=False)
class JointTerm:
    """What capture time and common features together add to the cosine distances.

    Pairs that capture time brings to a distance of 0 have no term for common features, so the two
    can be added one after the other.
    """

    time: DistanceTerm | None
    views: ViewTerm

    def take(self, rows: Indices) -> JointTerm:
        """Returns the term of some photos, in the given order."""
        return JointTerm(None if self.time is None else self.time.take(rows), self.views.take(rows))

    @property
    def tolerance(self) -> float:
        """Bound on the error of `lower`."""
        return 2.0**-22 + (0.0 if self.time is None else self.time.tolerance)

    def order(self) -> Indices:
        """Orders photos so that shots of one moment are close together."""
        return np.arange(self.views.count) if self.time is None else self.time.order()

    def of_pairs(self, first: Indices, second: Indices) -> Doubles:
        """Returns the term of pairs of photos; the two arrays are broadcast."""
        views = self.views.of_pairs(first, second)
        return views if self.time is None else views + self.time.of_pairs(first, second)

    def lower(self, similarity: Singles, rows: slice, columns: slice) -> None:
        """Lowers similarities by the term, in place; none is above 1 afterwards."""
        if self.time is not None:
            self.time.lower(similarity, rows, columns)
        self.views.lower(similarity, rows, columns)


def with_views(
    embeddings: Singles,
    time: DistanceTerm | None,
    parameters: ClusterParameters,
    count_features: CountFeatures,
) -> DistanceTerm | None:
    """Adds the term for common features to the term for capture time.

    Args:
        embeddings: float32, (n, d), unit rows.
        time: The term for capture time; None if it is 0 for all pairs.
        parameters: The parameters in force.
        count_features: Counts the common features of pairs.
    """
    bounds = doubtful_distances(parameters)
    if bounds is None:
        return time
    near = Rows(embeddings, term=time).pairs_within(bounds[1], MAX_NEAR_COUNT)
    if near is None:
        return time
    first, second, distance = near
    chosen = np.flatnonzero(distance > bounds[0])
    chosen = chosen[np.argsort(distance[chosen], kind="stable")]
    chosen = np.sort(chosen[: PAIRS_PER_PHOTO * len(embeddings)])
    views = view_term(len(embeddings), first[chosen], second[chosen], parameters, count_features)
    return JointTerm(time, views) if len(views.keys) else time


def view_term(
    count: int,
    first: Indices,
    second: Indices,
    parameters: ClusterParameters,
    count_features: CountFeatures,
) -> ViewTerm:
    """Counts the common features of pairs, and returns the resulting term."""
    counts = count_features(list(zip(first.tolist(), second.tolist(), strict=True)))
    is_known = np.array([one is not None for one in counts], np.bool_)
    known = np.array([one for one in counts if one is not None], np.float64)
    values = -parameters.view_weight * np.log10(np.clip(known, FEWEST, MOST) / NEUTRAL_COUNT)
    return ViewTerm.of(count, first[is_known], second[is_known], values)


def doubtful_distances(parameters: ClusterParameters) -> tuple[float, float] | None:
    """Returns the cosine distances between which common features count; None if they never do.

    The lower bound is exclusive.
    """
    weight, scene_distance = parameters.view_weight, parameters.scene_distance
    if weight == 0.0 or scene_distance is None or parameters.method != "hdbscan":
        return None
    epsilon = min(parameters.cluster_selection_epsilon, scene_distance)
    low = to_cosine_distance(epsilon, parameters.metric) - weight * HIGHEST
    high = to_cosine_distance(scene_distance, parameters.metric) - weight * LOWEST
    return max(low, 0.0), high
