"""When and by which camera photos were taken, as evidence for their moments."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components

from orchestrator.domain.moments.labels import labels_of
from orchestrator.domain.moments.metric import from_cosine_distance
from orchestrator.domain.moments.parameters import NOISE, CaptureTimeParameters

Labels = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Captures:
    """When photos were taken, and by what.

    Attributes:
        seconds: float64, (n,), on one clock for all cameras; NaN for unknown.
        cameras: (n,); empty for unknown.
    """

    seconds: NDArray[np.float64]
    cameras: Sequence[str]


def with_time_evidence(
    labels: Labels,
    embeddings: NDArray[np.float32],
    captures: Captures,
    parameters: CaptureTimeParameters,
    metric: str,
) -> Labels:
    """Parts and joins moments by when their photos were taken.

    First a moment is split at every pause of more than `separate_hours`; parts that have two
    photos within `separate_distance` stay together, and a photo of unknown time stays with the part
    that has the one nearest to it. Then photos that one camera took within `burst_seconds` of each
    other are joined, with the moments that they are in, where they are within `burst_distance`.

    Args:
        labels: (n,), as the algorithm gave them; NOISE for single shots.
        embeddings: float32, (n, d), unit rows.
        captures: Of the n photos.
        parameters: In force.
        metric: "cosine" or "euclidean"; distances are in it.

    Returns:
        int64, (n,), clusters numbered by their first photo; one that is left alone is NOISE.
    """
    count = len(labels)
    links: list[tuple[int, int]] = []
    for label in np.unique(labels[labels != NOISE]):
        members = np.flatnonzero(labels == label)
        for part in _parts(members, embeddings, captures, parameters, metric):
            links += [(int(part[0]), int(other)) for other in part[1:]]
    links += _bursts(embeddings, captures, parameters, metric)
    first, second = np.array(links, np.intp).reshape(-1, 2).T
    graph = csr_matrix((np.ones(len(first)), (first, second)), (count, count))
    _, moment = connected_components(graph, directed=False)
    return labels_of(moment)


def _parts(
    members: NDArray[np.intp],
    embeddings: NDArray[np.float32],
    captures: Captures,
    parameters: CaptureTimeParameters,
    metric: str,
) -> list[NDArray[np.intp]]:
    """The parts of one cluster; itself where there is no long pause in it."""
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
    distances = _distances(embeddings[members], embeddings[members], metric)
    is_known = ~np.isnan(seconds)
    for position in np.flatnonzero(~is_known):
        part[position] = part[is_known][np.argmin(distances[position, is_known])]
    near = np.argwhere(distances <= parameters.separate_distance)
    size = len(cuts) + 1
    graph = csr_matrix((np.ones(len(near)), (part[near[:, 0]], part[near[:, 1]])), (size, size))
    _, joined = connected_components(graph, directed=False)
    return [members[joined[part] == number] for number in np.unique(joined[part])]


def _bursts(
    embeddings: NDArray[np.float32],
    captures: Captures,
    parameters: CaptureTimeParameters,
    metric: str,
) -> Iterator[tuple[int, int]]:
    """Pairs of photos of one burst."""
    by_camera: dict[str, list[int]] = {}
    for index, camera in enumerate(captures.cameras):
        if camera and not np.isnan(captures.seconds[index]):
            by_camera.setdefault(camera, []).append(index)
    for indices in by_camera.values():
        ordered = np.array(sorted(indices, key=lambda index: captures.seconds[index]))
        times = captures.seconds[ordered]
        ends = np.searchsorted(times, times + parameters.burst_seconds, side="right")
        for place, end in enumerate(ends):
            others = ordered[place + 1 : end]
            near = _distances(embeddings[[ordered[place]]], embeddings[others], metric)[0]
            for other in others[near <= parameters.burst_distance]:
                yield int(ordered[place]), int(other)


def _distances(
    first: NDArray[np.float32], second: NDArray[np.float32], metric: str
) -> NDArray[np.float64]:
    similarity = first.astype(np.float64) @ second.astype(np.float64).T
    cosine = np.maximum(0.0, 1.0 - similarity)
    return from_cosine_distance(cosine, metric)
