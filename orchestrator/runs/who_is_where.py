"""Records in a run who is in which photo, and splits moments accordingly."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from orchestrator.domain.people.corrections import (
    FaceFinder,
    FacePlace,
    PeopleAction,
    PeopleEntry,
)
from orchestrator.domain.people.faces import Box
from orchestrator.domain.people.persons import Person, Persons, find_familiar, list_persons
from orchestrator.domain.people.sub_moments import Company, split_by_people
from orchestrator.domain.scoring import find_shown, rate_trust
from orchestrator.domain.sets import SetKind
from orchestrator.domain.wording import pluralize
from orchestrator.records import ImageRecord, Run, utc_now
from orchestrator.runs.selection import Moments, family_pairs
from orchestrator.storage.people_store import SqlPeople

MIN_LANDMARK_COUNT = 5
"""Eyes, nose and corners of the mouth: without them, the face service cannot identify a face."""


@dataclass(frozen=True, slots=True)
class WhoIsWhere:
    """The faces of known persons.

    Attributes:
        faces: Faces by content digest, each with the id of its person.
        persons: The persons, by id.
    """

    faces: Mapping[str, Sequence[tuple[FacePlace, str]]]
    persons: Persons


NOBODY = WhoIsWhere(MappingProxyType({}), MappingProxyType({}))
"""For runs that do not use persons."""


def read_people(people: SqlPeople, records: Sequence[ImageRecord]) -> WhoIsWhere:
    """Reads who is in photos according to the current assignment and the user's corrections."""
    faces, persons = people.who_is_on({record.content_digest for record in records})
    return WhoIsWhere(faces, persons)


def record_people(records: Sequence[ImageRecord], known: WhoIsWhere) -> list[ImageRecord]:
    """Adds the person of each face to the records."""
    return [
        dataclasses.replace(
            record, person_ids=_find_persons(record, known.faces.get(record.content_digest, ()))
        )
        for record in records
    ]


def _find_persons(record: ImageRecord, known: Sequence[tuple[FacePlace, str]]) -> tuple[str, ...]:
    """Returns the person of each face in a photo; empty if nobody is known."""
    people = [""] * len(record.faces)
    finder = FaceFinder([FacePlace(record.content_digest, Box.of(face)) for face in record.faces])
    for place, person in known:
        number = finder.find_one(place)
        if number is not None:
            people[number] = person
    return tuple(people) if any(people) else ()


def describe_missing_landmarks(records: Sequence[ImageRecord]) -> list[str]:
    """Returns a note if no face has the landmarks that recognizing people needs."""
    found = [len(face.landmarks) for record in records for face in record.faces]
    if not found or max(found) >= MIN_LANDMARK_COUNT:
        return []
    return [
        "People were not recognized: the face model finds no landmarks of mouths and noses. "
        "Use another profile, such as standard."
    ]


def describe_people(photos: Sequence[Sequence[str]], persons: Persons) -> list[str]:
    """Returns a note on the people recognized; none if nobody was.

    Args:
        photos: Ids of the persons in each photo; "" for faces of nobody known.
        persons: The persons.
    """
    present = {person for photo in photos for person in photo}
    familiar = find_familiar(photos, persons) & present
    if not familiar:
        return []
    photo_count = sum(not familiar.isdisjoint(photo) for photo in photos)
    note = f"Recognized {pluralize(len(familiar), 'person')} in {pluralize(photo_count, 'photo')}"
    unnamed = sum(not persons[person].name for person in familiar)
    advice = "; name them under People, or with `bestshot people name`" if unnamed else ""
    return [f"{note}{advice}."]


def store_persons(records: Sequence[ImageRecord], persons: Persons) -> dict[str, dict[str, Any]]:
    """Converts the persons in photos to the form in which a run records them."""
    present = {person for record in records for person in record.person_ids} & persons.keys()
    return {
        person: {
            "name": persons[person].name,
            "is_ignored": persons[person].is_ignored,
            "is_important": persons[person].is_important,
        }
        for person in sorted(present)
    }


