"""The parts as processes of one command: the source of their code, and what happens if they die."""

from __future__ import annotations

import os
import queue
import re
import signal
import subprocess
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from PIL import Image

from orchestrator.cli.parts import MODEL_SERVICES
from orchestrator.cli.supervisor import Supervisor
from services.common.errors import FailedPreconditionError, InternalError
from tests.conftest import draw_picture
from tests.integration.command import BESTSHOT, Running, environment
from tests.integration.up import free_ports, make_poisoned_folder
from tests.waiting import LIMIT_S

ANYWHERE = ["--address", "127.0.0.1:0"]


def test_no_code_in_the_current_folder_is_executed(tmp_path: Path) -> None:
    folder = make_poisoned_folder(tmp_path / "card")
    Image.fromarray(draw_picture(1)).save(folder / "1.jpg")
    done = subprocess.run(
        [BESTSHOT, "curate", ".", "--out", tmp_path / "out"],
        cwd=folder,
        env=environment(tmp_path / "data"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert not (folder / "executed").exists()


def test_a_part_is_restarted_at_its_address_until_it_dies_too_often(
    tmp_path: Path,
) -> None:
    said: queue.Queue[str] = queue.Queue()
    supervisor = Supervisor(tmp_path, [], max_deaths=2, report=said.put)
    try:
        supervisor.start("siamese", ANYWHERE)
        address = supervisor.wait_for_address("siamese")
        os.kill(supervisor.process_id("siamese"), signal.SIGKILL)
        assert supervisor.has_died_since("siamese", 0)
        assert supervisor.wait_for_address("siamese") == address
        assert said.get(timeout=LIMIT_S).startswith("the siamese process ended (killed by SIGKILL)")
        assert said.get(timeout=LIMIT_S) == f"the siamese process restarted on {address}"
        os.kill(supervisor.process_id("siamese"), signal.SIGTERM)
        failure = supervisor.wait_for_failure()
        with pytest.raises(InternalError):
            supervisor.wait_for_address("siamese")
    finally:
        supervisor.stop()
    assert failure is not None
    assert failure.message.startswith("the siamese process ended 2 times in a row (exit code 0)")
    assert "siamese.log ends with:" in failure.message
    assert "siamese service stopped" in failure.message
    log = (tmp_path / "siamese.log").read_text()
    assert len(re.findall("listening on", log)) == 2, "the log of the first process is kept"


def test_two_commands_never_share_logs_or_read_each_others_addresses(tmp_path: Path) -> None:
    one, other = Supervisor(tmp_path, []), Supervisor(tmp_path, [])
    try:
        one.start("siamese", ANYWHERE)
        with pytest.raises(
            FailedPreconditionError, match="another bestshot command is writing its logs"
        ):
            other.start("siamese", ANYWHERE)
        one.wait_for_address("siamese")
        one.stop()
        other.start("siamese", ANYWHERE)
        other.wait_for_address("siamese")
    finally:
        one.stop()
        other.stop()
    assert [path.name for path in tmp_path.iterdir()] == ["siamese.log"]


def test_up_restarts_parts_that_die_and_stops_all_on_sigterm(tmp_path: Path) -> None:
    names = (*MODEL_SERVICES, "orchestrator")
    ports = dict(zip(names, free_ports(len(names)), strict=True))
    settings = {
        f"BESTSHOT_SERVICES__{name.upper()}__ADDRESS": f"127.0.0.1:{port}"
        for name, port in ports.items()
    }
    logs = tmp_path / "data" / "logs"
    with Running(["up", "--no-ui"], data=tmp_path / "data", changes=settings) as process:
        try:
            read_until(process, "Ctrl-C to stop")
            first = pids(logs)
            for name in ("face", "orchestrator"):
                os.kill(first[name], signal.SIGKILL)
                read_until(process, f"the {name} process ended (killed by SIGKILL); restarting")
                read_until(process, f"the {name} process restarted on 127.0.0.1:{ports[name]}")
                assert is_healthy(ports[name])
            second = pids(logs)
            assert {name for name in names if first[name] != second[name]} == {
                "face",
                "orchestrator",
            }
            process.send_signal(signal.SIGTERM)
            rest, _ = process.communicate()
            assert process.returncode == -signal.SIGTERM, rest
        finally:
            process.kill()
    for pid in second.values():
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def read_until(process: Running, text: str) -> None:
    lines = []
    for line in process.stdout:
        lines.append(line)
        if text in line:
            return
    raise AssertionError("".join(lines))


def pids(logs: Path) -> dict[str, int]:
    """Returns the latest process id of each part."""
    found = {}
    for path in logs.glob("*.log"):
        matches = re.findall(r"listening on \S+ \(pid (\d+)\)", path.read_text())
        found[path.stem] = int(matches[-1])
    return found


def is_healthy(port: int) -> bool:
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        answer = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)
