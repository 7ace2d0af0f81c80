"""Corrects moments by limits on capture time."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components

from orchestrator.domain.moments.capture_time import Captures
from orchestrator.domain.moments.distances import Rows, Tile
from orchestrator.domain.moments.labels import labels_of
from orchestrator.domain.moments.metric import from_cosine_distance
from orchestrator.domain.moments.parameters import NOISE, CaptureTimeParameters

Labels = NDArray[np.int64]
BLOCK_COUNT = 512
"""Photos per side of a matrix of distances."""


def with_time_evidence(
    labels: Labels,
    embeddings: NDArray[np.float32],
    captures: Captures,
    parameters: CaptureTimeParameters,
    metric: str,
) -> Labels:
    """Splits and joins moments by the capture times of their photos.

    First, a moment is split at every pause of more than `separate_hours`. Parts stay together if
    two of their photos are within `separate_distance`, and a photo of unknown time stays with the
    part that contains the photo nearest to it. Then photos that one camera took within
    `burst_seconds` of each other are joined, along with their moments, if they are within
    `burst_distance`.

    Args:
        labels: (n,), assigned by the algorithm; NOISE for single shots.
        embeddings: float32, (n, d), unit rows.
        captures: Captures of the n photos.
        parameters: The parameters in force.
        metric: "cosine" or "euclidean"; the metric of all distances.

    Returns:
        int64, (n,), clusters numbered by their first photo; single photos are NOISE.
    """
    group = np.arange(len(labels))
    for label in np.unique(labels[labels != NOISE]):
        members = np.flatnonzero(labels == label)
        for part in _parts(members, embeddings, captures, parameters, metric):
            group[part] = part[0]
    return labels_of(_join_bursts(group, embeddings, captures, parameters, metric))


def _parts(
    members: NDArray[np.intp],
    embeddings: NDArray[np.float32],
    captures: Captures,
    parameters: CaptureTimeParameters,
    metric: str,
) -> list[NDArray[np.intp]]:
    """Returns the parts of one cluster; the cluster itself if it has no long pause."""
    seconds = captures.seconds[members]
    known = members[~np.isnan(seconds)]
    known = known[np.argsort(captures.seconds[known], kind="stable")]
    pauses = np.diff(captures.seconds[known])
    cuts = np.flatnonzero(pauses > 3600.0 * parameters.separate_hours) + 1
    if len(cuts) == 0:
        return [members]
    part = np.zeros(len(members), np.intp)
    place = {int(member): position for position, member in enumerate(members)}
    for number, found in enumerate(np.split(known, cuts)):
        part[[place[int(member)] for member in found]] = number
    is_known = ~np.isnan(seconds)
    unknown = np.flatnonzero(~is_known)
    for start in range(0, len(unknown), BLOCK_COUNT):
        block = unknown[start : start + BLOCK_COUNT]
        distances = _distances(embeddings[members[block]], embeddings[members[is_known]], metric)
        part[block] = part[is_known][np.argmin(distances, axis=1)]
    joined = _join_near_parts(part, embeddings[members], parameters.separate_distance, metric)
    return [members[joined[part] == number] for number in np.unique(joined[part])]


def _join_near_parts(
    part: NDArray[np.intp], embeddings: NDArray[np.float32], distance: float, metric: str
) -> NDArray[np.intp]:
    """Joins parts that have photos within `distance` of each other; returns each part's new part.

    Pairs within parts that are already joined are skipped, so memory is linear in the photos.
    """
    joined = np.arange(int(part.max()) + 1)

    def are_apart(tile: Tile) -> NDArray[np.bool_]:
        first, second = joined[part[tile.rows]], joined[part[tile.columns]]
        return np.asarray(first[:, np.newaxis] != second)

    radius = distance if metric == "cosine" else distance**2 / 2.0
    for first, second in Rows(embeddings).near_pairs(radius, are_apart):
        joined[:] = _join(joined, part[first], part[second])
    return joined


def _join_bursts(
    group: NDArray[np.intp],
    embeddings: NDArray[np.float32],
    captures: Captures,
    parameters: CaptureTimeParameters,
    metric: str,
) -> NDArray[np.intp]:
    """Joins the groups of photos in a burst, skipping pairs that are already in the same group."""
    by_camera: dict[str, list[int]] = {}
    for index, camera in enumerate(captures.cameras):
        if camera and not np.isnan(captures.seconds[index]):
            by_camera.setdefault(camera, []).append(index)
    for indices in by_camera.values():
        ordered = np.array(sorted(indices, key=lambda index: captures.seconds[index]))
        times = captures.seconds[ordered]
        ends = np.searchsorted(times, times + parameters.burst_seconds, side="right")
        for start in range(0, len(ordered), BLOCK_COUNT):
            stop = min(start + BLOCK_COUNT, len(ordered))
            for other in range(start, int(ends[stop - 1]), BLOCK_COUNT):
                rows, columns = (
                    np.arange(start, stop),
                    np.arange(other, min(other + BLOCK_COUNT, len(ordered))),
                )
                is_pair = (columns > rows[:, np.newaxis]) & (columns < ends[rows, np.newaxis])
                is_pair &= group[ordered[rows], np.newaxis] != group[ordered[columns]]
                if not is_pair.any():
                    continue
                distances = _distances(
                    embeddings[ordered[rows]], embeddings[ordered[columns]], metric
                )
                first, second = np.nonzero(is_pair & (distances <= parameters.burst_distance))
                group = _join(group, ordered[rows[first]], ordered[columns[second]])
    return group


def _join(
    group: NDArray[np.intp], first: NDArray[np.intp], second: NDArray[np.intp]
) -> NDArray[np.intp]:
    """Joins the two groups of each pair of members; group numbers are below `len(group)`."""
    if len(first) == 0:
        return group
    count = len(group)
    pairs = np.unique(group[first] * count + group[second])
    one, other = np.divmod(pairs, count)
    graph = csr_matrix((np.ones(len(pairs)), (one, other)), (count, count))
    _, component = connected_components(graph, directed=False)
    return np.asarray(component[group], np.intp)


def _distances(
    first: NDArray[np.float32], second: NDArray[np.float32], metric: str
) -> NDArray[np.float64]:
    similarity = first.astype(np.float64) @ second.astype(np.float64).T
    cosine = np.maximum(0.0, 1.0 - similarity)
    return from_cosine_distance(cosine, metric)