def read_persons(run: Run) -> dict[str, Person]:
    """Reads the persons recorded by a run, by id."""
    return {person: Person(person, **stored) for person, stored in run.persons.items()}


def people_log(run: Run, records: Sequence[ImageRecord]) -> list[PeopleEntry]:
    """Builds a log of corrections that assigns every face to the person it had in a run."""
    if not run.persons:
        return []
    places: dict[str, dict[FacePlace, None]] = {}  # no duplicates: copies have the same places
    for record in records:
        people = record.person_ids or ("",) * len(record.faces)
        for person_id, face in zip(people, record.faces, strict=True):
            place = FacePlace(record.content_digest, Box.of(face))
            places.setdefault(person_id, {})[place] = None
    entries = []
    for person_id, person in read_persons(run).items():
        faces, name = tuple(places[person_id]), person.name
        marks = (
            (PeopleAction.IGNORE, person.is_ignored),
            (PeopleAction.IMPORTANT, person.is_important),
        )
        entries.append(_entry(PeopleAction.MOVE, person_id, faces, name))
        entries += [_entry(mark, person_id, faces) for mark, is_set in marks if is_set]
    if "" in places:  # a face that was not recognized must not be recognized now
        entries.append(_entry(PeopleAction.NOT_FACE, "", tuple(places[""])))
    return entries


def _entry(
    action: PeopleAction, person_id: str, faces: tuple[FacePlace, ...], name: str = ""
) -> PeopleEntry:
    entry_id = f"{action} {person_id}"
    return PeopleEntry(entry_id, action, utc_now(), person_id, faces, name=name)


def split_moments(
    records: Sequence[ImageRecord], moments: Moments, persons: Persons, *, is_enabled: bool
) -> tuple[list[ImageRecord], Moments]:
    """Splits moments by who is in the photos, if the setting is on.

    Copies and versions stay together, and so do sets, except bursts.

    Args:
        records: Readable photos, ordered by path, with their persons.
        moments: The moments found by the algorithm.
        persons: The persons in the photos.
        is_enabled: Whether the setting is on.

    Returns:
        The records, with the part of the moment that each photo is in, and the moments.
    """
    if not is_enabled:
        cleared = [
            dataclasses.replace(record, whole_moment_id=None, moment_people="")
            for record in records
        ]
        return cleared, moments
    familiar = find_familiar([record.person_ids for record in records], persons)
    companies = [_find_company(record, familiar) for record in records]
    found = split_by_people(moments.labels, companies, _find_kin(records, moments))
    split = [
        dataclasses.replace(
            record,
            whole_moment_id=None if people is None else int(whole),
            moment_people=""
            if people is None
            else list_persons(people, persons) or "nobody recognized",
        )
        for record, whole, people in zip(records, moments.labels, found.people, strict=True)
    ]
    return split, dataclasses.replace(moments, labels=found.labels)


def _find_company(record: ImageRecord, familiar: frozenset[str]) -> Company:
    people = record.person_ids or ("",) * len(record.faces)
    unknown = (
        rate_trust(face) > 0 and not person
        for face, person in zip(record.faces, people, strict=True)
    )
    return Company(find_shown(record.faces, people, familiar), sum(unknown))


def _find_kin(records: Sequence[ImageRecord], moments: Moments) -> list[int]:
    """Numbers the groups of photos that stay together; a set may join several families."""
    kin = np.arange(len(records))
    for first, second in family_pairs(records, moments.alterations):
        kin[kin == kin[second]] = kin[first]
    heads: dict[int, int] = {}
    for row, place in enumerate(moments.places):
        if place is not None and place.kind is not SetKind.BURST:
            kin[kin == kin[row]] = kin[heads.setdefault(place.number, row)]
    joined: list[int] = kin.tolist()
    return joined
