"""Photos and their scores, as plain values."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from orchestrator.domain.alteration import Alteration
from orchestrator.domain.sets import SetPlace


@dataclass(frozen=True, slots=True)
class FindParameters:
    """Which files of an album are photos."""

    exclude: list[str]
    """`.gitignore` patterns for files and folders to leave out of the album, in addition to those
    in the album's `.bestshotignore` file; set by `--exclude`"""
    read_unchanged: bool
    """whether to read each photo even if its file's size, times and inode have not changed since
    the album's last run. Only needed if something on this disk changes files without changing their
    times"""


@dataclass(frozen=True, slots=True)
class QualityScores:
    """Scores of one picture; ranges and meanings are as in quality.proto.

    A score with a default may be missing in results from older versions.
    """

    iqa_score: float
    ava_score: float
    ava_distribution: tuple[float, ...]
    sharpness: float
    focus_score: float
    exposure: float
    contrast: float
    colourfulness: float
    laplacian_variance: float
    noise_level: float | None = None
    brightness: float | None = None
    tonal_range: float | None = None
    flat_share: float | None = None
    luminance_grid: tuple[int, ...] = ()
    detail_grid: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Landmark:
    """A named point of a face, relative to the picture."""

    name: str
    x: float
    y: float


@dataclass(frozen=True, slots=True)
class FaceScores:
    """One face; box relative to the picture (0 to 1), scores 0 to 1, angles in degrees."""

    left: float
    top: float
    width: float
    height: float
    confidence: float
    landmarks: tuple[Landmark, ...]
    yaw_degrees: float
    pitch_degrees: float | None
    roll_degrees: float
    pose_score: float
    eyes_score: float
    smile_score: float

    @property
    def area(self) -> float:
        """Returns the share of the picture that the box covers."""
        return self.width * self.height


class ContentClass(StrEnum):
    """What kind of picture a file holds; see `content.classify`."""

    PHOTO = "photo"
    DOCUMENT = "document"
    SCREENSHOT = "screenshot"
    BLANK = "blank"
    MISFIRE = "misfire"
    ANIMATION = "animation"


@dataclass(frozen=True, slots=True)
class FileFacts:
    """What is known about a photo's file; zero or empty where unknown.

    Attributes:
        width_px: Width of the upright photo.
        height_px: Height of the upright photo.
        size_bytes: Size of the file.
        capture_time: Local time from EXIF, ISO 8601 without zone.
        has_camera: Whether the file names the camera.
        is_damaged: Whether it could be read only in part.
        is_edit: Whether its name marks it as an edited copy of a photo in the album.
    """

    width_px: int = 0
    height_px: int = 0
    size_bytes: int = 0
    capture_time: str = ""
    has_camera: bool = False
    is_damaged: bool = False
    is_edit: bool = False


@dataclass(frozen=True, slots=True)
class CaptureTime:
    """When a photo was taken, according to one source.

    Attributes:
        local: Local time, ISO 8601 without zone, with the fraction of a second if known; only a
            date if the time of day is unknown; empty if unknown.
        utc_offset: Its offset from UTC, for example "+02:00"; empty if unknown.
        source: Where it was found: a tag, such as "EXIF DateTimeOriginal"; a sidecar and its tag;
            or "file name". Empty if unknown.
    """

    local: str = ""
    utc_offset: str = ""
    source: str = ""

    @property
    def date(self) -> str:
        """The date, ISO 8601; empty if unknown."""
        return self.local[:10]

    @property
    def has_time_of_day(self) -> bool:
        """Whether the time of day is known."""
        return "T" in self.local


@dataclass(frozen=True, slots=True)
class CameraFacts:
    """Facts about the shot, from its file; None or empty if the file does not contain them.

    Attributes:
        make: Manufacturer of the camera.
        model: Model of the camera.
        lens: Model of the lens, otherwise its focal lengths and apertures.
        focal_length_mm: Above 0.
        focal_length_35mm: Equivalent focal length on 35 mm film, in mm; above 0.
        exposure_time_seconds: Above 0.
        f_number: Above 0.
        iso: Sensitivity; above 0.
        exposure_bias_ev: Exposure compensation in EV.
        exposure_mode: "auto", "manual" or "auto bracket", from EXIF's ExposureMode.
        is_flash_fired: Whether the flash fired.
        has_gps: Whether the file contains the location.
        burst_id: Identifier shared by the shots of a burst.
        sequence_number: Number of the shot within its burst or bracket, as counted by the camera.
        drive_mode: "single" or "continuous".
        bracket_mode: "none", or the property that varied from shot to shot: "exposure", "focus",
            "white balance", "ISO", "aperture" or "other".
        has_video: Whether a short video goes with the shot, in the file (motion photos) or beside
            it (Live Photos).
    """

    make: str = ""
    model: str = ""
    lens: str = ""
    focal_length_mm: float | None = None
    focal_length_35mm: float | None = None
    exposure_time_seconds: float | None = None
    f_number: float | None = None
    iso: int | None = None
    exposure_bias_ev: float | None = None
    exposure_mode: str = ""
    is_flash_fired: bool | None = None
    has_gps: bool = False
    burst_id: str = ""
    sequence_number: int | None = None
    drive_mode: str = ""
    bracket_mode: str = ""
    has_video: bool = False


