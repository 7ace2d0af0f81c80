"""Protocols for everything that the pipeline needs from outside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from orchestrator.domain.people.faces import IdentifiedFace
from orchestrator.domain.photo import FaceScores, QualityScores
from services.common.errors import BestshotError
from services.common.imaging.decode import CanonicalImage, RgbImage

Embedding = NDArray[np.float32]
"""float32, (d,), unit length."""
Miniature = NDArray[np.float32]
"""float32, (32, 32): a grid over the photo, with the mean 8-bit level of each cell."""

SETTLE_NS = 10 * 10**9
"""Age at which a file's times can be trusted: FAT counts in steps of 2 s, and a file server's clock
may be some seconds behind."""


@dataclass(frozen=True, slots=True)
class ModelIdentity:
    """The model behind a port; fields as in model.proto."""

    id: str
    version: str
    digest: str
    input_long_side_px: int
    execution_providers: tuple[str, ...]
    origin: str
    description: str
    max_batch_count: int
    paths: tuple[str, ...]
    file_digests: tuple[str, ...]
    fallback_for_model_id: str
    missing_execution_providers: tuple[str, ...]
    runtime_versions: dict[str, str]
    file_sources: tuple[str, ...] = ()
    is_heuristic: bool = False


class ModelPort(Protocol):
    """Any model service.

    Its calls receive the model that the caller expects. They raise FailedPreconditionError if a
    different model answers, and UnavailableError if none does.
    """

    async def model(self) -> ModelIdentity:
        """Asks which model the service uses; raises UnavailableError if it cannot be reached."""
        ...


class Embedder(ModelPort, Protocol):
    """Computes scene embeddings."""

    async def embed(
        self, images: Sequence[RgbImage], model: ModelIdentity
    ) -> list[Embedding | BestshotError]:
        """Embeds a batch; returns a unit vector or an error for each item, in order."""
        ...

    async def calibration(self) -> tuple[float, float] | None:
        """Returns the calibrated (scene_distance, cluster_selection_epsilon), or None."""
        ...


class QualityScorer(ModelPort, Protocol):
    """Computes quality scores."""

    async def score(
        self, images: Sequence[RgbImage], model: ModelIdentity
    ) -> list[QualityScores | BestshotError]:
        """Scores a batch; returns scores or an error for each item, in order."""
        ...


@dataclass(frozen=True, slots=True)
class IdentityModel:
    """The model that recognizes people.

    Attributes:
        same_person_similarity: As in face.proto.
    """

    model: ModelIdentity
    same_person_similarity: float


@dataclass(frozen=True, slots=True)
class FoundFaces:
    """The faces of a photo, and the same faces with their vectors.

    Attributes:
        faces: Largest first.
        identified: The faces that have a vector.
    """

    faces: tuple[FaceScores, ...]
    identified: tuple[IdentifiedFace, ...]


class FaceAnalyzer(ModelPort, Protocol):
    """Finds and scores faces."""

    async def identity_model(self) -> IdentityModel | None:
        """Asks which model recognizes people; None if the service has none."""
        ...

    async def identify(
        self, images: Sequence[RgbImage], model: ModelIdentity, identity: ModelIdentity
    ) -> list[FoundFaces | BestshotError]:
        """Analyses a batch like `analyze`, and also computes the vectors of the faces."""
        ...

    async def analyze(
        self, images: Sequence[RgbImage], model: ModelIdentity
    ) -> list[tuple[FaceScores, ...] | BestshotError]:
        """Analyses a batch; returns faces, largest first, or an error for each item, in order."""
        ...


class PhotoComparer(ModelPort, Protocol):
    """Compares photos in pairs."""

    async def compare(
        self,
        images: Sequence[RgbImage],
        pairs: Sequence[tuple[int, int]],
        model: ModelIdentity,
    ) -> list[float | BestshotError]:
        """Compares pairs of `images`; returns, in order, how likely the first is better."""
        ...


@dataclass(frozen=True)
class ModelPorts:
    """The four model services."""

    embedder: Embedder
    scorer: QualityScorer
    analyzer: FaceAnalyzer
    comparer: PhotoComparer


@dataclass(frozen=True, slots=True)
class PhotoFile:
    """A photo found in an album.

    Attributes:
        path: Relative to the album.
        size_bytes: Size of the file.
        companion_paths: Files that belong to the photo: the RAW file of a pair, the video of a Live
            Photo, sidecars.
        version_of_path: The photo that this is an edited copy of, judging by names; empty if none.
    """

    path: str
    size_bytes: int
    companion_paths: tuple[str, ...] = ()
    version_of_path: str = ""


@dataclass(frozen=True, slots=True)
class FoundPhotos:
    """The photos found in an album.

    Attributes:
        photos: Ordered by path.
        notes: Sentences about what was left out.
    """

    photos: list[PhotoFile]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FileStamp:
    """What the system says about a file; any change to its content changes the stamp.

    Attributes:
        size_bytes: Size of the file.
        modify_ns: When the content was last changed; programs can set this time.
        change_ns: When the status was last changed, as it is whenever the file is written, replaced
            or renamed; only the system sets this time (on Windows, when the file was created).
        inode: Number of the file in its file system.
    """

    size_bytes: int
    modify_ns: int
    change_ns: int
    inode: int

    def is_settled(self, now_ns: int) -> bool:
        """Whether a file with this stamp would get a different one if it were changed now.

        Stamps are only as precise as the file system's clock: on FAT, a file that is written twice
        within two seconds can keep its stamp (Git calls such a file "racy").
        """
        return now_ns - max(self.modify_ns, self.change_ns) >= SETTLE_NS


class PhotoSource(Protocol):
    """Photos of an album; blocking calls, for worker threads."""

    def find_photos(self, exclude: Sequence[str] = ()) -> FoundPhotos:
        """Finds the photos, except those that match one of the .gitignore patterns."""
        ...

    def size(self, path: str) -> int:
        """Returns the size of a photo in bytes; errors as for `read`."""
        ...

    def read(self, path: str, size: int | None = None) -> bytes:
        """Reads a whole photo, unless it is larger than `size`.

        Raises InvalidImageError if that fails, and UnavailableError if the whole album is gone.
        """
        ...

    def read_stamped(self, path: str, size: int) -> tuple[bytes, FileStamp | None]:
        """Like `read`; also returns the file's stamp, or None if it changed in the meantime."""
        ...

    def stamps(self, paths: Sequence[str]) -> dict[str, FileStamp]:
        """Returns the current stamps of photos, except those that cannot be opened."""
        ...

    def check_reachable(self) -> None:
        """Raises UnavailableError if the whole album is gone."""
        ...

    def decode(self, content: bytes) -> CanonicalImage:
        """Decodes a photo; raises InvalidImageError if that fails."""
        ...


class FeatureCache(Protocol):
    """Computed features, keyed by content; blocking calls, for worker threads.

    A key is (content_digest, role, model_digest); the cache adds the canonicalisation version.
    """

    def get(self, keys: Sequence[tuple[str, str, str]]) -> dict[tuple[str, str, str], bytes]:
        """Returns the stored payloads."""
        ...

    def find(self, keys: Sequence[tuple[str, str, str]]) -> set[tuple[str, str, str]]:
        """Returns the keys that have a stored payload."""
        ...

    def put(self, entries: Mapping[tuple[str, str, str], bytes]) -> None:
        """Stores payloads durably; existing ones are kept."""
        ...
