"""Fetching model files from a real HTTP server that misbehaves on request."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import IO

import pytest

from models import transfer
from models.pull import Location, fetch, is_in_place
from models.state import State, state_of
from services.common.errors import ConfigError, UnavailableError
from services.common.inference.registry import (
    SOURCE_SUFFIX,
    Download,
    UrlSource,
    read_pins,
    read_registry,
)
from tests.conftest import ROOT
from tests.local_server import serving
from tests.waiting import LIMIT_S

CONTENT = bytes(range(256)) * 4096
GOOD = Download(
    name="graph.onnx",
    sources=[UrlSource(url="https://models.example/graph.onnx")],
    size_bytes=len(CONTENT),
    sha256=hashlib.sha256(CONTENT).hexdigest(),
)


class FileServer(ThreadingHTTPServer):
    """Serves `content` as /graph.onnx; may cut connections, refuse, or ignore ranges."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.content = CONTENT
        self.cut_after: list[int] = []  # number of bytes after which the next responses are cut off
        self.statuses: list[int] = []  # statuses to return next, instead of the file
        self.knows_ranges = True
        self.ranges: list[str] = []  # Range header of every request
        self.was_asked, self.may_answer = threading.Event(), threading.Event()
        self.may_answer.set()

    def handle_error(self, *_: object) -> None:
        """Ignores clients that gave up, because that is not an error."""

    @property
    def source(self) -> Location:
        return Location(mirror=f"http://127.0.0.1:{self.server_port}/")


class _Handler(BaseHTTPRequestHandler):
    server: FileServer

    def do_GET(self) -> None:
        server, asked = self.server, self.headers.get("Range", "")
        server.ranges.append(asked)
        server.was_asked.set()
        server.may_answer.wait(LIMIT_S)
        if server.statuses or self.path != "/graph.onnx":
            self.send_error(server.statuses.pop(0) if server.statuses else 404)
            return
        resumes = asked and server.knows_ranges
        start = int(asked.removeprefix("bytes=").rstrip("-")) if resumes else 0
        if start >= len(server.content):
            self.send_error(416)
            return
        body = server.content[start:]
        self.send_response(206 if resumes else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: server.cut_after.pop(0)] if server.cut_after else body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FileServer]:
    monkeypatch.setattr(transfer, "FIRST_WAIT_S", 0.01)
    monkeypatch.setattr(transfer, "LONGEST_WAIT_S", 0.02)
    with serving(FileServer()) as running:
        yield running


class Heard:
    """The messages of a pull."""

    def __init__(self) -> None:
        self.counts: list[int] = []
        self.notes: list[str] = []

    def start(self, name: str, size_bytes: int | None) -> None:
        pass

    def advance(self, byte_count: int) -> None:
        self.counts.append(byte_count)

    def note(self, text: str) -> None:
        self.notes.append(text)


def fetched(folder: Path, source: Location, download: Download = GOOD) -> tuple[Path, list[int]]:
    heard = Heard()
    return fetch(folder, "some-model", "graph", download, source, heard), heard.counts


def open_full_disk(path: Path, flags: int) -> IO[bytes]:
    """Replaces `open_partial`; opens a device on which every write fails."""
    return os.fdopen(os.open("/dev/full", os.O_WRONLY), "wb")


def files_below(folder: Path) -> list[str]:
    """Names of all files except the records of their sources."""
    return [
        path.name
        for path in folder.rglob("*")
        if path.is_file() and not path.name.endswith(SOURCE_SUFFIX)
    ]


def test_a_file_is_fetched_completely_and_progress_is_reported(
    server: FileServer, tmp_path: Path
) -> None:
    path, told = fetched(tmp_path, server.source)
    assert path.read_bytes() == CONTENT
    assert told == sorted(told)
    assert told[-1] == len(CONTENT)
    assert files_below(tmp_path) == ["graph.onnx"]
    assert is_in_place(tmp_path, "some-model", "graph", GOOD)


def test_a_broken_download_is_resumed(server: FileServer, tmp_path: Path) -> None:
    half = len(CONTENT) // 2
    server.cut_after = [half, 1000]
    path, _ = fetched(tmp_path, server.source)
    assert path.read_bytes() == CONTENT
    assert server.ranges == ["", f"bytes={half}-", f"bytes={half + 1000}-"]


def test_a_later_pull_resumes_one_that_gave_up(server: FileServer, tmp_path: Path) -> None:
    server.cut_after = [1000] * transfer.ATTEMPTS
    with pytest.raises(UnavailableError, match="Run the command again to resume"):
        fetched(tmp_path, server.source)
    assert files_below(tmp_path) == ["graph.onnx.part"]
    path, _ = fetched(tmp_path, server.source)
    assert path.read_bytes() == CONTENT
    assert server.ranges[-1] == f"bytes={1000 * transfer.ATTEMPTS}-"


