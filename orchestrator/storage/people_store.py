"""Stores people in SQL: vectors, persons with their faces, and the log of the user's input."""

from __future__ import annotations

import dataclasses
import datetime
import logging
import threading
import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    Connection,
    Engine,
    Row,
    Select,
    case,
    delete,
    func,
    insert,
    select,
    update,
)

from orchestrator import features as codec
from orchestrator.domain.people.assignment import Assignment, assign_people
from orchestrator.domain.people.corrections import (
    ABOUT_PERSONS,
    MARKS,
    FaceFinder,
    FacePlace,
    PeopleAction,
    PeopleEntry,
    apply_log,
    find_fault,
    find_name_clash,
    is_same_name,
    read_names,
)
from orchestrator.domain.people.faces import Box, IdentifiedFace
from orchestrator.domain.people.persons import Person
from orchestrator.domain.people.questions import KnownFace, choose_questions
from orchestrator.domain.photo import REJECTED
from orchestrator.records import RunState, utc_now
from orchestrator.storage.answers import earlier_change, record_change
from orchestrator.storage.database import purge_deleted
from orchestrator.storage.feature_cache import Key, add_features
from orchestrator.storage.rows import utc
from orchestrator.storage.tables import (
    faces,
    features,
    identity_erasures,
    identity_models,
    images,
    people_log,
    persons,
    runs,
)
from services.common.errors import FailedPreconditionError, InvalidArgumentError, NotFoundError

logger = logging.getLogger(__name__)

IDENTITY_ROLE = "face_identity"
"""Role of the vectors in the features table."""
ONLY_ROW = 1
_LOG_LOCK = 6_218_744_313
"""Key of PostgreSQL's advisory lock for the log; an arbitrary number."""


_CLEAREST_FIRST = (
    faces.c.clarity.desc(),
    faces.c.similarity.desc(),
    faces.c.content_digest,
    faces.c.place,
)


@dataclass(frozen=True, slots=True)
class PersonFace:
    """A face with the newest photo that shows it; fields as in orchestrator.proto."""

    place: FacePlace
    similarity: float | None
    run_id: str = ""
    path: str = ""
    album_id: str = ""
    is_selected: bool = False
    composite_score: float | None = None
    photo_face_count: int = 0


@dataclass(frozen=True, slots=True)
class PersonSummary:
    """A person with counts.

    Attributes:
        cover: The clearest face.
        best_face: The face in the best photo; see orchestrator.proto.
    """

    person: Person
    face_count: int
    photo_count: int
    cover: PersonFace
    best_face: PersonFace | None


@dataclass(frozen=True, slots=True)
class PeopleQuestion:
    """Asks whether a face belongs to a person; fields as in orchestrator.proto."""

    face: PersonFace
    person: PersonSummary
    other_person_id: str
    similarity: float
    face_count: int


