"""What the selection knows about persons.

`assignment` finds them; `corrections` keeps their ids, names and what the user said about them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from orchestrator.domain.wording import list_words

MIN_PHOTO_COUNT = 3
"""An unnamed person in fewer photos of an album is probably a passer-by. A heuristic."""


@dataclass(frozen=True, slots=True)
class Person:
    """A person; `name` is empty until the user gives one.

    Attributes:
        is_ignored: Whether the user ignores the person, such as a stranger.
        is_important: Whether group shots are judged by this person's face.
    """

    id: str
    name: str
    is_ignored: bool
    is_important: bool = False


Persons = Mapping[str, Person]
"""Persons by id."""


def find_familiar(photos: Iterable[Sequence[str]], persons: Persons) -> frozenset[str]:
    """Finds the persons who are not just passers-by.

    These are the named and the important ones, and those in at least `MIN_PHOTO_COUNT` photos,
    except those whom the user ignores.

    Args:
        photos: Ids of the persons in each photo of an album; "" for unknown faces.
        persons: The persons.
    """
    counts = Counter(person for photo in photos for person in set(photo) if person)
    return frozenset(
        person_id
        for person_id, person in persons.items()
        if not person.is_ignored
        and (person.name or person.is_important or counts[person_id] >= MIN_PHOTO_COUNT)
    )


def list_persons(person_ids: Iterable[str], persons: Persons) -> str:
    """Lists persons in words: the named ones by name, the others by their number."""
    ids = set(person_ids)
    names = sorted(persons[one].name for one in ids if one in persons and persons[one].name)
    unnamed = len(ids) - len(names)
    if unnamed == 1:
        names.append("an unnamed person")
    elif unnamed:
        names.append(f"{unnamed} unnamed people")
    return list_words(names)
