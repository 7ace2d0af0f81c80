"""Settings of the orchestrator: how it runs (services.yaml) and what a run does (pipeline.yaml)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from orchestrator.domain.moments.parameters import CaptureTimeParameters, ClusterParameters
from orchestrator.domain.scoring import PersonPenalties, QualityWeights
from orchestrator.domain.selection import (
    FilterParameters,
    SelectionParameters,
    SiameseParameters,
)
from services.common.config.layers import (
    Layer,
    Settings,
    UserPath,
    flag_layer,
    layers_of,
    load,
    profile_names,
    read_yaml,
)
from services.common.config.sections import Address, Count
from services.common.errors import ConfigError

Share = Annotated[float, Field(ge=0, le=1)]
Penalty = Annotated[float, Field(ge=-1, le=0)]
Distance = Annotated[float, Field(ge=0, le=2)]
Auto = Literal["auto"]


class HostedEmbedding(Settings):
    """An embedding model on a foreign server: id in models.yaml, name of its graph there."""

    model: str
    graph: str


class HostedSiamese(Settings):
    """A Siamese model on a foreign server: id in models.yaml, names of its graphs there."""

    model: str
    describe: str
    compare: str


class OrchestratorSettings(Settings):
    """Section `orchestrator` of services.yaml."""

    address: Address
    metrics_address: Address | None
    http_address: Address | None
    database_url: str | None
    database_password_file: UserPath | None
    embedding_address: str
    quality_address: str
    face_address: str
    siamese_address: str
    embedding_open_inference: HostedEmbedding | None
    siamese_open_inference: HostedSiamese | None
    call_timeout_s: Annotated[float, Field(gt=0)]
    service_wait_s: Annotated[float, Field(ge=0)]
    batch_count: Count
    concurrent_batches: Count
    allowed_roots: Annotated[list[Path], Field(min_length=1)]
    max_upload_mb: Count
    max_decode_mb: Count
    resume_runs: bool


class FilterQuality(Settings):
    """Floors of quality."""

    min_iqa_score: Share
    """technical quality, 0 to 1, below which a photo is not selected (`LOW_IQA`)"""
    min_sharpness: Share
    """sharpness of the sharpest region (`Focus` in the CSV), 0 to 1, below which a photo is not
    selected (`BLURRED`); the whole picture's `Sharpness` would also refuse a sharp subject
    before a soft background"""

    def parameters(self) -> FilterParameters:
        """The domain's view of it."""
        return FilterParameters(**self.model_dump())


class DbscanSettings(Settings):
    """Parameters of DBSCAN."""

    eps: Annotated[float, Field(gt=0, le=2)]
    """neighbourhood radius (DBSCAN)"""
    min_samples: Count
    """neighbours, itself counted, that make a core point (DBSCAN)"""


class CaptureTimeSettings(Settings):
    """How capture time and camera take part in the grouping."""

    enabled: bool
    """whether capture time and camera, from EXIF, are evidence for moments; the grouping is
    HDBSCAN's or DBSCAN's alone where not"""
    burst_seconds: Annotated[float, Field(ge=0)]
    """photos that one camera took at most so many seconds apart are of one moment, if they are
    within `burst_distance`"""
    burst_distance: Distance
    """photos of a burst that are farther apart are not joined"""
    separate_hours: Annotated[float, Field(ge=0)]
    """a moment is parted where nobody took a photo of it for so many hours, unless photos before
    and after are within `separate_distance`; all cameras are taken to show the same time"""
    separate_distance: Distance
    """photos so close are of one moment whenever they were taken"""

    def parameters(self) -> CaptureTimeParameters:
        """The domain's view of it."""
        return CaptureTimeParameters(**self.model_dump())


