"""The API stays compatible, and what is generated is up to date."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from google.protobuf import descriptor_pb2

from protos import breaking
from tests.conftest import ROOT


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("api") / "api.binpb"
    breaking.write_api(path)
    return path


def test_the_api_is_compatible_with_the_last_release(api: Path) -> None:
    assert breaking.find_breaks(api) == ""


def test_a_removed_field_and_a_changed_type_are_found(api: Path, tmp_path: Path) -> None:
    changed = descriptor_pb2.FileDescriptorSet.FromString(api.read_bytes())
    (file,) = (one for one in changed.file if one.package == "bestshot.orchestrator.v1")
    (run,) = (one for one in file.message_type if one.name == "Run")
    (album,) = (one for one in file.message_type if one.name == "Album")
    del run.field[0]
    album.field[0].type = descriptor_pb2.FieldDescriptorProto.TYPE_INT32
    (tmp_path / "changed.binpb").write_bytes(changed.SerializeToString())
    breaks = breaking.find_breaks(tmp_path / "changed.binpb")
    assert 'field "1" with name "id" on message "Run" was deleted' in breaks
    assert 'on message "Album" changed type' in breaks


def test_the_blocking_client_is_generated_from_the_asynchronous_one() -> None:
    command = [sys.executable, ROOT / "client" / "generate_sync.py", "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
