"""Assigns all known faces to persons whose ids stay the same from run to run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from orchestrator.domain.people.corrections import (
    FaceFinder,
    FacePlace,
    KnownFaces,
    PeopleEntry,
    apply_log,
    keep_ids,
)
from orchestrator.domain.people.faces import IdentifiedFace
from orchestrator.domain.people.grouping import (
    UNKNOWN,
    KnownPeople,
    Numbers,
    Vectors,
    group_by_person,
)
from orchestrator.domain.people.persons import Person


@dataclass(frozen=True, slots=True)
class AssignedFace:
    """A face and its person.

    Attributes:
        clarity: As in `IdentifiedFace`.
        person_id: None if the person is not known.
        similarity: Similarity to the mean of the person's faces, -1 to 1; None without a person.
    """

    place: FacePlace
    clarity: float
    person_id: str | None
    similarity: float | None


@dataclass(frozen=True, slots=True)
class Assignment:
    """All faces, except those that the user said are not faces, and the persons they belong to."""

    faces: tuple[AssignedFace, ...]
    persons: tuple[Person, ...]


def assign_people(
    photos: Mapping[str, Sequence[IdentifiedFace]],
    log: Sequence[PeopleEntry],
    former: Sequence[tuple[FacePlace, str]],
    same_person_similarity: float,
    new_id: Callable[[], str],
) -> Assignment:
    """Assigns faces to persons.

    Args:
        photos: Faces of each photo, by content digest.
        log: What the user has said.
        former: The persons that faces were assigned to before.
        same_person_similarity: As in face.proto.
        new_id: Creates ids for new persons.
    """
    everything = [
        (FacePlace(digest, face.box), face) for digest, faces in photos.items() for face in faces
    ]
    known = apply_log(log, [place for place, _ in everything])
    rows = [row for row in range(len(everything)) if row not in known.not_faces]
    if not rows:
        return Assignment((), ())
    places = [everything[row][0] for row in rows]
    clarities = [everything[row][1].clarity for row in rows]
    vectors = np.stack([everything[row][1].vector for row in rows])
    confirmed = [known.persons.get(row) for row in rows]
    labels = group_by_person(
        vectors,
        [place.content_digest for place in places],
        clarities,
        same_person_similarity,
        _by_number(known, rows),
    )
    refused = (one for ids in known.refused.values() for one in ids)
    said = {*known.names, *known.ignored, *known.important, *refused}
    ids = _find_ids(labels, confirmed, _find_former(former, places), said, new_id)
    similarities = _measure(vectors, np.maximum(clarities, 1e-3), labels)
    persons = dict.fromkeys(person for person in ids if person is not None)
    return Assignment(
        tuple(
            AssignedFace(place, clarity, person, similarity if person is not None else None)
            for place, clarity, person, similarity in zip(
                places, clarities, ids, similarities, strict=True
            )
        ),
        tuple(
            Person(
                person,
                known.names.get(person, ""),
                is_ignored=person in known.ignored,
                is_important=person in known.important,
            )
            for person in persons
        ),
    )


def _by_number(known: KnownFaces, rows: Sequence[int]) -> KnownPeople:
    """Converts what is known to numbers of persons and positions in `rows`."""
    numbers = {person: number for number, person in enumerate(sorted({*known.persons.values()}))}
    persons, refused = {}, {}
    for place, row in enumerate(rows):
        if row in known.persons:
            persons[place] = numbers[known.persons[row]]
        others = known.refused.get(row, set()) & numbers.keys()
        if others:
            refused[place] = frozenset(numbers[other] for other in others)
    return KnownPeople(persons, refused)


def _find_former(
    former: Iterable[tuple[FacePlace, str]], places: Sequence[FacePlace]
) -> list[str | None]:
    """Returns the former person of each face."""
    finder = FaceFinder(places)
    found: list[str | None] = [None] * len(places)
    for place, person in former:
        row = finder.find_one(place)
        if row is not None:
            found[row] = person
    return found


def _find_ids(
    labels: Numbers,
    confirmed: Sequence[str | None],
    former: Sequence[str | None],
    said: Iterable[str],
    new_id: Callable[[], str],
) -> list[str | None]:
    """Returns the person of each face: the confirmed one, the former one, or a new one.

    The persons in `said`, about whom the user has said something, get only confirmed faces.
    """
    ids: dict[int, str] = {}
    for label, person in zip(labels.tolist(), confirmed, strict=True):
        if person is not None:
            ids[label] = person
    groups = [None if label == UNKNOWN or label in ids else str(label) for label in labels.tolist()]
    kept = keep_ids(groups, former, [*ids.values(), *said])
    for group in dict.fromkeys(groups):
        if group is not None:
            ids[int(group)] = kept.get(group) or new_id()
    return [ids.get(label) for label in labels.tolist()]


def _measure(vectors: Vectors, weights: Vectors, labels: Numbers) -> list[float]:
    """Returns the similarity of each face to the mean of its group."""
    means = np.zeros((labels.max(initial=UNKNOWN) + 2, vectors.shape[1]))
    np.add.at(means, labels, vectors * weights[:, None])  # UNKNOWN is the last row
    lengths = np.linalg.norm(means, axis=1, keepdims=True)
    means /= np.maximum(lengths, 1e-12)
    found: list[float] = np.clip((vectors * means[labels]).sum(axis=1), -1.0, 1.0).tolist()
    return found
