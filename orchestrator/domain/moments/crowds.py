"""Complete linkage of a crowd: linked photos with too many near pairs to list.

A crowd is grouped in two steps, both with memory linear in the number of photos. First, each block
of neighbouring photos is grouped separately, using its distance matrix. Then the groups are joined
by their farthest members, in one pass over all pairs. No two members of a group are farther apart
than the diameter, as with complete linkage of all photos at once; only the order in which groups
are joined can differ.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform

from orchestrator.domain.moments.complete_linkage import complete_linkage
from orchestrator.domain.moments.distances import Indices, Rows, Singles, Tile

BLOCK_COUNT = 2048
"""Photos per block: their matrix takes 32 MiB."""
_SHARES = (0.25, 0.5, 1.0)
"""Diameters of a block's groups, as fractions of the full diameter, in the order tried. A smaller
diameter leaves more of the joining to the second step, but possibly too many groups for it."""


def crowd_groups(rows: Rows, diameter: float, max_pair_count: int) -> Indices:
    """Forms groups in which no two members are farther apart than `diameter`.

    Args:
        rows: The crowd; a block consists of consecutive rows.
        diameter: A cosine distance.
        max_pair_count: Maximum number of pairs of near groups to keep. If even groups of full
            diameter have more, no group spans two blocks.

    Returns:
        (n,): group of each row, named after its lowest row.
    """
    blocks = [
        np.arange(start, min(start + BLOCK_COUNT, len(rows)))
        for start in range(0, len(rows), BLOCK_COUNT)
    ]
    trees = [_block_tree(rows, block) for block in blocks]
    group = np.arange(len(rows))
    for share in _SHARES:
        for block, tree in zip(blocks, trees, strict=True):
            if tree is not None:
                local = fcluster(tree, share * diameter, "distance")
                group[block] = block[np.unique(local, return_index=True)[1][local - 1]]
        joined = _join_groups(rows, group, diameter, max_pair_count)
        if joined is not None:
            return joined
    return group


def _block_tree(rows: Rows, block: Indices) -> NDArray[np.float64] | None:
    """Builds the full complete-linkage tree of a block; None for a single row."""
    if len(block) == 1:
        return None
    return np.asarray(linkage(squareform(rows.matrix(block), checks=False), "complete"))


def _join_groups(
    rows: Rows, group: Indices, diameter: float, max_pair_count: int
) -> Indices | None:
    """Joins groups by complete linkage; None if too many pairs of groups are near."""
    names, number = np.unique(group, return_inverse=True)
    order = np.argsort(number, kind="stable")
    pairs = _near_groups(rows.take(order), number[order], diameter, max_pair_count)
    if pairs is None:
        return None
    joined = complete_linkage(len(names), *pairs)
    return names[joined[number]]


def _near_groups(
    rows: Rows, number: Indices, diameter: float, max_pair_count: int
) -> tuple[Indices, Indices, NDArray[np.float64]] | None:
    """Finds pairs of groups whose members are all near, and the largest distance between members.

    Args:
        rows: The rows, in the order of their groups.
        number: (n,): group of each row, from 0, ascending.
        diameter: Members that are farther apart than this, or might be in float32, are not near.
        max_pair_count: If there are more pairs, the result is None.
    """
    floor = np.float32(1.0 - diameter + 2.0 * rows.tolerance)
    found: list[tuple[Indices, Indices, Singles]] = []
    held = 0
    for tile in rows.tiles():
        first, second, lowest = _lowest_of_groups(tile, number)
        is_near = (lowest >= floor) & (first[:, np.newaxis] < second)
        row, column = np.nonzero(is_near)
        found.append((first[row], second[column], lowest[row, column]))
        held += len(row)
        if held > max_pair_count:
            return None
    return _pairs_near_in_all_tiles(found, number, rows.tile_count)


def _lowest_of_groups(tile: Tile, number: Indices) -> tuple[Indices, Indices, Singles]:
    """Returns the groups of a tile's rows and columns, and the lowest similarity of each pair."""
    first, row_starts = np.unique(number[tile.rows], return_index=True)
    second, column_starts = np.unique(number[tile.columns], return_index=True)
    by_row = np.minimum.reduceat(tile.similarity, row_starts, axis=0)
    return first, second, np.minimum.reduceat(by_row, column_starts, axis=1)


def _pairs_near_in_all_tiles(
    found: list[tuple[Indices, Indices, Singles]], number: Indices, tile_count: int
) -> tuple[Indices, Indices, NDArray[np.float64]]:
    """Combines the results of tiles; a pair that is not near in some tile is ruled out."""
    first, second, lowest = (np.concatenate(parts) for parts in zip(*found, strict=True))
    group_count = int(number[-1]) + 1
    code = first.astype(np.int64) * group_count + second
    order = np.argsort(code, kind="stable")
    codes, starts, seen = np.unique(code[order], return_index=True, return_counts=True)
    if not len(codes):
        return np.empty(0, np.intp), np.empty(0, np.intp), np.empty(0, np.float64)
    farthest = 1.0 - np.minimum.reduceat(lowest[order], starts).astype(np.float64)
    # a group may span several rows of tiles; two groups meet in one tile per pair of such rows
    begins = np.searchsorted(number, np.arange(group_count))
    ends = np.append(begins[1:], len(number)) - 1
    spans = ends // tile_count - begins // tile_count + 1
    one, other = np.divmod(codes, group_count)
    is_whole = seen == spans[one] * spans[other]
    return one[is_whole], other[is_whole], farthest[is_whole]
