"""Clusters photos into scenes: HDBSCAN or DBSCAN on embeddings, limited by a scene distance.

Memory grows with the number of photos and of near pairs, not with the square of the number of
photos: beyond `DENSE_COUNT` photos, no matrix of all distances is built, and beyond
`MAX_PAIR_COUNT` near pairs, pairs are streamed instead of listed (see `crowds`).

scikit-learn and the whole of hdbscan take two seconds to load, so only the functions that need them
import them.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial.distance import squareform

from orchestrator.domain.moments.capture_time import Captures, parts_by_time
from orchestrator.domain.moments.complete_linkage import complete_linkage
from orchestrator.domain.moments.crowds import BLOCK_COUNT, crowd_groups
from orchestrator.domain.moments.dbscan import dbscan_of_crowd
from orchestrator.domain.moments.distances import DistanceTerm, Rows, components
from orchestrator.domain.moments.hdbscan_steps import (
    HAS_HDBSCAN,
    link_by_distances,
    select_clusters,
)
from orchestrator.domain.moments.metric import from_cosine_distance, to_cosine_distance
from orchestrator.domain.moments.parameters import NOISE, ClusterParameters
from orchestrator.domain.moments.spanning_tree import spanning_tree
from orchestrator.domain.moments.time_term import time_term
from orchestrator.domain.moments.view_term import CountFeatures, with_views

DENSE_COUNT = 3072
"""Maximum number of photos whose distances are kept in a matrix, which takes 72 MiB and is copied a
few times by hdbscan."""
MAX_PAIR_COUNT = 2**22
"""Maximum number of near pairs listed at a time: up to 1 GiB with the arrays derived from them. A
single moment of 2,897 photos reaches this number."""
DENSE_PAIR_COUNT = 200_000
DENSE_CELLS_PER_PAIR = 10
"""Linked photos with more than DENSE_PAIR_COUNT pairs are grouped from their distance matrix if it
has fewer than DENSE_CELLS_PER_PAIR cells per pair: a pair takes 250 bytes, and a matrix cell with
its copies takes 28."""

logger = logging.getLogger(__name__)

Embeddings = NDArray[np.float32]
Labels = NDArray[np.int64]
Distances = NDArray[np.float64]
Note = Callable[[str], object]
"""Receives a sentence about how a run's moments were found."""

_ROW_BLOCK = 1024


def cluster_scenes(
    embeddings: Embeddings,
    parameters: ClusterParameters,
    captures: Captures | None = None,
    note: Note = logger.warning,
    count_features: CountFeatures | None = None,
) -> Labels:
    """Groups photos into scenes.

    Without `scene_distance` and without a weight for capture time, the labels are those of
    `hdbscan.HDBSCAN` itself. With `scene_distance`, photos are first split by complete linkage into
    parts in which no two photos are farther apart than that; otherwise, a walk along a street, with
    each shot near the next, would become one scene. HDBSCAN then runs within each part, and the
    whole part may be one scene. Finally, photos in a part within `cluster_selection_epsilon` of
    each other are joined regardless of HDBSCAN, because a pair of photos has no density.

    Args:
        embeddings: float32, (n, d), rows of unit length.
        parameters: See `ClusterParameters`; distances are in the metric's unit.
        captures: Captures of the n photos, which add to the distances (see `time_term`) and split
            albums above `max_joint_count`. None = all unknown.
        note: Receives a note about each deviation caused by too many photos.
        count_features: Counts the common features of pairs of rows, which add to the distances (see
            `view_term`). None = they are not used.

    Returns:
        int64, (n,): clusters numbered from 0 by their first photo, -1 = noise. Empty if there are
        no photos; all noise if there are fewer than `min_cluster_size`.

    Source: Campello, Moulavi and Sander (2013); epsilon by Malzer and Baum (2020).
    """
    if len(embeddings) == 0:
        return np.empty(0, np.int64)
    limit = parameters.max_joint_count
    if limit is not None and len(embeddings) > limit:
        return _renumber(
            _cluster_by_parts(embeddings, parameters, limit, captures, note, count_features)
        )
    term: DistanceTerm | None = time_term(captures, parameters.capture_time.weight)
    if count_features is not None:
        term = with_views(embeddings, term, parameters, count_features)
    if term is None:
        return _renumber(_cluster(_Shots(embeddings, None), parameters, note))
    order = term.order()
    labels = np.empty(len(embeddings), np.int64)
    labels[order] = _cluster(_Shots(embeddings, term).take(order), parameters, note)
    return _renumber(labels)


