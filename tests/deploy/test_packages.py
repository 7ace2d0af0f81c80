"""The wheels as users install them: outside the repository, complete, and without common files."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.conftest import ROOT, draw_pairs
from tests.deploy.settings import image_version

PROJECTS = {
    "bestshot": ROOT,
    "bestshot_protos": ROOT / "protos",
    "bestshot_client": ROOT / "client",
}
NEVER_PACKAGED = ("models/train/", "ui/screenshots/")


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("wheels")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    for project in PROJECTS.values():
        subprocess.run(build, cwd=project, check=True, capture_output=True)
    return {path.name.split("-")[0]: path for path in folder.iterdir()}


@pytest.fixture(scope="module")
def python(wheels: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python that has the wheels, and the dependencies of the environment of the tests."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=False)
    [packages] = folder.glob("lib/python*/site-packages")
    # Files that make the repository importable are read in the first folder only.
    [ours] = {Path(entry) for entry in sys.path if entry.endswith("site-packages")}
    (packages / "dependencies.pth").write_text(f"{ours}\n")
    for wheel in wheels.values():
        zipfile.ZipFile(wheel).extractall(packages)
    return folder / "bin" / "python"


def names_in(wheel: Path) -> set[str]:
    return {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}


def metadata_of(wheel: Path) -> str:
    opened = zipfile.ZipFile(wheel)
    [name] = (name for name in opened.namelist() if name.endswith(".dist-info/METADATA"))
    return opened.read(name).decode()


def test_an_installed_wheel_curates_outside_the_repository(python: Path, tmp_path: Path) -> None:
    photos = draw_pairs(tmp_path / "photos", 2, 320, 240)
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    code = (
        "import orchestrator, bestshot.face.v1.face_pb2 as protos, inference.open_inference_pb2;"
        "print(orchestrator.__path__[0], protos.__file__)"
    )
    run = dict(cwd=tmp_path, capture_output=True, text=True, check=False)
    loaded = subprocess.run([python, "-c", code], env=kept, **run)  # type: ignore[call-overload]
    assert loaded.returncode == 0, loaded.stderr
    assert str(ROOT) not in loaded.stdout
    code = "from orchestrator.cli.main import main; main()"
    done = subprocess.run(  # type: ignore[call-overload]
        [python, "-c", code, "curate", photos, "--out", tmp_path / "out"],
        env={**kept, "BESTSHOT_DATA_DIR": str(tmp_path / "data")},
        **run,
    )
    assert done.returncode == 0, done.stderr
    assert "<html" in (tmp_path / "out" / "index.html").read_text()
    assert len((tmp_path / "out" / "image_metrics.csv").read_text().splitlines()) == 3


def test_the_wheel_has_every_file_of_its_packages(wheels: dict[str, Path]) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    packages = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    listed = subprocess.run(
        ["git", "ls-files", *packages], capture_output=True, text=True, check=True, cwd=ROOT
    ).stdout.splitlines()
    expected = {name.removeprefix("protos/gen/") for name in listed}
    expected = {name for name in expected if not name.startswith(NEVER_PACKAGED)}
    assert len(expected) > 100
    assert expected <= names_in(wheels["bestshot"])


def test_no_two_distributions_share_a_file(wheels: dict[str, Path]) -> None:
    """Uninstalling one would otherwise delete files of another."""
    files = [name for wheel in wheels.values() for name in names_in(wheel)]
    assert len(files) == len(set(files))
    assert {"bestshot/py.typed", "bestshot_client/py.typed"} <= set(files)


def test_all_have_the_same_version_and_may_be_published(wheels: dict[str, Path]) -> None:
    metadata = [metadata_of(wheels[name]) for name in PROJECTS]
    assert len({re.search(r"^Version: (.+)", text, re.MULTILINE)[1] for text in metadata}) == 1  # type: ignore[index]
    assert not any("Private" in text for text in metadata)


def test_the_version_without_a_tag_is_the_same_everywhere() -> None:
    """A clone without tags or an image, which has no .git, uses these."""
    text = "".join((folder / "pyproject.toml").read_text() for folder in PROJECTS.values())
    found = re.findall(r'fallback_version = "(.+)\.dev0"', text)
    assert found == [image_version()] * len(PROJECTS)
    assert f"## [{image_version()}]" in (ROOT / "CHANGELOG.md").read_text()


def test_an_archive_without_tags_gets_a_version_that_can_be_installed(tmp_path: Path) -> None:
    """GitHub's ZIP file of a branch has no .git, only what `git archive` writes."""
    files = [".git_archival.txt", *(f"{folder}pyproject.toml" for folder in ("", "protos/"))]
    packed = subprocess.run(["git", "archive", "HEAD", *files], cwd=ROOT, stdout=subprocess.PIPE)
    subprocess.run(["tar", "-x"], cwd=tmp_path, input=packed.stdout, check=True)
    found = [
        subprocess.run(
            [sys.executable, "-m", "hatchling", "version"],
            cwd=folder, capture_output=True, text=True, check=True,
        ).stdout.strip()
        for folder in (tmp_path, tmp_path / "protos")
    ]  # fmt: skip
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    [needed] = [one for one in project["dependencies"] if one.startswith("bestshot-protos")]
    assert found[0] == found[1]
    assert Requirement(needed).specifier.contains(found[1])
