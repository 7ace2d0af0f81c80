"""What the user has said about people: an append-only log, and what follows from it.

Entries identify a face by its photo's content and its box, so they also apply in later runs, in
other albums, and after the detector has changed.
"""

from __future__ import annotations

import datetime
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from orchestrator.domain.decisions import find_in_force, find_time_fault
from orchestrator.domain.people.faces import Box

SAME_FACE_OVERLAP = 0.5
"""Minimum overlap at which two boxes in one photo are the same face."""
_JOINERS = str.maketrans("", "", "\u200c\u200d")
"""Zero-width joiners: not printable, but part of Persian and Indic names, and of emoji."""


class PeopleAction(StrEnum):
    """The kind of an entry; named as in orchestrator.proto."""

    NAME = "name"
    MERGE = "merge"
    MOVE = "move"
    NOT_PERSON = "not_person"
    NOT_FACE = "not_face"
    IGNORE = "ignore"
    IMPORTANT = "important"
    NOT_IMPORTANT = "not_important"
    UNDO = "undo"


MARKS = (PeopleAction.IGNORE, PeopleAction.IMPORTANT, PeopleAction.NOT_IMPORTANT)
"""Actions that mark a person; of several, the last one counts."""
ABOUT_PERSONS = (PeopleAction.NAME, *MARKS)
"""Actions that apply to all faces of a person and move none."""


@dataclass(frozen=True, slots=True)
class FacePlace:
    """A face, identified by its photo's content and its box."""

    content_digest: str
    box: Box


@dataclass(frozen=True, slots=True)
class PeopleEntry:
    """An entry in the log.

    An entry also confirms whose faces the user saw: all faces of a person who is named, merged,
    ignored, or marked as important or not, and those that stay with a person when others leave.

    Attributes:
        id: Unique.
        action: NAME, IGNORE, IMPORTANT and NOT_IMPORTANT apply to the person; an ignored person is
            not important, and an important one not ignored. MERGE makes `other_person_id` the same
            person. MOVE gives `faces` to the person, who may be new. NOT_PERSON removes `faces`
            from the person. NOT_FACE says that `faces` are not faces. UNDO reverts `undone_id`,
            which may itself be an UNDO.
        create_time: When the user said it.
        person_id: The person; empty for NOT_FACE and UNDO.
        faces: The faces that MOVE, NOT_PERSON or NOT_FACE is about; otherwise all faces of the
            person (for MERGE, of both).
        other_person_id: MERGE: the person merged into the other; MOVE: the person whom the faces
            leave, or empty.
        rest: MOVE, NOT_PERSON: the faces that stay with the person whom `faces` leave.
        name: NAME: the new name; MERGE, MOVE: the person's name, or empty to keep it.
        undone_id: The entry reverted by an UNDO; empty otherwise.
        decided_by: Who said it, according to the program that stored it; empty if unknown.
    """

    id: str
    action: PeopleAction
    create_time: datetime.datetime
    person_id: str = ""
    faces: tuple[FacePlace, ...] = ()
    other_person_id: str = ""
    rest: tuple[FacePlace, ...] = ()
    name: str = ""
    undone_id: str = ""
    decided_by: str = ""


@dataclass
class KnownFaces:
    """What the log says about the faces that are present, by their position in a list.

    Attributes:
        persons: The person to whom each confirmed face belongs.
        refused: Persons to whom a face does not belong.
        not_faces: Those that are not faces.
        names: Names of persons, by id.
        ignored: Ids of persons whom the user ignores.
        important: Ids of persons who are important to the user.
    """

    persons: dict[int, str] = field(default_factory=dict)
    refused: dict[int, set[str]] = field(default_factory=dict)
    not_faces: set[int] = field(default_factory=set)
    names: dict[str, str] = field(default_factory=dict)
    ignored: set[str] = field(default_factory=set)
    important: set[str] = field(default_factory=set)


def apply_log(log: Sequence[PeopleEntry], faces: Sequence[FacePlace]) -> KnownFaces:
    """Applies the entries in force, in order; faces that are not present are skipped."""
    finder = FaceFinder(faces)
    known = KnownFaces()
    for entry in find_in_force(log):
        _apply(known, entry, finder)
    return known


def find_fault(log: Sequence[PeopleEntry], entry: PeopleEntry) -> str:
    """Describes why an entry cannot be the next one; empty if it can."""
    if problem := find_time_fault(entry.create_time):
        return problem
    if entry.action is PeopleAction.UNDO:
        if entry.undone_id not in {known.id for known in log}:
            return f"there is no earlier entry {entry.undone_id!r} to undo"
        if entry.undone_id not in {known.id for known in find_in_force(log)}:
            return f"the entry {entry.undone_id} is already undone"
        return ""
    if not entry.faces:
        return f"{entry.action} needs at least 1 face"
    if entry.action is not PeopleAction.NOT_FACE and not entry.person_id:
        return f"{entry.action} needs a person"
    if entry.person_id and entry.person_id == entry.other_person_id:
        return f"{entry.action} needs two different persons"
    if entry.action is PeopleAction.NAME and not entry.name.translate(_JOINERS):
        return "the name must not be empty"
    if not entry.name.translate(_JOINERS).isprintable():
        return "the name must not contain line breaks or control characters"
    return ""


def find_name_clash(log: Sequence[PeopleEntry], entry: PeopleEntry) -> str:
    """Returns the name that an entry would give to a second person; empty if there is none.

    Names are unique among all persons in the log, whether or not their photos are still present.
    """
    before, after = read_names(log), read_names([*log, entry])
    shared = _find_shared_names(before)
    for name, ids in _find_shared_names(after).items():
        if not ids <= shared.get(name, set()):
            return min(
                (before[key] for key in before.keys() & ids if _fold(before[key]) == name),
                default=name,
            )
    return ""


