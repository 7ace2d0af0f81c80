"""Groups faces by person: average linkage on the similarity of identity vectors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]
Numbers = NDArray[np.int64]

UNKNOWN = -1
"""Label of a face whose person is unknown, and the number that means "no person"."""
SURE_MARGIN = 0.1
"""How far above the threshold for clear faces an unclear face's similarity to a person must be."""
LEAD = 0.05
"""How much more similar an unclear face must be to its person than to any other."""
CHUNK_BYTES = 64 * 10**6
"""Maximum size of the block of similarities that is held at a time."""


@dataclass(frozen=True)
class KnownPeople:
    """What the user has said about faces, by their row.

    Attributes:
        persons: Number of the person that each confirmed face belongs to.
        refused: Numbers of the persons that a face does not belong to.
    """

    persons: Mapping[int, int] = field(default_factory=dict)
    refused: Mapping[int, frozenset[int]] = field(default_factory=dict)


def group_by_person(
    vectors: Vectors,
    photos: Sequence[str],
    weights: Sequence[float],
    same_person_similarity: float,
    known: KnownPeople | None = None,
) -> Numbers:
    """Labels each face with a person.

    Clear faces (weight above 0) are joined by average linkage: the two most similar groups are
    merged as long as the weighted mean similarity of their faces reaches the threshold. Faces that
    the user confirmed to be of one person form a group from the start. Neither two persons that the
    user confirmed nor two faces of one photo are ever joined, except by the user. An unclear face
    (weight 0) joins the most similar group afterwards, if all other groups are clearly less
    similar to it.

    Args:
        vectors: float32 (n, d), unit vectors.
        photos: The photo that each face is in.
        weights: How clear each face is, 0 to 1; a face with 0 may only join a group of others.
        same_person_similarity: Threshold for the mean similarity of two groups, -1 to 1.
        known: What the user has said.

    Returns:
        int64 (n,): labels from 0, in the order in which the persons appear; `UNKNOWN` for unclear
        faces that match no person.
    """
    known = known or KnownPeople()
    groups = _Groups.start(vectors, photos, np.asarray(weights, np.float32), known)
    groups.merge_until(same_person_similarity)
    labels = groups.labels(len(vectors))
    _attach_unclear(labels, vectors, photos, groups, same_person_similarity + SURE_MARGIN, known)
    return _number_by_appearance(labels)


