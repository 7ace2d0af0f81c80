"""Processes that are killed during a run."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import sqlite3
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from bestshot.orchestrator.v1 import orchestrator_pb2 as pb
from bestshot.orchestrator.v1 import orchestrator_pb2_grpc
from PIL import Image

from tests.conftest import draw_picture
from tests.integration.command import (
    BESTSHOT,
    Curated,
    Running,
    bestshot,
    curate,
    environment,
)
from tests.waiting import LIMIT_S, wait_until

PHOTO_COUNT = 16
SLOWLY = {
    "BESTSHOT_SERVICES__ORCHESTRATOR__BATCH_COUNT": "1",
    "BESTSHOT_SERVICES__ORCHESTRATOR__CONCURRENT_BATCHES": "1",
    "BESTSHOT_SERVICES__QUALITY__PREFERRED_BATCH_COUNT": "64",
    "BESTSHOT_SERVICES__QUALITY__MAX_QUEUE_DELAY_MS": "400",
}
"""The quality service waits for pictures that never arrive, so that runs take long enough for a
test to interfere, without using the processor."""


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    for seed in range(PHOTO_COUNT):
        Image.fromarray(draw_picture(seed, 160, 120)).save(folder / f"{seed:02}.jpg")
    return folder


@pytest.fixture(scope="module")
def undisturbed(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The results of an undisturbed run."""
    folder = tmp_path_factory.mktemp("undisturbed")
    return curate(photos, folder / "out", folder / "data").csv_bytes


def finished_photos(data: Path) -> int:
    """Returns the number of photos whose scores are stored."""
    try:
        with sqlite3.connect(f"file:{data / 'bestshot.db'}?mode=ro", uri=True) as connection:
            query = "SELECT count(*) FROM features WHERE role = 'face'"
            return int(connection.execute(query).fetchone()[0])
    except sqlite3.OperationalError:  # not created yet
        return 0


def service_pid(out: Path, name: str) -> int:
    log = (out / "logs" / f"{name}.log").read_text()
    found = re.search(r"listening on \S+ \(pid (\d+)\)", log)
    assert found is not None
    return int(found[1])


def is_alive(pid: int) -> bool:
    """Whether a process is running; a zombie that waits for its parent does not count."""
    try:
        os.kill(pid, 0)
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except (ProcessLookupError, FileNotFoundError):
        return False


def last_words(process: Running) -> str:
    """Reads the output of a process until it ends."""
    process.kill()
    return process.communicate()[0]


@pytest.fixture
def started(photos: Path, tmp_path: Path) -> Iterator[Running]:
    """A curation in progress: some photos are scored, others are not."""
    command = ["curate", photos, "--out", tmp_path / "out"]
    with Running(command, data=tmp_path / "data", changes=SLOWLY) as process:
        wait_until(
            lambda: finished_photos(tmp_path / "data") >= 4,
            processes=[process],
            read_log=lambda: last_words(process),
        )
        yield process
        process.kill()


def resume(photos: Path, tmp_path: Path, undisturbed: bytes) -> None:
    """Runs the same command again: finished scores come from the cache, nothing is missing."""
    before = finished_photos(tmp_path / "data")
    assert 0 < before < PHOTO_COUNT
    again = curate(photos, tmp_path / "out", tmp_path / "data")
    assert len(again.rows) == PHOTO_COUNT
    assert f"({before} from the cache)" in again.text
    assert again.csv_bytes == undisturbed


def incarnations(out: Path, name: str) -> list[int]:
    """Process ids of a part so far, from its log."""
    log = (out / "logs" / f"{name}.log").read_text()
    return [int(pid) for pid in re.findall(r"listening on \S+ \(pid (\d+)\)", log)]


@pytest.mark.parametrize("name", ["face", "orchestrator"])
def test_the_run_continues_when_a_part_dies_and_comes_back(
    name: str,
    started: Running,
    photos: Path,
    tmp_path: Path,
    undisturbed: bytes,
) -> None:
    os.kill(service_pid(tmp_path / "out", name), signal.SIGKILL)
    text, _ = started.communicate(timeout=LIMIT_S)
    assert started.returncode == 0, text
    assert f"the {name} process ended (killed by SIGKILL); restarting" in text
    assert len(incarnations(tmp_path / "out", name)) == 2
    found = Curated(photos, tmp_path / "out", tmp_path / "data", text)
    assert found.csv_bytes == undisturbed


@pytest.mark.parametrize("name", ["face", "orchestrator"])
def test_a_part_that_keeps_dying_ends_the_command_with_its_last_log_lines(
    name: str,
    started: Running,
    photos: Path,
    tmp_path: Path,
    undisturbed: bytes,
) -> None:
    out = tmp_path / "out"
    for count in range(1, 4):
        wait_until(lambda count=count: len(incarnations(out, name)) == count)  # type: ignore[misc]
        os.kill(incarnations(out, name)[-1], signal.SIGKILL)
    text, _ = started.communicate(timeout=LIMIT_S)
    assert started.returncode == 1, text
    assert f"error: the {name} process ended 3 times in a row (killed by SIGKILL)" in text
    assert f"{name}.log ends with:" in text
    assert "run the same command again to continue" in text
    assert "Traceback" not in text
    assert not (out / "image_metrics.csv").exists()
    resume(photos, tmp_path, undisturbed)
    states = bestshot(["runs"], data=tmp_path / "data").text
    assert "interrupted" in states


