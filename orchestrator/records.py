"""Albums, runs and results, as kept in the store and shown by the API."""

from __future__ import annotations

import dataclasses
import datetime
import enum
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from orchestrator.domain.alteration import Alteration, Edit
from orchestrator.domain.exposure import exposure_caption
from orchestrator.domain.moments.parameters import NOISE
from orchestrator.domain.photo import (
    CameraFacts,
    FaceScores,
    OwnerMark,
    QualityScores,
    UserMark,
)
from orchestrator.domain.scoring import (
    FaceFault,
    FaceSigns,
    PersonPenalties,
    face_caption,
    read_signs,
)
from orchestrator.domain.sets import SetKind, SetPlace
from services.common.errors import FailedPreconditionError


class RunState(enum.StrEnum):
    """State of a run; names as in orchestrator.proto."""

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    INTERRUPTED = "INTERRUPTED"

    @property
    def is_final(self) -> bool:
        """Whether the run is in a terminal state."""
        return self not in (RunState.PENDING, RunState.RUNNING)


class ImageFilter(enum.StrEnum):
    """A property of photos; names as in orchestrator.proto."""

    SELECTED = "SELECTED"
    NOT_SELECTED = "NOT_SELECTED"
    UNREADABLE = "UNREADABLE"
    NOISE = "NOISE"
    WITH_FACES = "WITH_FACES"
    EYES_CLOSED = "EYES_CLOSED"
    DECIDED = "DECIDED"
    DOCUMENT = "DOCUMENT"
    SCREENSHOT = "SCREENSHOT"
    BLANK = "BLANK"
    MISFIRE = "MISFIRE"
    ANIMATION = "ANIMATION"
    KEPT = "KEPT"
    REJECTED = "REJECTED"
    UNDECIDED = "UNDECIDED"
    SOFT = "SOFT"
    DUPLICATE = "DUPLICATE"
    IN_SET = "IN_SET"
    STARS_1 = "STARS_1"
    STARS_2 = "STARS_2"
    STARS_3 = "STARS_3"
    STARS_4 = "STARS_4"
    STARS_5 = "STARS_5"
    LABEL_RED = "LABEL_RED"
    LABEL_YELLOW = "LABEL_YELLOW"
    LABEL_GREEN = "LABEL_GREEN"
    LABEL_BLUE = "LABEL_BLUE"


@dataclass(frozen=True, slots=True)
class Album:
    """One or more folders of photos.

    Attributes:
        folder: The first folder.
        more_folders: The other folders; of identical photos, the one in the earlier folder is
            preferred.
    """

    id: str
    display_name: str
    folder: str
    create_time: datetime.datetime
    more_folders: tuple[str, ...] = ()

    @property
    def folders(self) -> tuple[str, ...]:
        """All folders, in order of preference."""
        return (self.folder, *self.more_folders)


@dataclass(frozen=True, slots=True)
class StageProgress:
    """Progress of one stage; counts as in orchestrator.proto."""

    stage: str
    completed_count: int = 0
    total_count: int = 0
    failed_count: int = 0
    cached_count: int = 0
    elapsed_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class RunSummary:
    """A run in numbers."""

    photo_count: int
    unreadable_count: int
    cluster_count: int
    noise_count: int
    selected_count: int
    cached_count: int
    elapsed_seconds: float


@dataclass(frozen=True, slots=True)
class Run:
    """One curation of an album.

    Attributes:
        config: Pipeline settings in force, with the resolved values of `auto` under `resolved`.
        models: Identity of each model by role.
        versions: Versions of the software that computed the run.
        reference_run_id: The earlier run whose moments and picks this one keeps; empty if none.
        decisions: The user's decisions on its photos at the last selection, by content digest.
        corrections: The user's corrections of moments at the last grouping; see `Correction`.
        notes: Sentences about how the results were made, for the user.
        persons: The persons in its photos that the selection used, by id; see RunPerson in
            orchestrator.proto.
    """

    id: str
    album_id: str
    state: RunState
    profile: str
    config: dict[str, Any]
    models: dict[str, dict[str, Any]]
    versions: dict[str, str]
    create_time: datetime.datetime
    revision: int = 0
    start_time: datetime.datetime | None = None
    end_time: datetime.datetime | None = None
    stages: tuple[StageProgress, ...] = ()
    error: str = ""
    summary: RunSummary | None = None
    source_run_id: str = ""
    reference_run_id: str = ""
    decisions: dict[str, str] = field(default_factory=dict)
    corrections: list[dict[str, Any]] = field(default_factory=list)
    notes: tuple[str, ...] = ()
    persons: dict[str, dict[str, Any]] = field(default_factory=dict)

    def revise(self, **changes: Any) -> Run:  # noqa: ANN401
        """Returns the run with `changes` and the next revision."""
        return replace(self, revision=self.revision + 1, **changes)


@dataclass(frozen=True, slots=True)
class FacePerson:
    """The person that a face belongs to; fields as in FaceSigns of orchestrator.proto."""

    id: str
    name: str
    is_important: bool = False


