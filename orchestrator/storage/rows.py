"""Converts between table rows and the dataclasses of `orchestrator.records`."""

from __future__ import annotations

import dataclasses
import datetime
import json
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Row, Select, delete, insert, select

from orchestrator import features as codec
from orchestrator.domain.alteration import Edit
from orchestrator.domain.people.corrections import FaceFinder, FacePlace
from orchestrator.domain.people.faces import Box
from orchestrator.domain.photo import CameraFacts, FaceScores, OwnerMark, UserMark
from orchestrator.domain.scoring import FaceFault
from orchestrator.domain.selection.verdict import Comparisons
from orchestrator.records import (
    Album,
    FacePerson,
    ImageRecord,
    Run,
    RunState,
    RunSummary,
    StageProgress,
)
from orchestrator.storage.stored_folders import album_folders
from orchestrator.storage.tables import (
    comparisons,
    faces,
    images,
    persons,
    runs,
    user_marks,
)

_TUPLES = ("companion_paths", "person_ids", "judged_faces", "brought_in_for")
"""Columns with lists of plain values."""
HEURISTIC_IN_0_1_0 = ("builtin-quality", "builtin-face")
"""Heuristic models of version 0.1.0, whose runs do not record that they are heuristic."""
RUN_COLUMNS = [runs.c[field.name] for field in dataclasses.fields(Run)]
"""Columns that `run_from_row` needs."""
MAX_NAMED_DIGESTS = 1000
"""Above this number of photos, names are read for all, because SQL statements are limited in size.
"""


def album_values(album: Album) -> dict[str, Any]:
    """Returns the column values of an album."""
    folders = json.dumps(album.folders) if album.more_folders else album.folder
    return {
        "id": album.id,
        "display_name": album.display_name,
        "folder": folders,
        "create_time": album.create_time,
    }


def album_from_row(row: Row[Any]) -> Album:
    """Builds an album from a row that contains its columns, and possibly others."""
    first, *others = album_folders(row.folder)
    created = utc(row.create_time)
    assert created is not None
    return Album(
        id=row.id,
        display_name=row.display_name,
        folder=first,
        create_time=created,
        more_folders=tuple(others),
    )


def run_values(run: Run) -> dict[str, Any]:
    """Returns the column values of a run."""
    values = dataclasses.asdict(run)
    lists = {name: list(values[name]) for name in ("stages", "notes")}
    return {**values, **lists, "state": run.state.value}


def run_from_row(row: Row[Any]) -> Run:
    """Builds a run from a row with RUN_COLUMNS."""
    values = row._asdict()
    times = {name: utc(values[name]) for name in ("create_time", "start_time", "end_time")}
    return Run(
        **{
            **values,
            **times,
            "state": RunState(values["state"]),
            "models": {role: _model(model) for role, model in values["models"].items()},
            "stages": tuple(StageProgress(**stage) for stage in values["stages"]),
            "notes": tuple(values["notes"]),
            "summary": RunSummary(**values["summary"]) if values["summary"] else None,
        }
    )


def _model(stored: dict[str, Any]) -> dict[str, Any]:
    return {"is_heuristic": stored.get("id") in HEURISTIC_IN_0_1_0, **stored}


def replace_all_images(connection: Connection, run_id: str, records: Sequence[ImageRecord]) -> None:
    """Replaces the results of a run."""
    connection.execute(delete(images).where(images.c.run_id == run_id))
    add_images(connection, run_id, records)


def replace_comparisons(
    connection: Connection, run_id: str, paths: Sequence[str] | None, found: Comparisons
) -> None:
    """Replaces the comparisons among `paths`, or all comparisons of a run."""
    old = delete(comparisons).where(comparisons.c.run_id == run_id)
    if paths is None:
        connection.execute(old)
    for start in range(0, len(paths or ()), 500):
        part = (paths or ())[start : start + 500]
        connection.execute(old.where(comparisons.c.first_path.in_(part)))
    rows = [
        {
            "run_id": run_id,
            "first_path": first,
            "second_path": second,
            "first_better_probability": probability,
        }
        for (first, second), probability in found.items()
    ]
    if rows:
        connection.execute(insert(comparisons), rows)


def add_images(connection: Connection, run_id: str, records: Sequence[ImageRecord]) -> None:
    """Adds results to a run."""
    rows = [{"run_id": run_id, **_image_values(record)} for record in records]
    if rows:
        connection.execute(insert(images), rows)