class SqlPeople:
    """The people of all albums."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._assigning = threading.Lock()

    def store_vectors(
        self, entries: Mapping[Key, bytes], run_time: datetime.datetime | None = None
    ) -> bool:
        """Stores identity vectors, unless they were erased after a run was created.

        Args:
            entries: As in `FeatureCache.put`.
            run_time: When the run that computed them was created.

        Returns:
            False if they were not stored because vectors were erased.
        """
        if not entries:
            return True
        with self._engine.begin() as connection:
            if _was_erased(connection, run_time):
                return False
            add_features(connection, entries)
        return True

    def use_model(
        self,
        digest: str,
        same_person_similarity: float,
        run_time: datetime.datetime | None = None,
    ) -> bool:
        """Sets the models whose vectors count, and assigns all faces again.

        Args:
            digest: Digest of the models.
            same_person_similarity: As in face.proto.
            run_time: When the run that uses them was created. If vectors were erased since then,
                nothing is done.

        Returns:
            False if nothing was done because vectors were erased.
        """
        values = {"digest": digest, "same_person_similarity": same_person_similarity}
        with self._engine.begin() as connection:
            if _was_erased(connection, run_time):
                return False
            connection.execute(delete(identity_models))
            connection.execute(insert(identity_models).values(id=ONLY_ROW, **values))
        self.assign()
        return True

    def assign(self) -> None:
        """Assigns all faces to persons, from the vectors and the log."""
        with self._assigning:
            is_done = False
            while not is_done:  # repeats if the log has grown in the meantime
                is_done = self._try_to_assign()

    def _try_to_assign(self) -> bool:
        with self._engine.connect() as connection:
            model = connection.execute(select(identity_models)).one_or_none()
            if model is None:
                return True
            erase_time = connection.execute(_ERASE_TIME).scalar_one()
            log = _entries(connection)
            photos = _read_vectors(connection, model.digest)
            known = connection.execute(select(faces).where(faces.c.person_id.is_not(None)))
            former = [(_place(row), row.person_id) for row in known]
        found = assign_people(
            photos, log, former, model.same_person_similarity, lambda: uuid.uuid4().hex
        )
        with self._engine.begin() as connection:
            _lock(connection)
            model_now = connection.execute(select(identity_models)).one_or_none()
            erased_now = connection.execute(_ERASE_TIME).scalar_one()
            if (model_now, erased_now) != (model, erase_time) or _count(connection) != len(log):
                return False
            _replace(connection, found)
        return True

    def entries(self) -> list[PeopleEntry]:
        """Returns the log, oldest first."""
        with self._engine.connect() as connection:
            return _entries(connection)

    def append(self, entry: PeopleEntry) -> None:
        """Adds an entry, unless the log already contains it, and applies it.

        Raises:
            InvalidArgumentError: The entry is not valid, or another person already has the name.
            FailedPreconditionError: Undoing would give a person a name that another person has.
        """
        with self._engine.begin() as connection:
            _lock(connection)
            log = _entries(connection)
            if entry not in log:
                if problem := find_fault(log, entry):
                    raise InvalidArgumentError("", problem)
                _check_name(log, entry)
                connection.execute(insert(people_log).values(_values(len(log) + 1, entry)))
                _update_person(connection, entry)
        if entry.action not in ABOUT_PERSONS:
            self.assign()  # takes seconds with many faces

    def list_people(self, limit: int | None = None, offset: int = 0) -> list[PersonSummary]:
        """Lists persons: named ones first, ignored ones last, then by number of photos."""
        with self._engine.connect() as connection:
            rows = connection.execute(_select_persons().limit(limit).offset(offset)).all()
            return _summarize(connection, rows)

    def questions(self, limit: int) -> list[PeopleQuestion]:
        """Returns questions about the uncertain faces that matter most, most important first."""
        with self._engine.connect() as connection:
            model = connection.execute(select(identity_models)).one_or_none()
            if model is None:
                return []
            known = _read_known(connection, model.digest)
            rows = {row.id: row for row in connection.execute(_select_persons())}
            named = {key: _person(row) for key, row in rows.items()}
            asked = choose_questions(known, named, model.same_person_similarity, limit)
            wanted = {question.person_id for question in asked}
            summaries = {
                one.person.id: one
                for one in _summarize(connection, [rows[key] for key in sorted(wanted)])
            }
            digests = {question.place.content_digest for question in asked}
            found = connection.execute(select(faces).where(faces.c.content_digest.in_(digests)))
            shown = {face.place: face for face in _locate(connection, found.all())}
        return [
            PeopleQuestion(
                shown[question.place],
                summaries[question.person_id],
                question.other_person_id,
                question.similarity,
                question.face_count,
            )
            for question in asked
            # unless faces were assigned again in the meantime
            if question.person_id in summaries and question.place in shown
        ]

    def count_people(self) -> int:
        """Returns the number of persons."""
        with self._engine.connect() as connection:
            return connection.execute(select(func.count()).select_from(persons)).scalar_one()

    def count_faces(self, person_id: str) -> int:
        """Returns the number of a person's faces."""
        query = select(func.count()).where(faces.c.person_id == person_id)
        with self._engine.connect() as connection:
            return connection.execute(query).scalar_one()

    def person(self, person_id: str) -> Person:
        """Returns a person; raises NotFoundError if there is none with this id."""
        with self._engine.connect() as connection:
            row = connection.execute(select(persons).where(persons.c.id == person_id)).one_or_none()
        if row is None:
            raise NotFoundError("person", person_id)
        return _person(row)

    def find_absent(self, name: str) -> str:
        """Returns the id of a person with this name but without faces; empty if there is none."""
        with self._engine.connect() as connection:
            named = read_names(_entries(connection))
            present = set(connection.execute(select(persons.c.id)).scalars())
        absent = {key: known for key, known in named.items() if key not in present}
        return next((key for key, known in absent.items() if is_same_name(known, name)), "")

    def places(self, person_id: str) -> tuple[FacePlace, ...]:
        """Returns the places of a person's faces."""
        query = select(faces).where(faces.c.person_id == person_id)
        ordered = query.order_by(faces.c.content_digest, faces.c.place)
        with self._engine.connect() as connection:
            return tuple(map(_place, connection.execute(ordered)))

    def find(self, wanted: Sequence[FacePlace]) -> list[tuple[FacePlace, str | None]]:
        """Returns the faces at these places, each with its person's id, if any.

        Raises:
            InvalidArgumentError: One of the places has no face.
        """
        digests = {place.content_digest for place in wanted}
        query = select(faces).where(faces.c.content_digest.in_(digests))
        with self._engine.connect() as connection:
            known = [(_place(row), row.person_id) for row in connection.execute(query)]
        finder = FaceFinder([place for place, _ in known])
        found = {place: finder.find_one(place) for place in wanted}
        for place, number in found.items():
            if number is None:
                raise InvalidArgumentError(
                    "faces", f"the photo {place.content_digest} has no face at {place.box}"
                )
        return [known[number] for number in found.values() if number is not None]

    def who_is_on(
        self, digests: Collection[str]
    ) -> tuple[dict[str, list[tuple[FacePlace, str]]], dict[str, Person]]:
        """Returns these photos' assigned faces by content digest, and all persons by id."""
        assigned = select(faces).where(faces.c.person_id.is_not(None))
        found: dict[str, list[tuple[FacePlace, str]]] = {}
        with self._engine.connect() as connection:
            known = {row.id: _person(row) for row in connection.execute(select(persons))}
            for row in connection.execute(assigned.order_by(faces.c.content_digest, faces.c.place)):
                if row.content_digest in digests and row.person_id in known:
                    place = (_place(row), row.person_id)
                    found.setdefault(row.content_digest, []).append(place)
        return found, known

    def find_searched(self) -> set[str]:
        """Returns the content digests of all photos that were searched for people."""
        found = (
            select(features.c.content_digest)
            .join(identity_models, identity_models.c.digest == features.c.model_digest)
            .where(features.c.role == IDENTITY_ROLE)
        )
        with self._engine.connect() as connection:
            return set(connection.execute(found).scalars())

    def faces(self, person_id: str, limit: int | None = None, offset: int = 0) -> list[PersonFace]:
        """Returns a person's faces, the clearest first."""
        query = (
            select(faces)
            .where(faces.c.person_id == person_id)
            .order_by(*_CLEAREST_FIRST)
            .limit(limit)
            .offset(offset)
        )
        with self._engine.connect() as connection:
            return _locate(connection, connection.execute(query).all())

    def erase(self) -> int:
        """Deletes all vectors, and what was derived from them, so that nothing is left on disk.

        The log remains, because it contains no vectors. Runs that already exist can no longer store
        any.

        Returns:
            Number of photos whose vectors were deleted.
        """
        with self._assigning, self._engine.begin() as connection:
            earlier = earlier_change(connection)
            count = int(earlier["photo_count"]) if earlier is not None else _erase(connection)
        purge_deleted(self._engine)
        return count


