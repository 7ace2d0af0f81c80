"""Chooses the few uncertain faces about which an answer from the user helps most; a heuristic."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from orchestrator.domain.people.corrections import FacePlace
from orchestrator.domain.people.faces import Vector
from orchestrator.domain.people.grouping import Vectors
from orchestrator.domain.people.persons import Person

UNSURE_MARGIN = 0.1
"""A similarity less than this far from the threshold is uncertain."""
SMALLEST_WEIGHT = 0.1
"""Weight of faces that are too small or turned too far to count for the grouping."""


@dataclass(frozen=True, slots=True)
class KnownFace:
    """A face and what is known about it.

    Attributes:
        clarity: As in `IdentifiedFace`.
        person_id: The person that it was assigned to; None if there is none.
        is_confirmed: Whether the user confirmed this.
        refused: Persons that it does not belong to, according to the user.
    """

    place: FacePlace
    clarity: float
    vector: Vector
    person_id: str | None
    is_confirmed: bool = False
    refused: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Question:
    """Asks whether a face is a person's; fields as in PeopleQuestion of orchestrator.proto."""

    place: FacePlace
    person_id: str
    other_person_id: str
    similarity: float
    face_count: int


def choose_questions(
    faces: Sequence[KnownFace],
    persons: Mapping[str, Person],
    same_person_similarity: float,
    limit: int,
) -> list[Question]:
    """Chooses questions about named persons, the most useful first, at most one per face.

    A face is uncertain if its similarity to a person is close to the threshold. Clear faces, and
    groups of many faces, come first. Nothing that the user has answered is asked again, and a
    person is never asked about in a photo that already shows them.
    """
    groups = _group(faces)
    named = {
        person_id: _mean([faces[row] for row in groups[person_id]])
        for person_id, person in persons.items()
        if person.name and not person.is_ignored and person_id in groups
    }
    found: dict[FacePlace, tuple[float, Question]] = {}
    ignored = {person_id for person_id, person in persons.items() if person.is_ignored}
    for group, rows in groups.items():
        members = [faces[row] for row in rows]
        if group in named:
            asked = _ask_about_own(group, members, named[group])
        elif group in ignored:
            continue
        else:
            asked = _ask_about_others(group, members, named, faces, groups)
        for question, clarity in asked:
            weight = _rate(question, clarity, same_person_similarity)
            if weight > found.get(question.place, (0.0,))[0]:
                found[question.place] = (weight, question)
    ranked = sorted(found.values(), key=lambda item: (-item[0], repr(item[1].place)))
    return [question for _, question in ranked[:limit]]


def _group(faces: Sequence[KnownFace]) -> dict[str, list[int]]:
    """Returns the rows of each person's faces; a face without a person is a separate group."""
    groups: dict[str, list[int]] = {}
    for row, face in enumerate(faces):
        # no person's id begins with a space
        groups.setdefault(face.person_id or f" {row}", []).append(row)
    return groups


def _mean(faces: Sequence[KnownFace]) -> Vector:
    """Returns the weighted mean; the dot product of two is the mean similarity of the groups."""
    weights = np.maximum([face.clarity for face in faces], 1e-3)
    vectors: Vectors = np.stack([face.vector for face in faces])
    return np.asarray(weights @ vectors / weights.sum(), np.float32)


def _ask_about_own(
    person_id: str, members: Sequence[KnownFace], mean: Vector
) -> Iterator[tuple[Question, float]]:
    """Asks whether the faces that were assigned to a named person are that person's."""
    length = max(float(np.linalg.norm(mean)), 1e-12)
    for face in members:
        if not face.is_confirmed:
            similarity = float(face.vector @ mean) / length
            yield Question(face.place, person_id, "", similarity, 1), face.clarity


def _ask_about_others(
    group: str,
    members: Sequence[KnownFace],
    named: Mapping[str, Vector],
    faces: Sequence[KnownFace],
    groups: Mapping[str, Sequence[int]],
) -> Iterator[tuple[Question, float]]:
    """Asks whether unnamed faces are those of the named person whom they resemble most."""
    mean = _mean(members)
    photos = {face.place.content_digest for face in members}
    refused = frozenset().union(*(face.refused for face in members))
    for person_id in sorted(named, key=lambda one: -float(mean @ named[one])):
        shown = {faces[row].place.content_digest for row in groups[person_id]}
        if person_id in refused or photos & shown:
            continue
        clearest = max(members, key=lambda face: face.clarity)
        other = group if not group.startswith(" ") else ""
        similarity = float(mean @ named[person_id])
        yield (
            Question(clearest.place, person_id, other, similarity, len(members)),
            clearest.clarity,
        )
        return


def _rate(question: Question, clarity: float, threshold: float) -> float:
    """Rates how much the answer would help; 0 if the face is not uncertain."""
    doubt = 1 - abs(question.similarity - threshold) / UNSURE_MARGIN
    return max(0.0, doubt) * max(clarity, SMALLEST_WEIGHT) * math.log2(1 + question.face_count)
