from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.cli.launcher import Launcher
from orchestrator.cli.part_process import PartProcess
from tests.waiting import wait_until

pytestmark = pytest.mark.slow

PORT = ("--address", "127.0.0.1:0", "--exit-with-parent")


@pytest.fixture
def own_launcher(monkeypatch: pytest.MonkeyPatch) -> Iterator[Launcher]:
    """A launcher that a test may kill: the usual one is the parent of other tests' processes."""
    own = Launcher()
    monkeypatch.setattr("orchestrator.cli.part_process.launcher", own)
    yield own
    own.close()


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


def test_the_end_of_the_launcher_differs_from_that_of_a_part(
    own_launcher: Launcher, tmp_path: Path
) -> None:
    (tmp_path / "log").touch()
    process = PartProcess("siamese", PORT, tmp_path / "log")
    wait_until(lambda: "listening on" in (tmp_path / "log").read_text())
    assert not process.is_lost
    os.kill(own_launcher.pid, signal.SIGKILL)
    process.wait()
    assert process.is_lost
    assert (tmp_path / "log").read_text().endswith("siamese service stopped\n")
    again = PartProcess("siamese", ["--help"], tmp_path / "log")
    assert again.wait() == 0
    assert not again.is_lost


FORKING = """
import sys, threading
from pathlib import Path
from orchestrator.cli.launcher import launcher
from orchestrator.cli.part_process import PartProcess
launcher.fork()
first = launcher.pid
parts = [PartProcess("siamese", ["--help"], Path(sys.argv[1], str(n))) for n in range(3)]
assert [part.wait() for part in parts] == [0, 0, 0]
launcher.fork()
assert launcher.pid == first
print(Path(f"/proc/{first}/comm").read_text())
"""


def test_a_launcher_forked_from_the_command_ends_with_it(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FORKING, tmp_path], check=True, capture_output=True, text=True
    )  # returns once nobody holds its output
    assert done.stdout == "bs-launcher\n\n"
    assert all((tmp_path / str(n)).read_text().startswith("usage: ") for n in range(3))