_ERASE_TIME = select(identity_erasures.c.erase_time)


def _was_erased(connection: Connection, run_time: datetime.datetime | None) -> bool:
    """Whether vectors were erased after a run was created; blocks erasing until the commit."""
    if connection.dialect.name == "sqlite":
        connection.execute(delete(features).where(features.c.content_digest.is_(None)))
    erase_time = utc(connection.execute(_ERASE_TIME.with_for_update(read=True)).scalar_one())
    return run_time is not None and erase_time is not None and erase_time >= run_time


def _erase(connection: Connection) -> int:
    # first, so that this waits for any run that is storing vectors now
    connection.execute(update(identity_erasures).values(erase_time=utc_now()))
    gone = delete(features).where(features.c.role == IDENTITY_ROLE)
    count = connection.execute(gone).rowcount
    for table in (faces, persons, identity_models):
        connection.execute(delete(table))
    record_change(connection, photo_count=count)
    return count


def _lock(connection: Connection) -> None:
    """Blocks concurrent additions to the log."""
    if connection.dialect.name == "sqlite":
        connection.execute(delete(people_log).where(people_log.c.sequence < 0))  # write lock
    else:
        connection.execute(select(func.pg_advisory_xact_lock(_LOG_LOCK)))


def _check_name(log: Sequence[PeopleEntry], entry: PeopleEntry) -> None:
    """Rejects an entry that would give two persons the same name."""
    name = find_name_clash(log, entry)
    if name and entry.action is PeopleAction.UNDO:
        raise FailedPreconditionError(
            f"cannot undo this: another person is now called {name!r}, so two people would "
            f"have that name; rename that person first, or merge the two"
        )
    if name:
        raise InvalidArgumentError(
            "name", f"another person is called {name!r}; merge the two, or choose another name"
        )