class ClusterScenes(Settings):
    """Parameters of the clustering."""

    method: Literal["hdbscan", "dbscan"]
    """how photos are grouped to moments: `hdbscan` or `dbscan`"""
    metric: Literal["cosine", "euclidean"]
    """`cosine`, or `euclidean` on the unit vectors; distances below are in its unit"""
    min_cluster_size: Annotated[int, Field(ge=2)]
    """fewest photos of a cluster, from 2 (HDBSCAN)"""
    min_samples: Count
    """neighbours that make a core point, from 1 (HDBSCAN)"""
    cluster_selection_epsilon: Distance | Auto
    """photos closer than this are not split, unless `scene_distance` wants it: a distance, 0.0
    for none, or `auto` (HDBSCAN)"""
    cluster_selection_method: Literal["eom", "leaf"]
    """which clusters of the tree are taken: `eom`, the most stable ones, or `leaf`, the smallest
    (HDBSCAN)"""
    scene_distance: Distance | Auto | None
    """photos farther apart are never in one cluster: a distance, `null` for no bound, or `auto`
    (HDBSCAN)"""
    max_joint_count: Count | None
    """most photos that are clustered together, which takes time and memory beyond their number;
    more are parted at the longest pauses between captures first, and no cluster reaches over two
    parts; `null` for no bound"""
    dbscan: DbscanSettings
    capture_time: CaptureTimeSettings

    def parameters(self, calibration: tuple[float, float] | None) -> ClusterParameters:
        """The domain's view of it, with `auto` replaced by the model's calibrated values.

        Args:
            calibration: The embedding model's (scene_distance, cluster_selection_epsilon) as cosine
                distances; None if it has none.

        Raises:
            ConfigError: `auto` is asked for, and the model was never calibrated.
        """
        scene_distance, epsilon = self.scene_distance, self.cluster_selection_epsilon
        if "auto" in (scene_distance, epsilon) and calibration is None:
            raise ConfigError(
                "cluster_scenes: the embedding model has no calibration, so `auto` means nothing; "
                "set scene_distance and cluster_selection_epsilon to numbers, or scene_distance "
                "to null"
            )
        calibrated_distance, calibrated_epsilon = (
            self._in_metric(value) for value in calibration or (0.0, 0.0)
        )
        return ClusterParameters(
            method=self.method,
            metric=self.metric,
            min_cluster_size=self.min_cluster_size,
            min_samples=self.min_samples,
            cluster_selection_epsilon=(calibrated_epsilon if isinstance(epsilon, str) else epsilon),
            cluster_selection_method=self.cluster_selection_method,
            scene_distance=(
                calibrated_distance if isinstance(scene_distance, str) else scene_distance
            ),
            max_joint_count=self.max_joint_count,
            dbscan_eps=self.dbscan.eps,
            dbscan_min_samples=self.dbscan.min_samples,
            capture_time=self.capture_time.parameters(),
        )

    def _in_metric(self, cosine_distance: float) -> float:
        if self.metric == "cosine":
            return cosine_distance
        return float((2.0 * cosine_distance) ** 0.5)  # |a - b|^2 = 2 - 2 cos for unit vectors


class QualityWeightSettings(Settings):
    """Shares in the composite score."""

    iqa: Share
    """share of the technical score in the composite"""
    ava: Share
    """share of the aesthetic score, scaled to 0 to 1"""


class PersonPenaltySettings(Settings):
    """What faces cost."""

    eyes_closed: Penalty
    """added when the worst prominent face's eyes score is below `eyes_threshold`"""
    face_turned: Penalty
    """added when its pose score is below `pose_threshold`"""
    not_smiling: Penalty
    """added when its smile score is below `smile_threshold`"""
    max_penalty: Penalty
    """the sum of penalties is never lower"""
    eyes_threshold: Share
    """eyes score, 0 to 1, below which eyes count as closed"""
    pose_threshold: Share
    """pose score, 0 to 1, below which a face counts as turned away"""
    smile_threshold: Share
    """smile score, 0 to 1, below which a face counts as not smiling"""
    prominent_face_ratio: Share
    """faces at least this share of the largest one's width count"""


class SiameseSettings(Settings):
    """How the comparator takes part."""

    enabled: bool
    """whether the comparator decides ties; a run fails at its start where it is on and no
    Siamese model serves"""
    checkpoint_path: Path | None
    """a file in the models folder, absolute or relative to it, that the Siamese service must have
    loaded (checked by digest), or `null` to accept any model"""
    duplicate_threshold: Annotated[float, Field(ge=-1, le=1)]
    """cosine similarity from which two photos are duplicates, never both taken"""
    tiebreaker_range: Share
    """composite scores this close to the leader's are a tie"""


