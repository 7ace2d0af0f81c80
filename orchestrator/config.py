"""Settings of the orchestrator (services.yaml) and of its runs (pipeline.yaml)."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from orchestrator.domain.moments.metric import from_cosine_distance
from orchestrator.domain.moments.parameters import ClusterParameters, ClusterSettings
from orchestrator.domain.people.parameters import PeopleParameters
from orchestrator.domain.photo import FindParameters
from orchestrator.domain.selection.parameters import FilterParameters, SelectionParameters
from orchestrator.domain.sets import SetParameters
from services.common.config.describe import SettingDescription, describe
from services.common.config.folders import MODEL_SERVICES
from services.common.config.layers import (
    Layer,
    Settings,
    UserPath,
    flag_layer,
    layers_of,
    load,
    load_profile,
    merge,
    profile_names,
    profiles_to_check,
    read_config_file,
    read_service,
)
from services.common.config.sections import Address, Count
from services.common.errors import ConfigError

logger = logging.getLogger(__name__)

ServiceTarget = Annotated[
    str,
    Field(
        description="where the service runs: `host:port`, or a gRPC target for several replicas, "
        "which share the load: `dns:///name:port` or `ipv4:host:port,host:port`"
    ),
]


WebhookUrl = Annotated[str, Field(pattern=r"^https?://[^\s/]+(/\S*)?$")]


class HostedEmbedding(Settings):
    """An embedding model on another server: its id in models.yaml, and the graph's name there."""

    model: str
    graph: str


class HostedSiamese(Settings):
    """A Siamese model on another server: its id in models.yaml, and the graphs' names there."""

    model: str
    describe: str
    compare: str


class OrchestratorSettings(Settings):
    """Section `orchestrator` of services.yaml."""

    address: Address
    """`host:port` to listen on; port 0 picks a free one"""
    metrics_address: Address | None
    """`host:port` that answers `GET /metrics` for Prometheus; `null` for none. Anyone who can reach
    it can read the metrics; to listen on a non-loopback address, it needs the same protection as
    the part itself: tokens, client certificates or `--insecure`"""
    http_address: Address | None
    """`host:port` of the JSON API (`/api/v1`, documented at `/api/v1/docs`); `null` turns it off.
    `curate` and other commands that start their own orchestrator do not serve it"""
    webhook_urls: Annotated[list[WebhookUrl], Field(max_length=16)]
    """addresses (`https://...`) that receive a signed POST when a run has ended; `[]` for none.
    They can be set only here, and `curate` does not use them"""
    webhook_secret_file: UserPath | None
    """file whose first line is the secret that signs webhooks: at least 16 bytes, or
    `whsec_` followed by their base64. Required with `webhook_urls`; read again when it changes"""
    database_url: str | None
    """`postgresql://user@host:port/database`, which several orchestrators can share; `null`: SQLite
    in the data folder, for a single orchestrator"""
    database_password_file: UserPath | None
    """file whose first line is the database password; `null`: it is in the URL or not needed"""
    embedding_address: ServiceTarget
    quality_address: ServiceTarget
    face_address: ServiceTarget
    siamese_address: ServiceTarget
    embedding_open_inference: HostedEmbedding | None
    """`null` if a bestshot service runs at that address. For an Open Inference Protocol server
    (Triton, KServe) that hosts the same ONNX file: `{model: ID, graph: NAME}`. ID is the model's id
    in `models.yaml`, whose preprocessing, calibration and version apply; NAME is the model's name
    on that server"""
    siamese_open_inference: HostedSiamese | None
    """like `embedding_open_inference`: `{model: ID, describe: NAME, compare: NAME}`"""
    call_timeout_s: Annotated[float, Field(gt=0)]
    """deadline for a call to a model service, in seconds"""
    service_wait_s: Annotated[float, Field(ge=0)]
    """how long a run waits for a service that is down or not responding (it may be restarting, or
    its machine may be asleep) before the run fails, counted from the first failure; a failed run
    can be resumed (`ResumeRun`, or in the web UI)"""
    batch_count: Count
    """number of photos per batch"""
    concurrent_batches: Count
    """number of batches in progress at a time"""
    allowed_roots: Annotated[list[Path], Field(min_length=1)]
    """folders that must contain all albums and outputs, with symlinks resolved. Links inside an
    album may point into these folders; links that point elsewhere are not followed. `~` is the home
    folder of the orchestrator's user"""
    max_upload_mb: Count
    """maximum size of an uploaded album, in MB"""
    max_decode_mb: Count
    """maximum memory, in MB, for all photos being decoded at the same time; a large photo waits
    until it fits, and one that needs more than the whole limit is reported as unreadable. 2,200 is
    enough for a 200-megapixel JPEG or HEIC; the manifests' memory limits assume these values, so
    raise both together"""
    max_rendition_mb: Count
    """maximum total size, in MB, of pictures for viewing in the data folder: a preview of each
    photo, made by runs, and the larger pictures and tiles that were viewed; beyond it, the least
    recently used ones are deleted"""
    resume_runs: bool
    """whether a run resumes after its orchestrator has stopped: when the orchestrator restarts, or
    within 15 seconds on another orchestrator with the same database. Otherwise the run becomes
    `INTERRUPTED`; its scores are kept"""


