"""Photos and their scores, as plain values."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class FindParameters:
    """Which files of an album are photos."""

    exclude: list[str]
    """patterns, as in .gitignore, of files and folders that are not photos of the album; they add
    to those in the album's file `.bestshotignore`. `--exclude` sets it"""


@dataclass(frozen=True, slots=True)
class QualityScores:
    """Scores of one picture; ranges and meaning as in quality.proto.

    A score with a default may be missing in results of older versions.
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
        """Share of the picture that the box covers."""
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
    """What is known of a photo's file; zero or empty where it is not.

    Attributes:
        width_px: Width of the upright photo.
        height_px: Height of the upright photo.
        size_bytes: Size of the file.
        capture_time: Local time from EXIF, ISO 8601 without zone.
        has_camera: Whether it names the camera.
    """

    width_px: int = 0
    height_px: int = 0
    size_bytes: int = 0
    capture_time: str = ""
    has_camera: bool = False


@dataclass(frozen=True, slots=True)
class Candidate:
    """A readable photo, as the selection sees it.

    Attributes:
        path: Relative to the album; unique.
        content_digest: Identifies the photo in decisions; copies of one file share it.
        quality: Its quality scores.
        faces: Largest first.
        cluster_id: Its moment; -1 = noise.
        file: What is known of its file.
        content: Its kind.
    """

    path: str
    content_digest: str
    quality: QualityScores
    faces: tuple[FaceScores, ...]
    cluster_id: int
    file: FileFacts = FileFacts()
    content: ContentClass = ContentClass.PHOTO


class Decision(StrEnum):
    """What a user decided about a photo."""

    KEEP = "keep"
    REJECT = "reject"

    @property
    def past_tense(self) -> str:
        """For sentences: "kept" or "rejected"."""
        return "kept" if self is Decision.KEEP else "rejected"


class Reason(StrEnum):
    """Why a photo was picked or not; codes as in orchestrator.proto."""

    SELECTED_BEST = "SELECTED_BEST"
    SELECTED_DISTINCT = "SELECTED_DISTINCT"
    LOWER_SCORE = "LOWER_SCORE"
    LOST_COMPARISON = "LOST_COMPARISON"
    DUPLICATE = "DUPLICATE"
    BELOW_MIN_SCORE = "BELOW_MIN_SCORE"
    LOW_IQA = "LOW_IQA"
    BLURRED = "BLURRED"
    TOO_SIMILAR = "TOO_SIMILAR"
    UNREADABLE = "UNREADABLE"
    USER_KEEP = "USER_KEEP"
    USER_REJECT = "USER_REJECT"
    NOISE_EXCLUDED = "NOISE_EXCLUDED"
    COPY = "COPY"
    MISFIRE = "MISFIRE"
    CONTENT_EXCLUDED = "CONTENT_EXCLUDED"
    CONTENT_KEPT = "CONTENT_KEPT"
