from __future__ import annotations

import os
import signal
import stat
from collections.abc import Iterator
from multiprocessing import forkserver
from pathlib import Path

import pytest

from orchestrator.cli.part_process import PartProcess
from tests.waiting import wait_until

PORT = ("--address", "127.0.0.1:0", "--exit-with-parent")


@pytest.fixture
def own_fork_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A fork server that a test may kill: the usual one is the parent of other tests' processes."""
    server = forkserver.ForkServer()
    monkeypatch.setattr(forkserver, "_forkserver", server)
    for name in ("ensure_running", "connect_to_new_process", "set_forkserver_preload"):
        monkeypatch.setattr(forkserver, name, getattr(server, name))
    yield
    server._stop()  # type: ignore[attr-defined]


def test_the_exit_code_and_output_are_those_of_the_part(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("before\n")
    process = PartProcess("siamese", ["--help"], log)
    assert process.wait() == 0
    assert process.poll() == 0
    assert log.read_text().startswith("before\nusage: bestshot serve siamese")
    assert PartProcess("siamese", ["--set", "adress=x"], log).wait() == 2
    assert "error: siamese service: unknown key 'adress'" in log.read_text()


def test_a_part_gets_the_current_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "log"
    monkeypatch.setenv("BESTSHOT_SERVICES__SIAMESE__ADRESS", "x")
    assert PartProcess("siamese", PORT, log).wait() == 2
    assert "BESTSHOT_SERVICES__SIAMESE__ADRESS" in log.read_text()


def test_a_part_stops_on_request_and_can_be_killed(tmp_path: Path) -> None:
    (tmp_path / "one").touch()
    stopped, killed = (PartProcess("siamese", PORT, tmp_path / name) for name in ("one", "other"))
    wait_until(lambda: "listening on" in (tmp_path / "one").read_text())
    assert os.getsid(stopped.pid) == stopped.pid
    assert Path(f"/proc/{stopped.pid}/comm").read_text() == "bs-siamese\n"
    stopped.close_stdin()
    assert stopped.wait() == 0
    killed.kill()
    assert killed.wait() == -signal.SIGKILL


def test_only_this_user_can_reach_the_fork_server(tmp_path: Path) -> None:
    PartProcess("siamese", ["--help"], tmp_path / "log").wait()
    address = forkserver._forkserver._forkserver_address  # type: ignore[attr-defined]
    assert stat.S_IMODE(Path(address).parent.stat().st_mode) == 0o700


@pytest.mark.usefixtures("own_fork_server")
def test_the_end_of_the_fork_server_differs_from_that_of_a_part(tmp_path: Path) -> None:
    (tmp_path / "log").touch()
    process = PartProcess("siamese", PORT, tmp_path / "log")
    wait_until(lambda: "listening on" in (tmp_path / "log").read_text())
    assert not process.is_lost
    os.kill(forkserver._forkserver._forkserver_pid, signal.SIGKILL)  # type: ignore[attr-defined]
    process.wait()
    assert process.is_lost
    assert (tmp_path / "log").read_text().endswith("siamese service stopped\n")
    again = PartProcess("siamese", ["--help"], tmp_path / "log")
    assert again.wait() == 0
    assert not again.is_lost


def test_a_long_path_of_temporary_files_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / ("long" * 30)
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    assert PartProcess("siamese", ["--help"], tmp_path / "log").wait() == 0
    assert (tmp_path / "log").read_text().startswith("usage: bestshot serve siamese")
