from __future__ import annotations

import math
import os
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
import yaml
from rich.console import Console

from orchestrator.cli.parts import config_flags
from orchestrator.cli.profile_choice import choose_profile
from orchestrator.config import PipelineConfig, PipelineSettings, file_layers
from services.common.config.describe import SettingDescription, describe
from services.common.config.layers import (
    Layer,
    Settings,
    layers_of,
    load,
    read_config_file,
    read_yaml,
    tree_of,
)
from services.common.config.sections import ModelServiceSettings, SharedSettings, parse_arguments
from services.common.errors import ConfigError
from services.common.inference.registry import read_registry
from tests.conftest import ROOT
from tests.deploy.settings import SECTIONS


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the shipped settings that tests may break."""
    copy = tmp_path / "configs"
    shutil.copytree(ROOT / "configs", copy)
    return copy


def load_part(folder: Path, part: str, profile: str = "builtin") -> None:
    """Loads the pipeline's settings, those of a section of services.yaml, or the registry."""
    if part == "pipeline":
        PipelineConfig(folder, profile)
    elif part == "registry":
        read_registry(folder)
    else:
        arguments = ["--config-dir", str(folder), "--profile", profile]
        parse_arguments(part, arguments).settings(part, SECTIONS[part])


def load_everything(folder: Path, profile: str = "builtin") -> None:
    for part in ("pipeline", *SECTIONS, "registry"):
        load_part(folder, part, profile)


def leaves(tree: dict[str, object], path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    found: list[tuple[str, ...]] = []
    for key, value in tree.items():
        found += leaves(value, (*path, key)) if isinstance(value, dict) else [(*path, key)]
    return found


def rename(path: Path, keys: tuple[str, ...], wrong: str) -> None:
    tree = yaml.load(path.read_text(), Loader=yaml.CSafeLoader)
    inner = tree
    for key in keys[:-1]:
        inner = inner[key]
    inner[wrong] = inner.pop(keys[-1])
    path.write_text(yaml.dump(tree, Dumper=yaml.CSafeDumper))


READERS = {
    "pipeline.yaml": "pipeline",
    "models.yaml": "registry",
    "profiles/reference.yaml": "pipeline",
}
"""Which part reads a file; that of services.yaml is named by the first key."""
FILES = (*READERS, "services.yaml")
KEYS_OF_FILES = (
    *("package", "path", "sha256", "name", "recipe", "size_bytes"),
    *("kind", "share_count", "input_range"),
)
KEYS = list(
    {
        # models share keys: each key is tested with the first model that has it
        (name, keys[2:-2], keys[-1]) if name == "models.yaml" else (name, keys): (name, keys)
        for name in FILES
        for keys in reversed(leaves(read_yaml(ROOT / "configs" / name)))
        if not {"files", "downloads"} & set(keys) or keys[-1] in KEYS_OF_FILES
    }.values()
)


@pytest.mark.parametrize(("name", "keys"), KEYS, ids=[".".join(keys) for _, keys in KEYS])
def test_a_misspelt_key_anywhere_is_reported_at_the_start(
    folder: Path, name: str, keys: tuple[str, ...]
) -> None:
    wrong = f"{keys[-1]}x"
    rename(folder / name, keys, wrong)
    with pytest.raises(ConfigError) as caught:
        load_part(folder, READERS.get(name, keys[0]))
    message = caught.value.message
    assert wrong in message
    assert str(folder / name) in message
    assert f"did you mean '{keys[-1]}'" in message


def test_the_shipped_settings_are_valid_with_every_profile(folder: Path) -> None:
    for profile in (folder / "profiles").glob("*.yaml"):
        load_everything(folder, profile.stem)


def set_model(folder: Path, role: str, model: str) -> None:
    """Sets the model of a service in the folder's services.yaml."""
    path = folder / "services.yaml"
    settings = yaml.safe_load(path.read_text())
    settings[role]["model"] = model
    path.write_text(yaml.safe_dump(settings))


def test_a_default_profile_does_not_hide_a_model_that_the_user_set(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("BESTSHOT_PROFILE", raising=False)
    set_model(folder, "embedding", "mediapipe-mobilenet-v3-small")
    message = (
        r"services\.yaml sets embedding\.model to 'mediapipe-mobilenet-v3-small', but the "
        r"`standard` profile, which is used because none was named, sets it to "
        r"'standard-scene-embedding'\. .*--profile builtin"
    )
    with pytest.raises(ConfigError, match=message):
        parse_arguments("embedding", ["--config-dir", str(folder)])
    with pytest.raises(ConfigError, match=message):
        choose_profile(folder, [], None, is_offline=True, console=Console())
    named = parse_arguments("embedding", ["--config-dir", str(folder), "--profile", "builtin"])
    settings = named.settings("embedding", ModelServiceSettings)
    assert settings.model == "mediapipe-mobilenet-v3-small"
    monkeypatch.setenv("BESTSHOT_PROFILE", "standard")
    assert parse_arguments("embedding", ["--config-dir", str(folder)]).profile == "standard"


def test_values_that_a_default_profile_does_not_change_are_accepted(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("BESTSHOT_PROFILE", raising=False)
    set_model(folder, "embedding", "standard-scene-embedding")
    set_model(folder, "quality", "ava-resnet50")
    settings = parse_arguments("quality", ["--config-dir", str(folder)]).settings(
        "quality", ModelServiceSettings
    )
    assert settings.model == "ava-resnet50"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "min_sharpness: 0.2",
            "min_sharpness: 2",
            "filter_quality.min_sharpness in .*at most 1",
        ),
        (
            "min_samples: 2",
            "min_samples: many",
            "cluster_scenes.min_samples in .*an integer",
        ),
        ("  min_sharpness: 0.2\n", "", "'filter_quality.min_sharpness' is missing"),
        ("min_sharpness: 0.2", "min_sharpness: 0.2\n  min_sharpness: 0.3", "duplicate key"),
        ("method: hdbscan", "method: kmeans", "'hdbscan' or 'dbscan'"),
        ("filter_quality:", "filter_quality: [", "invalid YAML"),
    ],
)
def test_a_wrong_value_is_reported_with_its_file(
    folder: Path, old: str, new: str, message: str
) -> None:
    path = folder / "pipeline.yaml"
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(ConfigError, match=message):
        load_everything(folder)


