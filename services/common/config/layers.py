"""Typed settings from layers of YAML, environment and flags; no key is ever ignored.

Defaults are only in `configs/*.yaml`; the models give types and bounds. A layer overrides
the layers before it key by key. An unknown key is an error that names the key, its source and the
nearest known one; so is an unknown `BESTSHOT_` variable.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, is_dataclass
from enum import EnumType
from functools import cache, lru_cache, reduce
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args, get_origin, get_type_hints

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError

from services.common.config.folders import (
    BUILTIN_PROFILE,
    CONFIG_DIR_VARIABLE,
    DATA_DIR_VARIABLE,
    MODEL_SERVICES,
    MODELS_DIR_VARIABLE,
    PROFILE_VARIABLE,
    SHIPPED_CONFIGS,
    user_profiles_dir,
)
from services.common.config.problems import describe_problem
from services.common.config.strict_yaml import DEPTH_LIMIT, parse_yaml, quote
from services.common.errors import ConfigError, shorten
from services.common.user_files import read_user_text

ENVIRONMENT_PREFIX = "BESTSHOT_"
SECTIONS = ("PIPELINE", "SERVICES")
PROFILE_KEYS = ("description", "pipeline", "services")
SERVICE_NAMES = ("shared", "models", *MODEL_SERVICES, "orchestrator", "ui")

PROBLEMS_SHOWN = 20
"""Limit per set of settings, because many wrong values usually come from one mistake."""

Tree = dict[str, Any]
UserPath = Annotated[Path, AfterValidator(Path.expanduser)]
"""A path in which `~` is the home folder of the process's user."""


class Settings(BaseModel):
    """Base of all settings: immutable, no unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


SettingsT = TypeVar("SettingsT", bound=Settings)


@dataclass(frozen=True)
class Layer:
    """Settings from one source; `source` names the file, variable or flag to fix."""

    source: str
    data: Tree


def read_yaml(path: Path) -> Tree:
    """Reads a YAML file with a mapping at the top level.

    Raises:
        ConfigError: The file cannot be read, is not valid YAML within the bounds, or is not a
            mapping.
    """
    data = deepcopy(_parse_once(read_user_text(path), str(path)))
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise ConfigError(
            f"{path} must be a mapping of keys to values, not a {type(data).__name__}"
        )
    return data


@lru_cache(maxsize=16)
def _parse_once(text: str, source: str) -> object:
    """Parses a file; cached, because a part reads the same few files about 20 times at startup."""
    return parse_yaml(text, source)


def load_profile(folder: Path, name: str) -> Layer:
    """Reads `profiles/<name>.yaml`: keys description, pipeline, services.

    Raises:
        ConfigError: The profile is neither in `folder` nor among the user's own, or it is in both,
            or its file is invalid.
    """
    shipped, own = _list_profiles(folder / "profiles"), _list_profiles(user_profiles_dir())
    known = {**own, **shipped}
    if name not in known:  # checked first, because callers choose the name
        raise ConfigError(
            f"there is no profile {name!r} in {folder / 'profiles'} or {user_profiles_dir()}"
            f"{nearest(name, sorted(known))}"
        )
    if name in shipped and name in own:
        raise ConfigError(
            f"{own[name]} has the name of a profile in {folder / 'profiles'}; rename it"
        )
    path = known[name]
    layer = Layer(str(path), read_yaml(path))
    _refuse_unknown(layer.data, PROFILE_KEYS, (), layer.source)
    services = _below(layer, ("services",))
    _refuse_unknown(services, SERVICE_NAMES, ("services",), layer.source)
    for section in services:
        _below(layer, ("services", section))  # raises if it is not a mapping
    return layer


@dataclass(frozen=True)
class ConfigFile:
    """A `--config` file, which has the form of a profile.

    Attributes:
        source: Its path.
        sections: Its sections, keyed as in a profile. A file with keys of pipeline.yaml counts as
            the section `pipeline`.
    """

    source: str
    sections: Tree

    def section(self, *keys: str) -> Layer:
        """Returns the settings below `keys`, such as ("services", "face"); empty if none."""
        return Layer(self.source, _below(Layer(self.source, self.sections), keys))


def read_config_file(path: Path) -> ConfigFile:
    """Reads a `--config` file.

    Raises:
        ConfigError: It cannot be read, mixes sections with keys of pipeline.yaml, or has an
            unknown section.
    """
    data = read_yaml(path)
    sections = [key for key in data if key in PROFILE_KEYS]
    others = [str(key) for key in data if key not in PROFILE_KEYS]
    if sections and others:
        raise ConfigError(
            f"unknown key {shorten(others[0])!r} in {path}, next to the section {sections[0]!r}"
            f"{nearest(shorten(others[0]), PROFILE_KEYS)}; put keys of pipeline.yaml under "
            "`pipeline:` and keys of services.yaml under `services:`, or use only keys of "
            "pipeline.yaml"
        )
    if others and any(name in SERVICE_NAMES for name in others):
        name = next(name for name in others if name in SERVICE_NAMES)
        raise ConfigError(f"{name!r} in {path} must be under `services:`, as in a profile")
    file = ConfigFile(str(path), data if sections else {"pipeline": data})
    _refuse_unknown(file.section("services").data, SERVICE_NAMES, ("services",), file.source)
    file.section("pipeline")  # raises if it is not a mapping
    return file


def profile_names(folder: Path) -> list[str]:
    """Lists the profiles in `folder` and the user's own."""
    return sorted(_list_profiles(folder / "profiles") | _list_profiles(user_profiles_dir()))


