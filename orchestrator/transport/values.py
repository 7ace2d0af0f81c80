"""Converts messages of bestshot.orchestrator.v1 back to our values, for commands and for JSON."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Iterable
from typing import Any

from bestshot.face.v1 import face_pb2
from bestshot.orchestrator.v1 import orchestrator_pb2 as pb
from bestshot.quality.v1 import quality_pb2
from google.protobuf import json_format, struct_pb2, timestamp_pb2
from google.protobuf.message import Message

from orchestrator.domain.alteration import Edit
from orchestrator.domain.decisions import Correction
from orchestrator.domain.photo import (
    CameraFacts,
    FaceScores,
    Landmark,
    OwnerMark,
    QualityScores,
    UserMark,
)
from orchestrator.domain.scoring import FaceFault, FaceSigns
from orchestrator.ports import ModelIdentity
from orchestrator.records import (
    Album,
    FacePerson,
    ImageRecord,
    Run,
    RunState,
    RunSummary,
    StageProgress,
)
from orchestrator.review.run_diff import Change, Regrouping, RunDiff, Scalar
from orchestrator.runs.recorded_settings import record_corrections
from orchestrator.transport.converters import decision_action, decision_value, overrides_value
from services.common.inference.registry import Role

_ORIGIN = "MODEL_ORIGIN_"
_ROLES = [role.value for role in Role]
_BOX = ("left", "top", "width", "height")


def album_value(message: pb.Album) -> Album:
    """Translates an album."""
    return Album(
        id=message.id,
        display_name=message.display_name,
        folder=message.folder,
        more_folders=tuple(message.folders[1:]),
        create_time=_time(message.create_time),
    )


def run_value(message: pb.Run) -> Run:
    """Translates a run; whole numbers in its config become int."""
    return Run(
        id=message.id,
        album_id=message.album_id,
        state=RunState(pb.RunState.Name(message.state).removeprefix("RUN_STATE_")),
        profile=message.profile,
        config=overrides_value(message.config),
        # maps are unordered, so restore the order of stored runs
        models={role: _model_value(message.models[role]) for role in _by_role(message.models)},
        versions=dict(message.versions),
        create_time=_time(message.create_time),
        revision=message.revision,
        start_time=_time(message.start_time) if message.HasField("start_time") else None,
        end_time=_time(message.end_time) if message.HasField("end_time") else None,
        stages=tuple(_plain(StageProgress, stage) for stage in message.stages),
        notes=tuple(message.notes),
        error=message.error,
        summary=_plain(RunSummary, message.summary) if message.HasField("summary") else None,
        source_run_id=message.source_run_id,
        reference_run_id=message.reference_run_id,
        decisions={
            digest: decision.value
            for digest, number in message.decisions.items()
            if (decision := decision_value(number)) is not None
        },
        corrections=record_corrections(
            [
                Correction(
                    decision_action(one.action), tuple(one.content_digests), one.target_digest
                )
                for one in message.corrections
            ]
        ),
        persons={
            person_id: _person_value(message.persons[person_id])
            for person_id in sorted(message.persons)
        },
    )


def _person_value(message: pb.RunPerson) -> dict[str, Any]:
    return {
        "name": message.name,
        "is_ignored": message.is_ignored,
        "is_important": message.is_important,
    }


def image_value(message: pb.ImageResult) -> ImageRecord:
    """Translates a result; fields with the same name are copied, so new ones need no code here."""
    value: ImageRecord = _plain(
        ImageRecord,
        message,
        quality=_quality_value(message.quality) if message.HasField("quality") else None,
        faces=tuple(map(_face_value, message.faces)),
        face_faults=tuple(
            FaceFault[pb.FaceFault.Name(fault).removeprefix("FACE_FAULT_")]
            for fault in message.face_faults
        ),
        camera_facts=_plain(CameraFacts, message.camera_facts),
        owner_mark=_plain(OwnerMark, message.owner_mark),
        alterations=tuple(map(Edit, message.alterations)),
        user_mark=_plain(UserMark, message.user_mark),
        reason_code=_reason_code(message),
        content_class=pb.ContentClass.Name(message.content_class)
        .removeprefix("CONTENT_CLASS_")
        .lower()
        .replace("unspecified", ""),
        face_people=_face_people(message.face_signs),
    )
    return value


def face_signs_value(message: pb.FaceSigns) -> FaceSigns:
    """Translates what is known about a face."""
    value: FaceSigns = _plain(FaceSigns, message)
    return value


def _face_people(signs: Iterable[pb.FaceSigns]) -> tuple[FacePerson | None, ...]:
    people = [
        FacePerson(one.person_id, one.person_name, is_important=one.is_important)
        if one.person_id
        else None
        for one in signs
    ]
    return tuple(people) if any(people) else ()


def diff_value(first: pb.DiffRunsResponse, photo_changes: Iterable[pb.ValueChange]) -> RunDiff:
    """Translates a diff of runs.

    Args:
        first: The first page.
        photo_changes: The changes of all pages.
    """
    return RunDiff(
        settings=tuple(map(_change_value, first.settings)),
        models=tuple(map(_change_value, first.models)),
        versions=tuple(map(_change_value, first.versions)),
        added_paths=tuple(first.added_paths),
        removed_paths=tuple(first.removed_paths),
        photos=tuple(map(_change_value, photo_changes)),
        regroupings=tuple(
            Regrouping(
                before=tuple(tuple(moment.paths) for moment in found.before),
                after=tuple(tuple(moment.paths) for moment in found.after),
            )
            for found in first.regroupings
        ),
        gained_paths=tuple(first.gained_paths),
        lost_paths=tuple(first.lost_paths),
    )


def _plain(kind: Any, message: Message, **known: Any) -> Any:  # noqa: ANN401
    """Fills a dataclass from the message fields with the same names."""
    fields = message.DESCRIPTOR.fields_by_name
    values = {}
    for field in dataclasses.fields(kind):
        if field.name in known:
            continue
        described = fields[field.name]
        value = getattr(message, field.name)
        if described.is_repeated:
            value = tuple(value)
        elif described.has_presence and not message.HasField(field.name):
            value = None
        values[field.name] = value
    return kind(**values, **known)


def _quality_value(message: quality_pb2.QualityScores) -> QualityScores:
    value: QualityScores = _plain(QualityScores, message)
    return value


def _face_value(message: face_pb2.Face) -> FaceScores:
    value: FaceScores = _plain(
        FaceScores,
        message,
        **{name: getattr(message.box, name) for name in _BOX},
        landmarks=tuple(
            Landmark(
                name=face_pb2.LandmarkType.Name(mark.type).removeprefix("LANDMARK_TYPE_").lower(),
                x=mark.position.x,
                y=mark.position.y,
            )
            for mark in message.landmarks
        ),
    )
    return value


def _model_value(message: Any) -> dict[str, Any]:  # noqa: ANN401
    """Translates a model to the form in which runs record it: the fields of ModelIdentity."""
    stored = json_format.MessageToDict(
        message,
        preserving_proto_field_name=True,
        always_print_fields_with_no_presence=True,
    )
    origin = stored["origin"].removeprefix(_ORIGIN).lower()
    names = [field.name for field in dataclasses.fields(ModelIdentity)]
    return {**{name: stored[name] for name in names}, "origin": origin}


def _by_role(roles: Iterable[str]) -> list[str]:
    return sorted(
        roles, key=lambda role: (_ROLES.index(role) if role in _ROLES else len(_ROLES), role)
    )


def _change_value(message: pb.ValueChange) -> Change:
    before, after = map(_scalar, (message.before, message.after))
    return Change(message.path, message.field, before, after)


def _scalar(message: struct_pb2.Value) -> Scalar:
    """Translates a changed value; whole numbers become int."""
    value: Any = json_format.MessageToDict(message)
    scalar: Scalar = int(value) if isinstance(value, float) and value.is_integer() else value
    return scalar


def _reason_code(message: pb.ImageResult) -> str:
    """Translates a reason code; empty if no selection has considered the photo yet."""
    if message.reason_code == pb.REASON_CODE_UNSPECIFIED:
        return ""
    return pb.ReasonCode.Name(message.reason_code).removeprefix("REASON_CODE_")


def _time(message: timestamp_pb2.Timestamp) -> datetime.datetime:
    time: datetime.datetime = message.ToDatetime(datetime.UTC)
    return time
