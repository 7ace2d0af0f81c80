from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml

from orchestrator.config import PipelineConfig, describe_settings, file_layers
from services.common.config.layers import Layer, read_yaml
from services.common.config.sections import parse_arguments
from services.common.errors import ConfigError
from services.common.inference.registry import read_registry
from tests.conftest import ROOT
from tests.deploy.settings import SECTIONS


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the shipped settings, to spoil."""
    copy = tmp_path / "configs"
    shutil.copytree(ROOT / "configs", copy)
    return copy


def load_everything(folder: Path, profile: str = "builtin") -> None:
    PipelineConfig(folder, profile)
    for name, settings in SECTIONS.items():
        arguments = ["--config-dir", str(folder), "--profile", profile]
        parse_arguments(name, arguments).settings(name, settings)
    read_registry(folder)


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


FILES = ("pipeline.yaml", "services.yaml", "models.yaml", "profiles/reference.yaml")
KEYS_OF_FILES = ("package", "path", "sha256", "name", "url", "size_bytes")
KEYS = [
    (name, keys)
    for name in FILES
    for keys in leaves(yaml.safe_load((ROOT / "configs" / name).read_text()))
    if not {"files", "downloads"} & set(keys) or keys[-1] in KEYS_OF_FILES
]


@pytest.mark.parametrize(("name", "keys"), KEYS, ids=[".".join(keys) for _, keys in KEYS])
def test_a_misspelt_key_anywhere_stops_the_start_and_is_named(
    folder: Path, name: str, keys: tuple[str, ...]
) -> None:
    wrong = f"{keys[-1]}x"
    rename(folder / name, keys, wrong)
    with pytest.raises(ConfigError) as caught:
        load_everything(folder)
    message = caught.value.message
    assert wrong in message
    assert str(folder / name) in message
    assert f"did you mean '{keys[-1]}'" in message


def test_the_shipped_settings_are_valid_under_every_profile(folder: Path) -> None:
    for profile in (folder / "profiles").glob("*.yaml"):
        load_everything(folder, profile.stem)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "min_sharpness: 0.2",
            "min_sharpness: 2",
            "filter_quality.min_sharpness in .*equal to 1",
        ),
        ("min_samples: 2", "min_samples: many", "cluster_scenes.min_samples in .*valid integer"),
        ("  min_sharpness: 0.2\n", "", "'filter_quality.min_sharpness' is missing"),
        ("min_sharpness: 0.2", "min_sharpness: 0.2\n  min_sharpness: 0.3", "duplicate key"),
        ("method: hdbscan", "method: kmeans", "'hdbscan' or 'dbscan'"),
        ("filter_quality:", "filter_quality: [", "invalid YAML"),
    ],
)
def test_a_wrong_value_is_named_with_its_file(
    folder: Path, old: str, new: str, message: str
) -> None:
    path = folder / "pipeline.yaml"
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(ConfigError, match=message):
        load_everything(folder)


def test_iqa_weights_must_sum_to_one(folder: Path) -> None:
    path = folder / "services.yaml"
    path.write_text(path.read_text().replace("sharpness_weight: 0.40", "sharpness_weight: 0.50"))
    with pytest.raises(ConfigError, match=r"sum to 1, they sum to 1\.1"):
        load_everything(folder)


def test_an_unknown_profile_is_refused_with_the_nearest(folder: Path) -> None:
    with pytest.raises(ConfigError, match="did you mean 'reference'"):
        PipelineConfig(folder, "referense")


def test_a_missing_config_folder_is_named(tmp_path: Path) -> None:
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
        ("BESTSHOT_PIPELINES__X", "nobody reads"),
        ("BESTSHOT_MIN_SHARPNESS", "nobody reads"),
        ("BESTSHOT_PIPELINE__FILTER_QUALITY__MIN_SHARPNES", "did you mean 'min_sharpness'"),
        ("BESTSHOT_SERVICES__FACES__MODEL", "did you mean 'face'"),
        ("BESTSHOT_PIPELINE__FILTER_QUALITY", "filter_quality in environment variable"),
    ],
)
def test_an_environment_variable_that_nobody_reads_is_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, message: str
) -> None:
    monkeypatch.setenv(name, "1")
    with pytest.raises(ConfigError, match=message):
        load_everything(folder)


@pytest.mark.parametrize("flag", ["min_sharpness", "=3", "select_best.siamese.enable=false"])
def test_a_wrong_flag_is_refused(folder: Path, flag: str) -> None:
    with pytest.raises(ConfigError, match="--set"):
        PipelineConfig(folder, "builtin", file_layers([], [flag]))


def test_auto_without_a_calibration_is_an_error(folder: Path) -> None:
    settings = PipelineConfig(folder, "builtin").load().cluster_scenes
    with pytest.raises(ConfigError, match="no calibration"):
        settings.parameters(None)


def test_auto_follows_the_metric(folder: Path) -> None:
    layers = [Layer("test", {"cluster_scenes": {"metric": "euclidean"}})]
    settings = PipelineConfig(folder, "builtin", layers).load().cluster_scenes
    parameters = settings.parameters((0.5, 0.125))
    assert parameters.scene_distance == 1.0
    assert parameters.cluster_selection_epsilon == 0.5


def test_every_key_is_documented() -> None:
    text = (ROOT / "configs" / "README.md").read_text()
    for name in ("pipeline.yaml", "services.yaml"):
        for keys in leaves(read_yaml(ROOT / "configs" / name)):
            assert f"`{'.'.join(keys)}`" in text, ".".join(keys)


def test_what_the_api_tells_of_a_setting_is_what_the_page_tells() -> None:
    text = (ROOT / "configs" / "README.md").read_text()
    described = describe_settings()
    assert len(described) == len(list(leaves(read_yaml(ROOT / "configs" / "pipeline.yaml"))))
    for setting in described:
        assert f"| `{setting.key}` | {setting.description} |" in text


def test_every_documented_key_exists() -> None:
    known = {
        ".".join(keys)
        for name in ("pipeline.yaml", "services.yaml")
        for keys in leaves(read_yaml(ROOT / "configs" / name))
    }
    text = (ROOT / "configs" / "README.md").read_text()
    rows = [line.split("|")[1] for line in text.splitlines() if line.startswith("| `")]
    named = {name.strip(" `") for row in rows for name in row.split(",") if "." in name}
    files = {"pipeline.yaml", "services.yaml", "models.yaml", "profiles/*.yaml"}
    assert named - files == known