def profiles_to_check(folder: Path) -> list[str]:
    """Lists the profiles in `folder`, which must all be valid.

    The user's own profiles are checked only when they are used, so an invalid one, or one that has
    the name of a profile in `folder`, causes no other errors.
    """
    shipped, own = _list_profiles(folder / "profiles"), _list_profiles(user_profiles_dir())
    return sorted(shipped.keys() - own.keys())


def _list_profiles(folder: Path) -> dict[str, Path]:
    """Finds the profiles in a folder; editors and macOS keep hidden files beside them."""
    paths = folder.glob("*.yaml")
    return {path.stem: path for path in paths if not path.name.startswith(".")}


def check_default_profile(folder: Path, profile: str) -> None:
    """Refuses a default profile that overrides a value that the user set in a base file.

    Args:
        folder: Config folder.
        profile: The profile that is used because the user did not name one.

    Raises:
        ConfigError: A value in the folder's services.yaml or pipeline.yaml differs from both the
            shipped one and the profile's.
    """
    if folder.resolve() == SHIPPED_CONFIGS:
        return
    chosen = load_profile(folder, profile)
    for section in ("services", "pipeline"):
        own, shipped = (read_yaml(one / f"{section}.yaml") for one in (folder, SHIPPED_CONFIGS))
        for key, value in leaves(_below(chosen, (section,))):
            found = _value(own, key)
            if found not in (value, _value(shipped, key)):
                dotted = ".".join(key)
                raise ConfigError(
                    f"{folder / f'{section}.yaml'} sets {dotted} to {quote(found)}, but the "
                    f"`{profile}` profile, which is used because none was named, sets it to "
                    f"{quote(value)}. Set it in a --config file instead, or name a profile that "
                    f"leaves it alone: --profile {BUILTIN_PROFILE}"
                )


def leaves(tree: Tree, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], object]]:
    """Yields the values of a nested mapping, each with its keys."""
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from leaves(value, (*path, key))
        else:
            yield (*path, key), value


def _value(tree: Tree, path: Sequence[str]) -> object:
    """Returns the value at `path`; None if there is none."""
    found: Any = tree
    for key in path:
        found = found.get(key) if isinstance(found, dict) else None
    return found


def layers_of(
    folder: Path, file_name: str, section: str, profile: str, keys: Sequence[str] = ()
) -> list[Layer]:
    """Collects the layers of one section: base file, profile and environment.

    Args:
        folder: Config folder.
        file_name: Base file, for example "services.yaml".
        section: Section of profiles and variables: "pipeline" or "services".
        profile: Name of the selected profile.
        keys: Path below the section, for example ("quality",).
    """
    base = Layer(str(folder / file_name), read_yaml(folder / file_name))
    if section == "services":
        _refuse_unknown(base.data, SERVICE_NAMES, (), base.source)
    chosen = load_profile(folder, profile)
    return [
        Layer(base.source, _below(base, keys)),
        Layer(chosen.source, _below(chosen, (section, *keys))),
        *environment_layers(section.upper(), keys),
    ]