def test_no_process_is_left_behind_when_the_command_is_killed(
    started: Running, tmp_path: Path
) -> None:
    names = ("embedding", "quality", "face", "siamese", "orchestrator")
    pids = [service_pid(tmp_path / "out", name) for name in names]
    started.kill()
    wait_until(lambda: not any(is_alive(pid) for pid in pids))


def test_ctrl_c_stops_everything_and_keeps_finished_scores(
    started: Running, photos: Path, tmp_path: Path
) -> None:
    started.send_signal(signal.SIGINT)
    text, _ = started.communicate(timeout=LIMIT_S)
    assert started.returncode == 130
    assert "interrupted; scores computed so far are kept" in text
    assert "Traceback" not in text
    assert 0 < finished_photos(tmp_path / "data") < PHOTO_COUNT


def test_only_the_command_can_call_its_orchestrator_and_use_its_data_folder(
    started: Running, photos: Path, tmp_path: Path
) -> None:
    log = (tmp_path / "out" / "logs" / "orchestrator.log").read_text()
    address = re.search(r"listening on (\S+)", log)
    assert address is not None
    with grpc.insecure_channel(address[1]) as channel:
        stub = orchestrator_pb2_grpc.OrchestratorServiceStub(channel)
        with pytest.raises(grpc.RpcError) as caught:
            stub.ListAlbums(pb.ListAlbumsRequest())
    assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
    second = bestshot(["curate", photos, "--out", tmp_path / "out2"], data=tmp_path / "data")
    assert second.code == 1
    assert "is in use by another bestshot" in second.text
    text, _ = started.communicate(timeout=LIMIT_S)
    assert started.returncode == 0, text


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_command_without_standard_streams_finishes(
    closed: str, photos: Path, tmp_path: Path
) -> None:
    one = tmp_path / "photos"
    one.mkdir()
    (one / "a.jpg").symlink_to(photos / "00.jpg")
    command = f'"$0" curate "$1" --out "$2" {closed}'
    done = subprocess.run(
        ["sh", "-c", command, BESTSHOT, one, tmp_path / "out"],
        env=environment(tmp_path / "data"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "out" / "image_metrics.csv").exists()


@pytest.fixture
def temporary() -> Iterator[Path]:
    """A folder for temporary files, with a path that is short enough for Unix sockets in it."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


def group(photos: Path, tmp_path: Path, temporary: Path) -> subprocess.Popen[str]:
    """Starts a curation in a separate process group."""
    return subprocess.Popen(
        [str(BESTSHOT), "curate", str(photos), "--out", str(tmp_path / "out")],
        env=environment(tmp_path / "data", {**SLOWLY, "TMPDIR": str(temporary)}),
        process_group=0,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_ctrl_c_while_the_parts_start_prints_one_line(
    photos: Path, tmp_path: Path, temporary: Path
) -> None:
    with group(photos, tmp_path, temporary) as process:
        wait_until(lambda: any((tmp_path / "out").glob("logs/*.log")), processes=[process])
        os.killpg(process.pid, signal.SIGINT)
        text, _ = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 130, text
    assert "Traceback" not in text
    assert "interrupted" in text


def test_sigterm_to_all_processes_stops_them_and_leaves_no_temporary_files(
    photos: Path, tmp_path: Path, temporary: Path
) -> None:
    with group(photos, tmp_path, temporary) as process:
        wait_until(lambda: finished_photos(tmp_path / "data") >= 2, processes=[process])
        names = ("embedding", "quality", "face", "siamese", "orchestrator")
        pids = [service_pid(tmp_path / "out", name) for name in names]
        os.killpg(process.pid, signal.SIGTERM)
        text, _ = process.communicate(timeout=LIMIT_S)
        assert not any(is_alive(pid) for pid in pids)
    assert process.returncode == -signal.SIGTERM, text
    assert "Traceback" not in text
    left = [path.name for path in temporary.iterdir()]
    assert not [name for name in left if name.startswith("bestshot")]


def test_a_command_survives_or_reports_a_killed_launcher(
    photos: Path, tmp_path: Path, temporary: Path
) -> None:
    with group(photos, tmp_path, temporary) as process:
        wait_until(lambda: finished_photos(tmp_path / "data") >= 2, processes=[process])
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if int((folder / "stat").read_text().rpartition(")")[2].split()[1]) != process.pid:
                    continue
                if (folder / "comm").read_text() == "bs-launcher\n":
                    os.kill(int(folder.name), signal.SIGKILL)
        text, _ = process.communicate(timeout=LIMIT_S)
    assert "restarting" in text
    assert "Traceback" not in text
    assert "in use by another bestshot" not in text
    if process.returncode:
        assert "error: " in text
    again = curate(photos, tmp_path / "out", tmp_path / "data")
    assert len(again.rows) == PHOTO_COUNT