class PipelineSettings(Settings):
    """All of pipeline.yaml.

    Each section is a dataclass of the domain, where a setting's type, bounds and description are
    declared once; pydantic validates dataclasses like its own models.
    """

    find_photos: FindParameters
    filter_quality: FilterParameters
    cluster_scenes: ClusterSettings
    keep_sets: SetParameters
    people: PeopleParameters
    select_best: SelectionParameters

    @model_validator(mode="after")
    def _check_people(self) -> Self:
        if not self.people.enabled and (use := self.find_use_of_people()):
            raise ValueError(f"{use} needs people.enabled: true (--set people.enabled=true)")
        return self

    def find_use_of_people(self) -> str:
        """Returns a setting in use that requires persons; empty if there is none."""
        if self.select_best.goal.pick == "everybody":
            return "the goal `everybody`"
        return "people.split_moments" if self.people.split_moments else ""


def describe_settings() -> list[SettingDescription]:
    """Describes every setting of pipeline.yaml, in order."""
    return describe(PipelineSettings)


def resolve_auto(
    settings: ClusterSettings, calibration: tuple[float, float] | None
) -> ClusterParameters:
    """Replaces `auto` with the embedding model's calibrated values, in the unit of the metric.

    Args:
        settings: Section `cluster_scenes`.
        calibration: The embedding model's (scene_distance, cluster_selection_epsilon) as cosine
            distances; None if it has no calibration.

    Raises:
        ConfigError: A setting is `auto`, and the model has no calibration.
    """
    scene_distance, epsilon = settings.scene_distance, settings.cluster_selection_epsilon
    if "auto" in (scene_distance, epsilon) and calibration is None:
        raise ConfigError(
            "cluster_scenes: the embedding model has no calibration, so `auto` has no value; "
            "set scene_distance and cluster_selection_epsilon to numbers, or scene_distance to null"
        )
    calibrated_distance, calibrated_epsilon = (
        from_cosine_distance(value, settings.metric) for value in calibration or (0.0, 0.0)
    )
    values = {field.name: getattr(settings, field.name) for field in fields(settings)}
    if scene_distance == "auto":
        values["scene_distance"] = calibrated_distance
    if epsilon == "auto":
        values["cluster_selection_epsilon"] = calibrated_epsilon
    return ClusterParameters(**values)


@dataclass(frozen=True)
class Profile:
    """A named set of settings.

    Attributes:
        description: Its purpose.
        models: Id of each service's model, by role.
    """

    description: str
    models: dict[str, str]


class PipelineConfig:
    """Loads the pipeline settings of a run: file, profile, environment, then the given layers.

    Args:
        folder: Config folder; all its profiles, but not the user's own, are checked at once.
        profile: Default profile of runs.
        layers: From --config files and --set flags; applied last.
    """

    def __init__(self, folder: Path, profile: str, layers: Sequence[Layer] = ()) -> None:
        self._folder = folder
        self._layers = tuple(layers)
        self.profile = profile
        for name in profiles_to_check(folder):
            self.load(name)
        self.load(profile)

    def profiles(self) -> dict[str, Profile]:
        """Returns the available profiles by name, without those whose file is invalid."""
        found = {}
        for name in self.profile_names():
            try:
                found[name] = self._profile(name)
            except ConfigError as error:
                logger.warning("the profile %s is not available: %s", name, error.message)
        return found

    def profile_names(self) -> list[str]:
        """Lists all profiles, including those whose file is invalid."""
        return profile_names(self._folder)

    def read_profile(self, name: str) -> Layer:
        """Reads a profile as it is written, with its sections."""
        return load_profile(self._folder, name)

    def _profile(self, name: str) -> Profile:
        description = str(load_profile(self._folder, name).data.get("description", ""))
        services = merge(
            layer.data for layer in layers_of(self._folder, "services.yaml", "services", name)
        )
        return Profile(description, {role: str(services[role]["model"]) for role in MODEL_SERVICES})

    def model_id(self, role: str, profile: str = "") -> str:
        """Returns a role's model id under `profile` (empty = the default), even if inherited."""
        return str(read_service(self._folder, profile or self.profile, role)["model"])

    def load(self, profile: str = "", overrides: dict[str, Any] | None = None) -> PipelineSettings:
        """Loads the settings under `profile` (empty = the default one) and `overrides`.

        Raises:
            ConfigError: A key is unknown or missing, or a value is out of bounds.
        """
        layers = layers_of(self._folder, "pipeline.yaml", "pipeline", profile or self.profile)
        requested = [Layer("config_overrides", overrides)] if overrides else []
        return load(PipelineSettings, [*layers, *self._layers, *requested])


def file_layers(config_files: Sequence[Path], flags: Sequence[str]) -> list[Layer]:
    """Reads pipeline settings from --config files and --set flags, in that order."""
    files = [read_config_file(path).section("pipeline") for path in config_files]
    return [*files, *(flag_layer(flag) for flag in flags)]
