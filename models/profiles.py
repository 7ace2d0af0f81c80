"""Finds the models of a profile, and fetches them on first use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from models.state import State, own_state
from services.common.config.layers import ConfigFile, Settings, read_service
from services.common.errors import ConfigError, UnavailableError
from services.common.inference.registry import (
    SERVICE_ROLES,
    MissingModelError,
    ModelEntry,
    Role,
    entry_in,
    read_registry,
    with_parts,
)

if TYPE_CHECKING:
    from models.pull import Progress

DownloadPolicy = Literal["auto", "never"]
"""Whether missing models are fetched automatically."""


class ModelsSettings(Settings):
    """Section `models` of services.yaml."""

    download: DownloadPolicy
    """whether `curate`, `demo`, `up` and `reproduce` download any of the profile's networks that
    are missing: `auto`, or `never`, which `--offline` also sets. `serve` never downloads any"""


@dataclass(frozen=True)
class MissingModels:
    """The models of a profile that are not on this machine.

    Attributes:
        profile: Name of the profile.
        required: Models without which a service does not start, by id.
        optional: Models that a service replaces with its built-in one (`fallback: builtin`), by id.
        damaged: Ids of models whose files are present but damaged.
    """

    profile: str
    required: Mapping[str, ModelEntry]
    optional: Mapping[str, ModelEntry]
    damaged: frozenset[str]

    @property
    def size_bytes(self) -> int:
        """Size of the known downloads."""
        entries = {**self.required, **self.optional}.values()
        return sum(file.size_bytes or 0 for entry in entries for file in entry.downloads.values())

    def __bool__(self) -> bool:
        return bool(self.required or self.optional)


def find_missing(
    configs: Path, models_folder: Path, profile: str, files: Sequence[ConfigFile] = ()
) -> MissingModels:
    """Finds the models of a profile's services that are missing or damaged on this machine.

    Args:
        configs: Folder of models.yaml and of the profiles.
        models_folder: Folder of pulled models.
        profile: Name of the profile.
        files: --config files, which override the profile.

    Raises:
        ConfigError: There is no such profile, or it names an unknown model.
    """
    registry = read_registry(configs).models
    required: dict[str, ModelEntry] = {}
    optional: dict[str, ModelEntry] = {}
    damaged = set()
    for role, model_id in models_by_role(configs, registry, profile, files).items():
        has_fallback = read_service(configs, profile, role, files)["fallback"] == "builtin"
        for part in expand_parts(registry, model_id):
            entry = registry[part]
            state = own_state(models_folder, part, entry) if entry.downloads else State.READY
            if state is State.READY:
                continue
            (optional if has_fallback else required)[part] = entry
            if state is State.DAMAGED:
                damaged.add(part)
    return MissingModels(profile, required, optional, frozenset(damaged))


def fetch_missing(
    models_folder: Path, missing: MissingModels, policy: DownloadPolicy, progress: Progress
) -> None:
    """Fetches missing models; replaces damaged files.

    Args:
        models_folder: Folder of pulled models.
        missing: The models.
        policy: Whether to fetch anything.
        progress: Receives the progress, and the reason if an optional model cannot be fetched.

    Raises:
        MissingModelError: Downloads are off, or a checkpoint must be pinned first.
        UnavailableError: No source of a file can be reached; the message lists them.
        ConfigError: Every source has the wrong file, a package for a conversion is missing (then
            nothing is fetched), or the disk is full or not writable.
    """
    from models.pull import check_requirements  # slow to import, and seldom needed

    if missing.required and policy == "never":
        absent = [name for name in missing.required if name not in missing.damaged]
        damaged = [name for name in missing.required if name in missing.damaged]
        lists = [f"{', '.join(absent)}: not on this machine"] if absent else []
        lists += [f"{', '.join(damaged)}: damaged"] if damaged else []
        raise MissingModelError(
            f"the profile {missing.profile} needs {'; '.join(lists)}, and downloads are off. "
            f"`bestshot models pull --profile {missing.profile}` fetches them"
        )
    check_requirements(missing.required)
    for model_id, entry in missing.required.items():
        _fetch_model(models_folder, missing, model_id, entry, progress)
    if policy == "never":
        return
    for model_id, entry in missing.optional.items():
        try:
            _fetch_model(models_folder, missing, model_id, entry, progress)
        except (ConfigError, UnavailableError) as error:  # the service reports its replacement
            progress.note(error.message)


def models_of_profile(configs: Path, registry: Mapping[str, ModelEntry], profile: str) -> list[str]:
    """Lists the ids of the models that a profile's services load, with parts of composed ones.

    Raises:
        ConfigError: There is no such profile, or it names an unknown model.
    """
    found = models_by_role(configs, registry, profile).values()
    return list(dict.fromkeys(part for one in found for part in expand_parts(registry, one)))


def models_by_role(
    configs: Path,
    registry: Mapping[str, ModelEntry],
    profile: str,
    files: Sequence[ConfigFile] = (),
) -> dict[Role, str]:
    """Returns the id of each service's model; raises the same errors as `models_of_profile`."""
    found = {}
    for role in SERVICE_ROLES:
        found[role] = str(read_service(configs, profile, role, files)["model"])
        entry_in(registry, configs, found[role], role)
    return found


def expand_parts(registry: Mapping[str, ModelEntry], model_id: str) -> list[str]:
    """Returns the model itself, or the parts of a composed model."""
    return [part for part in with_parts(registry, model_id) if not registry[part].parts]


def _fetch_model(
    models_folder: Path,
    missing: MissingModels,
    model_id: str,
    entry: ModelEntry,
    progress: Progress,
) -> None:
    from models.pull import Location, fetch_model

    if model_id in missing.damaged:
        progress.note(f"{model_id} is damaged; fetching it again")
    fetch_model(models_folder, model_id, entry, Location(), progress)
