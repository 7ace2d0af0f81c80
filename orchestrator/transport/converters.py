"""Converts between our values and messages of bestshot.orchestrator.v1."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from bestshot.face.v1 import face_pb2
from bestshot.image.v1 import image_pb2
from bestshot.model.v1 import model_pb2
from bestshot.orchestrator.v1 import orchestrator_pb2 as pb
from bestshot.quality.v1 import quality_pb2
from google.protobuf import json_format, struct_pb2, timestamp_pb2

from orchestrator.domain.decisions import Correction, DecidedPhoto, DecisionAction, DecisionEntry
from orchestrator.domain.explanation import Explanation
from orchestrator.domain.people.corrections import FacePlace, PeopleAction
from orchestrator.domain.people.faces import Box
from orchestrator.domain.photo import Decision, FaceScores, QualityScores
from orchestrator.domain.preferences import MIN_ANSWER_COUNT, MIN_MOMENT_COUNT
from orchestrator.domain.scoring import PersonPenalties
from orchestrator.export.download import DownloadFormat
from orchestrator.export.files import FileTransfer
from orchestrator.ports import ModelIdentity
from orchestrator.records import Album, Cluster, ImageFilter, ImageRecord, Run, StageProgress
from orchestrator.review.decision_watch import Addition
from orchestrator.review.evaluation import Counts, Evaluation, evaluation_lines
from orchestrator.review.pair_learning import (
    AskedPair,
    LearnedWeights,
    describe_profile,
    learning_lines,
)
from orchestrator.review.run_diff import Change, Regrouping, RunDiff
from orchestrator.review.tuning import Proposal, proposal_lines, proposal_yaml
from orchestrator.runs.recorded_settings import read_corrections
from orchestrator.storage.image_query import ScoreRange
from orchestrator.storage.people_store import PeopleQuestion, PersonFace, PersonSummary
from orchestrator.transport.pages import Statistics
from orchestrator.viewing.tiles import Tile
from services.common.config.describe import SettingDescription
from services.common.errors import BestshotError, InvalidArgumentError

_ORIGINS = {
    "builtin": model_pb2.MODEL_ORIGIN_BUILTIN,
    "pretrained": model_pb2.MODEL_ORIGIN_PRETRAINED,
}
_DECISIONS = {
    "DECISION_UNSPECIFIED": None,
    "DECISION_KEEP": Decision.KEEP,
    "DECISION_REJECT": Decision.REJECT,
}
MAX_RUN_ID = 32
_SHA256 = re.compile(r"[0-9a-f]{64}")


def album_message(album: Album) -> pb.Album:
    """Translates an album."""
    return pb.Album(
        id=album.id,
        display_name=album.display_name,
        folder=album.folder,
        folders=album.folders,
        create_time=_timestamp(album.create_time),
    )


def run_message(run: Run, *, whole: bool) -> pb.Run:
    """Translates a run; config, models and versions only if `whole`."""
    message = pb.Run(
        id=run.id,
        album_id=run.album_id,
        state=f"RUN_STATE_{run.state.value}",
        revision=run.revision,
        stages=[_stage_message(stage) for stage in run.stages],
        error=run.error,
        create_time=_timestamp(run.create_time),
        profile=run.profile,
        source_run_id=run.source_run_id,
        reference_run_id=run.reference_run_id,
        notes=run.notes,
    )
    if run.start_time is not None:
        message.start_time.CopyFrom(_timestamp(run.start_time))
    if run.end_time is not None:
        message.end_time.CopyFrom(_timestamp(run.end_time))
    if run.summary is not None:
        message.summary.CopyFrom(pb.RunSummary(**dataclasses.asdict(run.summary)))
    if whole:
        message.config.update(run.config)
        message.versions.update(run.versions)
        for role, model in run.models.items():
            message.models[role].CopyFrom(_model_message(model))
        for digest, value in run.decisions.items():
            message.decisions[digest] = pb.Decision.Value(  # type: ignore[assignment]  # an int
                decision_message(Decision(value))
            )
        message.corrections.extend(map(_correction_message, read_corrections(run)))
        for person_id, person in run.persons.items():
            message.persons[person_id].CopyFrom(pb.RunPerson(**person))
    return message


def people_action(action: int) -> PeopleAction:
    """Translates a kind of correction; raises InvalidArgumentError if it is unknown."""
    name = pb.PeopleAction.Name(action) if action in pb.PeopleAction.values() else str(action)
    with contextlib.suppress(ValueError):
        return PeopleAction(name.removeprefix("PEOPLE_ACTION_").lower())
    raise InvalidArgumentError("action", f"{name} is not a PeopleAction")


def person_message(found: PersonSummary) -> pb.Person:
    """Translates a person."""
    return pb.Person(
        **dataclasses.asdict(found.person),
        face_count=found.face_count,
        photo_count=found.photo_count,
        cover=person_face_message(found.cover),
        best_face=person_face_message(found.best_face) if found.best_face else None,
    )


def question_message(asked: PeopleQuestion) -> pb.PeopleQuestion:
    """Translates a question about a face."""
    return pb.PeopleQuestion(
        face=person_face_message(asked.face),
        person=person_message(asked.person),
        other_person_id=asked.other_person_id,
        similarity=asked.similarity,
        face_count=asked.face_count,
    )


def person_face_message(face: PersonFace) -> pb.PersonFace:
    """Translates a face of a person."""
    box = image_pb2.BoundingBox(**dataclasses.asdict(face.place.box))
    return pb.PersonFace(
        place=pb.FacePlace(content_digest=face.place.content_digest, box=box),
        similarity=face.similarity,
        run_id=face.run_id,
        path=face.path,
        album_id=face.album_id,
        is_selected=face.is_selected,
        composite_score=face.composite_score,
        photo_face_count=face.photo_face_count,
    )


def face_box_value(request: pb.GetThumbnailRequest) -> Box | None:
    """Translates the box of a face; None if the request has none."""
    if not request.HasField("face_box"):
        return None
    box = request.face_box
    return Box(box.left, box.top, box.width, box.height)


def tile_value(request: pb.GetThumbnailRequest) -> Tile | None:
    """Translates the position of a tile; None if the request has none."""
    if not request.HasField("tile"):
        return None
    return Tile(request.tile.column, request.tile.row)


def face_place_value(message: pb.FacePlace) -> FacePlace:
    """Translates the place of a face."""
    box = message.box
    return FacePlace(message.content_digest, Box(box.left, box.top, box.width, box.height))


def image_message(
    record: ImageRecord, decision: Decision | None, penalties: PersonPenalties
) -> pb.ImageResult:
    """Translates a result with all its scores; the penalties are those of its run."""
    return pb.ImageResult(
        path=record.path,
        filename=record.filename,
        content_digest=record.content_digest,
        status=(pb.IMAGE_STATUS_SCORED if record.is_readable else pb.IMAGE_STATUS_UNREADABLE),
        error=record.error,
        damage=record.damage,
        width_px=record.width_px,
        height_px=record.height_px,
        capture_time=record.capture_time,
        capture_time_source=record.capture_time_source,
        capture_utc_offset=record.capture_utc_offset,
        camera=record.camera,
        camera_facts=pb.CameraFacts(**dataclasses.asdict(record.camera_facts)),
        exposure_caption=record.exposure_caption,
        megapixels=record.megapixels,
        owner_mark=pb.OwnerMark(**dataclasses.asdict(record.owner_mark)),
        face_signs=[
            pb.FaceSigns(**dataclasses.asdict(signs)) for signs in record.face_signs(penalties)
        ],
        user_mark=pb.UserMark(**dataclasses.asdict(record.user_mark)),
        companion_paths=record.companion_paths,
        version_of_path=record.version_of_path,
        size_bytes=record.size_bytes,
        format=record.format,
        quality=_quality_message(record.quality) if record.quality else None,
        faces=[_face_message(face) for face in record.faces],
        pose_score=record.pose_score,
        eyes_score=record.eyes_score,
        smile_score=record.smile_score,
        cluster_id=record.cluster_id,
        person_penalty=record.person_penalty,
        composite_score=record.composite_score,
        is_selected=record.is_selected,
        reason_code=f"REASON_CODE_{record.reason_code}",
        reason=record.reason,
        lost_to_path=record.lost_to_path,
        decision=decision_message(decision),
        machine_cluster_id=record.machine_cluster_id,
        face_faults=[f"FACE_FAULT_{fault.name}" for fault in record.face_faults],
        face_caption=record.face_caption,
        set_kind=record.set_kind,
        set_id=record.set_id,
        set_place=record.set_place,
        set_size=record.set_size,
        altered_from_path=record.altered_from_path,
        alterations=record.alterations,
        content_class=f"CONTENT_CLASS_{(record.content_class or 'unspecified').upper()}",
        person_names=record.person_names,
        person_ids=record.person_ids,
        judged_faces=record.judged_faces,
        whole_moment_id=record.whole_moment_id,
        moment_people=record.moment_people,
        brought_in_for=record.brought_in_for,
    )


def cluster_message(cluster: Cluster) -> pb.Cluster:
    """Translates a cluster."""
    return pb.Cluster(**dataclasses.asdict(cluster))


def decision_value(decision: int) -> Decision | None:
    """Translates a decision; None = no decision."""
    return _DECISIONS[pb.Decision.Name(decision)]


def decision_message(decision: Decision | None) -> str:
    """Translates a decision to the name of its enum value."""
    return next(name for name, value in _DECISIONS.items() if value is decision)


def decision_action(number: int) -> DecisionAction:
    """Translates an action; raises InvalidArgumentError if it is unspecified or unknown."""
    names = {f"DECISION_ACTION_{known.name}": known for known in DecisionAction}
    name = pb.DecisionAction.Name(number) if number in pb.DecisionAction.values() else ""
    if name not in names:
        raise InvalidArgumentError("action", f"{number} is not a DecisionAction")
    return names[name]


def entry_message(entry: DecisionEntry, *, is_in_force: bool) -> pb.DecisionEntry:
    """Translates an entry of a log."""
    return pb.DecisionEntry(
        id=entry.id,
        action=f"DECISION_ACTION_{entry.action.name}",
        photos=[pb.DecidedPhoto(**dataclasses.asdict(photo)) for photo in entry.photos],
        target=pb.DecidedPhoto(**dataclasses.asdict(entry.target)) if entry.target else None,
        undone_id=entry.undone_id,
        create_time=_timestamp(entry.create_time),
        is_in_force=is_in_force,
        decided_by=entry.decided_by,
        stars=entry.stars,
        label=entry.label,
        run_id=entry.run_id,
    )


def entry_value(message: pb.DecisionEntry) -> DecisionEntry:
    """Translates an entry of another log; raises InvalidArgumentError if a field is missing."""
    photos = [*message.photos, *([message.target] if message.HasField("target") else [])]
    if not message.id or not message.HasField("create_time"):
        raise InvalidArgumentError("entries", "an entry has no id or no create_time")
    for photo in photos:
        if not _SHA256.fullmatch(photo.content_digest):
            raise InvalidArgumentError(
                "entries",
                f"entry {message.id}: content_digest {photo.content_digest!r} is not a hex sha256",
            )
    try:
        create_time = message.create_time.ToDatetime(datetime.UTC)
    except (ValueError, OverflowError) as error:
        raise InvalidArgumentError(
            "entries", f"entry {message.id[:64]}: create_time is not a valid time"
        ) from error
    if len(message.run_id) > MAX_RUN_ID:
        raise InvalidArgumentError(
            "entries", f"entry {message.id[:64]}: run_id has more than {MAX_RUN_ID} characters"
        )
    decided = [DecidedPhoto(photo.content_digest, photo.path) for photo in photos]
    return DecisionEntry(
        id=message.id,
        action=decision_action(message.action),
        photos=tuple(decided[: len(message.photos)]),
        create_time=create_time,
        target=decided[-1] if message.HasField("target") else None,
        undone_id=message.undone_id,
        decided_by=message.decided_by,
        stars=message.stars,
        label=message.label,
        run_id=message.run_id,
    )


def addition_message(
    addition: Addition, penalties: PersonPenalties | None
) -> pb.WatchDecisionsResponse:
    """Translates additions to a log; without a run, there are neither photos nor penalties."""
    message = pb.WatchDecisionsResponse(
        entries=[entry_message(entry, is_in_force=False) for entry in addition.entries],
        entry_count=addition.entry_count,
    )
    if penalties is not None:
        message.images.extend(
            image_message(record, addition.decisions.get(record.content_digest), penalties)
            for record in addition.records
        )
    return message


def filter_value(number: int) -> ImageFilter:
    """Translates a filter; raises InvalidArgumentError if it is unspecified or unknown."""
    names = {f"IMAGE_FILTER_{known.value}": known for known in ImageFilter}
    name = pb.ImageFilter.Name(number) if number in pb.ImageFilter.values() else ""
    if name not in names:
        raise InvalidArgumentError("filters", f"{number} is not an ImageFilter")
    return names[name]


def score_range(message: pb.ScoreRange) -> ScoreRange:
    """Translates the bounds of a score."""
    return ScoreRange(
        score=message.score,
        minimum=message.minimum if message.HasField("minimum") else None,
        maximum=message.maximum if message.HasField("maximum") else None,
    )


def file_transfer(request: pb.ExportRunRequest) -> FileTransfer | None:
    """Translates how selected photos are transferred; raises InvalidArgumentError if unknown."""
    number = request.selected_transfer
    names = {f"FILE_TRANSFER_{known.name}": known for known in FileTransfer}
    if number == pb.FILE_TRANSFER_UNSPECIFIED:
        return FileTransfer.COPY if request.copy_selected else None
    if number not in pb.FileTransfer.values():
        raise InvalidArgumentError("selected_transfer", f"{number} is not a FileTransfer")
    return names[pb.FileTransfer.Name(number)]


def download_format(number: int) -> DownloadFormat:
    """Translates a download format; raises InvalidArgumentError if unspecified or unknown."""
    names = {f"DOWNLOAD_FORMAT_{known.name}": known for known in DownloadFormat}
    name = pb.DownloadFormat.Name(number) if number in pb.DownloadFormat.values() else ""
    if name not in names:
        raise InvalidArgumentError("format", f"{number} is not a DownloadFormat")
    return names[name]


def role_model_message(role: str, answer: ModelIdentity | BestshotError) -> pb.ServedModel:
    """Translates a model service's answer."""
    if isinstance(answer, BestshotError):
        return pb.ServedModel(role=role, error=answer.message)
    return pb.ServedModel(role=role, model=_model_message(dataclasses.asdict(answer)))