class SelectBest(Settings):
    """Rules of the selection."""

    max_images_per_cluster: Count
    """most photos taken of a moment"""
    min_score_threshold: Annotated[float, Field(ge=-1, le=1)]
    """composite score that a further photo of a moment, or a single shot, must reach"""
    dissimilarity_threshold: Annotated[float, Field(ge=-1, le=1)]
    """cosine similarity to a taken photo from which a further one is too similar"""
    include_noise: bool
    """whether single shots are selected at all"""
    quality_weights: QualityWeightSettings
    person_penalties: PersonPenaltySettings
    siamese: SiameseSettings

    def parameters(self) -> SelectionParameters:
        """The domain's view of it."""
        siamese = self.siamese.model_dump(exclude={"checkpoint_path"})
        return SelectionParameters(
            max_images_per_cluster=self.max_images_per_cluster,
            min_score_threshold=self.min_score_threshold,
            dissimilarity_threshold=self.dissimilarity_threshold,
            include_noise=self.include_noise,
            quality_weights=QualityWeights(**self.quality_weights.model_dump()),
            person_penalties=PersonPenalties(**self.person_penalties.model_dump()),
            siamese=SiameseParameters(**siamese),
        )


class PipelineSettings(Settings):
    """The whole of pipeline.yaml."""

    filter_quality: FilterQuality
    cluster_scenes: ClusterScenes
    select_best: SelectBest


@dataclass(frozen=True)
class SettingDescription:
    """What is known of one setting; fields as in orchestrator.proto."""

    key: str
    description: str
    minimum: float | None
    maximum: float | None
    choices: tuple[str, ...]


def describe_settings(
    settings: type[Settings] = PipelineSettings, prefix: str = ""
) -> list[SettingDescription]:
    """Describes every setting below a class of settings, in order."""
    found = []
    for name, field in settings.model_fields.items():
        key = f"{prefix}{name}"
        if isinstance(field.annotation, type) and issubclass(field.annotation, Settings):
            found += describe_settings(field.annotation, f"{key}.")
            continue
        schema = settings.model_json_schema()["properties"][name]
        variants = [schema, *schema.get("anyOf", [])]
        bounds = {bound: value for variant in variants for bound, value in variant.items()}
        words = [
            word
            for variant in variants
            for word in variant.get("enum", [variant["const"]] if "const" in variant else [])
        ]
        found.append(
            SettingDescription(
                key=key,
                description=" ".join((field.description or "").split()),
                minimum=bounds.get("minimum", bounds.get("exclusiveMinimum")),
                maximum=bounds.get("maximum", bounds.get("exclusiveMaximum")),
                choices=tuple(words),
            )
        )
    return found


class PipelineConfig:
    """Loads the pipeline settings of a run: file, profile, environment, then the given layers.

    Args:
        folder: Config folder; all its profiles are checked at once.
        profile: Profile of runs that name none.
        layers: From --config files and --set flags, on top.
    """

    def __init__(self, folder: Path, profile: str, layers: Sequence[Layer] = ()) -> None:
        self._folder = folder
        self._layers = tuple(layers)
        self.profile = profile
        for name in profile_names(folder):
            self.load(name)
        self.load(profile)

    def profiles(self) -> dict[str, str]:
        """Names and descriptions of the profiles that there are."""
        return {
            name: str(read_yaml(self._folder / "profiles" / f"{name}.yaml").get("description", ""))
            for name in profile_names(self._folder)
        }

    def load(self, profile: str = "", overrides: dict[str, Any] | None = None) -> PipelineSettings:
        """Loads the settings under `profile` (empty = the default one) and `overrides`.

        Raises:
            ConfigError: A key is unknown or missing, or a value is out of its bounds.
        """
        layers = layers_of(self._folder, "pipeline.yaml", "pipeline", profile or self.profile)
        requested = [Layer("config_overrides", overrides)] if overrides else []
        return load(PipelineSettings, [*layers, *self._layers, *requested])


def file_layers(config_files: Sequence[Path], flags: Sequence[str]) -> list[Layer]:
    """Reads the layers of --config files and --set flags, in that order."""
    files = [Layer(str(path), read_yaml(path)) for path in config_files]
    return [*files, *(flag_layer(flag) for flag in flags)]
