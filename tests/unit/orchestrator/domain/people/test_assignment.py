"""Assigning faces to persons as albums grow."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.domain.people.assignment import Assignment, assign_people
from orchestrator.domain.people.corrections import FacePlace
from orchestrator.domain.people.faces import Box, IdentifiedFace

BOXES = tuple(Box(0.3 * place, 0.1, 0.2, 0.2) for place in range(3))
Photos = dict[str, tuple[IdentifiedFace, ...]]


@st.composite
def albums(draw: st.DrawFn) -> Photos:
    """Photos with up to three faces each, of few persons, whose vectors vary."""
    found = {}
    for photo in range(draw(st.integers(1, 8))):
        faces = []
        for box in BOXES[: draw(st.integers(0, 3))]:
            noise = np.random.default_rng(draw(st.integers(0, 99))).normal(size=4) * 0.4
            vector = np.eye(4)[draw(st.integers(0, 3))] + noise
            unit = (vector / np.linalg.norm(vector)).astype(np.float32)
            faces.append(IdentifiedFace(box, draw(st.sampled_from([0.0, 0.5, 1.0])), unit))
        found[f"{photo:02}"] = tuple(faces)
    return found


def assign(photos: Photos, former: list[tuple[FacePlace, str]], prefix: str) -> Assignment:
    numbers = itertools.count()
    return assign_people(photos, [], former, 0.4, lambda: f"{prefix}{next(numbers)}")


def groups(found: Assignment) -> set[frozenset[FacePlace]]:
    by_person: dict[str, set[FacePlace]] = {}
    for face in found.faces:
        if face.person_id is not None:
            by_person.setdefault(face.person_id, set()).add(face.place)
    return set(map(frozenset, by_person.values()))


@given(albums(), st.data())
def test_photos_that_come_later_give_the_same_persons_as_all_at_once(
    photos: Photos, data: st.DataObject
) -> None:
    early = {photo: faces for photo, faces in photos.items() if data.draw(st.booleans())}
    first = assign(early, [], "a")
    former = [(face.place, face.person_id) for face in first.faces if face.person_id is not None]
    later = assign(photos, former, "b")
    assert groups(later) == groups(assign(photos, [], "c"))
    # a person keeps the id unless the faces went to several persons
    for person in later.persons:
        faces = {face.place for face in later.faces if face.person_id == person.id}
        before = {known for place, known in former if place in faces}
        assert person.id in before or person.id.startswith("b")