@dataclass(frozen=True, slots=True, eq=False)
class _Shots:
    """Photos to be clustered.

    Attributes:
        embeddings: float32, (n, d), rows of unit length.
        term: Contribution of capture time and common features to their distances; None if there is
            none.
    """

    embeddings: Embeddings
    term: DistanceTerm | None

    def __len__(self) -> int:
        return len(self.embeddings)

    def take(self, rows: NDArray[np.intp]) -> _Shots:
        return _Shots(self.embeddings[rows], None if self.term is None else self.term.take(rows))

    def rows(self) -> Rows:
        return Rows(self.embeddings, term=self.term)

    def distances(self, metric: str) -> Distances:
        return pairwise_distances(self.embeddings, metric, self.term)


def _cluster(shots: _Shots, parameters: ClusterParameters, note: Note) -> Labels:
    if parameters.method == "dbscan":
        return _dbscan(shots, parameters)
    if parameters.scene_distance is None:
        return _hdbscan(shots, parameters)
    return _run_bounded_hdbscan(shots, parameters, parameters.scene_distance, note)


def _cluster_by_parts(
    embeddings: Embeddings,
    parameters: ClusterParameters,
    max_count: int,
    captures: Captures | None,
    note: Note,
    count_features: CountFeatures | None,
) -> Labels:
    """Clusters each part separately."""
    if captures is None:
        captures = Captures(np.full(len(embeddings), np.nan), [""] * len(embeddings))
    labels = np.full(len(embeddings), NOISE, np.int64)
    parts = parts_by_time(captures.seconds, max_count)
    note(
        f"{len(embeddings):,} photos are too many to group at once "
        f"(cluster_scenes.max_joint_count is {max_count:,}): they were split into {len(parts)} "
        f"parts by capture time, and no moment spans two parts."
    )
    for part in parts:
        members = np.sort(part)
        local = cluster_scenes(
            embeddings[members],
            parameters,
            captures.take(members),
            note,
            _of_members(members, count_features),
        )
        labels[members] = np.where(local == NOISE, NOISE, local + labels.max() + 1)
    return labels


def _of_members(
    members: NDArray[np.intp], count_features: CountFeatures | None
) -> CountFeatures | None:
    """Returns a function that counts the common features of pairs of positions in `members`."""
    if count_features is None:
        return None
    rows = members.tolist()
    return lambda pairs: count_features([(rows[one], rows[other]) for one, other in pairs])


def pairwise_distances(
    embeddings: Embeddings, metric: str, term: DistanceTerm | None = None
) -> Distances:
    """Computes distances between photos: float64, (n, n), zero diagonal, exactly symmetric.

    Works in blocks of rows: some BLAS builds crash when they multiply a large matrix by its own
    transpose.
    """
    vectors = embeddings.astype(np.float64)
    similarity = np.vstack(
        [
            vectors[start : start + _ROW_BLOCK] @ vectors.T
            for start in range(0, len(vectors), _ROW_BLOCK)
        ]
    )
    similarity = np.minimum((similarity + similarity.T) / 2, 1.0)
    cosine = 1.0 - similarity
    if term is not None:
        own = np.arange(len(vectors))
        cosine = np.maximum(cosine + term.of_pairs(own[:, np.newaxis], own), 0.0)
    distances = from_cosine_distance(cosine, metric)
    np.fill_diagonal(distances, 0.0)
    return np.asarray(distances, np.float64)


def _hdbscan(shots: _Shots, parameters: ClusterParameters) -> Labels:
    if len(shots) < max(2, parameters.min_cluster_size):
        return np.full(len(shots), NOISE, np.int64)
    is_cosine = parameters.metric == "cosine"
    if len(shots) > DENSE_COUNT and (is_cosine or shots.term is not None or not HAS_HDBSCAN):
        return select_clusters(_spanning_tree(shots, parameters), parameters)
    if shots.term is not None or not HAS_HDBSCAN:
        tree = link_by_distances(shots.distances(parameters.metric), parameters.min_samples)
        return select_clusters(tree, parameters)
    import hdbscan

    model = hdbscan.HDBSCAN(
        min_cluster_size=parameters.min_cluster_size,
        min_samples=parameters.min_samples,
        cluster_selection_epsilon=parameters.cluster_selection_epsilon,
        cluster_selection_method=parameters.cluster_selection_method,
        metric=parameters.metric,
        algorithm="generic" if parameters.metric == "cosine" else "best",
        allow_single_cluster=False,
    )
    return np.asarray(model.fit(shots.embeddings.astype(np.float64)).labels_, np.int64)