def statistics_message(found: Statistics) -> pb.GetRunStatisticsResponse:
    """Translates the photo counts of a run."""
    return pb.GetRunStatisticsResponse(
        image_count=found.image_count,
        filter_counts=[
            pb.FilterCount(filter=f"IMAGE_FILTER_{wanted.value}", image_count=count)
            for wanted, count in found.filter_counts.items()
        ],
        histograms=[
            pb.Histogram(**dataclasses.asdict(histogram)) for histogram in found.histograms
        ],
        cluster_sizes=[
            pb.ClusterSizeCount(image_count=size, cluster_count=count)
            for size, count in found.cluster_sizes
        ],
        cameras=_value_counts(found.cameras),
        capture_dates=_value_counts(found.capture_dates),
        people=[pb.PersonCount(**dataclasses.asdict(person)) for person in found.people],
    )


def _value_counts(counts: Mapping[str, int]) -> list[pb.ValueCount]:
    return [pb.ValueCount(value=value, image_count=count) for value, count in counts.items()]


def setting_message(setting: SettingDescription) -> pb.Setting:
    """Translates the description of a setting."""
    return pb.Setting(**dataclasses.asdict(setting))


def overrides_value(overrides: struct_pb2.Struct) -> dict[str, Any]:
    """Translates settings; whole numbers become int."""
    return {
        key: _whole_numbers(value) for key, value in json_format.MessageToDict(overrides).items()
    }