def test_a_server_without_ranges_sends_the_whole_file(server: FileServer, tmp_path: Path) -> None:
    server.knows_ranges = False
    server.cut_after = [5000]
    path, _ = fetched(tmp_path, server.source)
    assert path.read_bytes() == CONTENT


def test_a_busy_server_is_called_again(server: FileServer, tmp_path: Path) -> None:
    server.statuses = [503, 429]
    path, _ = fetched(tmp_path, server.source)
    assert path.read_bytes() == CONTENT


def test_a_server_that_never_answers_is_called_twice(
    server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transfer, "TIMEOUT_S", 0.05)
    server.may_answer.clear()
    with pytest.raises(UnavailableError, match="it sent nothing for 0 s"):
        fetched(tmp_path, server.source)
    server.may_answer.set()
    assert len(server.ranges) == transfer.SILENT_ATTEMPTS < transfer.ATTEMPTS


def test_a_flipped_byte_is_detected_and_the_file_is_deleted(
    server: FileServer, tmp_path: Path
) -> None:
    server.content = CONTENT[:-1] + b"\x00"
    with pytest.raises(ConfigError, match=r"graph\.onnx has sha256 .*, expected"):
        fetched(tmp_path, server.source)
    assert files_below(tmp_path) == []


def test_a_file_of_the_wrong_size_is_refused(server: FileServer, tmp_path: Path) -> None:
    server.content = CONTENT + b"more"
    with pytest.raises(ConfigError, match="more than the expected 1048576 bytes"):
        fetched(tmp_path, server.source)


def test_a_file_of_unknown_size_is_resumed_and_found_again(
    server: FileServer, tmp_path: Path
) -> None:
    unknown = GOOD.model_copy(update={"size_bytes": None, "sha256": None})
    server.cut_after = [1000]
    path, _ = fetched(tmp_path, server.source, unknown)
    assert path.read_bytes() == CONTENT
    assert server.ranges == ["", "bytes=1000-"]
    assert is_in_place(tmp_path, "some-model", "graph", unknown)
    path.rename(path.with_name("graph.onnx.part"))  # as if killed before the file was installed
    path, _ = fetched(tmp_path, server.source, unknown)
    assert path.read_bytes() == CONTENT


def test_a_missing_file_is_requested_only_once(server: FileServer, tmp_path: Path) -> None:
    other = GOOD.model_copy(update={"name": "other.onnx"})
    with pytest.raises(UnavailableError, match="404"):
        fetched(tmp_path, server.source, other)
    assert len(server.ranges) == 1


def test_a_server_that_cannot_be_reached_is_reported(server: FileServer, tmp_path: Path) -> None:
    server.shutdown()
    server.server_close()
    with pytest.raises(
        UnavailableError, match=r"(?s)http://127\.0\.0\.1:\d+/graph\.onnx: .*--from"
    ):
        fetched(tmp_path, server.source)


def test_a_folder_is_a_source(tmp_path: Path) -> None:
    (tmp_path / "stick" / "deep").mkdir(parents=True)
    (tmp_path / "stick" / "deep" / "graph.onnx").write_bytes(CONTENT)
    path, _ = fetched(tmp_path / "models", Location(folder=tmp_path / "stick"))
    assert path.read_bytes() == CONTENT
    other = GOOD.model_copy(update={"name": "other.onnx"})
    with pytest.raises(ConfigError, match=r"no other\.onnx was found there"):
        fetched(tmp_path / "models", Location(folder=tmp_path / "stick"), other)


def test_a_folder_that_cannot_be_written_is_reported(server: FileServer, tmp_path: Path) -> None:
    (tmp_path / "some-model").write_text("in the way")
    with pytest.raises(ConfigError, match=r"cannot install .*graph\.onnx: .*some-model"):
        fetched(tmp_path, server.source)


def test_an_endless_source_is_not_copied(tmp_path: Path) -> None:
    (tmp_path / "stick").mkdir()
    (tmp_path / "stick" / "graph.onnx").symlink_to("/dev/zero")
    with pytest.raises(ConfigError, match="not a regular file"):
        fetched(tmp_path / "models", Location(folder=tmp_path / "stick"))
    (tmp_path / "stick" / "graph.onnx").unlink()
    with (tmp_path / "stick" / "graph.onnx").open("wb") as sparse:
        sparse.truncate(1 << 42)
    with pytest.raises(ConfigError, match=r"has 4398046511104 bytes \(expected 1048576\)"):
        fetched(tmp_path / "models", Location(folder=tmp_path / "stick"))
    assert files_below(tmp_path / "models") == []