def _update_person(connection: Connection, entry: PeopleEntry) -> None:
    """Applies a name or a mark at once."""
    person = update(persons).where(persons.c.id == entry.person_id)
    if entry.action is PeopleAction.NAME:
        connection.execute(person.values(name=entry.name))
    elif entry.action in MARKS:
        connection.execute(
            person.values(
                is_ignored=entry.action is PeopleAction.IGNORE,
                is_important=entry.action is PeopleAction.IMPORTANT,
            )
        )


def _count(connection: Connection) -> int:
    return connection.execute(select(func.max(people_log.c.sequence))).scalar_one() or 0


def _read_vectors(connection: Connection, digest: str) -> dict[str, tuple[IdentifiedFace, ...]]:
    """Returns the faces of all photos, with their vectors."""
    query = (
        select(features.c.content_digest, features.c.payload)
        .where(features.c.role == IDENTITY_ROLE, features.c.model_digest == digest)
        # the newest version of the canonical image wins
        .order_by(features.c.content_digest, features.c.canonical_version)
    )
    return {row[0]: codec.unpack_identities(row[1]) for row in connection.execute(query)}


def _replace(connection: Connection, found: Assignment) -> None:
    connection.execute(delete(faces))
    connection.execute(delete(persons))
    if found.persons:
        connection.execute(
            insert(persons), [dataclasses.asdict(person) for person in found.persons]
        )
    counts: dict[str, int] = {}
    rows = []
    for face in found.faces:
        digest = face.place.content_digest
        counts[digest] = counts.get(digest, -1) + 1
        rows.append(
            {
                "content_digest": digest,
                "place": counts[digest],
                **dataclasses.asdict(face.place.box),
                "clarity": face.clarity,
                "person_id": face.person_id,
                "similarity": face.similarity,
            }
        )
    if rows:
        connection.execute(insert(faces), rows)


def _select_persons() -> Select[Any]:
    """Selects persons with their numbers of faces and photos, in the order of `list_people`."""
    photo_count = func.count(faces.c.content_digest.distinct())
    return (
        select(persons, func.count().label("face_count"), photo_count.label("photo_count"))
        .join(faces, faces.c.person_id == persons.c.id)
        .group_by(*persons.c)
        .order_by(
            persons.c.is_ignored,
            case((persons.c.name == "", 1), else_=0),
            photo_count.desc(),
            persons.c.name,
            persons.c.id,
        )
    )


def _summarize(connection: Connection, rows: Sequence[Row[Any]]) -> list[PersonSummary]:
    """Adds the cover and the best face to each person."""
    ids = [row.id for row in rows]
    covers = _find_covers(connection, ids)
    best = _find_best(connection, ids)
    return [
        PersonSummary(
            _person(row),
            row.face_count,
            row.photo_count,
            covers[row.id],
            best.get(row.id),
        )
        for row in rows
        if row.id in covers  # unless the person was replaced in the meantime
    ]


def _find_covers(connection: Connection, person_ids: Sequence[str]) -> dict[str, PersonFace]:
    """Returns the clearest face of each person."""
    rank = func.row_number().over(partition_by=faces.c.person_id, order_by=_CLEAREST_FIRST)
    ranked = select(faces, rank.label("rank")).where(faces.c.person_id.in_(person_ids))
    return _read_first(connection, ranked)


def _find_best(connection: Connection, person_ids: Sequence[str]) -> dict[str, PersonFace]:
    """Returns each person's face in the highest-scoring photo that shows the person."""
    order = (images.c.composite_score.desc(), images.c.run_id, images.c.path, faces.c.place)
    rank = func.row_number().over(partition_by=faces.c.person_id, order_by=order)
    ranked = (
        select(faces, rank.label("rank"))
        .join(images, images.c.content_digest == faces.c.content_digest)
        .where(
            faces.c.person_id.in_(person_ids),
            images.c.run_id.in_(_newest_runs()),
            images.c.composite_score.is_not(None),
            images.c.reason_code.not_in(REJECTED),
        )
    )
    return _read_first(connection, ranked)