def test_the_error_for_an_unknown_profile_suggests_the_nearest(folder: Path) -> None:
    with pytest.raises(ConfigError, match="did you mean 'reference'"):
        PipelineConfig(folder, "referense")


def test_a_missing_config_folder_is_reported(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="does not exist"):
        parse_arguments("face", ["--config-dir", str(tmp_path / "none")])


def test_layers_override_in_order(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def epsilon(*flags: str, files: tuple[Path, ...] = ()) -> object:
        config = PipelineConfig(folder, "reference", file_layers(files, flags))
        return config.load().cluster_scenes.cluster_selection_epsilon

    assert PipelineConfig(folder, "builtin").load().cluster_scenes.scene_distance == "auto"
    assert epsilon() == 0.0
    monkeypatch.setenv("BESTSHOT_PIPELINE__CLUSTER_SCENES__CLUSTER_SELECTION_EPSILON", "0.1")
    assert epsilon() == 0.1
    own = tmp_path / "own.yaml"
    own.write_text("cluster_scenes: {cluster_selection_epsilon: 0.2}")
    assert epsilon(files=(own,)) == 0.2
    assert epsilon("cluster_scenes.cluster_selection_epsilon=0.3", files=(own,)) == 0.3


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("BESTSHOT_PIPELINES__X", "unknown environment variable"),
        ("BESTSHOT_MIN_SHARPNESS", "unknown environment variable"),
        ("BESTSHOT_PIPELINE__FILTER_QUALITY__MIN_SHARPNES", "did you mean 'min_sharpness'"),
        ("BESTSHOT_SERVICES__FACES__MODEL", "did you mean 'face'"),
        ("BESTSHOT_PIPELINE__FILTER_QUALITY", "filter_quality in environment variable"),
    ],
)
def test_an_unknown_environment_variable_is_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, message: str
) -> None:
    monkeypatch.setenv(name, "1")
    with pytest.raises(ConfigError, match=message):
        load_everything(folder)


@pytest.mark.parametrize("flag", ["min_sharpness", "=3", "select_best.siamese.enable=false"])
def test_a_wrong_flag_is_refused(folder: Path, flag: str) -> None:
    with pytest.raises(ConfigError, match="--set"):
        PipelineConfig(folder, "builtin", file_layers([], [flag]))


DOCUMENT = {
    "description": "Mine.",
    "pipeline": {"select_best": {"max_images_per_cluster": 1, "siamese": {"enabled": False}}},
    "services": {"face": {"worker_threads": 7}, "shared": {"log_level": "debug"}},
}


def write(path: Path, document: object) -> Path:
    path.write_text(yaml.safe_dump(document))
    return path


