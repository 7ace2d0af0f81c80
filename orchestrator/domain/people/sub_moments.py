"""Splits moments by who is in the photos."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from orchestrator.domain.moments.labels import labels_of
from orchestrator.domain.moments.parameters import NOISE

Labels = NDArray[np.int64]
People = frozenset[str]


@dataclass(frozen=True, slots=True)
class Company:
    """Who is in a photo.

    Attributes:
        people: Ids of the familiar persons.
        unknown_count: Number of faces that were not recognized; each may be another person's.
    """

    people: People
    unknown_count: int = 0

    def may_be(self, people: People) -> bool:
        """Whether the photo may show exactly these persons."""
        return self.people <= people and len(people - self.people) <= self.unknown_count


@dataclass(frozen=True, slots=True, eq=False)
class SubMoments:
    """Moments that were split by persons.

    Attributes:
        labels: int64, (n,), NOISE for single shots.
        people: The persons who define each photo's part; None if its moment was not split.
    """

    labels: Labels
    people: Sequence[People | None]


def split_by_people(labels: Labels, companies: Sequence[Company], kin: Sequence[int]) -> SubMoments:
    """Splits each moment into one part for each set of persons.

    A photo with faces that were not recognized joins the largest part whose persons may be in it,
    and forms a separate part only if there is none. Kin, such as copies, stay together: the persons
    in one of them count for all.

    Args:
        labels: int64, (n,), NOISE for single shots.
        companies: (n,), who is in each photo.
        kin: (n,), equal numbers for photos of a moment that must stay together.
    """
    parts = np.where(labels == NOISE, -1 - np.arange(len(labels)), labels)
    people: list[People | None] = [None] * len(labels)
    free = int(labels.max(initial=NOISE)) + 1
    for label in np.unique(labels[labels != NOISE]):
        rows = np.flatnonzero(labels == label).tolist()
        found = _find_parts({row: companies[row] for row in rows}, kin)
        numbers = {part: free + number for number, part in enumerate(dict.fromkeys(found.values()))}
        if len(numbers) > 1:
            for row, part in found.items():
                parts[row], people[row] = numbers[part], part
            free += len(numbers)
    return SubMoments(labels_of(parts), people)


def _find_parts(moment: dict[int, Company], kin: Sequence[int]) -> dict[int, People]:
    """Finds the set of persons that each photo of a moment belongs to, by row."""
    families: dict[int, list[int]] = {}
    for row in moment:
        families.setdefault(kin[row], []).append(row)
    joint = {
        key: Company(
            frozenset().union(*(moment[row].people for row in rows)),
            max(moment[row].unknown_count for row in rows),
        )
        for key, rows in families.items()
    }
    sizes: Counter[People] = Counter()
    found: dict[int, People] = {}
    for key, company in sorted(joint.items(), key=lambda item: item[1].unknown_count > 0):
        options = [people for people in sizes if company.may_be(people)]
        found[key] = company.people
        if company.unknown_count and options:
            found[key] = max(options, key=lambda part: (sizes[part], sorted(part)))
        sizes[found[key]] += len(families[key])
    return {row: found[kin[row]] for row in moment}
