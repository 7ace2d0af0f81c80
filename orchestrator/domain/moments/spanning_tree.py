"""The minimum spanning tree of mutual reachability for HDBSCAN, with memory linear in n.

For the cosine metric, hdbscan itself needs several (n, n) matrices. This module builds the same
tree:

1. One pass over all pairs finds every row's nearest rows, and with them its core distance.
2. A first tree joins each row to its nearest rows, and then joins groups of rows, each represented
   by one row. Every weight in it is exact, so an edge of the minimum spanning tree weighs at most
   as much as the heaviest edge on the first tree's path between its ends (the cycle property).
3. If the rows are laid out in the tree's own order, that bound is the largest of the gaps between
   them. A second pass takes the pairs that are no farther apart than their bound. The first tree
   and these pairs contain the minimum spanning tree and everything tied with it.
4. Prim's algorithm runs on those pairs, with ties broken by index, in the same order as hdbscan.

Source: Campello, Moulavi and Sander (2013); for the cycle property, Tarjan (1983), chapter 6.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import minimum_spanning_tree

from orchestrator.domain.moments.distances import Doubles, Indices, Rows, Singles, Tile, components
from orchestrator.domain.moments.hdbscan_steps import build_hierarchy

NEIGHBOUR_COUNT = 8
"""Number of nearest rows for the first tree, in addition to those for core distances."""
_PAIRS_HELD = 8
"""Pairs kept per row before they are filtered again."""


@dataclass(frozen=True)
class _Edges:
    """Distinct pairs of rows with their mutual reachability; first < second, sorted."""

    first: Indices
    second: Indices
    weight: Doubles
    row_count: int

    def __len__(self) -> int:
        return len(self.first)

    def join(self, *more: tuple[Indices, Indices, Doubles]) -> _Edges:
        """Adds pairs in either order; a pair that is already there keeps its weight."""
        first, second, weight = (
            np.concatenate(parts)
            for parts in zip((self.first, self.second, self.weight), *more, strict=True)
        )
        low, high = np.minimum(first, second), np.maximum(first, second)
        _, kept = np.unique(low.astype(np.int64) * self.row_count + high, return_index=True)
        return _Edges(low[kept], high[kept], weight[kept], self.row_count)

    def take(self, which: NDArray[np.bool_] | Indices) -> _Edges:
        """Returns some of the pairs, in the same order."""
        return _Edges(self.first[which], self.second[which], self.weight[which], self.row_count)

    def weigh(self, rows: Rows, core: Doubles) -> _Edges:
        """Returns the pairs with exact weights."""
        distance = rows.distances(self.first, self.second)
        return replace(self, weight=_reachability(distance, self.first, self.second, core))

    def tree(self) -> _Edges:
        """Returns a minimum spanning forest of the pairs."""
        shape = (self.row_count, self.row_count)
        ranks = np.empty(len(self), np.float64)  # SciPy interprets a weight of zero as no edge
        order = np.argsort(self.weight, kind="stable")
        ranks[order] = np.arange(1, len(self) + 1)
        found = minimum_spanning_tree(csr_matrix((ranks, (self.first, self.second)), shape))
        return self.take(np.sort(order[found.data.astype(np.intp) - 1]))


class _Layout:
    """Rows in the order of a spanning tree's hierarchy.

    Attributes:
        order: The row at each place.
        place: The place of each row.
        gaps: (n - 1,): the largest weight on the path between the rows at a place and at the next
            one; for rows at more distant places, it is the largest of the gaps between them.
    """

    def __init__(self, tree: _Edges) -> None:
        count = tree.row_count
        by_weight = np.argsort(tree.weight, kind="stable")
        edges = np.column_stack([tree.first, tree.second, tree.weight])[by_weight]
        merges = build_hierarchy(edges)
        sizes = np.concatenate([np.ones(count), merges[:, 3]]).astype(np.intp).tolist()
        left, right = merges[:, 0].astype(np.intp).tolist(), merges[:, 1].astype(np.intp).tolist()
        starts = [0] * (2 * count - 1)
        gap_places = [0] * (count - 1)
        for node in range(count - 2, -1, -1):
            start = starts[count + node]
            starts[left[node]] = start
            starts[right[node]] = start + sizes[left[node]]
            gap_places[node] = start + sizes[left[node]] - 1
        self.place = np.array(starts[:count], np.intp)
        self.order = np.argsort(self.place)
        self.gaps = np.empty(count - 1, np.float64)
        self.gaps[gap_places] = merges[:, 2]

    def bounds(self, first: Indices, second: Indices) -> Doubles:
        """Returns the largest weight on the path between the rows of each pair."""
        ends = self.place[first], self.place[second]
        return self._largest_between(np.minimum(*ends), np.maximum(*ends))

    def _largest_between(self, low: Indices, high: Indices) -> Doubles:
        """Finds the largest gap from `low` to `high` > `low`, with a sparse table."""
        levels = [self.gaps]
        while (width := 2 ** len(levels)) <= len(self.gaps):
            below = levels[-1]
            levels.append(np.maximum(below[: len(below) - width // 2], below[width // 2 :]))
        level = np.frexp((high - low).astype(np.float64))[1] - 1
        found = np.empty(len(low), np.float64)
        for number, table in enumerate(levels):
            chosen = np.flatnonzero(level == number)
            start, end = low[chosen], high[chosen] - 2**number
            found[chosen] = np.maximum(table[start], table[end])
        return found


def spanning_tree(rows: Rows, min_samples: int) -> Doubles:
    """Builds the minimum spanning tree of mutual reachability under cosine distance.

    Args:
        rows: At least two.
        min_samples: Number of neighbours that a core point must have.

    Returns:
        float64, (n - 1, 3), like hdbscan's: row in the tree, row found, weight; in the order in
        which Prim's algorithm finds the rows from row 0, with ties broken by index.
    """
    min_samples = min(min_samples, len(rows) - 1)
    near, similarity = rows.nearest(min(len(rows) - 1, min_samples + NEIGHBOUR_COUNT))
    core = _core_distances(rows, near, similarity, min_samples)
    tree = _first_tree(rows, near, similarity, core)
    return _prim(_contenders(rows, tree, core))


def _core_distances(rows: Rows, near: Indices, similarity: Singles, min_samples: int) -> Doubles:
    """Returns the exact distance of every row to its `min_samples`-th nearest neighbour."""
    last = similarity[:, min_samples - 1, np.newaxis]
    row, place = np.nonzero(similarity >= last - np.float32(2.0 * rows.tolerance))
    distances = np.full(similarity.shape, np.inf)
    distances[row, place] = rows.distances(row, near[row, place])
    core = np.sort(distances, axis=1)[:, min_samples - 1]
    if near.shape[1] < len(rows) - 1:  # a row that is not listed may be equally near in float32
        crowded = np.flatnonzero(np.isfinite(distances[:, -1]))
        core[crowded] = rows.distances_of_neighbours(crowded, min_samples)
    return core


def _first_tree(rows: Rows, near: Indices, similarity: Singles, core: Doubles) -> _Edges:
    """Builds a spanning tree with exact weights that is close to the minimum one."""
    count = len(rows)
    none = np.empty(0, np.intp)
    edges = _Edges(none, none, np.empty(0), count)
    representatives = np.arange(count)
    while True:
        first, second = np.repeat(representatives, near.shape[1]), representatives[near.ravel()]
        roughly = 1.0 - similarity.ravel().astype(np.float64)
        more = (first, second, _reachability(roughly, first, second, core))
        edges = edges.join(more).tree()
        group = components(count, edges.first, edges.second)
        group_count = int(group.max()) + 1
        if group_count == 1:
            return edges.weigh(rows, core)
        densest = np.lexsort((core, group))
        representatives = densest[np.searchsorted(group[densest], np.arange(group_count))]
        near, similarity = rows.take(representatives).nearest(min(group_count - 1, NEIGHBOUR_COUNT))


def _contenders(rows: Rows, tree: _Edges, core: Doubles) -> _Edges:
    """Finds all pairs that a minimum spanning tree could contain, and few others."""
    layout = _Layout(tree)
    gaps = layout.gaps
    held: list[tuple[Indices, Indices, Doubles]] = []
    held_count = 0

    def is_near(tile: Tile) -> NDArray[np.bool_]:
        return _within_bounds(tile, gaps, 2.0 * rows.tolerance)

    for low, high in rows.take(layout.order).pairs(is_near):
        first, second = layout.order[low], layout.order[high]
        distance = rows.distances(first, second)
        held.append((first, second, _reachability(distance, first, second, core)))
        held_count += len(first)
        if held_count > _PAIRS_HELD * len(rows):
            tree, gaps = _sift(tree, held, layout)
            held, held_count = [], 0
    tree, _ = _sift(tree, held, layout)
    return tree


def _sift(
    edges: _Edges, held: list[tuple[Indices, Indices, Doubles]], layout: _Layout
) -> tuple[_Edges, Doubles]:
    """Merges pairs with the known ones, and drops those that no minimum spanning tree contains.

    Returns:
        The pairs, and the gaps of `layout` under the better tree.
    """
    edges = edges.join(*held)
    tree = edges.tree()
    better = _Layout(tree)
    kept = edges.take(edges.weight <= better.bounds(edges.first, edges.second))
    if len(kept) > _PAIRS_HELD * edges.row_count:  # too many ties: any of the trees will do
        kept = tree
    return kept, better.bounds(layout.order[:-1], layout.order[1:])


def _within_bounds(tile: Tile, gaps: Doubles, tolerance: float) -> NDArray[np.bool_]:
    """Marks the pairs of a tile whose distance is at most the largest gap between them."""
    row_count, column_count = tile.similarity.shape
    row, column = tile.first_row, tile.first_column
    floor = np.float32(1.0 - tolerance)
    if tile.is_diagonal:
        own = np.append(0.0, gaps[row : row + row_count - 1]).astype(np.float32)
        bound = np.triu(np.broadcast_to(own, (row_count, row_count)), 1)
        return np.asarray(tile.similarity >= floor - np.maximum.accumulate(bound, axis=1))
    of_rows = np.maximum.accumulate(gaps[row:column][::-1])[::-1][:row_count]
    of_columns = np.maximum.accumulate(np.append(0.0, gaps[column : column + column_count - 1]))
    near = tile.similarity >= floor - of_rows.astype(np.float32)[:, np.newaxis]
    near |= tile.similarity >= floor - of_columns.astype(np.float32)
    return near


def _reachability(distance: Doubles, first: Indices, second: Indices, core: Doubles) -> Doubles:
    """Returns the mutual reachability of pairs with the given distances."""
    return np.maximum(distance, np.maximum(core[first], core[second]))


def _prim(edges: _Edges) -> Doubles:
    """Runs Prim's algorithm from row 0; ties go to the lower row, then to the first parent."""
    count = edges.row_count
    source = np.concatenate([edges.first, edges.second])
    order = np.argsort(source, kind="stable")
    starts = np.searchsorted(source[order], np.arange(count + 1)).tolist()
    target = np.concatenate([edges.second, edges.first])[order].tolist()
    weight = np.concatenate([edges.weight, edges.weight])[order].tolist()
    steps = [0]
    is_found = bytearray(count)
    is_found[0] = 1
    queue: list[tuple[float, int, int]] = []
    found = np.empty((count - 1, 3), np.float64)
    for step in range(count - 1):
        for place in range(starts[steps[step]], starts[steps[step] + 1]):
            if not is_found[target[place]]:
                heapq.heappush(queue, (weight[place], target[place], step))
        distance, row, source_step = heapq.heappop(queue)
        while is_found[row]:
            distance, row, source_step = heapq.heappop(queue)
        found[step] = steps[source_step], row, distance
        is_found[row] = 1
        steps.append(row)
    return found
