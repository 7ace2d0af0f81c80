"""Photos whose reads never return: calling, cancelling and stopping still work."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Mapping
from pathlib import Path

import pytest
from bestshot.orchestrator.v1 import orchestrator_pb2 as pb
from PIL import Image

from tests.conftest import draw_picture
from tests.integration.parts import Part, orchestrator
from tests.waiting import LIMIT_S

HANGING = """
import os

read = os.read

def hanging_read(descriptor, count):
    name = os.path.basename(os.readlink(f"/proc/self/fd/{descriptor}"))
    if not name.startswith("hanging-"):
        return read(descriptor, count)
    open(os.path.join(FOLDER, name), "w").close()
    return read(os.pipe()[0], count)  # forever, like a network folder whose server is gone

os.read = hanging_read
"""


def addresses(services: Mapping[str, Part]) -> dict[str, str]:
    return {name: part.address for name, part in services.items()}


def test_pipes_named_as_photos_are_unreadable_rows(
    services: dict[str, Part], tmp_path: Path
) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    Image.fromarray(draw_picture()).save(photos / "a.jpg")
    for number in range(8):
        os.mkfifo(photos / f"pipe-{number}.jpg")
    with orchestrator(tmp_path, addresses(services), photos) as part:
        run = part.end(part.begin())
        assert run.state == pb.RUN_STATE_COMPLETED, run.error
        images = part.stub.ListImages(pb.ListImagesRequest(run_id=run.id)).images
        errors = {image.path: image.error for image in images}
        assert errors.pop("a.jpg") == ""
        assert set(errors.values()) == {"it is a named pipe, not a regular file"}
        assert len(errors) == 8


def test_reads_that_hang_block_neither_calls_nor_cancelling_nor_stopping(
    services: dict[str, Part], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos, hung, hook = (tmp_path / name for name in ("photos", "hung", "hook"))
    for folder in (photos, hung, hook):
        folder.mkdir()
    for number in range(9):
        Image.fromarray(draw_picture(number)).save(photos / f"hanging-{number:02}.jpg")
    (hook / "sitecustomize.py").write_text(HANGING.replace("FOLDER", repr(str(hung))))
    path = f"{hook}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    with contextlib.ExitStack() as stack:
        with monkeypatch.context() as changed:  # what is started later does not hang
            changed.setenv("PYTHONPATH", path)
            part = stack.enter_context(orchestrator(tmp_path, addresses(services), photos))
        run_id = part.begin()
        while len(list(hung.iterdir())) < 8:  # all threads that read photos
            threading.Event().wait(0.05)
        assert len(part.stub.ListAlbums(pb.ListAlbumsRequest(), timeout=LIMIT_S).albums) == 1
        part.stub.CancelRun(pb.CancelRunRequest(run_id=run_id), timeout=LIMIT_S)
        assert part.end(run_id).state == pb.RUN_STATE_CANCELLED
        pending = part.begin()
        part.signal(signal.SIGTERM)
        assert part.ends_by_itself(timeout_s=LIMIT_S)  # otherwise it is killed, and the run is lost
        part.stop()
        part.channel = None
        part.start()  # the lock of the data folder is free, and nothing hangs now
        assert part.end(pending).state == pb.RUN_STATE_COMPLETED