KnownFaces = Sequence[tuple[FacePlace, FacePerson]]
"""The faces of known persons in one photo."""


def find_people(connection: Connection, rows: Sequence[Row[Any]]) -> dict[str, KnownFaces]:
    """Returns the faces of persons who are not ignored, keyed by the photo's content digest.

    Args:
        connection: To the database.
        rows: The photos, as read by `select_images`.
    """
    query = (
        select(faces, persons.c.name, persons.c.is_important)
        .join(persons, persons.c.id == faces.c.person_id)
        .where(persons.c.is_ignored.is_(False))
        .order_by(faces.c.content_digest, faces.c.place)
    )
    if len(rows) <= MAX_NAMED_DIGESTS:
        query = query.where(faces.c.content_digest.in_({row.content_digest for row in rows}))
    found: dict[str, list[tuple[FacePlace, FacePerson]]] = {}
    for row in connection.execute(query):
        place = FacePlace(row.content_digest, Box(row.left, row.top, row.width, row.height))
        person = FacePerson(row.person_id, row.name, is_important=row.is_important)
        found.setdefault(row.content_digest, []).append((place, person))
    return dict(found)


def _match_people(
    digest: str, found: Sequence[FaceScores], known: KnownFaces
) -> tuple[FacePerson | None, ...]:
    """Returns the person of each face that a run found; empty if no person is known."""
    people: list[FacePerson | None] = [None] * len(found)
    finder = FaceFinder([FacePlace(digest, Box.of(face)) for face in found])
    for place, person in known:
        number = finder.find_one(place)
        if number is not None:
            people[number] = person
    return tuple(people) if any(people) else ()


def select_images() -> Select[Any]:
    """Builds a query for results, with the stars and labels from their album."""
    marked = (user_marks.c.album_id == runs.c.album_id) & (
        user_marks.c.content_digest == images.c.content_digest
    )
    joined = images.join(runs, runs.c.id == images.c.run_id).outerjoin(user_marks, marked)
    return select(images, user_marks.c.stars, user_marks.c.label).select_from(joined)


def image_from_row(row: Row[Any], people: Mapping[str, KnownFaces]) -> ImageRecord:
    """Builds a result from a row of `select_images`, with the persons from `find_people`."""
    values = row._asdict()
    del values["run_id"]
    quality = values["quality"]
    values["quality"] = codec.quality_from_json(quality) if quality else None
    values["faces"] = codec.faces_from_json(values["faces"])
    values["camera_facts"] = CameraFacts(**values["camera_facts"])
    values["owner_mark"] = OwnerMark(**values["owner_mark"])
    values["user_mark"] = UserMark(values.pop("stars") or 0, values.pop("label") or "")
    values["face_faults"] = tuple(map(FaceFault, values["face_faults"]))
    values["alterations"] = tuple(map(Edit, values["alterations"]))
    for name in _TUPLES:
        values[name] = tuple(values[name])
    known = people.get(row.content_digest, ())
    values["person_names"] = tuple(sorted({person.name for _, person in known if person.name}))
    values["face_people"] = _match_people(row.content_digest, values["faces"], known)
    return ImageRecord(**values)


def _image_values(record: ImageRecord) -> dict[str, Any]:
    fields = {field.name for field in dataclasses.fields(record)} - {"person_names", "face_people"}
    values = {name: getattr(record, name) for name in fields}
    values["quality"] = codec.quality_to_json(record.quality) if record.quality else None
    values["faces"] = codec.faces_to_json(record.faces)
    values["camera_facts"] = codec.plain_fields(record.camera_facts)
    values["owner_mark"] = codec.plain_fields(record.owner_mark)
    del values["user_mark"]  # belongs to the album, not to the run
    for name in _TUPLES:
        values[name] = list(values[name])
    values["face_faults"] = list(record.face_faults)
    values["alterations"] = list(record.alterations)
    return values


def utc(time: datetime.datetime | None) -> datetime.datetime | None:
    """Converts a stored time to UTC: SQLite drops the zone, PostgreSQL returns the session's."""
    if time is None:
        return None
    if time.tzinfo is None:
        return time.replace(tzinfo=datetime.UTC)
    return time.astimezone(datetime.UTC)
