"""Cosine distances between many photos, computed tile by tile, never as a whole matrix.

If capture times or common features count, a distance is the cosine distance of two unit vectors
plus their terms, and at least 0; a similarity is 1 minus the distance.

A tile is a float32 product of two blocks of rows; doubtful cases are computed again in float64.
`Rows.tolerance` bounds how far a float32 similarity can be from the float64 one, so the results are
those of a float64 matrix.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, Protocol, Self

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components

Indices = NDArray[np.intp]
Doubles = NDArray[np.float64]
Singles = NDArray[np.float32]

TILE_COUNT = 2048
"""Rows per block: a tile takes 16 MiB, and computing it outweighs the overhead of the calls."""
_PAIRS_AT_A_TIME = 4096
_DENSE_PAIRS = 2**18
"""From this many pairs on, if they nearly fill a matrix, one float64 product is much faster than
gathering both vectors of every pair."""
_ROWS_AT_A_TIME = 64


class DistanceTerm(Protocol):
    """What other evidence adds to the cosine distances between photos."""

    @property
    def tolerance(self) -> float:
        """Bound on the error of `lower`."""

    def take(self, rows: Indices) -> Self:
        """Returns the term of some photos, in the given order."""

    def order(self) -> Indices:
        """Orders photos so that shots of one moment are close together."""

    def of_pairs(self, first: Indices, second: Indices) -> Doubles:
        """Returns the term of pairs of photos; the two arrays are broadcast."""

    def lower(self, similarity: Singles, rows: slice, columns: slice) -> None:
        """Lowers similarities by the term, in place; none is above 1 afterwards."""


@dataclass(frozen=True)
class Tile:
    """A piece of the upper triangle of the similarity matrix.

    Attributes:
        first_row: Index of its first row.
        first_column: Index of its first column; equal to `first_row` on the diagonal.
        similarity: float32, (rows, columns).
    """

    first_row: int
    first_column: int
    similarity: Singles

    @property
    def rows(self) -> slice:
        """The range of its rows among all rows."""
        return slice(self.first_row, self.first_row + self.similarity.shape[0])

    @property
    def columns(self) -> slice:
        """The range of its columns among all rows."""
        return slice(self.first_column, self.first_column + self.similarity.shape[1])

    @property
    def is_diagonal(self) -> bool:
        """Whether it contains each of its pairs twice, and each row paired with itself."""
        return self.first_row == self.first_column


class Rows:
    """Photos to be compared with each other.

    Args:
        vectors: float32, (n, d), without zero rows.
        tile_count: Rows per block.
        term: Term of the n photos; None if embeddings alone count.
    """

    def __init__(
        self, vectors: Singles, tile_count: int = TILE_COUNT, term: DistanceTerm | None = None
    ) -> None:
        self.tile_count = tile_count
        self._term = term
        exact = vectors.astype(np.float64)
        exact /= np.sqrt(np.einsum("ij,ij->i", exact, exact))[:, np.newaxis]
        self._exact = exact
        self._units = exact.astype(np.float32)
        self._place: Indices | None = None  # index of each row in _exact, if it differs

    def __len__(self) -> int:
        return len(self._units)

    def take(self, rows: Indices) -> Rows:
        """Returns some rows, in the given order; the float64 rows are shared."""
        found = copy.copy(self)
        found._units = self._units[rows]
        found._place = rows if self._place is None else self._place[rows]
        found._term = None if self._term is None else self._term.take(rows)
        return found

    @property
    def tolerance(self) -> float:
        """Bound on the float32 error: (d + 4) 2^-24, for a sum of d products, plus the term's.

        Source: Higham, Accuracy and Stability of Numerical Algorithms (2002), 3.1: |error| <=
        d u / (1 - d u) times the sum of the absolute products, which is at most 1; the rest is for
        the rounding of the operands.
        """
        own = float((self._units.shape[1] + 4) * 2.0**-24)
        return own if self._term is None else own + self._term.tolerance

    def tiles(self) -> Iterator[Tile]:
        """Yields the upper triangle, tile by tile; a tile is overwritten by the next."""
        count, side = len(self), self.tile_count
        buffer = np.empty((min(side, count), min(side, count)), np.float32)
        for row in range(0, count, side):
            above = self._units[row : row + side]
            for column in range(row, count, side):
                left = self._units[column : column + side]
                # not above @ left.T, because some BLAS builds crash on a product with its transpose
                room = buffer[: len(above), : len(left)]
                np.matmul(above, left.T.copy() if row == column else left.T, out=room)
                tile = Tile(row, column, room)
                if self._term is not None:
                    self._term.lower(room, tile.rows, tile.columns)
                yield tile

    def distances(self, first: Indices, second: Indices) -> Doubles:
        """Computes the distances of pairs in float64."""
        found = self._cosine_distances(first, second)
        if self._term is not None:
            found += self._term.of_pairs(first, second)
            np.maximum(found, 0.0, out=found)
        return found

    def _cosine_distances(self, first: Indices, second: Indices) -> Doubles:
        if self._place is not None:
            first, second = self._place[first], self._place[second]
        if (
            len(first) >= _DENSE_PAIRS
            and (dense := self._dense_distances(first, second)) is not None
        ):
            return dense
        found = np.empty(len(first), np.float64)
        for start in range(0, len(first), _PAIRS_AT_A_TIME):
            part = slice(start, start + _PAIRS_AT_A_TIME)
            one, other = self._exact[first[part]], self._exact[second[part]]
            found[part] = 1.0 - np.einsum("ij,ij->i", one, other)
        return np.clip(found, 0.0, 2.0, out=found)

    def _dense_distances(self, first: Indices, second: Indices) -> Doubles | None:
        """Computes distances from one matrix product; None if the pairs would use little of it."""
        rows, row = np.unique(first, return_inverse=True)
        columns, column = np.unique(second, return_inverse=True)
        if len(rows) * len(columns) > 4 * len(first):
            return None
        similarity = self._exact[rows] @ self._exact[columns].T
        return np.clip(1.0 - similarity[row, column], 0.0, 2.0)

    def pairs(
        self, thresholds: Callable[[Tile], NDArray[np.bool_]]
    ) -> Iterator[tuple[Indices, Indices]]:
        """Yields index pairs, first < second, of each tile's entries that `thresholds` marks."""
        for tile in self.tiles():
            marked = thresholds(tile)
            if tile.is_diagonal:
                marked = np.triu(marked, 1)
            place = np.flatnonzero(marked)
            if len(place):
                row, column = np.divmod(place, marked.shape[1])
                yield row + tile.first_row, column + tile.first_column

    def pairs_within(self, radius: float, most: int) -> tuple[Indices, Indices, Doubles] | None:
        """Finds all pairs at most `radius` apart, first < second, with their distances.

        None if there are more than `most`, counting those that float32 leaves in doubt.
        """
        floor = np.float32(1.0 - radius - 2.0 * self.tolerance)
        found = [(np.empty(0, np.intp), np.empty(0, np.intp), np.empty(0, np.float64))]
        held = 0
        for first, second in self.pairs(lambda tile: tile.similarity >= floor):
            held += len(first)
            if held > most:
                return None
            distances = self.distances(first, second)
            is_near = distances <= radius
            found.append((first[is_near], second[is_near], distances[is_near]))
        first, second, distances = (np.concatenate(parts) for parts in zip(*found, strict=True))
        return first, second, distances

    def near_pairs(
        self, radius: float, which: Callable[[Tile], NDArray[np.bool_]]
    ) -> Iterator[tuple[Indices, Indices]]:
        """Like `pairs_within`, for the pairs that `which` marks, without their distances."""
        sure = np.float32(1.0 - radius + 2.0 * self.tolerance)
        possible = np.float32(1.0 - radius - 2.0 * self.tolerance)
        yield from self.pairs(lambda tile: (tile.similarity >= sure) & which(tile))

        def is_doubtful(tile: Tile) -> NDArray[np.bool_]:
            doubtful = (tile.similarity >= possible) & (tile.similarity < sure)
            return np.asarray(doubtful & which(tile))

        for first, second in self.pairs(is_doubtful):
            is_near = self.distances(first, second) <= radius
            yield first[is_near], second[is_near]

    def degrees_within(self, radius: float) -> Indices:
        """Counts the other rows at most `radius` from each row: (n,)."""
        sure = np.float32(1.0 - radius + 2.0 * self.tolerance)
        possible = np.float32(1.0 - radius - 2.0 * self.tolerance)
        degree = np.zeros(len(self), np.intp)
        for tile in self.tiles():
            is_near = tile.similarity >= sure
            row, column = np.nonzero((tile.similarity >= possible) & ~is_near)
            first, second = row + tile.first_row, column + tile.first_column
            is_near[row, column] = self.distances(first, second) <= radius
            if tile.is_diagonal:
                np.fill_diagonal(is_near, False)
            else:
                degree[tile.columns] += np.count_nonzero(is_near, axis=0)
            degree[tile.rows] += np.count_nonzero(is_near, axis=1)
        return degree

    def matrix(self, rows: Indices) -> Doubles:
        """Computes the distances between some rows: symmetric, with a zero diagonal."""
        exact = self._exact[rows if self._place is None else self._place[rows]]
        similarity = exact @ exact.T.copy()  # not exact.T itself: see `tiles`
        distances = np.clip(1.0 - (similarity + similarity.T) / 2.0, 0.0, 2.0)
        if self._term is not None:
            distances = np.maximum(distances + self._term.of_pairs(rows[:, None], rows), 0.0)
        np.fill_diagonal(distances, 0.0)
        return np.asarray(distances, np.float64)

    def components_within(self, radius: float) -> Indices:
        """Links rows up to `radius` apart, in linear memory; returns each row's component: (n,).

        Pairs within a component that is already known are skipped, so a crowd, whose pairs are
        all near, costs no more than the tiles.
        """
        sure = np.float32(1.0 - radius + 2.0 * self.tolerance)
        possible = np.float32(1.0 - radius - 2.0 * self.tolerance)
        component = np.arange(len(self))
        for tile in self.tiles():
            # doubtful cases of float32 come second, when few pairs are left to decide
            for floor in (sure, possible):
                apart = component[tile.rows, np.newaxis] != component[tile.columns]
                row, column = np.nonzero((tile.similarity >= floor) & apart)
                first, second = row + tile.first_row, column + tile.first_column
                if floor == possible:
                    is_near = self.distances(first, second) <= radius
                    first, second = first[is_near], second[is_near]
                if len(first):
                    component = _join_components(component, first, second)
        return components(len(self), np.arange(len(self)), component)

    def nearest(self, count: int) -> tuple[Indices, Singles]:
        """Finds the rows most similar to each row, in float32, excluding the row itself.

        Args:
            count: Number of rows to return, fewer than there are.

        Returns:
            Indices and similarities, (n, count) each, most similar first.
        """
        lists = _BestLists(len(self), count)
        for tile in self.tiles():
            if tile.is_diagonal:
                np.fill_diagonal(tile.similarity, -np.inf)
            else:
                lists.offer(tile.first_column, tile.first_row, tile.similarity, axis=0)
            lists.offer(tile.first_row, tile.first_column, tile.similarity, axis=1)
        return lists.indices, lists.similarities

    def distances_of_neighbours(self, rows: Indices, number: int) -> Doubles:
        """Computes each row's distance to its `number`-th nearest neighbour, in float64."""
        places = rows if self._place is None else self._place[rows]
        everyone = self._exact if self._place is None else self._exact[self._place]
        found = np.empty(len(rows), np.float64)
        for start in range(0, len(rows), _ROWS_AT_A_TIME):
            part = slice(start, start + _ROWS_AT_A_TIME)
            distances = np.clip(1.0 - self._exact[places[part]] @ everyone.T, 0.0, 2.0)
            if self._term is not None:
                own = rows[part, np.newaxis]
                distances = np.maximum(
                    distances + self._term.of_pairs(own, np.arange(len(self))), 0.0
                )
            distances[np.arange(len(distances)), rows[part]] = np.inf
            found[part] = np.partition(distances, number - 1, axis=1)[:, number - 1]
        return found


