"""HDBSCAN's steps without compiled code, for systems that the hdbscan package has no wheel for.

The functions have the same names and arguments as the compiled ones that `hdbscan_steps` uses, and
produce the same labels. scikit-learn's HDBSCAN cannot be used: version 1.9.1 often raises TypeError
with an epsilon.

Source: Campello, Moulavi and Sander (2013); epsilon by Malzer and Baum (2020).
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Doubles = NDArray[np.float64]
NOISE = -1


@dataclass
class Condensed:
    """A condensed tree: points are numbered below `root`, clusters from `root` on.

    Attributes:
        root: The cluster of all points.
        rows: Parent, child, lambda at which the child leaves the parent, and the child's number of
            points.
        children: Clusters below each cluster.
        parent: Parent of each point and cluster.
        leaving: Lambda at which each point or cluster leaves its parent.
    """

    root: int
    rows: list[tuple[int, int, float, int]] = field(default_factory=list)
    children: dict[int, list[int]] = field(default_factory=lambda: defaultdict(list))
    parent: dict[int, int] = field(default_factory=dict)
    leaving: dict[int, float] = field(default_factory=dict)

    def add(self, parent: int, child: int, leaving: float, size: int) -> None:
        """Adds a point, or a cluster if `child` is above the root."""
        self.rows.append((parent, child, leaving, size))
        self.parent[child], self.leaving[child] = parent, leaving
        if child > self.root:
            self.children[parent].append(child)

    def clusters_below(self, cluster: int) -> Iterator[int]:
        """Yields all clusters below `cluster`, without `cluster` itself."""
        waiting = deque(self.children.get(cluster, ()))
        while waiting:
            found = waiting.popleft()
            yield found
            waiting.extend(self.children.get(found, ()))


def mst_linkage_core(distances: Doubles) -> Doubles:
    """Runs Prim's algorithm from row 0: (n - 1, 3): row in the tree, row found, weight."""
    count = len(distances)
    tree = np.empty((count - 1, 3))
    nearest, source = np.full(count, np.inf), np.zeros(count, np.intp)
    is_found = np.zeros(count, np.bool_)
    current = 0
    for number in range(count - 1):
        is_found[current] = True
        is_closer = distances[current] < nearest
        nearest[is_closer], source[is_closer] = distances[current][is_closer], current
        following = int(np.argmin(np.where(is_found, np.inf, nearest)))
        tree[number] = source[following], following, nearest[following]
        current = following
    return tree


def label(tree: Doubles) -> Doubles:
    """Turns a spanning tree, sorted by ascending weight, into the merges of single linkage."""
    count = len(tree) + 1
    above = list(range(2 * count - 1))
    sizes = [1] * count
    merges = np.empty((count - 1, 4))

    def find(node: int) -> int:
        while above[node] != node:
            above[node] = node = above[above[node]]
        return node

    for number, (first, second, weight) in enumerate(tree):
        left, right = find(int(first)), find(int(second))
        above[left] = above[right] = count + number
        sizes.append(sizes[left] + sizes[right])
        merges[number] = left, right, weight, sizes[-1]
    return merges


def condense_tree(hierarchy: Doubles, min_cluster_size: int) -> Condensed:
    """Keeps the splits into clusters of at least `min_cluster_size`; other points fall out."""
    merges = [(int(a), int(b), weight) for a, b, weight, _ in hierarchy]
    sizes = [1] * (len(merges) + 1) + [int(size) for size in hierarchy[:, 3]]
    count = len(merges) + 1
    condensed = Condensed(count)
    next_cluster = count + 1
    waiting = deque([(2 * len(merges), count)])
    while waiting:
        node, cluster = waiting.popleft()
        first, second, weight = merges[node - count]
        leaving = 1 / weight if weight > 0 else np.inf
        big = [child for child in (first, second) if sizes[child] >= min_cluster_size]
        for child in (first, second):
            if child not in big:
                for point in _points_below(child, merges, count):
                    condensed.add(cluster, point, leaving, 1)
            elif len(big) == 1:
                waiting.append((child, cluster))
            else:
                condensed.add(cluster, next_cluster, leaving, sizes[child])
                waiting.append((child, next_cluster))
                next_cluster += 1
    return condensed


