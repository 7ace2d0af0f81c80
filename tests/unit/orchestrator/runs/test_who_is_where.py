"""Who is in which photo, as a run records it."""

from __future__ import annotations

import dataclasses

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.domain.people.assignment import assign_people
from orchestrator.domain.people.faces import Box, IdentifiedFace
from orchestrator.domain.people.persons import Person
from orchestrator.domain.photo import Landmark
from orchestrator.records import ImageRecord, Run, RunState, utc_now
from orchestrator.runs.who_is_where import (
    WhoIsWhere,
    describe_missing_landmarks,
    describe_people,
    people_log,
    read_persons,
    record_people,
    store_persons,
)
from tests.unit.values import face

PERSONS = {
    "a": Person("a", "Ann", is_ignored=False, is_important=True),
    "b": Person("b", "Bob", is_ignored=True),
    "c": Person("c", "", is_ignored=False),
}
LEFT, RIGHT = face(), face(left=0.6)
photos = st.lists(
    st.tuples(*[st.sampled_from(["", "", "a", "b", "c"])] * 2).filter(
        lambda pair: pair[0] != pair[1] or not pair[0]
    ),
    max_size=5,
)


@settings(deadline=None)
@given(photos, st.lists(st.integers(0, 4), min_size=10, max_size=10))
def test_a_run_can_be_repeated_with_the_persons_that_it_recorded(
    drawn: list[tuple[str, str]], looks: list[int]
) -> None:
    records = [
        ImageRecord(f"{number}", f"{number}", 1, faces=(LEFT, RIGHT), person_ids=pair)
        for number, pair in enumerate(drawn)
    ]
    run = Run("r", "a", RunState.COMPLETED, "", {}, {}, {}, utc_now())
    run = dataclasses.replace(run, persons=store_persons(records, PERSONS))
    vectors = iter(np.eye(5, dtype=np.float32)[looks])
    found = assign_people(
        {
            record.content_digest: [
                # a face that was not recognized is not clear
                IdentifiedFace(Box.of(one), 1.0 if person else 0.0, next(vectors))
                for one, person in zip(record.faces, record.person_ids, strict=True)
            ]
            for record in records
        },
        people_log(run, records),
        [],
        0.4,
        lambda: "new",
    )
    faces: dict[str, list[tuple[object, str]]] = {}
    for one in found.faces:
        if one.person_id is not None:
            faces.setdefault(one.place.content_digest, []).append((one.place, one.person_id))
    known = WhoIsWhere(faces, {person.id: person for person in found.persons})  # type: ignore[arg-type]
    again = record_people(records, known)
    assert [any(record.person_ids) for record in again] == [any(pair) for pair in drawn]
    assert [record for record in again if record.person_ids] == [
        record for record in records if any(record.person_ids)
    ]
    assert read_persons(run) == {key: PERSONS[key] for key in known.persons}
    assert store_persons(again, known.persons) == run.persons


def test_a_run_says_whom_it_recognized() -> None:
    persons = {**PERSONS, "d": Person("d", "", is_ignored=False)}
    passer_by = [("c",), ("", "d")]
    assert describe_people(passer_by, persons) == []
    assert describe_people([*passer_by, ("a", "b")], persons) == ["Recognized 1 person in 1 photo."]
    (note,) = describe_people([*passer_by, ("c",), ("c", "a")], persons)
    assert note.startswith("Recognized 2 people in 3 photos; name them")


def test_a_run_says_that_its_face_model_cannot_recognize_people() -> None:
    eyes = tuple(Landmark(name, 0.5, 0.5) for name in ("left_eye", "right_eye"))
    whole = (*eyes, *(Landmark(name, 0.5, 0.5) for name in ("nose", "mouth_left", "mouth_right")))
    without, found = (
        ImageRecord("p", "p", 1, faces=(dataclasses.replace(LEFT, landmarks=marks),))
        for marks in (eyes, whole)
    )
    assert describe_missing_landmarks([ImageRecord("q", "q", 1)]) == []
    assert describe_missing_landmarks([without, found]) == []
    (note,) = describe_missing_landmarks([without])
    assert note.startswith("People were not recognized")