def read_names(log: Sequence[PeopleEntry]) -> dict[str, str]:
    """Returns the names that the log gives to persons, by id."""
    return apply_log(log, []).names


def _find_shared_names(names: Mapping[str, str]) -> dict[str, set[str]]:
    """Returns the ids of the persons who share each name, for names that several have."""
    found: dict[str, set[str]] = {}
    for person_id, name in names.items():
        found.setdefault(_fold(name), set()).add(person_id)
    return {name: ids for name, ids in found.items() if len(ids) > 1}


def clean_name(name: str) -> str:
    """Strips surrounding spaces, and normalizes how letters are encoded."""
    return unicodedata.normalize("NFC", name.strip())


def is_same_name(first: str, second: str) -> bool:
    """Whether two names differ at most in upper and lower case, or in how letters are encoded."""
    return _fold(first) == _fold(second)


def _fold(name: str) -> str:
    return clean_name(name).casefold()


def find_last_undoable(log: Sequence[PeopleEntry]) -> PeopleEntry | None:
    """Returns the newest entry in force that is not an undo."""
    found = [entry for entry in find_in_force(log) if entry.action is not PeopleAction.UNDO]
    return found[-1] if found else None


def _apply(known: KnownFaces, entry: PeopleEntry, finder: FaceFinder) -> None:
    faces, rest = finder.find(entry.faces), finder.find(entry.rest)
    match entry.action:
        case PeopleAction.NOT_PERSON:
            _refuse(known, faces, entry.person_id)
            _confirm(known, rest, entry.person_id)
        case PeopleAction.NOT_FACE:
            _refuse(known, faces, None)
            known.not_faces.update(faces)
        case PeopleAction.MERGE:
            _merge(known, entry.person_id, entry.other_person_id)
            _confirm(known, faces, entry.person_id)
        case _:  # an UNDO has no faces
            _confirm(known, faces, entry.person_id)
            _confirm(known, rest, entry.other_person_id)
    if entry.action in MARKS:
        _mark(known, entry.person_id, entry.action)
    if entry.name:
        known.names[entry.person_id] = entry.name


def _mark(known: KnownFaces, person_id: str, mark: PeopleAction) -> None:
    known.ignored.discard(person_id)
    known.important.discard(person_id)
    if mark is PeopleAction.IGNORE:
        known.ignored.add(person_id)
    elif mark is PeopleAction.IMPORTANT:
        known.important.add(person_id)


def _refuse(known: KnownFaces, faces: Iterable[int], person_id: str | None) -> None:
    """Takes faces from a person or, with None, from the persons they belong to."""
    for face in faces:
        if person_id in (None, known.persons.get(face)):
            known.persons.pop(face, None)
        if person_id is not None:
            known.refused.setdefault(face, set()).add(person_id)


def _confirm(known: KnownFaces, faces: Iterable[int], person_id: str) -> None:
    for face in faces:
        known.persons[face] = person_id
        known.refused.get(face, set()).discard(person_id)
        known.not_faces.discard(face)


def _merge(known: KnownFaces, person_id: str, other_id: str) -> None:
    """Merges the person `other_id` into `person_id`."""
    for face, person in known.persons.items():
        if person == other_id:
            known.persons[face] = person_id
    for face, refused in known.refused.items():
        if other_id in refused:
            refused.remove(other_id)
            if known.persons.get(face) != person_id:
                refused.add(person_id)
    for face, person in known.persons.items():
        if person == person_id:
            known.refused.get(face, set()).discard(person_id)
    known.names.pop(other_id, None)
    known.ignored.discard(other_id)
    if other_id in known.important and person_id not in known.ignored:
        known.important.add(person_id)
    known.important.discard(other_id)


class FaceFinder:
    """Finds, among the faces that are present, those that entries refer to."""

    def __init__(self, faces: Sequence[FacePlace]) -> None:
        self._by_photo: dict[str, list[tuple[int, Box]]] = {}
        for number, face in enumerate(faces):
            self._by_photo.setdefault(face.content_digest, []).append((number, face.box))

    def find(self, places: Iterable[FacePlace]) -> list[int]:
        """Returns the numbers of the faces at these places, skipping those that are missing."""
        found = map(self.find_one, places)
        return list(dict.fromkeys(number for number in found if number is not None))

    def find_one(self, place: FacePlace) -> int | None:
        """Returns the number of the face at this place; None if it is not present."""
        candidates = self._by_photo.get(place.content_digest, [])
        overlaps = [(box.overlap(place.box), -number) for number, box in candidates]
        best, number = max(overlaps, default=(0.0, 0))
        return -number if best >= SAME_FACE_OVERLAP else None


def keep_ids(
    groups: Sequence[str | None], former: Sequence[str | None], taken: Iterable[str]
) -> Mapping[str, str]:
    """Gives each group of faces the id of the person that most of its faces belonged to before.

    Args:
        groups: The group that each face is in now; None = no group.
        former: The person that each face belonged to before; None = nobody.
        taken: Ids of persons that no group may get.

    Returns:
        The former id of each group that has one; no id is given twice.
    """
    counts: dict[tuple[str, str], int] = {}
    for group, person in zip(groups, former, strict=True):
        if group is not None and person is not None:
            counts[group, person] = counts.get((group, person), 0) + 1
    used, kept = set(taken), dict[str, str]()
    for (group, person), _ in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
        if group not in kept and person not in used:
            kept[group] = person
            used.add(person)
    return kept