def _spanning_tree(shots: _Shots, parameters: ClusterParameters) -> Distances:
    """Builds the tree; both metrics give the same tree except for the lengths of its edges."""
    tree = spanning_tree(shots.rows(), parameters.min_samples)
    tree[:, 2] = from_cosine_distance(tree[:, 2], parameters.metric)
    return tree


def _dbscan(shots: _Shots, parameters: ClusterParameters) -> Labels:
    from sklearn.cluster import DBSCAN

    model = DBSCAN(
        eps=parameters.dbscan.eps,
        min_samples=parameters.dbscan.min_samples,
        metric="precomputed",
    )
    if len(shots) > DENSE_COUNT:
        rows = shots.rows()
        radius = to_cosine_distance(parameters.dbscan.eps, parameters.metric)
        near = _near(rows, parameters, radius)
        if near is None:
            return dbscan_of_crowd(rows, radius, parameters.dbscan.min_samples)
        return np.asarray(model.fit(near).labels_, np.int64)
    return np.asarray(model.fit(shots.distances(parameters.metric)).labels_, np.int64)


def _near(rows: Rows, parameters: ClusterParameters, radius: float) -> csr_matrix | None:
    """Finds distances up to a cosine `radius`, in the metric's unit: symmetric, zero diagonal.

    None if there are more than `MAX_PAIR_COUNT`.
    """
    found = rows.pairs_within(radius, MAX_PAIR_COUNT)
    if found is None:
        return None
    low, high, cosine = found
    distance = from_cosine_distance(cosine, parameters.metric)
    own = np.arange(len(rows))
    values = np.concatenate([np.zeros(len(rows)), distance, distance])
    places = np.concatenate([own, low, high]), np.concatenate([own, high, low])
    return csr_matrix((values, places), (len(rows), len(rows)))


def _run_bounded_hdbscan(
    shots: _Shots, parameters: ClusterParameters, scene_distance: float, note: Note
) -> Labels:
    labels = np.full(len(shots), NOISE, np.int64)
    next_label = 0
    for members in _find_bounded_groups(shots, parameters.metric, scene_distance, note):
        if len(members) < max(2, parameters.min_cluster_size):
            continue
        local = _labels_of_part(shots.take(members), parameters)
        labels[members] = np.where(local == NOISE, NOISE, local + next_label)
        next_label += int(local.max()) + 1
    return labels


def _labels_of_part(shots: _Shots, parameters: ClusterParameters) -> Labels:
    """Runs HDBSCAN, which may find a single scene, then joins photos within epsilon."""
    if len(shots) <= DENSE_COUNT:
        part = shots.distances(parameters.metric)
        linked = _find_linked_groups(part, parameters.cluster_selection_epsilon)
        return _join_close(_fit_part(part, parameters), linked, parameters)
    epsilon = to_cosine_distance(parameters.cluster_selection_epsilon, parameters.metric)
    component = shots.rows().components_within(epsilon)
    if not component.any():  # all will be joined, regardless of HDBSCAN
        return np.zeros(len(shots), np.int64)
    tree = _spanning_tree(shots, parameters)
    order = np.argsort(component, kind="stable")
    linked = np.split(order, np.flatnonzero(np.diff(component[order])) + 1)
    return _join_close(
        select_clusters(tree, parameters, allow_single_cluster=True), linked, parameters
    )


def _fit_part(part: Distances, parameters: ClusterParameters) -> Labels:
    if len(part) == 2:  # a pair has no meaningful density, so its distance alone makes it a scene
        return np.zeros(2, np.int64)
    tree = link_by_distances(part, parameters.min_samples)
    return select_clusters(tree, parameters, allow_single_cluster=True)


