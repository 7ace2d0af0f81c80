"""The models that a profile needs, fetched on first use."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path

from models.pull import Location, Progress, fetch
from models.state import State, own_state
from services.common.config.layers import layers_of, merge
from services.common.inference.registry import (
    SERVICE_ROLES,
    MissingModelError,
    ModelEntry,
    entry_in,
    read_registry,
    with_parts,
)


class DownloadPolicy(StrEnum):
    """Whether missing models are fetched automatically."""

    AUTO = "auto"
    NEVER = "never"


def ensure_profile(
    configs: Path,
    models_folder: Path,
    profile: str,
    policy: DownloadPolicy,
    progress: Progress,
) -> list[str]:
    """Fetches the models that a profile needs and this machine lacks; replaces damaged files.

    Args:
        configs: Folder of models.yaml and of the profiles.
        models_folder: Folder of pulled models.
        profile: Name of the profile.
        policy: Whether to fetch anything.
        progress: Receives the progress.

    Returns:
        Ids of the models that were fetched.

    Raises:
        MissingModelError: A model is missing and downloads are off, or it must be exported.
        UnavailableError: No source of a file can be reached; the message lists them.
        ConfigError: There is no such profile, every source has the wrong file, or the disk is
            full or not writable.
    """
    registry = read_registry(configs).models
    wanted = models_of_profile(configs, registry, profile)
    states = {
        model_id: own_state(models_folder, model_id, registry[model_id]) for model_id in wanted
    }
    missing = [model_id for model_id, state in states.items() if state is not State.READY]
    exported = [model_id for model_id in missing if registry[model_id].export is not None]
    if missing and policy is DownloadPolicy.NEVER:
        raise MissingModelError(
            f"the profile {profile} needs {', '.join(missing)}: not on this machine, and downloads "
            f"are off. `bestshot models pull --profile {profile}` fetches them"
        )
    if exported:
        raise MissingModelError(
            f"{', '.join(exported)} of the profile {profile} must be exported from PyTorch: run "
            f"`bestshot models pull --profile {profile}` once"
        )
    for model_id in missing:
        for key, download in registry[model_id].downloads.items():
            fetch(models_folder, model_id, key, download, Location(), progress)
    return missing


def models_of_profile(configs: Path, registry: Mapping[str, ModelEntry], profile: str) -> list[str]:
    """Ids of the models that the services of a profile load, parts of composed models included.

    Raises:
        ConfigError: There is no such profile, or it names an unknown model.
    """
    found: dict[str, None] = {}
    for role in SERVICE_ROLES:
        layers = layers_of(configs, "services.yaml", "services", profile, (role,))
        model_id = str(merge(layer.data for layer in layers)["model"])
        entry_in(registry, configs, model_id, role)
        found.update(dict.fromkeys(expand_parts(registry, model_id)))
    return list(found)


def expand_parts(registry: Mapping[str, ModelEntry], model_id: str) -> list[str]:
    """The model itself, or the models that it consists of."""
    return [part for part in with_parts(registry, model_id) if not registry[part].parts]