def _read_first(connection: Connection, ranked: Select[Any]) -> dict[str, PersonFace]:
    """Returns each person's face of rank 1."""
    found = ranked.subquery()
    rows = connection.execute(select(found).where(found.c.rank == 1)).all()
    located = _locate(connection, rows)
    return {row.person_id: face for row, face in zip(rows, located, strict=True)}


def _newest_runs() -> Select[Any]:
    """Selects the newest completed run of each album."""
    order = (runs.c.create_time.desc(), runs.c.id)
    rank = func.row_number().over(partition_by=runs.c.album_id, order_by=order)
    completed = runs.c.state == RunState.COMPLETED.value
    ranked = select(runs.c.id, rank.label("rank")).where(completed).subquery()
    return select(ranked.c.id).where(ranked.c.rank == 1)


def _locate(connection: Connection, rows: Sequence[Row[Any]]) -> list[PersonFace]:
    """Finds the photo of each face in the newest run that contains it."""
    digests = {row.content_digest for row in rows}
    query = (
        select(
            images.c.content_digest,
            images.c.run_id,
            images.c.path,
            runs.c.album_id,
            images.c.is_selected,
            images.c.composite_score,
        )
        .join(runs, runs.c.id == images.c.run_id)
        .where(images.c.content_digest.in_(digests), runs.c.state == RunState.COMPLETED.value)
        # later rows replace earlier ones
        .order_by(runs.c.create_time, images.c.path.desc())
    )
    photos = {row.content_digest: row._asdict() for row in connection.execute(query)}
    counted = (
        select(faces.c.content_digest, func.count())
        .where(faces.c.content_digest.in_(digests))
        .group_by(faces.c.content_digest)
    )
    counts = {row[0]: row[1] for row in connection.execute(counted)}
    found = []
    for row in rows:
        photo = dict(photos.get(row.content_digest, {}))
        photo.pop("content_digest", None)
        count = counts.get(row.content_digest, 0)
        found.append(PersonFace(_place(row), row.similarity, photo_face_count=count, **photo))
    return found


def _read_known(connection: Connection, digest: str) -> list[KnownFace]:
    """Returns all faces with their vectors and what the user has said about them."""
    rows = connection.execute(select(faces)).all()
    log = apply_log(_entries(connection), [_place(row) for row in rows])
    vectors = {
        (photo, face.box): face.vector
        for photo, found in _read_vectors(connection, digest).items()
        for face in found
    }
    known = []
    for number, row in enumerate(rows):
        place = _place(row)
        vector = vectors.get((place.content_digest, place.box))
        if vector is not None:  # unless the vectors were erased in the meantime
            refused = frozenset(log.refused.get(number, ()))
            is_confirmed = number in log.persons
            known.append(
                KnownFace(place, row.clarity, vector, row.person_id, is_confirmed, refused)
            )
    return known


def _person(row: Row[Any]) -> Person:
    return Person(row.id, row.name, row.is_ignored, row.is_important)


def _place(row: Row[Any]) -> FacePlace:
    return FacePlace(row.content_digest, Box(row.left, row.top, row.width, row.height))


def _entries(connection: Connection) -> list[PeopleEntry]:
    rows = connection.execute(select(people_log).order_by(people_log.c.sequence))
    return list(map(_entry, rows))


def _entry(row: Row[Any]) -> PeopleEntry:
    values = row._asdict()
    del values["sequence"]
    time = utc(row.create_time)
    assert time is not None
    return PeopleEntry(
        **{
            **values,
            "action": PeopleAction(row.action),
            "faces": _read_places(row.faces),
            "rest": _read_places(row.rest),
            "create_time": time,
        }
    )


def _read_places(stored: Sequence[Any]) -> tuple[FacePlace, ...]:
    return tuple(FacePlace(digest, Box(*box)) for digest, *box in stored)


def _write_places(places: Sequence[FacePlace]) -> list[list[Any]]:
    return [[place.content_digest, *dataclasses.astuple(place.box)] for place in places]


def _values(sequence: int, entry: PeopleEntry) -> dict[str, Any]:
    fields = {field.name: getattr(entry, field.name) for field in dataclasses.fields(entry)}
    return {
        **fields,
        "sequence": sequence,
        "action": entry.action.value,
        "faces": _write_places(entry.faces),
        "rest": _write_places(entry.rest),
    }