@dataclass(frozen=True, slots=True)
class OwnerMark:
    """How the photo's owner marked it in another program.

    Attributes:
        rating: Stars, 1 to 5, or -1 = rejected; None if there is none.
        pick: "picked", "rejected", or empty.
        label: Name of the colour label, in the language of the program that set it.
        source: Path of the sidecar that contains the rating or pick or, without these, the label;
            "the file" if the photo itself contains it; empty if there is no mark.
    """

    rating: int | None = None
    pick: str = ""
    label: str = ""
    source: str = ""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A readable photo with the data that the selection uses.

    Attributes:
        path: Relative to the album; unique.
        content_digest: Identifies the photo in decisions; copies of one file share it.
        quality: Its quality scores.
        faces: Largest first.
        cluster_id: Its moment; -1 = noise.
        file: What is known about its file.
        content: Its kind.
        owner_mark: How its owner marked it in another program.
        frame_set: Its place in a set of photos that belong together; None if it is not in a set.
        alteration: How it was derived from another photo; None if it was not.
        person_ids: The person of each of `faces`, "" if unknown; empty if nobody was recognized.
    """

    path: str
    content_digest: str
    quality: QualityScores
    faces: tuple[FaceScores, ...]
    cluster_id: int
    file: FileFacts = FileFacts()
    content: ContentClass = ContentClass.PHOTO
    owner_mark: OwnerMark = field(default_factory=OwnerMark)
    frame_set: SetPlace | None = None
    alteration: Alteration | None = None
    person_ids: tuple[str, ...] = ()


class Decision(StrEnum):
    """A user's decision on a photo."""

    KEEP = "keep"
    REJECT = "reject"

    @property
    def past_tense(self) -> str:
        """Returns the past tense, for sentences: "kept" or "rejected"."""
        return "kept" if self is Decision.KEEP else "rejected"


class ColourLabel(StrEnum):
    """A colour label that a user gave to a photo; named as in Lightroom."""

    RED = "red"
    YELLOW = "yellow"
    GREEN = "green"
    BLUE = "blue"


@dataclass(frozen=True, slots=True)
class UserMark:
    """The stars and the colour label that the user gave to a photo in bestshot.

    They say nothing about keeping it: the selection ignores them.

    Attributes:
        stars: 1 to 5; 0 = none.
        label: A `ColourLabel`; empty if there is none.
    """

    stars: int = 0
    label: str = ""


MAX_STARS = 5


class Reason(StrEnum):
    """Why a photo was picked or not; codes as in orchestrator.proto."""

    SELECTED_BEST = "SELECTED_BEST"
    SELECTED_DISTINCT = "SELECTED_DISTINCT"
    LOWER_SCORE = "LOWER_SCORE"
    LOST_COMPARISON = "LOST_COMPARISON"
    DUPLICATE = "DUPLICATE"
    BELOW_MIN_SCORE = "BELOW_MIN_SCORE"
    LOW_IQA = "LOW_IQA"
    DAMAGED = "DAMAGED"
    BLURRED = "BLURRED"
    TOO_SIMILAR = "TOO_SIMILAR"
    UNREADABLE = "UNREADABLE"
    UNSUPPORTED_FORMAT = "UNSUPPORTED_FORMAT"
    USER_KEEP = "USER_KEEP"
    USER_REJECT = "USER_REJECT"
    NOISE_EXCLUDED = "NOISE_EXCLUDED"
    COPY = "COPY"
    MISFIRE = "MISFIRE"
    CONTENT_EXCLUDED = "CONTENT_EXCLUDED"
    CONTENT_KEPT = "CONTENT_KEPT"
    OWNER_KEEP = "OWNER_KEEP"
    OWNER_REJECT = "OWNER_REJECT"
    SELECTED_WITH_SET = "SELECTED_WITH_SET"
    IN_SET = "IN_SET"
    VERSION = "VERSION"
    SELECTED_VERSION = "SELECTED_VERSION"
    SELECTED_FOR_GOAL = "SELECTED_FOR_GOAL"
    SELECTED_FOR_PERSON = "SELECTED_FOR_PERSON"
    BEYOND_GOAL = "BEYOND_GOAL"
    KEPT_FROM_LAST_RUN = "KEPT_FROM_LAST_RUN"
    NOT_BETTER_ENOUGH = "NOT_BETTER_ENOUGH"


KEPT = (Reason.USER_KEEP, Reason.OWNER_KEEP)
REJECTED = (Reason.USER_REJECT, Reason.OWNER_REJECT)
"""Reasons of the photos that a person kept, and of those that a person rejected."""