def environment_layers(section: str, keys: Sequence[str] = ()) -> list[Layer]:
    """Reads `BESTSHOT_<SECTION>__<KEY>__<KEY>=value` variables, one layer each; values are YAML.

    Raises:
        ConfigError: A `BESTSHOT_` variable does not belong to any section.
    """
    reserved = {CONFIG_DIR_VARIABLE, DATA_DIR_VARIABLE, MODELS_DIR_VARIABLE, PROFILE_VARIABLE}
    layers = []
    for name in sorted(os.environ):
        if not name.startswith(ENVIRONMENT_PREFIX) or name in reserved:
            continue
        head, *path = name.removeprefix(ENVIRONMENT_PREFIX).split("__")
        if head not in SECTIONS or not path:
            known = [*reserved, *(f"{ENVIRONMENT_PREFIX}{known}__..." for known in SECTIONS)]
            raise ConfigError(f"unknown environment variable {name}; known: {', '.join(known)}")
        lowered = [part.lower() for part in path]
        if head == "SERVICES":
            _refuse_unknown({lowered[0]: None}, SERVICE_NAMES, (), f"environment variable {name}")
        if head == section and lowered[: len(keys)] == list(keys):
            source = f"environment variable {name}"
            value = parse_yaml(os.environ[name], source)
            below = lowered[len(keys) :]
            tree = tree_of(below, value) if below else value
            if not isinstance(tree, dict):
                raise ConfigError(
                    f"{source} must be a mapping of keys to values, not {quote(value)}"
                )
            layers.append(Layer(source, tree))
    return layers


def flag_layer(assignment: str) -> Layer:
    """Reads one `--set a.b.c=value`; the value is YAML.

    Who applies it: `sections.Invocation.settings` for a part, whose keys are those of its section
    of services.yaml; `orchestrator.config.file_layers` for a run, with the keys of pipeline.yaml.
    """
    path, separator, value = assignment.partition("=")
    if not separator or not path:
        raise ConfigError(f"--set {shorten(assignment)}: write it as key.key=value")
    source = f"--set {shorten(assignment)}"
    keys = path.split(".")
    if len(keys) > DEPTH_LIMIT:
        raise ConfigError(f"{source}: the key has more than {DEPTH_LIMIT} parts")
    return Layer(source, tree_of(keys, parse_yaml(value, source)))


def tree_of(path: Sequence[str], value: object) -> Tree:
    """Nests `value` under the keys of `path`, which must not be empty."""
    *outer, last = path
    return reduce(lambda inner, key: {key: inner}, reversed(outer), {last: value})


def merge(trees: Iterable[Tree]) -> Tree:
    """Merges mappings key by key; later ones override earlier ones."""
    merged: Tree = {}
    for tree in trees:
        for key, value in tree.items():
            both_mappings = isinstance(value, dict) and isinstance(merged.get(key), dict)
            merged[key] = merge([merged[key], value]) if both_mappings else value
    return merged


def read_service(
    folder: Path, profile: str, part: str, files: Sequence[ConfigFile] = ()
) -> dict[str, Any]:
    """Returns a part's settings in services.yaml under a profile, merged but not validated.

    Args:
        folder: Config folder.
        profile: Name of the profile.
        part: Section of services.yaml.
        files: --config files, which override the profile.
    """
    layers = layers_of(folder, "services.yaml", "services", profile, (part,))
    return merge(layer.data for layer in (*layers, *(f.section("services", part) for f in files)))


def load(settings: type[SettingsT], layers: Sequence[Layer]) -> SettingsT:
    """Validates the merged layers.

    Raises:
        ConfigError: A key is unknown or missing, or a value is out of its bounds; names the key,
            the source that set it and the values allowed.
    """
    for layer in layers:
        check_known_keys(settings, layer.data, layer.source)
    try:
        return settings.model_validate(merge(layer.data for layer in layers))
    except ValidationError as error:
        is_secret = settings.model_config.get("hide_input_in_errors", False)
        problems = error.errors()[:PROBLEMS_SHOWN]
        raise ConfigError("\n".join(_explain(problems, layers, is_secret))) from error


