"""Turns messages about persons into the JSON that the People view reads."""

from __future__ import annotations

from typing import Any

from bestshot.orchestrator.v1 import orchestrator_pb2 as pb

Json = dict[str, Any]


def person_json(person: pb.Person) -> Json:
    """Describes a person; `best` is null if no photo of the person is scored."""
    return {
        "id": person.id,
        "name": person.name,
        "ignored": person.is_ignored,
        "important": person.is_important,
        "faces": person.face_count,
        "photos": person.photo_count,
        "cover": face_json(person.cover),
        "best": face_json(person.best_face) if person.HasField("best_face") else None,
    }


def face_json(face: pb.PersonFace) -> Json:
    """Describes a face and the newest photo that shows it."""
    box = face.place.box
    return {
        "digest": face.place.content_digest,
        "box": [box.left, box.top, box.width, box.height],
        "album": face.album_id,
        "run": face.run_id,
        "path": face.path,
        "picked": face.is_selected,
        "score": face.composite_score if face.HasField("composite_score") else None,
        "solo": face.photo_face_count == 1,
    }


def question_json(asked: pb.PeopleQuestion) -> Json:
    """Describes a question about a face."""
    return {
        "face": face_json(asked.face),
        "person": person_json(asked.person),
        "other": asked.other_person_id,
        "count": asked.face_count,
    }