@pytest.mark.parametrize("link", ["symbolic", "hard", "pipe"])
@pytest.mark.parametrize("from_folder", [True, False])
def test_nothing_is_written_through_a_planted_partial_file(
    server: FileServer, tmp_path: Path, link: str, from_folder: bool
) -> None:
    (tmp_path / "stick").mkdir()
    (tmp_path / "stick" / "graph.onnx").write_bytes(CONTENT)
    precious = tmp_path / "precious"
    precious.write_text("mine")
    part = tmp_path / "models" / "some-model" / "graph.onnx.part"
    part.parent.mkdir(parents=True)
    if link == "symbolic":
        part.symlink_to(precious)
    elif link == "hard":
        part.hardlink_to(precious)
    else:
        os.mkfifo(part)
    source = Location(folder=tmp_path / "stick") if from_folder else server.source
    path, _ = fetched(tmp_path / "models", source)
    assert path.read_bytes() == CONTENT
    assert not path.is_symlink()
    assert precious.read_text() == "mine"


@pytest.mark.parametrize("mirror", ["file:///etc", "http://[::", "gopher://x"])
def test_a_mirror_that_is_not_a_web_address_is_refused(tmp_path: Path, mirror: str) -> None:
    with pytest.raises(ConfigError, match="use an https:// address"):
        fetched(tmp_path, Location(mirror=mirror))


@pytest.mark.parametrize("planted", ["pipe", "folder", "link"])
def test_only_a_regular_file_is_a_model(tmp_path: Path, planted: str) -> None:
    path = tmp_path / "some-model" / "graph.onnx"
    path.parent.mkdir()
    if planted == "pipe":
        os.mkfifo(path)
    elif planted == "folder":
        path.mkdir()
    else:
        path.symlink_to(tmp_path / "missing")
    entry = next(
        one for one in read_registry(ROOT / "configs").models.values() if one.downloads
    ).model_copy(update={"downloads": {"graph": GOOD}, "export": None, "parts": {}, "files": {}})
    assert state_of(tmp_path, {"some-model": entry}, "some-model") is State.DAMAGED


@pytest.mark.parametrize("content", [b"[1]", b"m: 5", b"m: {k: 7}", b"\xff", b"m: {k: *x}"])
def test_damaged_pins_are_reported(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "pins.yaml").write_bytes(content)
    with pytest.raises(ConfigError, match=r"pins\.yaml"):
        read_pins(tmp_path)


def test_two_simultaneous_pulls_fetch_once(server: FileServer, tmp_path: Path) -> None:
    """The server does not respond to the first until the second reports that it is waiting."""
    server.may_answer.clear()
    notes: list[str] = []

    class Second(Heard):
        def note(self, text: str) -> None:
            notes.append(text)
            server.may_answer.set()

    def pull(heard: Heard) -> Path:
        return fetch(tmp_path, "some-model", "graph", GOOD, server.source, heard)

    with ThreadPoolExecutor() as pool:
        first = pool.submit(pull, Heard())
        assert server.was_asked.wait(LIMIT_S)
        second = pool.submit(pull, Second())
        assert first.result() == second.result()
    assert notes == ["another process is pulling some-model; waiting for it"]
    assert len(server.ranges) == 1
    assert files_below(tmp_path) == ["graph.onnx"]


def test_a_pull_that_was_killed_is_resumed_and_its_leftovers_are_removed(
    server: FileServer, tmp_path: Path
) -> None:
    folder = tmp_path / "some-model"
    (folder / ".wheel-abc" / "wheel").mkdir(parents=True)
    (folder / "graph.onnx.part").write_bytes(CONTENT[:1000])
    path, _ = fetched(tmp_path, server.source)
    assert path.read_bytes() == CONTENT
    assert server.ranges == ["bytes=1000-"]
    assert {one.name for one in folder.iterdir()} == {"graph.onnx", f"graph.onnx{SOURCE_SUFFIX}"}


def test_leftovers_of_another_source_do_not_affect_this_one(
    server: FileServer, tmp_path: Path
) -> None:
    folder = tmp_path / "some-model"
    folder.mkdir()
    (folder / "graph.onnx.part").write_bytes(b"<html>" * 100)
    path, _ = fetched(tmp_path, server.source)
    assert path.read_bytes() == CONTENT
    assert server.ranges == ["bytes=600-", ""]


def test_a_full_disk_is_reported_and_the_next_try_succeeds(
    server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(transfer, "open_partial", open_full_disk)
        with pytest.raises(ConfigError, match=r"graph\.onnx: .*the disk is full"):
            fetched(tmp_path, server.source)
    assert "graph.onnx" not in files_below(tmp_path)
    path, _ = fetched(tmp_path, server.source)
    assert path.read_bytes() == CONTENT