@dataclass
class _Groups:
    """Groups of faces; the dot product of two weighted means is the mean similarity of the groups.

    Attributes:
        sums: float64 (k, d), weighted sums of the vectors.
        totals: float64 (k,), sums of the weights.
        persons: int64 (k,), number of the confirmed person, or `UNKNOWN`.
        refused: Numbers of the persons that each group does not belong to.
        members: Rows of each group's faces.
        photos: The photos that each group's faces are in.
    """

    sums: NDArray[np.float64]
    totals: NDArray[np.float64]
    persons: Numbers
    refused: list[frozenset[int]]
    members: list[list[int]]
    photos: list[set[str]]

    @classmethod
    def start(
        cls, vectors: Vectors, photos: Sequence[str], weights: Vectors, known: KnownPeople
    ) -> _Groups:
        """Returns one group per confirmed person, and one per other clear face."""
        rows: dict[tuple[int, int], list[int]] = {}
        for row in range(len(vectors)):
            person = known.persons.get(row, UNKNOWN)
            if person != UNKNOWN or weights[row] > 0:
                rows.setdefault((person, row if person == UNKNOWN else UNKNOWN), []).append(row)
        members = list(rows.values())
        # a confirmed face counts even if it is unclear
        clear = np.maximum(weights, 1e-3).astype(np.float64)
        sums = np.zeros((len(members), vectors.shape[1]))
        for group, faces in enumerate(members):
            sums[group] = (vectors[faces] * clear[faces, None]).sum(axis=0)
        return cls(
            sums=sums,
            totals=np.array([clear[faces].sum() for faces in members]),
            persons=np.array([person for person, _ in rows], np.int64).reshape(-1),
            refused=[_union(known.refused, faces) for faces in members],
            members=members,
            photos=[{photos[face] for face in faces} for faces in members],
        )

    def merge_until(self, threshold: float) -> None:
        """Merges the most similar groups until no two reach the threshold.

        Two groups that are each other's nearest are merged at once: average linkage gives the same
        result in any order of such merges (Murtagh 1983, "A survey of recent advances in
        hierarchical clustering algorithms").
        """
        nearest = np.zeros(len(self.members), np.int64)
        similarity = np.full(len(self.members), -np.inf)
        stale = np.arange(len(self.members))
        while len(self.members) > 1:
            nearest[stale], similarity[stale] = self._find_nearest(stale)
            first = _pairs_to_merge(nearest, similarity, threshold)
            if not len(first):
                return
            second = nearest[first]
            changed = np.zeros(len(self.members), bool)
            changed[first] = changed[second] = True
            changed |= changed[nearest]
            kept = np.ones(len(self.members), bool)
            kept[second] = False
            self._merge(first, second, kept)
            place = np.cumsum(kept) - 1
            nearest, similarity = place[nearest[kept]], similarity[kept]
            stale = np.flatnonzero(changed[kept])

    def labels(self, count: int) -> Numbers:
        """Returns the group of each of `count` faces, or `UNKNOWN`."""
        found = np.full(count, UNKNOWN, np.int64)
        for group, faces in enumerate(self.members):
            found[faces] = group
        return found

    def means(self) -> Vectors:
        """float32 (k, d), weighted means."""
        return np.asarray(self.sums / self.totals[:, None], np.float32)

    def _find_nearest(self, rows: Numbers) -> tuple[Numbers, NDArray[np.float64]]:
        """Finds the most similar group that each of `rows` may join, and the similarity."""
        means = self.means()
        nearest = np.zeros(len(rows), np.int64)
        similarity = np.full(len(rows), -np.inf)
        step = max(1, CHUNK_BYTES // (4 * len(means)))
        for start in range(0, len(rows), step):
            part = rows[start : start + step]
            block = means[part] @ means.T
            block[np.arange(len(part)), part] = -np.inf
            self._forbid(block, part)
            nearest[start : start + step] = block.argmax(axis=1)
            similarity[start : start + step] = block.max(axis=1)
        return nearest, similarity

    def _forbid(self, block: Vectors, rows: Numbers) -> None:
        """Rules out groups that share a photo, or that the user said are different persons."""
        groups_of: dict[str, list[int]] = {}
        for group, photos in enumerate(self.photos):
            for photo in photos:
                groups_of.setdefault(photo, []).append(group)
        is_known = self.persons != UNKNOWN
        has_refusal = np.array([bool(refused) for refused in self.refused])
        for place, row in enumerate(rows.tolist()):
            for photo in self.photos[row]:
                block[place, groups_of[photo]] = -np.inf
            if is_known[row]:
                block[place, is_known & (self.persons != self.persons[row])] = -np.inf
                for other in np.flatnonzero(has_refusal):
                    if self.persons[row] in self.refused[other]:
                        block[place, other] = -np.inf
            if has_refusal[row]:
                block[place, np.isin(self.persons, list(self.refused[row]))] = -np.inf

    def _merge(self, first: Numbers, second: Numbers, kept: NDArray[np.bool_]) -> None:
        """Merges `second` into `first`, pair by pair, and removes what is not kept."""
        self.sums[first] += self.sums[second]
        self.totals[first] += self.totals[second]
        self.persons[first] = np.maximum(self.persons[first], self.persons[second])
        for one, other in zip(first.tolist(), second.tolist(), strict=True):
            self.members[one] += self.members[other]
            self.refused[one] |= self.refused[other]
            self.photos[one] |= self.photos[other]
        self.sums, self.totals = self.sums[kept], self.totals[kept]
        self.persons = self.persons[kept]
        places = np.flatnonzero(kept).tolist()
        self.members = [self.members[place] for place in places]
        self.refused = [self.refused[place] for place in places]
        self.photos = [self.photos[place] for place in places]


def _pairs_to_merge(nearest: Numbers, similarity: NDArray[np.float64], threshold: float) -> Numbers:
    """Returns the first of each pair of groups that are each other's most similar."""
    rows = np.arange(len(nearest))
    is_pair = (nearest[nearest] == rows) & (rows < nearest) & (similarity >= threshold)
    if not is_pair.any() and similarity.max() >= threshold:
        # rounding can make the two similarities of a pair differ, so that no pair is mutual
        return np.array([similarity.argmax()])
    return np.flatnonzero(is_pair)


def _attach_unclear(
    labels: Numbers,
    vectors: Vectors,
    photos: Sequence[str],
    groups: _Groups,
    threshold: float,
    known: KnownPeople,
) -> None:
    """Adds unclear faces to the group that they clearly belong to."""
    if not groups.members:
        return
    means = groups.means()
    for row in np.flatnonzero(labels == UNKNOWN).tolist():
        found = vectors[row] @ means.T
        best = int(found.argmax())
        next_best = np.delete(found, best).max(initial=-np.inf)
        is_free = photos[row] not in groups.photos[best]
        is_refused = groups.persons[best] in known.refused.get(row, ())
        if is_free and not is_refused and found[best] >= max(threshold, next_best + LEAD):
            labels[row] = best
            groups.photos[best].add(photos[row])


def _union(refused: Mapping[int, frozenset[int]], faces: Sequence[int]) -> frozenset[int]:
    return frozenset().union(*(refused.get(face, frozenset()) for face in faces))


def _number_by_appearance(labels: Numbers) -> Numbers:
    order: dict[int, int] = {UNKNOWN: UNKNOWN}
    for label in labels.tolist():
        order.setdefault(label, len(order) - 1)
    return np.array([order[label] for label in labels.tolist()], np.int64).reshape(-1)