def _whole_numbers(value: Any) -> Any:  # noqa: ANN401
    if isinstance(value, dict):
        return {key: _whole_numbers(item) for key, item in value.items()}
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def _timestamp(time: datetime.datetime) -> timestamp_pb2.Timestamp:
    timestamp = timestamp_pb2.Timestamp()
    timestamp.FromDatetime(time)
    return timestamp


def _stage_message(stage: StageProgress) -> pb.StageProgress:
    return pb.StageProgress(**dataclasses.asdict(stage))


def _model_message(model: dict[str, Any]) -> model_pb2.ModelInfo:
    origin = _ORIGINS.get(model["origin"], model_pb2.MODEL_ORIGIN_UNSPECIFIED)
    return model_pb2.ModelInfo(**{**model, "origin": origin})


def _quality_message(quality: QualityScores) -> quality_pb2.QualityScores:
    return quality_pb2.QualityScores(**dataclasses.asdict(quality))


def _face_message(face: FaceScores) -> face_pb2.Face:
    return face_pb2.Face(
        box=image_pb2.BoundingBox(
            left=face.left, top=face.top, width=face.width, height=face.height
        ),
        confidence=face.confidence,
        landmarks=[
            face_pb2.Landmark(
                type=f"LANDMARK_TYPE_{mark.name.upper()}",
                position=image_pb2.Point(x=mark.x, y=mark.y),
            )
            for mark in face.landmarks
        ],
        yaw_degrees=face.yaw_degrees,
        pitch_degrees=face.pitch_degrees,
        roll_degrees=face.roll_degrees,
        pose_score=face.pose_score,
        eyes_score=face.eyes_score,
        smile_score=face.smile_score,
    )