def components(count: int, first: Indices, second: Indices) -> Indices:
    """Finds connected components of `count` items: (count,), each item's component number."""
    edges = csr_matrix((np.ones(len(first), np.int8), (first, second)), (count, count))
    return np.asarray(connected_components(edges, directed=False)[1], np.intp)


def _join_components(component: Indices, first: Indices, second: Indices) -> Indices:
    """Joins components, each named after one of its items, that are linked by pairs of items."""
    count = len(component)
    codes = np.unique(component[first].astype(np.int64) * count + component[second])
    names = components(count, *np.divmod(codes, count))
    lowest = np.unique(names, return_index=True)[1]
    return lowest[names[component]]


class _BestLists:
    """The best candidates for every row so far."""

    def __init__(self, row_count: int, count: int) -> None:
        self.indices = np.zeros((row_count, count), np.intp)
        self.similarities = np.full((row_count, count), -np.inf, np.float32)

    def offer(
        self, first_own: int, first_candidate: int, similarity: Singles, *, axis: Literal[0, 1]
    ) -> None:
        """Inserts the candidates that are better than the worst in each list.

        Args:
            first_own: Row of the first list.
            first_candidate: Row of the first candidate.
            similarity: float32, with candidates along `axis` and lists along the other axis.
            axis: See `similarity`.
        """
        count = self.indices.shape[1]
        worst = self.similarities[first_own : first_own + similarity.shape[1 - axis], -1]
        few = 16 * count
        if worst[0] == -np.inf and similarity.shape[axis] > few:  # a good start saves merges
            ahead, rest = np.split(similarity, [few], axis=axis)
            self._begin(first_own, first_candidate, ahead if axis else ahead.T)
            self.offer(first_own, first_candidate + few, rest, axis=axis)
            return
        place = np.flatnonzero(similarity > np.expand_dims(worst, axis))
        if not len(place):
            return
        first, second = np.divmod(place, similarity.shape[1])
        own, candidate = (first, second) if axis else (second, first)
        self._merge(own + first_own, candidate + first_candidate, similarity[first, second])

    def _begin(self, first_own: int, first_candidate: int, similarity: Singles) -> None:
        count = self.indices.shape[1]
        best = np.argpartition(similarity, -count, axis=1)[:, -count:]
        values = np.take_along_axis(similarity, best, axis=1)
        order = np.argsort(-values, axis=1)
        own = slice(first_own, first_own + len(similarity))
        self.similarities[own] = np.take_along_axis(values, order, axis=1)
        self.indices[own] = np.take_along_axis(best, order, axis=1) + first_candidate

    def _merge(self, own: Indices, candidate: Indices, similarity: Singles) -> None:
        count = self.indices.shape[1]
        touched, position = np.unique(own, return_inverse=True)
        owners = np.concatenate([np.repeat(np.arange(len(touched)), count), position])
        values = np.concatenate([self.similarities[touched].ravel(), similarity])
        indices = np.concatenate([self.indices[touched].ravel(), candidate])
        order = np.lexsort((-values, owners))
        starts = np.searchsorted(owners[order], np.arange(len(touched)))
        chosen = order[(starts[:, np.newaxis] + np.arange(count)).ravel()]
        self.similarities[touched] = values[chosen].reshape(-1, count)
        self.indices[touched] = indices[chosen].reshape(-1, count)
