"""Photos whose reads hang, or that are not files at all."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.records import Run, RunState, RunSummary, utc_now
from orchestrator.storage import photo_source
from orchestrator.storage.photo_io import PhotoIo, PhotoThreads, StalledError, report_progress
from orchestrator.storage.photo_source import FolderPhotoSource
from services.common.errors import InvalidImageError


@pytest.fixture
def released() -> Iterator[threading.Event]:
    """Calls that hang in a test wait for this event, and continue when the test ends."""
    event = threading.Event()
    yield event
    event.set()


def test_anything_but_a_regular_file_is_unreadable_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    os.mkfifo(tmp_path / "a.mov")
    (tmp_path / "a.jpg").write_bytes(b"x")
    (tmp_path / "folder.jpg").mkdir()
    (tmp_path / "device.jpg").symlink_to("/dev/zero")
    (tmp_path / "pipe-link.jpg").symlink_to(tmp_path / "pipe.jpg")
    source = FolderPhotoSource(tmp_path, max_pixels=1, roots=[Path("/dev")])
    found = {photo.path: photo.companion_paths for photo in source.list_photos()}
    assert found == {"a.jpg": (), "device.jpg": (), "pipe.jpg": (), "pipe-link.jpg": ()}
    kinds = {"pipe.jpg": "a named pipe", "pipe-link.jpg": "a named pipe", "folder.jpg": "a folder"}
    for name, kind in {**kinds, "device.jpg": "a device"}.items():
        with pytest.raises(InvalidImageError, match=f"it is {kind}, not a regular file"):
            source.read(name)
    assert source.read("a.jpg") == b"x"


def test_a_socket_is_unreadable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # the path of a socket must be short
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind("s.jpg")
        with pytest.raises(InvalidImageError, match="cannot be read"):
            FolderPhotoSource(tmp_path, max_pixels=1).read("s.jpg")


def test_the_error_for_a_file_above_the_limit_states_its_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(photo_source, "MAX_FILE_BYTES", 10**6)
    with (tmp_path / "a.jpg").open("wb") as opened:
        opened.truncate(5 * 10**9)  # takes no space on the disk
    with pytest.raises(InvalidImageError, match="5,000 MB, limit 1 MB"):
        FolderPhotoSource(tmp_path, max_pixels=1).read("a.jpg")


def test_calls_that_hang_fail_and_other_calls_get_new_threads(
    released: threading.Event,
) -> None:
    async def scenario() -> None:
        photo_io = PhotoIo(max_threads=2, stall_s=0.2, max_stalled=4)
        hanging = [asyncio.ensure_future(photo_io.run(released.wait)) for _ in range(4)]
        waiting = asyncio.ensure_future(photo_io.run(lambda: "read"))
        for call in hanging:
            with pytest.raises(StalledError, match="is not responding"):
                await call
        assert await waiting == "read"

    asyncio.run(scenario())


def test_further_calls_fail_at_once_if_all_threads_hang(released: threading.Event) -> None:
    async def scenario() -> None:
        photo_io = PhotoIo(max_threads=1, stall_s=0.05, max_stalled=2)
        calls = [asyncio.ensure_future(photo_io.run(released.wait)) for _ in range(10)]
        results = await asyncio.gather(*calls, return_exceptions=True)
        assert all(isinstance(result, StalledError) for result in results)
        released.set()

    asyncio.run(scenario())


def test_a_slow_call_that_makes_progress_does_not_hang() -> None:
    stall_s = 0.5

    def slow() -> str:
        for _ in range(8):
            threading.Event().wait(stall_s / 4)
            report_progress()
        return "read"

    assert asyncio.run(PhotoIo(stall_s=stall_s).run(slow)) == "read"


def test_cancelling_does_not_wait_for_a_call_that_hangs(released: threading.Event) -> None:
    async def scenario() -> None:
        photo_io = PhotoIo()
        started = threading.Event()

        def hang() -> None:
            started.set()
            released.wait()

        call = asyncio.ensure_future(photo_io.run(hang))
        await asyncio.to_thread(started.wait)
        call.cancel()
        await asyncio.wait([call])
        assert call.cancelled()
        with pytest.raises(ZeroDivisionError):
            await photo_io.run(lambda: 1 // 0)

    asyncio.run(scenario())


def test_a_file_that_grows_beyond_its_room_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"12345")
    source = FolderPhotoSource(tmp_path, max_pixels=1)
    assert source.size("a.jpg") == 5
    assert source.read("a.jpg", 5) == b"12345"
    with pytest.raises(InvalidImageError, match="grew while it was being read"):
        source.read("a.jpg", 4)


async def test_few_calls_load_the_results_of_large_runs_simultaneously() -> None:
    threads = PhotoThreads()
    large = Run(
        *("run", "album", RunState.COMPLETED, "builtin", {}, {}, {}, utc_now()),
        summary=RunSummary(20_000, 0, 1, 0, 4, 0, 1.0),
    )
    loaded: list[int] = []
    end = asyncio.Event()

    async def load(number: int) -> None:
        async with threads.hold_results(large):
            loaded.append(number)
            await end.wait()

    calls = [asyncio.ensure_future(load(number)) for number in range(5)]
    for _ in range(20):
        await asyncio.sleep(0)
    assert loaded == [0, 1]
    end.set()
    await asyncio.gather(*calls)
    assert loaded == [0, 1, 2, 3, 4]
