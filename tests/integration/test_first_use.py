"""The default profile on a new machine: fetched once, or replaced with a clear warning."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from models.wheels import UNREACHABLE
from orchestrator.cli.api import open_api
from services.common.inference.registry import SHIPPED, SOURCE_SUFFIX, read_registry
from tests.conftest import ROOT, draw_pairs
from tests.integration.command import Curated, Finished, bestshot
from tests.integration.up import running_up

NOTHING_NAMED = {"BESTSHOT_PROFILE": ""}
NO_INDEX = {
    "PIP_CONFIG_FILE": "/dev/null",
    "PIP_INDEX_URL": "http://127.0.0.1:9/simple",
    "PIP_RETRIES": "1",
}
WARNING = "WARNING: using the `builtin` profile"
FETCHING = "downloading the networks of the `standard` profile"


class Machine:
    """A folder of models, a folder of data and two photos."""

    def __init__(self, base: Path, models: Path | None = None) -> None:
        self.base, self.models, self.data = base, models or base / "models", base / "data"
        self.photos = draw_pairs(base / "photos", 2, 320, 240)

    def environment(self, changes: Mapping[str, str]) -> dict[str, str]:
        return {"BESTSHOT_MODELS_DIR": str(self.models), **NOTHING_NAMED, **changes}

    def try_curate(self, *arguments: object, **changes: str) -> Finished:
        command = ["curate", self.photos, "--out", self.base / "out", *arguments]
        return bestshot(command, data=self.data, changes=self.environment(changes))

    def curate(self, *arguments: object, **changes: str) -> Curated:
        finished = self.try_curate(*arguments, **changes)
        assert finished.code == 0, finished.text
        return Curated(self.photos, self.base / "out", self.data, finished.text)


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> tuple[Machine, Curated]:
    """The first curation on a machine that has only the package index."""
    machine = Machine(tmp_path_factory.mktemp("machine"))
    curated = machine.curate()
    if UNREACHABLE in curated.text and "CI" not in os.environ:
        pytest.skip("the package index cannot be reached")
    return machine, curated


@pytest.fixture
def bare(tmp_path: Path) -> Machine:
    """A machine without any downloaded networks."""
    return Machine(tmp_path)


@pytest.fixture
def full(first: tuple[Machine, Curated], tmp_path: Path) -> Machine:
    """A machine with the networks of `standard`."""
    base = tmp_path / "full"
    base.mkdir()
    return Machine(base, shutil.copytree(first[0].models, base / "models"))


def models_of(run: Mapping[str, Any]) -> dict[str, str]:
    return {role: model["id"] for role, model in run["models"].items()}


BUILTIN_MODELS = {
    "embedding": "builtin-scene-embedding",
    "quality": "builtin-quality",
    "face": "builtin-face",
    "siamese": "builtin-siamese",
}
STANDARD_MODELS = {
    **BUILTIN_MODELS,
    "embedding": "standard-scene-embedding",
    "face": "standard-face",
}


def test_the_first_curation_fetches_standard(first: tuple[Machine, Curated]) -> None:
    _, curated = first
    assert curated.text.count(FETCHING) == 1
    assert "WARNING" not in curated.text
    assert "with the `standard` profile" in curated.text
    assert "centerface.onnx" in curated.text  # its progress
    assert curated.run["profile"] == "standard"
    assert models_of(curated.run) == STANDARD_MODELS
    assert curated.run["notes"] == []
    page = (curated.out / "index.html").read_text()
    assert "profile standard" in page


def test_the_run_names_every_file_with_its_digest_and_source(
    first: tuple[Machine, Curated],
) -> None:
    machine, curated = first
    registry = read_registry(ROOT / "configs").models
    parts = [*registry["standard-face"].parts.values(), "efficientnet-lite0"]
    downloads = [file for part in parts for file in registry[part].downloads.values()]
    wanted = {
        file.installed.sha256: f"{file.sources[0]}; converted with the recipe {recipe.recipe}"
        for file in downloads
        if (recipe := file.conversion)
    }
    assert len(wanted) == 4
    found = {
        digest: source
        for model in curated.run["models"].values()
        for digest, source in zip(model["file_digests"], model["file_sources"], strict=True)
    }
    assert {digest: found.pop(digest) for digest in wanted} == wanted
    assert set(found.values()) == {SHIPPED}
    with open_api(None, machine.data) as api:
        assert api.run(curated.run["id"]).models == curated.run["models"]


def test_later_curations_fetch_nothing(first: tuple[Machine, Curated]) -> None:
    machine, curated = first
    digests = curated.run["models"]["face"]["file_digests"]
    for again in (machine.curate(**NO_INDEX), machine.curate("--offline")):
        assert FETCHING not in again.text
        assert "WARNING" not in again.text
        assert "2 from the cache" in again.text
        assert again.run["models"]["face"]["file_digests"] == digests


def test_only_the_damaged_file_is_fetched_again(full: Machine) -> None:
    file = full.models / "centerface" / "centerface_dynamic.onnx"
    whole = file.read_bytes()
    file.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    others = {path: path.stat().st_mtime_ns for path in full.models.glob("*/*.onnx")}
    del others[file]

    forbidden = full.curate("--offline")
    assert forbidden.text.count(WARNING) == 1
    assert models_of(forbidden.run) == BUILTIN_MODELS
    assert file.read_bytes() != whole

    repaired = full.curate()
    assert "centerface is damaged; fetching it again" in repaired.text
    assert models_of(repaired.run) == STANDARD_MODELS
    assert file.read_bytes() == whole
    assert {path: path.stat().st_mtime_ns for path in others} == others


def test_a_file_without_a_record_of_its_source_is_reported_as_such(full: Machine) -> None:
    for record in full.models.glob(f"*/*{SOURCE_SUFFIX}"):
        record.unlink()
    sources = full.curate().run["models"]["face"]["file_sources"]
    assert [source.partition(":")[0] for source in sources] == ["not recorded"] * 3


def test_the_command_warns_and_uses_builtin_if_the_index_is_down(bare: Machine) -> None:
    curated = bare.curate(**NO_INDEX)
    assert curated.text.count("WARNING") == 1
    assert WARNING in curated.text
    assert UNREACHABLE in curated.text
    assert "BESTSHOT_PROFILE=builtin" in curated.text
    assert "with the `builtin` profile" in curated.text
    assert models_of(curated.run) == BUILTIN_MODELS
    assert curated.run["profile"] == "builtin"
    assert not [path for path in bare.models.rglob("*") if path.is_file()]

    named = bare.try_curate("--profile", "standard", **NO_INDEX)
    assert named.code == 1
    assert UNREACHABLE in named.text
    assert "WARNING" not in named.text
    by_model = bare.try_curate(BESTSHOT_SERVICES__FACE__MODEL="standard-face", **NO_INDEX)
    assert by_model.code == 1


def test_nothing_is_fetched_if_downloads_are_off(bare: Machine, tmp_path: Path) -> None:
    file = tmp_path / "never.yaml"
    file.write_text("services: {models: {download: never}}")
    curated = bare.curate("--config", file)
    assert models_of(curated.run) == BUILTIN_MODELS
    flags = ["demo", "--out", bare.base / "demo", "--offline"]
    demo = bestshot(flags, data=bare.data, changes=bare.environment({}))
    for text in (curated.text, demo.text):
        assert text.count(WARNING) == 1
        assert "downloads are off" in text
        assert "`bestshot models pull --profile standard`" in text
        assert "with the `builtin` profile" in text
    assert not bare.models.exists()
    named = bare.try_curate("--offline", BESTSHOT_PROFILE="standard")
    assert named.code == 2
    assert "the profile standard needs" in named.text
    served = bare.try_curate("--offline", "--orchestrator", "127.0.0.1:9")
    assert served.code == 2
    assert "--offline has no effect" in served.text


def test_the_command_uses_builtin_if_the_models_folder_cannot_be_written(bare: Machine) -> None:
    bare.models.write_text("in the way")
    curated = bare.curate()
    assert curated.text.count(WARNING) == 1
    assert f"cannot install {bare.models}" in curated.text
    assert models_of(curated.run) == BUILTIN_MODELS


def test_up_serves_the_standard_models(full: Machine) -> None:
    changes = full.environment(NO_INDEX)
    with running_up(full.base, [full.base], "--no-ui", changes=changes) as addresses:
        served = full.curate("--orchestrator", addresses["orchestrator"])
    assert models_of(served.run) == STANDARD_MODELS
    assert served.run["profile"] == "standard"