def diff_message(diff: RunDiff, photo_changes: Sequence[Change]) -> pb.DiffRunsResponse:
    """Translates a diff of runs, with one page of photo changes."""
    return pb.DiffRunsResponse(
        settings=map(_change_message, diff.settings),
        models=map(_change_message, diff.models),
        versions=map(_change_message, diff.versions),
        added_paths=diff.added_paths,
        removed_paths=diff.removed_paths,
        changed_file_paths=diff.changed_files,
        gained_paths=diff.gained_paths,
        lost_paths=diff.lost_paths,
        regroupings=map(_regrouping_message, diff.regroupings),
        photo_changes=map(_change_message, photo_changes),
        total_change_count=len(diff.photos),
    )


def evaluation_message(found: Evaluation) -> pb.EvaluateRunResponse:
    """Translates the evaluation of a run."""
    return pb.EvaluateRunResponse(
        counts=_counts_message(found.counts),
        moments_agreement=found.moments_agreement,
        corrected_image_count=found.corrected_count,
        disagreements=[
            pb.Disagreement(
                path=record.path, decision=decision_message(decision), reason=record.reason
            )
            for record, decision in found.disagreements
        ],
        lines=evaluation_lines(found),
    )


def proposal_message(found: Proposal) -> pb.TuneRunResponse:
    """Translates proposed settings."""
    return pb.TuneRunResponse(
        proposed_settings=[
            pb.ProposedSetting(key=key, before=found.before[key], after=value)
            for key, value in found.after.items()
        ],
        counts_before=_counts_message(found.fit_before),
        counts_after=_counts_message(found.fit_after),
        counts_held_out=_counts_message(found.held_out),
        fold_count=found.fold_count,
        is_better=found.is_better,
        settings_yaml=proposal_yaml(found) if found.after else "",
        lines=proposal_lines(found),
    )