def test_a_profile_and_a_config_file_with_the_same_document_give_the_same_settings(
    folder: Path, tmp_path: Path
) -> None:
    file = write(tmp_path / "mine.yaml", DOCUMENT)
    write(folder / "profiles" / "mine.yaml", DOCUMENT)
    by_profile = PipelineConfig(folder, "mine").load()
    by_file = PipelineConfig(folder, "builtin", file_layers([file], [])).load()
    assert by_profile == by_file != PipelineConfig(folder, "builtin").load()
    for name, section in SECTIONS.items():
        in_folder = ["--config-dir", str(folder)]
        plain, profiled, configured = (
            parse_arguments(name, [*in_folder, *more]).settings(name, section)
            for more in ((), ("--profile", "mine"), ("--config", str(file)))
        )
        assert profiled == configured
        assert (configured != plain) == (name in DOCUMENT["services"])  # type: ignore[operator]


def test_the_users_profiles_are_in_the_data_folder_and_replace_none(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BESTSHOT_DATA_DIR", str(tmp_path))
    (tmp_path / "profiles").mkdir()
    write(tmp_path / "profiles" / "mine.yaml", DOCUMENT)
    load_everything(folder, "mine")
    config = PipelineConfig(folder, "builtin")
    assert config.profiles()["mine"].description == "Mine."
    assert config.load("mine").select_best.max_images_per_cluster == 1
    write(tmp_path / "profiles" / "lite.yaml", DOCUMENT)
    with pytest.raises(ConfigError, match=r"lite.yaml has the name of a profile in .*; rename it"):
        config.load("lite")
    (tmp_path / "profiles" / "lite.yaml").unlink()
    write(tmp_path / "profiles" / "mine.yaml", {"pipeline": {"select": {}}})
    with pytest.raises(ConfigError, match=r"unknown key 'select' in .*profiles/mine.yaml"):
        PipelineConfig(folder, "builtin").load("mine")


def _make_folder(path: Path) -> None:
    path.mkdir()


BROKEN_PROFILES: dict[str, Callable[[Path], None]] = {
    "invalid YAML": lambda path: write_text(path, "pipeline: ["),
    "unknown key": lambda path: write_text(path, "services: {nope: {}}"),
    "not a mapping": lambda path: write_text(path, "services: {face: 5}"),
    "too large": lambda path: write_text(path, "#" * 1_000_001),
    "pipe": os.mkfifo,
    "folder": _make_folder,
    "broken link": lambda path: path.symlink_to("missing"),
}


def write_text(path: Path, text: str) -> None:
    path.write_text(text)


@pytest.mark.parametrize("make", BROKEN_PROFILES.values(), ids=BROKEN_PROFILES)
def test_a_broken_profile_of_the_user_stops_only_what_uses_it(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[Path], None]
) -> None:
    monkeypatch.setenv("BESTSHOT_DATA_DIR", str(tmp_path))
    (tmp_path / "profiles").mkdir()
    for name in ("mine.yaml", ".#mine.yaml", "._mine.yaml"):  # like those of Emacs and macOS
        make(tmp_path / "profiles" / name)
    load_everything(folder)
    config = PipelineConfig(folder, "builtin")
    assert "mine" not in config.profiles()
    assert [name for name in config.profile_names() if "mine" in name] == ["mine"]
    with pytest.raises(ConfigError, match=r"mine\.yaml"):
        config.load("mine")


def test_a_config_file_of_pipeline_keys_alone_is_the_pipeline_section(tmp_path: Path) -> None:
    bare = write(tmp_path / "bare.yaml", DOCUMENT["pipeline"])
    whole = write(tmp_path / "whole.yaml", {"pipeline": DOCUMENT["pipeline"]})
    assert read_config_file(bare).sections == read_config_file(whole).sections


def test_a_part_refuses_a_config_file_without_settings_for_it(tmp_path: Path) -> None:
    bare = write(tmp_path / "bare.yaml", DOCUMENT["pipeline"])
    for name in ("quality", "ui"):
        with pytest.raises(
            ConfigError, match=f"has no `services` section, the only one that {name} reads"
        ):
            parse_arguments(name, ["--config", str(bare)])
        assert config_flags(name, [read_config_file(bare)]) == []
    assert parse_arguments("orchestrator", ["--config", str(bare)]).config_files
    assert config_flags("orchestrator", [read_config_file(bare)]) == ["--config", str(bare)]


