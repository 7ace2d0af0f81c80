"""What the user says about people, for any valid log."""

from __future__ import annotations

import dataclasses

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.domain.decisions import find_in_force
from orchestrator.domain.people.assignment import Assignment, assign_people
from orchestrator.domain.people.corrections import (
    FacePlace,
    PeopleAction,
    PeopleEntry,
    apply_log,
    find_fault,
    find_name_clash,
    keep_ids,
)
from orchestrator.domain.people.faces import Box, IdentifiedFace
from orchestrator.records import utc_now

PERSONS = ("p", "q", "r")
BOX = Box(0.2, 0.2, 0.2, 0.2)
FACES = tuple(FacePlace(digest, BOX) for digest in "abcdef")
NOW = utc_now()


@st.composite
def said(draw: st.DrawFn, name: str) -> PeopleEntry:
    """An entry that is not an undo."""
    action = draw(st.sampled_from([one for one in PeopleAction if one is not PeopleAction.UNDO]))
    faces = draw(st.lists(st.sampled_from(FACES), min_size=1, max_size=3, unique=True))
    rest = draw(st.lists(st.sampled_from([one for one in FACES if one not in faces]), max_size=2))
    person, other = draw(st.permutations(PERSONS))[:2]
    has_other = action in (PeopleAction.MERGE, PeopleAction.MOVE)
    has_rest = action in (PeopleAction.MOVE, PeopleAction.NOT_PERSON)
    return PeopleEntry(
        name,
        action,
        NOW,
        person_id="" if action is PeopleAction.NOT_FACE else person,
        faces=tuple(faces),
        other_person_id=other if has_other else "",
        rest=tuple(rest) if has_rest else (),
        name=draw(st.sampled_from(["Anna", "anna", "Ben"])) if action is PeopleAction.NAME else "",
    )


@st.composite
def logs(draw: st.DrawFn) -> list[PeopleEntry]:
    """Valid logs, with undos and undos of undos."""
    log: list[PeopleEntry] = []
    for number in range(draw(st.integers(0, 12))):
        counting = find_in_force(log)
        if counting and draw(st.integers(0, 2)) == 0:
            undone = draw(st.sampled_from(counting))
            entry = PeopleEntry(f"{number}", PeopleAction.UNDO, NOW, undone_id=undone.id)
        else:
            entry = draw(said(f"{number}"))
        assert not find_fault(log, entry)
        if not find_name_clash(log, entry):
            log.append(entry)
    return log


@given(log=logs())
def test_a_face_is_at_most_one_person_and_never_a_refused_one(
    log: list[PeopleEntry],
) -> None:
    known = apply_log(log, FACES)
    for face, person in known.persons.items():
        assert person not in known.refused.get(face, set())
        assert face not in known.not_faces


@given(log=logs())
def test_no_two_persons_have_the_same_name(log: list[PeopleEntry]) -> None:
    names = list(apply_log(log, FACES).names.values())
    assert len({name.casefold() for name in names}) == len(names)


@given(log=logs(), last=said("last"))
def test_an_undo_restores_what_was_before(log: list[PeopleEntry], last: PeopleEntry) -> None:
    undo = PeopleEntry("undo", PeopleAction.UNDO, NOW, undone_id="last")
    assert not find_fault([*log, last], undo)
    assert apply_log([*log, last, undo], FACES) == apply_log(log, FACES)
    assert "already undone" in find_fault([*log, last, undo], undo)


@given(log=logs(), shift=st.floats(-0.05, 0.05))
def test_entries_apply_to_boxes_that_moved_a_little(log: list[PeopleEntry], shift: float) -> None:
    box = dataclasses.replace(BOX, left=BOX.left + shift)
    moved = [FacePlace(face.content_digest, box) for face in FACES]
    assert apply_log(log, moved) == apply_log(log, FACES)


@given(log=logs())
def test_after_a_merge_nobody_is_the_other_person(log: list[PeopleEntry]) -> None:
    merge = PeopleEntry("m", PeopleAction.MERGE, NOW, "p", FACES[:1], other_person_id="q")
    known = apply_log([*log, merge], FACES)
    assert "q" not in known.persons.values()
    assert known.persons[0] == "p"
    assert "q" not in known.names


@given(log=logs(), mark=st.sampled_from([PeopleAction.IMPORTANT, PeopleAction.IGNORE]))
def test_of_several_marks_of_a_person_the_last_one_counts(
    log: list[PeopleEntry], mark: PeopleAction
) -> None:
    known = apply_log([*log, PeopleEntry("m", mark, NOW, "p", FACES[:1])], FACES)
    assert not known.important & known.ignored
    assert ("p" in known.important) == (mark is PeopleAction.IMPORTANT)
    assert ("p" in known.ignored) == (mark is PeopleAction.IGNORE)
    plain = PeopleEntry("n", PeopleAction.NOT_IMPORTANT, NOW, "p", FACES[:1])
    assert "p" not in apply_log([*log, plain], FACES).important


def assign(log: list[PeopleEntry], former: Assignment | None, persons: list[int]) -> Assignment:
    """Assigns one clear face per photo, which looks like the given person."""
    centres = np.eye(len(PERSONS), 8, dtype=np.float32)
    photos = {
        face.content_digest: (IdentifiedFace(BOX, 1.0, centres[person]),)
        for face, person in zip(FACES, persons, strict=False)
    }
    before = [(one.place, one.person_id or "") for one in (former.faces if former else ())]
    names = iter(f"new{len(before)}-{number}" for number in range(100))
    return assign_people(photos, log, before, 0.4, lambda: next(names))


@settings(deadline=None)
@given(log=logs(), persons=st.lists(st.integers(0, 2), min_size=6, max_size=6))
def test_what_was_confirmed_is_neither_renamed_nor_split(
    log: list[PeopleEntry], persons: list[int]
) -> None:
    known = apply_log(log, FACES)
    found = assign(log, None, persons)
    people = {face.place: face.person_id for face in found.faces}
    names = {person.id: person.name for person in found.persons}
    for number, face in enumerate(FACES):
        if number in known.not_faces:
            assert face not in people
        elif number in known.persons:
            assert people[face] == known.persons[number]
            assert names[known.persons[number]] == known.names.get(known.persons[number], "")
        else:
            assert people[face] not in known.refused.get(number, set())


@settings(deadline=None)
@given(
    persons=st.lists(st.integers(0, 2), min_size=6, max_size=6),
    count=st.integers(1, 6),
)
def test_persons_keep_their_ids_when_photos_are_added(persons: list[int], count: int) -> None:
    first = assign([], None, persons[:count])
    second = assign([], first, persons)
    before = {face.place: face.person_id for face in first.faces}
    after = {face.place: face.person_id for face in second.faces}
    assert {place: after[place] for place in before} == before


def test_the_larger_part_of_a_person_that_is_split_keeps_the_id() -> None:
    assert keep_ids(["x", "y", "y", None], ["p", "p", "p", "p"], []) == {"y": "p"}
    assert keep_ids(["x", "y", "y"], ["p", "p", "p"], ["p"]) == {}