def _join_close(
    labels: Labels, linked: Sequence[NDArray[np.intp]], parameters: ClusterParameters
) -> Labels:
    """Merges each group of photos within `cluster_selection_epsilon`, noise included."""
    joined = labels.copy()
    for members in linked:
        if len(members) < parameters.min_cluster_size:
            continue
        touched = {int(label) for label in joined[members]} - {NOISE}
        target = min(touched) if touched else int(joined.max()) + 1
        joined[np.isin(joined, list(touched))] = target
        joined[members] = target
    return joined


def _find_bounded_groups(
    shots: _Shots, metric: str, diameter: float, note: Note
) -> list[NDArray[np.intp]]:
    """Groups by complete linkage: no two members of a group are more than `diameter` apart."""
    group = _link_completely(shots, metric, diameter)
    if group is None:  # one component at a time: complete linkage never joins two of them
        group = np.arange(len(shots))
        component = shots.rows().components_within(to_cosine_distance(diameter, metric))
        for linked in _groups_of(component):
            if len(linked) > 1:
                local = _link_completely(shots.take(linked), metric, diameter)
                if local is None:
                    local = _crowd_groups(shots.take(linked), metric, diameter, note)
                group[linked] = linked[local]
    return _groups_of(group)


def _crowd_groups(shots: _Shots, metric: str, diameter: float, note: Note) -> NDArray[np.intp]:
    note(
        f"{len(shots):,} photos look so alike that they form too many pairs to be grouped all "
        f"at once. They were grouped in blocks of {BLOCK_COUNT:,}, and the groups were then "
        f"joined. No two photos in a group are farther apart than the scene distance "
        f"({diameter:g}), but moments may be split differently than in a smaller album."
    )
    return crowd_groups(shots.rows(), to_cosine_distance(diameter, metric), MAX_PAIR_COUNT)


def _link_completely(shots: _Shots, metric: str, diameter: float) -> NDArray[np.intp] | None:
    """Groups by complete linkage from all near pairs: (n,), each group named after its lowest row.

    None if there are more than `MAX_PAIR_COUNT`.
    """
    found = shots.rows().pairs_within(to_cosine_distance(diameter, metric), MAX_PAIR_COUNT)
    if found is None:
        return None
    first, second, distance = found
    count = len(shots)
    group = np.arange(count)
    is_dense = np.zeros(count, np.bool_)
    for linked in _find_dense_groups(count, first, second):
        part = shots.take(linked).distances(metric)
        local = fcluster(linkage(squareform(part, checks=False), "complete"), diameter, "distance")
        group[linked] = linked[np.unique(local, return_index=True)[1][local - 1]]
        is_dense[linked] = True
    sparse = ~is_dense[first]
    joined = complete_linkage(count, first[sparse], second[sparse], distance[sparse])
    group[~is_dense] = joined[~is_dense]
    return group


def _groups_of(group: NDArray[np.intp]) -> list[NDArray[np.intp]]:
    """Lists the members of each group, ascending; groups are ordered by first member."""
    order = np.argsort(group, kind="stable")
    groups = np.split(order, np.flatnonzero(np.diff(group[order])) + 1)
    return sorted(groups, key=lambda members: int(members[0]))


def _find_dense_groups(
    count: int, first: NDArray[np.intp], second: NDArray[np.intp]
) -> list[NDArray[np.intp]]:
    """Finds linked photos with so many pairs that a matrix takes less memory than listing them."""
    linked = components(count, first, second)
    sizes = np.bincount(linked)
    pairs = np.bincount(linked[first], minlength=len(sizes))
    is_dense = (pairs > DENSE_PAIR_COUNT) & (sizes**2 < DENSE_CELLS_PER_PAIR * pairs)
    return [np.flatnonzero(linked == one) for one in np.flatnonzero(is_dense)]


def _find_linked_groups(distances: Distances, radius: float) -> list[NDArray[np.intp]]:
    """Groups by single linkage at `radius`: ascending indices, ordered by first member."""
    count, component = connected_components(distances <= radius, directed=False)
    return [np.flatnonzero(component == index) for index in range(count)]


def _renumber(labels: Labels) -> Labels:
    """Numbers clusters by their first photo."""
    renumbered = np.full_like(labels, NOISE)
    is_member = labels != NOISE
    _, begins, number = np.unique(labels[is_member], return_index=True, return_inverse=True)
    renumbered[is_member] = np.argsort(np.argsort(begins))[number]
    return renumbered
