"""The Dockerfile agrees with the project; `tests/deploy/images.sh` actually builds the images."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import re
import subprocess
import sys
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
}
"""Distributions whose module has a different name."""
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
    stages = re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)
    assert all(stage.startswith(("${PYTHON_IMAGE}", "base-")) for stage in stages)
    assert re.findall(r"^USER (.*)", DOCKERFILE, re.MULTILINE) == ["65532:65532"]


def test_copied_files_exist_and_are_not_ignored() -> None:
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    for line in re.findall(r"^COPY (?!--from)(.*)", DOCKERFILE, re.MULTILINE):
        for source in line.split()[:-1]:
            assert (ROOT / source).exists()
            kept = [entry[1:] for entry in ignored if entry.startswith("!")]
            assert any(source == entry or source.startswith(f"{entry}/") for entry in kept)


def test_every_part_is_a_component(install: ModuleType) -> None:
    assert set(install.EXTRAS) == set(install.NEVER_IMPORTED) == set(PARTS)


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
    absent = {IMPORTED_AS.get(name, name) for name in install.NEVER_IMPORTED[component]}
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
    assert len(folders) == 2
    assert set(folders) == {"/opt/bestshot/models"}
    manifests = [*(ROOT / "deploy" / "compose").glob("*.yaml")]
    manifests += (ROOT / "deploy" / "kubernetes").rglob("*.yaml")
    assert all("/opt/bestshot" not in path.read_text() for path in manifests)