def compute_stability(condensed: Condensed) -> dict[int, float]:
    """Sums, for each cluster, the ranges of lambda in which its points belong to it."""
    stability = dict.fromkeys({parent for parent, *_ in condensed.rows}, 0.0)
    for parent, _, leaving, size in condensed.rows:
        with np.errstate(invalid="ignore"):
            stability[parent] += (leaving - condensed.leaving.get(parent, 0.0)) * size
    return stability


def get_clusters(
    condensed: Condensed,
    stability: Mapping[int, float],
    method: str,
    allow_single_cluster: bool,
    match_reference_implementation: bool,
    epsilon: float,
) -> tuple[NDArray[np.int64]]:
    """Selects clusters and labels the points; the labels are the only element of the tuple."""
    del match_reference_implementation  # always false
    if method == "leaf":
        below = {child for children in condensed.children.values() for child in children}
        selected = {one for one in below if not condensed.children.get(one)}
    else:
        selected = _most_stable(condensed, stability, allow_single_cluster)
    # hdbscan does not apply epsilon if the only cluster contains all points
    if epsilon and condensed.children and selected != {condensed.root}:
        selected = _widen(condensed, selected, epsilon, allow_single_cluster)
    if not allow_single_cluster:
        selected.discard(condensed.root)
    return (_label_points(condensed, selected, allow_single_cluster, epsilon),)


def _points_below(node: int, merges: list[tuple[int, int, float]], count: int) -> Iterator[int]:
    waiting = deque([node])
    while waiting:
        found = waiting.popleft()
        if found < count:
            yield found
        else:
            waiting.extend(merges[found - count][:2])


def _most_stable(
    condensed: Condensed, stability: Mapping[int, float], allow_single_cluster: bool
) -> set[int]:
    best = dict(stability)
    selected: set[int] = set()
    for cluster in sorted(stability, reverse=True):
        if cluster == condensed.root and not allow_single_cluster:
            continue
        below = _add_singly(best[child] for child in condensed.children.get(cluster, ()))
        if below > best[cluster]:
            best[cluster] = below
        else:
            selected -= set(condensed.clusters_below(cluster))
            selected.add(cluster)
    return selected


def _add_singly(values: Iterable[float]) -> float:
    """Adds values in single precision, as hdbscan does: rounding decides between near-ties."""
    total = np.float32(0.0)
    for value in values:
        total = np.float32(float(total) + value)
    return float(total)


def _widen(condensed: Condensed, selected: set[int], epsilon: float, allow_root: bool) -> set[int]:
    """Replaces clusters narrower than epsilon with clusters above them."""
    widened, done = set(), set[int]()
    for cluster in sorted(selected):
        if 1 / condensed.leaving[cluster] >= epsilon:
            widened.add(cluster)
        elif cluster not in done:
            above = _climb(condensed, cluster, epsilon, allow_root)
            widened.add(above)
            done.update(condensed.clusters_below(above))
    return widened


def _climb(condensed: Condensed, cluster: int, epsilon: float, allow_root: bool) -> int:
    """Returns the first ancestor wider than epsilon; if none is, the root or the last below it."""
    while True:
        above = condensed.parent[cluster]
        if above == condensed.root:
            return above if allow_root else cluster
        cluster = above
        if 1 / condensed.leaving[cluster] > epsilon:
            return cluster


def _label_points(
    condensed: Condensed, selected: set[int], allow_single_cluster: bool, epsilon: float
) -> NDArray[np.int64]:
    numbers = {cluster: number for number, cluster in enumerate(sorted(selected))}
    nearest = {condensed.root: condensed.root}
    labels = np.full(condensed.root, NOISE, np.int64)
    is_single = allow_single_cluster and selected == {condensed.root}
    latest = max(leaving for parent, _, leaving, _ in condensed.rows if parent == condensed.root)
    least = 1 / epsilon if epsilon else latest
    for parent, child, leaving, _ in condensed.rows:
        nearest[child] = child if child in selected else nearest[parent]
        if child < condensed.root:
            cluster = nearest[child]
            if cluster != condensed.root:
                labels[child] = numbers[cluster]
            elif is_single and leaving >= least:
                labels[child] = 0
    return labels