def pair_message(
    pair: AskedPair, decisions: Mapping[str, Decision], penalties: PersonPenalties
) -> pb.ShotPair:
    """Translates a pair; `decisions` are keyed by content digest."""
    left, right = (
        image_message(record, decisions.get(record.content_digest), penalties)
        for record in (pair.left, pair.right)
    )
    return pb.ShotPair(left=left, right=right, left_better_probability=pair.left_better_probability)


def learned_message(learned: LearnedWeights) -> pb.ProposeWeightsResponse:
    """Translates learned weights."""
    found = learned.found
    return pb.ProposeWeightsResponse(
        proposed_settings=[
            pb.ProposedSetting(key=key, before=before, after=after)
            for key, (before, after) in learned.changes.items()
        ],
        choice_count=found.choice_count,
        moment_count=found.moment_count,
        unsure_count=learned.unsure_count,
        missing_count=learned.missing_count,
        min_choice_count=MIN_ANSWER_COUNT,
        min_moment_count=MIN_MOMENT_COUNT,
        predicted_before_count=found.predicted_before,
        predicted_after_count=found.predicted_after,
        held_out_count=found.held_out,
        chance=found.chance,
        fold_count=found.fold_count,
        is_better=found.is_better,
        lines=learning_lines(learned),
        profile_description=describe_profile(learned),
    )


def _counts_message(counts: Counts) -> pb.AgreementCounts:
    return pb.AgreementCounts(
        kept_selected_count=counts.kept_selected,
        kept_missed_count=counts.kept_missed,
        rejected_selected_count=counts.rejected_selected,
        rejected_left_count=counts.rejected_left,
    )


def _correction_message(correction: Correction) -> pb.Correction:
    return pb.Correction(
        action=f"DECISION_ACTION_{correction.action.name}",
        content_digests=correction.content_digests,
        target_digest=correction.target_digest,
    )


def explanation_message(found: Explanation) -> pb.Explanation:
    """Translates an explanation; fields have the same names as in the domain."""
    return pb.Explanation(**dataclasses.asdict(found))


def _change_message(change: Change) -> pb.ValueChange:
    message = pb.ValueChange(path=change.subject, field=change.field)
    json_format.Parse(json.dumps(change.before), message.before)
    json_format.Parse(json.dumps(change.after), message.after)
    return message


def _regrouping_message(found: Regrouping) -> pb.Regrouping:
    return pb.Regrouping(
        before=[pb.Moment(paths=paths) for paths in found.before],
        after=[pb.Moment(paths=paths) for paths in found.after],
    )
