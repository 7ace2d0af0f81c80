"""Response models of the JSON API, except those that are dataclasses elsewhere."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal, get_type_hints

from bestshot.orchestrator.v1 import orchestrator_pb2 as pb
from pydantic import BaseModel, create_model

from orchestrator.domain.decisions import DecidedPhoto, DecisionAction
from orchestrator.domain.photo import Decision
from orchestrator.domain.scoring import FaceSigns, PersonPenalties
from orchestrator.export.metrics_csv import status
from orchestrator.ports import ModelIdentity
from orchestrator.records import Album, Cluster, ImageFilter, ImageRecord, Run
from orchestrator.review.evaluation import Counts, Evaluation, evaluation_lines
from orchestrator.review.run_statistics import Histogram
from orchestrator.storage.people_store import PersonFace
from orchestrator.storage.run_store import PersonCount
from orchestrator.transport import values
from orchestrator.transport.converters import decision_value
from orchestrator.transport.pages import PairsPage
from orchestrator.transport.pages import Statistics as Counted

Status = Literal["selected", "not_selected", "unreadable"]


class Problem(BaseModel):
    """An error in the format of RFC 9457 (application/problem+json).

    Attributes:
        type: Address of the reason's description, relative to this server.
        status: HTTP status.
        title: What the reason means.
        detail: Human-readable message.
        reason: Machine-readable reason, as in google.rpc.ErrorInfo.
        field: The invalid parameter; empty if the error is not about a parameter.
    """

    type: str
    status: int
    title: str
    detail: str
    reason: str
    field: str = ""


class ResultImage(BaseModel):
    """A photo with its scores in a flat structure; field names are those of the earlier system."""

    path: str
    filename: str
    status: Status
    iqa_score: float | None
    ava_score: float | None
    sharpness: float | None
    composite_score: float | None
    cluster_id: int | None
    face_count: int
    face_pose_scores: list[float]
    face_eyes_scores: list[float]
    face_smile_scores: list[float]
    is_selected: bool
    reason_code: str
    reason: str
    lost_to_path: str


def result_image(record: ImageRecord) -> ResultImage:
    """Flattens a result."""
    quality, faces = record.quality, record.faces
    return ResultImage(
        path=record.path,
        filename=record.filename,
        status=status(record),
        iqa_score=quality.iqa_score if quality else None,
        ava_score=quality.ava_score if quality else None,
        sharpness=quality.sharpness if quality else None,
        composite_score=record.composite_score,
        cluster_id=record.cluster_id,
        face_count=len(faces),
        face_pose_scores=[face.pose_score for face in faces],
        face_eyes_scores=[face.eyes_score for face in faces],
        face_smile_scores=[face.smile_score for face in faces],
        is_selected=record.is_selected,
        reason_code=record.reason_code,
        reason=record.reason,
        lost_to_path=record.lost_to_path,
    )


_IMAGE_FIELDS: dict[str, Any] = {
    **get_type_hints(ImageRecord),
    "filename": str,
    "face_caption": str,
    "exposure_caption": str,
    "megapixels": float,
    "status": Status,
    "decision": Decision | None,
    "face_signs": list[FaceSigns],
}
del _IMAGE_FIELDS["face_people"]  # `face_signs` has them
Image: type[BaseModel] = create_model(  # type: ignore[call-overload]
    "Image", **{name: (hint, ...) for name, hint in _IMAGE_FIELDS.items()}
)
"""Every field of a result, its status, and the user's decision."""


def image(record: ImageRecord, decision: Decision | None, penalties: PersonPenalties) -> BaseModel:
    """Returns a result with the user's decision; the penalties are those of its run."""
    return _image(record, decision, record.face_signs(penalties))


def image_of(message: pb.ImageResult) -> BaseModel:
    """Returns the result in a message."""
    return _image(
        values.image_value(message),
        decision_value(message.decision),
        map(values.face_signs_value, message.face_signs),
    )


def _image(record: ImageRecord, decision: Decision | None, signs: Iterable[FaceSigns]) -> BaseModel:
    fields = {name: getattr(record, name) for name in get_type_hints(ImageRecord)}
    del fields["face_people"]
    return Image(
        **fields,
        filename=record.filename,
        face_caption=record.face_caption,
        exposure_caption=record.exposure_caption,
        megapixels=record.megapixels,
        status=status(record),
        decision=decision,
        face_signs=list(signs),
    )


