"""Photos to scenes: HDBSCAN or DBSCAN on embeddings, bounded by a scene distance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import hdbscan
import numpy as np
from numpy.typing import NDArray
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.sparse.csgraph import connected_components
from scipy.spatial.distance import squareform
from sklearn.cluster import DBSCAN

NOISE = -1

Embeddings = NDArray[np.float32]
Labels = NDArray[np.int64]
Distances = NDArray[np.float64]

_ROW_BLOCK = 1024


@dataclass(frozen=True, slots=True)
class ClusterParameters:
    """Parameters of `cluster_scenes`, named as HDBSCAN and DBSCAN name them.

    Attributes:
        method: Which algorithm.
        metric: "cosine" distance, or "euclidean" on the unit vectors.
        min_cluster_size: Fewest photos of a cluster (HDBSCAN).
        min_samples: Neighbours that make a photo a core point (HDBSCAN).
        cluster_selection_epsilon: Clusters closer than this are not split (HDBSCAN).
        cluster_selection_method: "eom" or "leaf" (HDBSCAN).
        scene_distance: Photos farther apart are never in one cluster (HDBSCAN); None = no bound.
        dbscan_eps: Neighbourhood radius (DBSCAN).
        dbscan_min_samples: Neighbours, itself counted, that make a core point (DBSCAN).
    """

    method: Literal["hdbscan", "dbscan"]
    metric: Literal["cosine", "euclidean"]
    min_cluster_size: int
    min_samples: int
    cluster_selection_epsilon: float
    cluster_selection_method: Literal["eom", "leaf"]
    scene_distance: float | None
    dbscan_eps: float
    dbscan_min_samples: int


def cluster_scenes(embeddings: Embeddings, parameters: ClusterParameters) -> Labels:
    """Groups photos of one scene.

    Without `scene_distance`, the labels are those of `hdbscan.HDBSCAN` itself. With it, photos are
    first parted so that no part holds two photos farther apart than `scene_distance` (complete
    linkage: a walk through a street, each shot near the next, does not end in one scene); HDBSCAN
    then works within each part, where the whole part may be one scene; and last, photos of a part
    within `cluster_selection_epsilon` of each other are joined whatever HDBSCAN says, because a
    pair of photos has no density of its own.

    Args:
        embeddings: float32, (n, d), rows of unit length.
        parameters: See `ClusterParameters`; distances in the metric's unit.

    Returns:
        int64, (n,): clusters numbered from 0 by their first photo, -1 = noise. Empty for no photos;
        all noise for fewer than `min_cluster_size`.

    Source: Campello, Moulavi and Sander (2013); epsilon by Malzer and Baum (2020).
    """
    if len(embeddings) == 0:
        return np.empty(0, np.int64)
    if parameters.method == "dbscan":
        return _renumbered(_dbscan(embeddings, parameters))
    if parameters.scene_distance is None:
        return _renumbered(_hdbscan(embeddings, parameters))
    return _renumbered(_bounded_hdbscan(embeddings, parameters, parameters.scene_distance))


def pairwise_distances(embeddings: Embeddings, metric: str) -> Distances:
    """Distances between unit vectors: float64, (n, n), zero diagonal, exactly symmetric.

    Works in blocks of rows: some BLAS builds crash on a large product with its own transpose.
    """
    vectors = embeddings.astype(np.float64)
    similarity = np.vstack(
        [
            vectors[start : start + _ROW_BLOCK] @ vectors.T
            for start in range(0, len(vectors), _ROW_BLOCK)
        ]
    )
    similarity = np.minimum((similarity + similarity.T) / 2, 1.0)
    distances = 1.0 - similarity if metric == "cosine" else np.sqrt(2.0 - 2.0 * similarity)
    np.fill_diagonal(distances, 0.0)
    return np.asarray(distances, np.float64)


def _hdbscan(embeddings: Embeddings, parameters: ClusterParameters) -> Labels:
    if len(embeddings) < max(2, parameters.min_cluster_size):
        return np.full(len(embeddings), NOISE, np.int64)
    algorithm = "generic" if parameters.metric == "cosine" else "best"
    return _fit(
        embeddings.astype(np.float64),
        parameters,
        metric=parameters.metric,
        algorithm=algorithm,
        allow_single_cluster=False,
    )


def _fit(points: NDArray[np.float64], parameters: ClusterParameters, **options: Any) -> Labels:  # noqa: ANN401
    model = hdbscan.HDBSCAN(
        min_cluster_size=parameters.min_cluster_size,
        min_samples=parameters.min_samples,
        cluster_selection_epsilon=parameters.cluster_selection_epsilon,
        cluster_selection_method=parameters.cluster_selection_method,
        **options,
    )
    return np.asarray(model.fit(points).labels_, np.int64)


def _dbscan(embeddings: Embeddings, parameters: ClusterParameters) -> Labels:
    model = DBSCAN(
        eps=parameters.dbscan_eps,
        min_samples=parameters.dbscan_min_samples,
        metric="precomputed",
    )
    distances = pairwise_distances(embeddings, parameters.metric)
    return np.asarray(model.fit(distances).labels_, np.int64)


def _bounded_hdbscan(
    embeddings: Embeddings, parameters: ClusterParameters, scene_distance: float
) -> Labels:
    distances = pairwise_distances(embeddings, parameters.metric)
    labels = np.full(len(embeddings), NOISE, np.int64)
    next_label = 0
    for members in _bounded_groups(distances, scene_distance):
        if len(members) < max(2, parameters.min_cluster_size):
            continue
        part = distances[np.ix_(members, members)]
        local = _join_close(_fit_part(part, parameters), part, parameters)
        labels[members] = np.where(local == NOISE, NOISE, local + next_label)
        next_label += int(local.max()) + 1
    return labels


def _fit_part(part: Distances, parameters: ClusterParameters) -> Labels:
    if len(part) == 2:  # no density to speak of: the pair is a scene by its distance alone
        return np.zeros(2, np.int64)
    return _fit(part, parameters, metric="precomputed", allow_single_cluster=True)


def _join_close(labels: Labels, part: Distances, parameters: ClusterParameters) -> Labels:
    """Merges what lies within `cluster_selection_epsilon`, noise included."""
    joined = labels.copy()
    for members in _linked_groups(part, parameters.cluster_selection_epsilon):
        if len(members) < parameters.min_cluster_size:
            continue
        touched = {int(label) for label in joined[members]} - {NOISE}
        target = min(touched) if touched else int(joined.max()) + 1
        joined[np.isin(joined, list(touched))] = target
        joined[members] = target
    return joined


def _bounded_groups(distances: Distances, diameter: float) -> list[NDArray[np.intp]]:
    """Complete linkage at `diameter`, within each single-linkage group: it never crosses those."""
    groups = []
    for linked in _linked_groups(distances, diameter):
        if len(linked) == 1:
            groups.append(linked)
            continue
        part = squareform(distances[np.ix_(linked, linked)], checks=False)
        labels = fcluster(linkage(part, "complete"), diameter, "distance")
        groups += [linked[labels == label] for label in np.unique(labels)]
    return groups


def _linked_groups(distances: Distances, radius: float) -> list[NDArray[np.intp]]:
    """Single linkage at `radius`: index groups, each ascending, ordered by first member."""
    count, component = connected_components(distances <= radius, directed=False)
    return [np.flatnonzero(component == index) for index in range(count)]


def _renumbered(labels: Labels) -> Labels:
    """Numbers clusters by their first photo."""
    renumbered = np.full_like(labels, NOISE)
    clusters = labels[labels != NOISE]
    for number, label in enumerate(dict.fromkeys(clusters.tolist())):
        renumbered[labels == label] = number
    return renumbered