def check_known_keys(settings: type, data: Tree, source: str, path: tuple[str, ...] = ()) -> None:
    """Refuses keys of `data`, at any depth, that `settings` (a model or dataclass) lacks."""
    annotations = _annotations(settings)
    _refuse_unknown(data, list(annotations), path, source)
    for key, value in data.items():
        annotation = annotations[key]
        if isinstance(value, dict) and (names := _key_names(annotation)):
            _refuse_unknown(value, names, (*path, key), source)
        if not isinstance(value, dict):
            continue
        model = _model_within(annotation, value)
        if model is None:
            continue
        if get_origin(annotation) is dict:
            for name, item in value.items():
                if isinstance(item, dict):
                    check_known_keys(model, item, source, (*path, key, str(name)))
        else:
            check_known_keys(model, value, source, (*path, key))


@cache  # `get_type_hints` evaluates each annotation again
def _annotations(settings: type) -> dict[str, Any]:
    if issubclass(settings, BaseModel):
        return {key: field.annotation for key, field in settings.model_fields.items()}
    return get_type_hints(settings) if is_dataclass(settings) else {}


def _model_within(annotation: object, data: Mapping[str, object]) -> type | None:
    """Finds the settings class in `X`, `X | None` or `dict[str, X]`.

    If there are several, as in `X | Y`, returns the one whose `kind` matches the data.
    """
    models = _models_within(annotation)
    for model in models[1:]:
        kind = model.model_fields.get("kind") if issubclass(model, BaseModel) else None
        if kind is not None and data.get("kind") in get_args(kind.annotation):
            return model
    return models[0] if models else None


def _models_within(annotation: object) -> list[type]:
    if isinstance(annotation, type) and (
        issubclass(annotation, BaseModel) or is_dataclass(annotation)
    ):
        return [annotation]
    return [model for argument in get_args(annotation) for model in _models_within(argument)]


def _key_names(annotation: object) -> list[str]:
    """Returns the allowed keys of a `dict[SomeEnum, X]`; empty for other annotations."""
    if get_origin(annotation) is not dict:
        return []
    key = get_args(annotation)[0]
    members: Mapping[str, Any] = key.__members__ if isinstance(key, EnumType) else {}
    return [str(member.value) for member in members.values()]


def nearest(name: str, known: Sequence[str]) -> str:
    """Suggests the known name that the user probably meant, or lists all known names."""
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; known: {', '.join(sorted(known))}"


def _refuse_unknown(
    data: Mapping[str, object], known: Sequence[str], path: tuple[str, ...], source: str
) -> None:
    for key in data:
        if key not in known:
            dotted = shorten(".".join((*path, str(key))))
            named = nearest(shorten(str(key)), known)
            raise ConfigError(f"unknown key {dotted!r} in {source}{named}")


def _below(layer: Layer, keys: Sequence[str]) -> Tree:
    data = layer.data
    for key in keys:
        data = data.get(key) or {}
        if not isinstance(data, dict):
            raise ConfigError(
                f"{key} in {layer.source} must be a mapping of keys to values, not {quote(data)}"
            )
    return data


def _explain(
    problems: Sequence[Mapping[str, Any]], layers: Sequence[Layer], is_secret: bool
) -> list[str]:
    """Writes one line per wrong key; joins the problems of a value that may have several types."""
    lines: dict[str, str] = {}
    for problem in problems:
        path = [str(part) for part in problem["loc"]]
        if problem["type"] == "missing":
            key = ".".join(path)
            lines[key] = f"the key {key!r} is missing from {layers[0].source}"
            continue
        if not path:  # two settings contradict each other
            message = describe_problem(problem)
            lines[message] = message
            continue
        while len(path) > 1 and not any(_has(layer.data, path) for layer in layers):
            path.pop()  # after the key, pydantic names the type that it tried
        key = shorten(".".join(path))
        sources = [layer.source for layer in layers if _has(layer.data, path)]
        is_null = problem["input"] is None
        given = "null (in YAML, also an unquoted ~)" if is_null else quote(problem["input"])
        got = "" if is_secret else f", got {given}"
        message = shorten(describe_problem(problem))
        if key in lines:
            before = lines[key].removesuffix(got)
            lines[key] = f"{before} or {message.removeprefix('must be ')}{got}"
        else:
            lines[key] = f"{key} in {(sources or [layers[0].source])[-1]}: {message}{got}"
    return list(lines.values())


def _has(data: object, path: Sequence[str]) -> bool:
    for key in path:
        if isinstance(data, list) and key.isdecimal() and int(key) < len(data):
            data = data[int(key)]
        elif isinstance(data, dict) and key in data:
            data = data[key]
        else:
            return False
    return True
