"""Turns what the user says about people into entries in the log."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from orchestrator.domain.people.corrections import (
    ABOUT_PERSONS,
    FacePlace,
    PeopleAction,
    PeopleEntry,
    clean_name,
    find_last_undoable,
)
from orchestrator.records import utc_now
from orchestrator.storage.people_store import SqlPeople
from services.common.errors import FailedPreconditionError, InvalidArgumentError

MAX_NAME_LENGTH = 200
"""Maximum length of a new name, in characters, as on the page; logs may contain longer ones."""


@dataclass(frozen=True, slots=True)
class Correction:
    """What the user says; fields as in CorrectPeopleRequest of orchestrator.proto."""

    action: PeopleAction
    person_id: str = ""
    other_person_id: str = ""
    faces: Sequence[FacePlace] = ()
    name: str = ""
    decided_by: str = ""


def correct_people(people: SqlPeople, said: Correction, entry_id: str) -> PeopleEntry:
    """Adds an entry with all faces that it confirms, and applies it.

    Args:
        people: The persons.
        said: What the user says.
        entry_id: If the log already contains an entry with this id, that entry is returned.

    Raises:
        NotFoundError: There is no such person.
        InvalidArgumentError: The faces are missing or belong to several people, or the name is
            invalid or another person's.
    """
    known = _find_entry(people, entry_id)
    entry = known or _new_entry(people, said, entry_id)
    people.append(entry)
    return entry


def undo_people_correction(
    people: SqlPeople, undone_id: str, entry_id: str, decided_by: str
) -> PeopleEntry:
    """Adds an entry that undoes an earlier one, and applies it.

    Args:
        people: The persons.
        undone_id: The entry to undo; empty = the newest one that is not an undo.
        entry_id: If the log already contains an entry with this id, that entry is returned.
        decided_by: Who undoes it; empty if unknown.

    Raises:
        FailedPreconditionError: There is nothing to undo.
        InvalidArgumentError: There is no such entry, or it is already undone.
    """
    known = _find_entry(people, entry_id)
    entry = known or _undo_entry(people, undone_id, entry_id, decided_by)
    people.append(entry)
    return entry


def _find_entry(people: SqlPeople, entry_id: str) -> PeopleEntry | None:
    return next((known for known in people.entries() if known.id == entry_id), None)


def _new_entry(people: SqlPeople, said: Correction, entry_id: str) -> PeopleEntry:
    if said.action in (*ABOUT_PERSONS, PeopleAction.MERGE):
        return _about_person(people, said, entry_id)
    return _about_faces(people, said, entry_id)


def _undo_entry(people: SqlPeople, undone_id: str, entry_id: str, decided_by: str) -> PeopleEntry:
    newest = find_last_undoable(people.entries())
    if not undone_id and newest is None:
        raise FailedPreconditionError("there is no correction to undo")
    return PeopleEntry(
        id=entry_id,
        action=PeopleAction.UNDO,
        create_time=utc_now(),
        undone_id=undone_id or (newest.id if newest else ""),
        decided_by=decided_by,
    )


def _about_person(people: SqlPeople, said: Correction, entry_id: str) -> PeopleEntry:
    person = people.person(said.person_id)
    action, other_id, name = said.action, said.other_person_id, ""
    faces = people.places(person.id)
    if action is PeopleAction.MERGE:
        other = people.person(other_id)
        faces += people.places(other.id)
        name = person.name or other.name
    elif action is PeopleAction.NAME:
        name = _read_name(said)
        absent = people.find_absent(name)
        if absent and absent != person.id:  # the same person, whose known photos were deleted
            action, other_id = PeopleAction.MERGE, absent
    return PeopleEntry(
        id=entry_id,
        action=action,
        create_time=utc_now(),
        person_id=person.id,
        other_person_id=other_id,
        faces=faces,
        name=name,
        decided_by=said.decided_by,
    )


def _about_faces(people: SqlPeople, said: Correction, entry_id: str) -> PeopleEntry:
    found = people.find(said.faces)
    faces = tuple(place for place, _ in found)
    holders = {person for _, person in found}
    if len(holders) > 1:
        raise InvalidArgumentError("faces", "the faces belong to several people; give those of one")
    source = next(iter(holders), None) or ""
    person_id, name = said.person_id, _read_name(said)
    if person_id:
        people.person(person_id)
    if said.action is PeopleAction.MOVE:
        person_id = person_id or (name and people.find_absent(name)) or uuid.uuid4().hex
        source = "" if source == person_id else source  # the move only confirms the person
        keeps_rest = bool(source)
    else:
        keeps_rest = said.action is PeopleAction.NOT_PERSON and source == person_id
    rest = people.places(source) if keeps_rest else ()
    return PeopleEntry(
        id=entry_id,
        action=said.action,
        create_time=utc_now(),
        person_id=person_id,
        other_person_id=source if said.action is PeopleAction.MOVE else "",
        faces=faces,
        rest=tuple(place for place in rest if place not in faces),
        name=name,
        decided_by=said.decided_by,
    )


def _read_name(said: Correction) -> str:
    name = clean_name(said.name)
    if len(name) > MAX_NAME_LENGTH:
        raise InvalidArgumentError(
            "name", f"has {len(name)} characters; at most {MAX_NAME_LENGTH} are allowed"
        )
    return name
