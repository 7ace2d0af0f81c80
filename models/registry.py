"""configs/models.yaml to verified local files."""

from __future__ import annotations

import hashlib
import importlib.resources
import json
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated

from pydantic import Field

from services.common.config import Layer, Settings, load, nearest, read_yaml
from services.common.errors import ConfigError


class Role(StrEnum):
    """What a model does."""

    EMBEDDING = "embedding"
    QUALITY = "quality"
    FACE = "face"
    SIAMESE = "siamese"


class Origin(StrEnum):
    """Where a model comes from."""

    BUILTIN = "builtin"
    PRETRAINED = "pretrained"


class ModelFile(Settings):
    """A file inside an installed package."""

    package: str
    path: str
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class Calibration(Settings):
    """What `auto` means for an embedding, as cosine distances (models/train/calibrate.py)."""

    scene_distance: Annotated[float, Field(gt=0, le=2)]
    cluster_selection_epsilon: Annotated[float, Field(ge=0, le=2)]
    source: str


class ModelEntry(Settings):
    """One model of the registry."""

    role: Role
    version: str
    origin: Origin
    description: str
    licence: str
    source: str
    files: dict[str, ModelFile] = Field(default_factory=dict)
    input_long_side_px: Annotated[int, Field(ge=0)]
    calibration: Calibration | None = None


class Registry(Settings):
    """The whole of models.yaml."""

    models: dict[str, ModelEntry]


@dataclass(frozen=True)
class LocalModel:
    """A model whose files lie on this machine and have the right digests.

    Attributes:
        model_id: Id in models.yaml.
        entry: The registry's entry.
        paths: Local path of each file by its name in the entry.
    """

    model_id: str
    entry: ModelEntry
    paths: dict[str, Path]

    def digest(self, constants: Settings | None = None) -> str:
        """Hashes all that decides the scores: files, version and the constants used with them."""
        parts = {
            "id": self.model_id,
            "version": self.entry.version,
            "files": {name: file.sha256 for name, file in self.entry.files.items()},
            "constants": constants.model_dump(mode="json") if constants else None,
        }
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def read_registry(config_folder: Path) -> Registry:
    """Reads and validates models.yaml."""
    path = config_folder / "models.yaml"
    return load(Registry, [Layer(str(path), read_yaml(path))])


def resolve(config_folder: Path, role: Role, model_id: str) -> LocalModel:
    """Finds a model's files and verifies their digests.

    Raises:
        ConfigError: The id is unknown or of another role, or a file is missing or differs.
    """
    registry = read_registry(config_folder)
    of_role = [name for name, entry in registry.models.items() if entry.role is role]
    if model_id not in of_role:
        raise ConfigError(
            f"{config_folder / 'models.yaml'} has no {role} model {model_id!r}"
            f"{nearest(model_id, of_role)}"
        )
    entry = registry.models[model_id]
    paths = {name: _verified(model_id, file) for name, file in entry.files.items()}
    return LocalModel(model_id=model_id, entry=entry, paths=paths)


def _verified(model_id: str, file: ModelFile) -> Path:
    try:
        path = Path(str(importlib.resources.files(file.package))) / file.path
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
    except (ModuleNotFoundError, OSError) as error:
        raise ConfigError(
            f"{model_id}: the file {file.path} of the package {file.package} is missing: {error}"
        ) from error
    if digest != file.sha256:
        raise ConfigError(
            f"{model_id}: {path} has sha256 {digest}, models.yaml says {file.sha256}; "
            f"the file is damaged or another version"
        )
    return path