def test_flags_override_config_files_which_override_the_environment(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BESTSHOT_SERVICES__SIAMESE__WORKER_THREADS", "3")
    files = [
        write(tmp_path / f"{count}.yaml", {"services": {"siamese": {"worker_threads": count}}})
        for count in (4, 5)
    ]
    arguments = ["--config-dir", str(folder)]
    expected = [3, 4, 5, 6]
    found = []
    more = ["--config", str(files[0])], ["--config", str(files[1])], ["--set", "worker_threads=6"]
    for added in ([], *more):
        arguments += added
        found.append(
            parse_arguments("siamese", arguments).settings("siamese", ModelServiceSettings)
        )
    assert [settings.worker_threads for settings in found] == expected


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"pipeline": {}, "select_best": {}}, "'select_best' in .*under `pipeline:`"),
        ({"services": {}, "pipelin": {}}, "'pipelin' in .*did you mean 'pipeline'"),
        ({"services": {"faces": {}}}, "'services.faces' in .*did you mean 'face'"),
        ({"face": {"worker_threads": 1}}, "'face' in .* must be under `services:`"),
        ({"services": 3}, "services in .* must be a mapping"),
        ({"pipeline": [1]}, "pipeline in .* must be a mapping"),
    ],
)
def test_the_error_for_a_config_file_of_the_wrong_form_shows_the_right_one(
    tmp_path: Path, document: object, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        read_config_file(write(tmp_path / "wrong.yaml", document))


def test_a_wrong_service_setting_in_a_config_file_is_reported_with_the_file(
    folder: Path, tmp_path: Path
) -> None:
    file = write(tmp_path / "wrong.yaml", {"services": {"siamese": {"worker_thread": 1}}})
    arguments = parse_arguments("siamese", ["--config-dir", str(folder), "--config", str(file)])
    with pytest.raises(ConfigError, match=rf"'worker_thread' in {file}; did you mean 'worker_t"):
        arguments.settings("siamese", ModelServiceSettings)


def test_removed_constants_of_the_technical_score_are_refused(folder: Path, tmp_path: Path) -> None:
    old = {"services": {"quality": {"iqa": {"sharpness_weight": 0.5}}}}
    file = write(tmp_path / "old.yaml", old)
    arguments = parse_arguments("quality", ["--config-dir", str(folder), "--config", str(file)])
    with pytest.raises(ConfigError, match=f"unknown key 'iqa' in {file}"):
        arguments.settings("quality", SECTIONS["quality"])


BOUNDED = [
    (name, settings, setting)
    for name, settings in (("pipeline", PipelineSettings), *SECTIONS.items())
    for setting in describe(settings)
    if (setting.minimum, setting.maximum) != (None, None)
]


@cache
def shipped_layers(section: str) -> list[Layer]:
    if section == "pipeline":
        return [Layer("pipeline.yaml", read_yaml(ROOT / "configs" / "pipeline.yaml"))]
    return layers_of(ROOT / "configs", "services.yaml", "services", "builtin", (section,))


@pytest.mark.parametrize(
    ("section", "settings", "setting"),
    BOUNDED,
    ids=[f"{section}.{setting.key}" for section, _, setting in BOUNDED],
)
def test_values_just_out_of_bounds_are_refused(
    section: str, settings: type[Settings], setting: SettingDescription
) -> None:
    outside = [math.nan]
    if setting.minimum is not None:
        outside.append(math.nextafter(setting.minimum, -math.inf))
    if setting.maximum is not None:
        outside.append(math.nextafter(setting.maximum, math.inf))
    for wrong in outside:
        layer = Layer("wrong.yaml", tree_of(setting.key.split("."), wrong))
        with pytest.raises(ConfigError, match=rf"^{setting.key} in wrong.yaml: "):
            load(settings, [*shipped_layers(section), layer])


def test_the_error_for_a_value_of_a_wrong_type_lists_all_types_on_one_line() -> None:
    shipped = Layer("pipeline.yaml", read_yaml(ROOT / "configs" / "pipeline.yaml"))
    layer = Layer("wrong.yaml", {"cluster_scenes": {"scene_distance": 3}})
    with pytest.raises(ConfigError) as caught:
        load(PipelineSettings, [shipped, layer])
    assert caught.value.message == (
        "cluster_scenes.scene_distance in wrong.yaml: must be at most 2 or 'auto', got 3"
    )


def test_a_wrong_item_of_a_list_is_reported_with_its_file() -> None:
    layers = layers_of(ROOT / "configs", "services.yaml", "services", "builtin", ("shared",))
    wrong = Layer("wrong.yaml", {"allowed_hosts": ["good.example.com", "not a host"]})
    with pytest.raises(ConfigError, match=r"^allowed_hosts\.1 in wrong\.yaml: "):
        load(SharedSettings, [*layers, wrong])


def test_the_error_for_null_names_the_tilde_that_yaml_reads_as_null() -> None:
    shipped = Layer("pipeline.yaml", read_yaml(ROOT / "configs" / "pipeline.yaml"))
    layer = Layer("wrong.yaml", yaml.safe_load("cluster_scenes: {min_samples: ~}"))
    with pytest.raises(ConfigError, match=r"got null \(in YAML, also an unquoted ~\)$"):
        load(PipelineSettings, [shipped, layer])
