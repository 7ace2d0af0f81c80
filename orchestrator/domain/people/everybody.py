"""The goal of at least one good photo of everybody."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from orchestrator.domain.people.persons import Persons


@dataclass(frozen=True, slots=True)
class GroupShot:
    """A photo with persons.

    Attributes:
        path: Unique.
        score: Its composite score.
        people: Persons in it whose faces count.
        well_shown: Those of them who are prominent and have no closed eyes; empty if the photo is
            below a floor.
        is_picked: Whether it is picked already.
        may_be_picked: Whether it was left out only because other photos are better.
    """

    path: str
    score: float
    people: frozenset[str]
    well_shown: frozenset[str]
    is_picked: bool
    may_be_picked: bool


@dataclass(frozen=True, slots=True)
class BroughtIn:
    """Why a photo was picked for a person.

    Attributes:
        person_id: The person.
        other_ids: Other persons who were in no good pick before, and are well shown here.
        is_good: Whether the person is well shown.
        option_count: Number of photos of the person that it was the best of: the good ones that
            may be picked or, if there are none, all that may be picked.
        photo_count: Number of all photos of the person.
    """

    person_id: str
    other_ids: tuple[str, ...]
    is_good: bool
    option_count: int
    photo_count: int


def bring_in(shots: Sequence[GroupShot], persons: Persons) -> dict[str, BroughtIn]:
    """Picks more photos to include a good one of everybody.

    Starts with the person in the fewest photos, and picks the best-scoring good photo of each
    person who is not yet well shown in a pick. If a person has no good photo, their best-scoring
    one is picked, unless a pick already shows them.

    Args:
        shots: The photos with the persons who count.
        persons: All persons.

    Returns:
        The additional photos to pick, by path.
    """
    photos: dict[str, list[GroupShot]] = {}
    for shot in shots:
        for person in shot.people:
            photos.setdefault(person, []).append(shot)
    picked = {shot.path for shot in shots if shot.is_picked}
    found: dict[str, BroughtIn] = {}
    for person in sorted(photos, key=lambda one: (len(photos[one]), persons[one].name, one)):
        options = _find_options(person, photos[person], picked)
        if not options:
            continue
        best = min(options, key=lambda shot: (-shot.score, shot.path))
        others = [
            other
            for other in sorted(best.well_shown - {person})
            if not _is_covered(other, photos[other], picked)
        ]
        picked.add(best.path)
        found[best.path] = BroughtIn(
            person,
            tuple(others),
            person in best.well_shown,
            len(options),
            len(photos[person]),
        )
    return found


def find_missing(shots: Sequence[GroupShot], brought: Mapping[str, BroughtIn]) -> list[str]:
    """Finds the persons whom no pick shows, because none of their photos may be picked."""
    shown = [shot for shot in shots if shot.is_picked or shot.path in brought]
    everybody = frozenset().union(*(shot.people for shot in shots))
    return sorted(everybody.difference(*(shot.people for shot in shown)))


def _is_covered(person: str, photos: Sequence[GroupShot], picked: set[str]) -> bool:
    return any(shot.path in picked and person in shot.well_shown for shot in photos)


def _find_options(person: str, photos: Sequence[GroupShot], picked: set[str]) -> list[GroupShot]:
    """Returns the photos to choose from for a person; empty if no further one is needed."""
    if _is_covered(person, photos, picked):
        return []
    options = [shot for shot in photos if shot.may_be_picked and shot.path not in picked]
    good = [shot for shot in options if person in shot.well_shown]
    if good or any(shot.path in picked for shot in photos):
        return good
    return options
