"""Settings of the orchestrator: how it runs (services.yaml) and what a run does (pipeline.yaml)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from orchestrator.domain.clustering import ClusterParameters
from orchestrator.domain.scoring import PersonPenalties, QualityWeights
from orchestrator.domain.selection import (
    FilterParameters,
    SelectionParameters,
    SiameseParameters,
)
from services.common.config import (
    Layer,
    Settings,
    flag_layer,
    layers_of,
    load,
    profile_names,
    read_yaml,
)
from services.common.errors import ConfigError
from services.common.service_config import Address, Count

Share = Annotated[float, Field(ge=0, le=1)]
Penalty = Annotated[float, Field(ge=-1, le=0)]
Distance = Annotated[float, Field(ge=0, le=2)]
Auto = Literal["auto"]


class OrchestratorSettings(Settings):
    """Section `orchestrator` of services.yaml."""

    address: Address
    embedding_address: str
    quality_address: str
    face_address: str
    siamese_address: str
    call_timeout_s: Annotated[float, Field(gt=0)]
    batch_count: Count
    concurrent_batches: Count
    allowed_roots: Annotated[list[Path], Field(min_length=1)]
    resume_runs: bool


class FilterQuality(Settings):
    """Floors of quality."""

    min_iqa_score: Share
    min_sharpness: Share

    def parameters(self) -> FilterParameters:
        """The domain's view of it."""
        return FilterParameters(**self.model_dump())


class DbscanSettings(Settings):
    """Parameters of DBSCAN."""

    eps: Annotated[float, Field(gt=0, le=2)]
    min_samples: Count


class ClusterScenes(Settings):
    """Parameters of the clustering."""

    method: Literal["hdbscan", "dbscan"]
    metric: Literal["cosine", "euclidean"]
    min_cluster_size: Annotated[int, Field(ge=2)]
    min_samples: Count
    cluster_selection_epsilon: Distance | Auto
    cluster_selection_method: Literal["eom", "leaf"]
    scene_distance: Distance | Auto | None
    dbscan: DbscanSettings

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
            dbscan_eps=self.dbscan.eps,
            dbscan_min_samples=self.dbscan.min_samples,
        )

    def _in_metric(self, cosine_distance: float) -> float:
        if self.metric == "cosine":
            return cosine_distance
        return float((2.0 * cosine_distance) ** 0.5)  # |a - b|^2 = 2 - 2 cos for unit vectors


class QualityWeightSettings(Settings):
    """Shares in the composite score."""

    iqa: Share
    ava: Share


class PersonPenaltySettings(Settings):
    """What faces cost."""

    eyes_closed: Penalty
    face_turned: Penalty
    not_smiling: Penalty
    max_penalty: Penalty
    eyes_threshold: Share
    pose_threshold: Share
    smile_threshold: Share
    prominent_face_ratio: Share


class SiameseSettings(Settings):
    """How the comparator takes part."""

    enabled: bool
    checkpoint_path: Path | None
    duplicate_threshold: Annotated[float, Field(ge=-1, le=1)]
    tiebreaker_range: Share


class SelectBest(Settings):
    """Rules of the selection."""

    max_images_per_cluster: Count
    min_score_threshold: Annotated[float, Field(ge=-1, le=1)]
    dissimilarity_threshold: Annotated[float, Field(ge=-1, le=1)]
    include_noise: bool
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
