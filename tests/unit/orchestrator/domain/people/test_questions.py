"""Questions about uncertain faces."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.domain.people.corrections import FacePlace
from orchestrator.domain.people.faces import Box, Vector
from orchestrator.domain.people.persons import Person
from orchestrator.domain.people.questions import UNSURE_MARGIN, KnownFace, choose_questions

THRESHOLD = 0.4
BOX = Box(0.1, 0.1, 0.3, 0.3)
PERSONS = {
    "a": Person("a", "Anna", is_ignored=False),
    "u": Person("u", "", is_ignored=False),
    "i": Person("i", "Ivo", is_ignored=True),
}


def at(similarity: float) -> Vector:
    """A unit vector with this similarity to Anna's."""
    return np.array([similarity, math.sqrt(1 - similarity**2), 0], np.float32)


def face(photo: str, similarity: float, person: str | None, **known: object) -> KnownFace:
    clarity = float(known.pop("clarity", 1.0))  # type: ignore[arg-type]
    return KnownFace(FacePlace(photo, BOX), clarity, at(similarity), person, **known)  # type: ignore[arg-type]


ANNA = [face("1", 1.0, "a", is_confirmed=True), face("2", 1.0, "a", is_confirmed=True)]


def ask(*faces: KnownFace) -> list[tuple[str, str, str, int]]:
    return [
        (one.place.content_digest, one.person_id, one.other_person_id, one.face_count)
        for one in choose_questions([*ANNA, *faces], PERSONS, THRESHOLD, 5)
    ]


def test_groups_of_many_faces_come_before_single_and_unclear_ones() -> None:
    group = [face(f"g{number}", 0.38, "u") for number in range(4)]
    unclear = face("u", 0.38, None, clarity=0.0)
    assert ask(unclear, face("s", 0.38, None), *group) == [
        ("g0", "a", "u", 4),
        ("s", "a", "", 1),
        ("u", "a", "", 1),
    ]


def test_nothing_is_asked_about_what_is_known() -> None:
    assert ask(face("3", 0.2, None), face("3", 0.9, "a")) == []
    assert ask(face("3", 0.38, None, refused=frozenset({"a"}))) == []
    assert ask(face("3", 0.42, "a", is_confirmed=True)) == []
    assert ask(face("1", 0.38, None)) == []  # Anna is already in this photo
    assert ask(face("3", 0.38, "i")) == []


def test_a_weak_face_of_a_named_person_is_asked_about() -> None:
    assert ask(face("3", 0.0, "a"))[0] == ("3", "a", "", 1)


@given(
    st.lists(
        st.tuples(
            st.sampled_from("3456"),
            st.floats(-1, 1),
            st.sampled_from(["a", "u", "i", None]),
            st.booleans(),
        ),
        max_size=12,
    ),
    st.integers(0, 4),
)
def test_every_question_is_about_one_uncertain_unanswered_face(
    drawn: list[tuple[str, float, str | None, bool]], limit: int
) -> None:
    faces = [
        KnownFace(
            FacePlace(photo, Box(number / 20, 0, 0.04, 0.04)), 1.0, at(similarity), person, known
        )
        for number, (photo, similarity, person, known) in enumerate(drawn)
    ]
    asked = choose_questions([*ANNA, *faces], PERSONS, THRESHOLD, limit)
    assert len(asked) <= limit
    assert len({one.place for one in asked}) == len(asked)
    by_place = {one.place: one for one in faces}
    for question in asked:
        assert question.person_id == "a"
        assert abs(question.similarity - THRESHOLD) < UNSURE_MARGIN
        if by_place[question.place].person_id == "a":
            assert not by_place[question.place].is_confirmed