class LoggedDecision(BaseModel):
    """An entry in an album's log; see DecisionEntry in orchestrator.proto."""

    id: str
    action: DecisionAction
    photos: list[DecidedPhoto]
    target: DecidedPhoto | None
    undone_id: str
    create_time: str
    decided_by: str
    stars: int
    label: str
    run_id: str
    is_in_force: bool


class CountedPerson(BaseModel):
    """A person; see Person in orchestrator.proto."""

    id: str
    name: str
    is_ignored: bool
    is_important: bool
    face_count: int
    photo_count: int
    cover: PersonFace
    best_face: PersonFace | None


class AskedQuestion(BaseModel):
    """A question about a face; see PeopleQuestion in orchestrator.proto."""

    face: PersonFace
    person: CountedPerson
    other_person_id: str
    similarity: float
    face_count: int


class Questions(BaseModel):
    """The few uncertain faces that matter most."""

    questions: list[AskedQuestion]


class ServedModel(BaseModel):
    """The state of a model service: its model, or why it does not respond."""

    role: str
    model: ModelIdentity | None
    error: str


class Statistics(BaseModel):
    """Photo counts of a run."""

    image_count: int
    filter_counts: dict[ImageFilter, int]
    histograms: list[Histogram]
    cluster_sizes: list[tuple[int, int]]
    cameras: dict[str, int]
    capture_dates: dict[str, int]
    people: list[PersonCount]


class Disagreement(BaseModel):
    """A photo that the algorithm would have treated differently from the user."""

    path: str
    decision: Decision
    reason: str


class EvaluatedRun(BaseModel):
    """How well the algorithm's picks agree with the user's decisions; see EvaluateRunResponse."""

    counts: Counts
    moments_agreement: float
    corrected_image_count: int
    disagreements: list[Disagreement]
    lines: list[str]


def make_evaluated_run(found: Evaluation) -> EvaluatedRun:
    """Translates an evaluation."""
    return EvaluatedRun(
        counts=found.counts,
        moments_agreement=found.moments_agreement,
        corrected_image_count=found.corrected_count,
        disagreements=[
            Disagreement(path=record.path, decision=decision, reason=record.reason)
            for record, decision in found.disagreements
        ],
        lines=evaluation_lines(found),
    )


def make_statistics(found: Counted) -> Statistics:
    """Translates the photo counts of a run."""
    return Statistics(
        image_count=found.image_count,
        filter_counts=found.filter_counts,
        histograms=found.histograms,
        cluster_sizes=found.cluster_sizes,
        cameras=found.cameras,
        capture_dates=found.capture_dates,
        people=found.people,
    )


class Pair(BaseModel):
    """Two shots of one moment; see ShotPair in orchestrator.proto."""

    left: Image
    right: Image
    left_better_probability: float


class Pairs(BaseModel):
    """A page of pairs; see ListPairsResponse."""

    pairs: list[Pair]
    next_page_token: str
    total_count: int
    choice_count: int
    unsure_count: int


def make_pairs(found: PairsPage) -> Pairs:
    """Translates a page of pairs."""
    decisions, penalties = found.decisions, found.penalties
    return Pairs(
        pairs=[
            Pair(
                left=image(pair.left, decisions.get(pair.left.content_digest), penalties),
                right=image(pair.right, decisions.get(pair.right.content_digest), penalties),
                left_better_probability=pair.left_better_probability,
            )
            for pair in found.page.items
        ],
        next_page_token=found.page.next_page_token,
        total_count=found.page.total_count or 0,
        choice_count=found.choice_count,
        unsure_count=found.unsure_count,
    )


class _Page(BaseModel):
    next_page_token: str


class Albums(_Page):
    """A page of albums."""

    albums: list[Album]


class Runs(_Page):
    """A page of runs."""

    runs: list[Run]


class Clusters(_Page):
    """A page of clusters."""

    clusters: list[Cluster]


class Decisions(_Page):
    """A page of an album's log."""

    entries: list[LoggedDecision]
    total_count: int


class People(_Page):
    """A page of persons."""

    people: list[CountedPerson]
    total_count: int


class PersonFaces(_Page):
    """A page of a person's faces."""

    faces: list[PersonFace]
    total_count: int


class Images(_Page):
    """A page of photos with every field."""

    images: list[Image]
    total_count: int


class ResultImages(_Page):
    """A page of photos with their scores in a flat structure."""

    images: list[ResultImage]
    total_count: int