@dataclass(frozen=True, slots=True)
class ImageRecord:
    """A photo with all its results from a run; fields as in orchestrator.proto.

    `person_names` and `face_people` are not stored with the run: they follow the current persons.

    Attributes:
        face_people: The person of each face, in the order of `faces`; None where unknown. Empty if
            nobody in the photo is known.
    """

    path: str
    content_digest: str
    size_bytes: int
    error: str = ""
    damage: str = ""
    width_px: int = 0
    height_px: int = 0
    capture_time: str = ""
    capture_time_source: str = ""
    capture_utc_offset: str = ""
    camera: str = ""
    camera_facts: CameraFacts = field(default_factory=CameraFacts)
    owner_mark: OwnerMark = field(default_factory=OwnerMark)
    companion_paths: tuple[str, ...] = ()
    version_of_path: str = ""
    format: str = ""
    content_class: str = ""
    quality: QualityScores | None = None
    faces: tuple[FaceScores, ...] = field(default=())
    pose_score: float | None = None
    eyes_score: float | None = None
    smile_score: float | None = None
    cluster_id: int | None = None
    machine_cluster_id: int | None = None
    person_penalty: float | None = None
    face_faults: tuple[FaceFault, ...] = ()
    composite_score: float | None = None
    is_selected: bool = False
    reason_code: str = ""
    reason: str = ""
    lost_to_path: str = ""
    set_kind: str = ""
    set_id: int | None = None
    set_place: int | None = None
    set_size: int | None = None
    altered_from_path: str = ""
    alterations: tuple[Edit, ...] = ()
    person_ids: tuple[str, ...] = ()
    judged_faces: tuple[int, ...] = ()
    whole_moment_id: int | None = None
    moment_people: str = ""
    brought_in_for: tuple[str, ...] = ()
    user_mark: UserMark = field(default_factory=UserMark)
    person_names: tuple[str, ...] = ()
    face_people: tuple[FacePerson | None, ...] = ()

    @property
    def is_readable(self) -> bool:
        """Whether the photo was read and scored."""
        return self.quality is not None

    @property
    def frame_set(self) -> SetPlace | None:
        """The photo's place in a set of photos that belong together; None if not in a set."""
        if self.set_id is None or self.set_place is None or self.set_size is None:
            return None
        return SetPlace(SetKind(self.set_kind), self.set_id, self.set_place, self.set_size)

    @property
    def alteration(self) -> Alteration | None:
        """How the photo was made from another one; None if it was not."""
        if not self.alterations:
            return None
        return Alteration(self.altered_from_path, self.alterations)

    @property
    def face_caption(self) -> str:
        """Describes the photo's faces in words; empty if there are none."""
        return face_caption(self.faces, self.face_faults)

    def face_signs(self, penalties: PersonPenalties) -> tuple[FaceSigns, ...]:
        """Returns what is known about each face, according to the run's thresholds."""
        signs = read_signs(self.faces, penalties, self.judged_faces)
        if not self.face_people:
            return signs
        return tuple(
            dataclasses.replace(
                one,
                person_id=person.id,
                person_name=person.name,
                is_important=person.is_important,
            )
            if person
            else one
            for one, person in zip(signs, self.face_people, strict=True)
        )

    @property
    def exposure_caption(self) -> str:
        """Describes the photo's exposure; empty if nothing is known."""
        return exposure_caption(self.camera_facts)

    @property
    def megapixels(self) -> float:
        """Size of the picture in megapixels; 0 if it was not read."""
        return self.width_px * self.height_px / 1e6

    @property
    def filename(self) -> str:
        """File name without its folder."""
        return self.path.rpartition("/")[2]


@dataclass(frozen=True, slots=True)
class StoredPhoto:
    """What is needed to show a photo in a run; other fields as in ImageRecord."""

    album: Album
    path: str
    content_digest: str
    width_px: int
    height_px: int
    is_readable: bool


@dataclass(frozen=True, slots=True)
class Cluster:
    """The shots of one moment; fields as in orchestrator.proto."""

    cluster_id: int
    image_count: int
    selected_count: int
    best_path: str


def summarize(records: list[ImageRecord], cached_count: int, elapsed_seconds: float) -> RunSummary:
    """Summarizes a run's results."""
    labels = [record.cluster_id for record in records if record.cluster_id is not None]
    return RunSummary(
        photo_count=len(records),
        unreadable_count=sum(not record.is_readable for record in records),
        cluster_count=len({label for label in labels if label >= 0}),
        noise_count=sum(label < 0 for label in labels),
        selected_count=sum(record.is_selected for record in records),
        cached_count=cached_count,
        elapsed_seconds=elapsed_seconds,
    )


def moments_of(records: Sequence[ImageRecord]) -> dict[str, tuple[str, ...]]:
    """Maps each photo to the paths in its moment, in the order of `records`."""
    clusters: dict[int, list[str]] = {}
    for record in records:
        if record.cluster_id is not None and record.cluster_id != NOISE:
            clusters.setdefault(record.cluster_id, []).append(record.path)
    joint = {path: tuple(members) for members in clusters.values() for path in members}
    return {record.path: joint.get(record.path, (record.path,)) for record in records}


def check_completed(run: Run, purpose: str) -> None:
    """Checks that a run has results; `purpose` completes the error message "can be ...".

    Raises:
        FailedPreconditionError: The run is not completed.
    """
    if run.state is not RunState.COMPLETED:
        raise FailedPreconditionError(
            f"run {run.id} is {run.state.value}; only a completed run can be {purpose}"
        )


def utc_now() -> datetime.datetime:
    """Returns the current time in UTC, with its time zone."""
    return datetime.datetime.now(datetime.UTC)
