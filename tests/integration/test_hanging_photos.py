"""Photos whose reads never return: calling, cancelling and stopping still work."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from pathlib import Path

import grpc
from bestshot.orchestrator.v1 import orchestrator_pb2 as pb
from bestshot.orchestrator.v1 import orchestrator_pb2_grpc
from PIL import Image

from tests.conftest import draw_picture
from tests.integration.hosts import Host, HostedPart
from tests.integration.parts import Part, orchestrator
from tests.integration.up import free_ports
from tests.waiting import LIMIT_S, wait_until


def addresses(services: Mapping[str, Part]) -> dict[str, str]:
    return {name: part.address for name, part in services.items()}


def test_pipes_named_like_photos_become_unreadable_rows(
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


class HangingHost(Host):
    """This machine, with reads of some photos that never return."""

    def enter(self) -> None:
        read = os.read

        def hanging_read(descriptor: int, count: int) -> bytes:
            name = Path(os.readlink(f"/proc/self/fd/{descriptor}")).name
            if not name.startswith("hanging-"):
                return read(descriptor, count)
            (self.folder / "hung" / name).touch()
            return read(os.pipe()[0], count)  # forever, like a network folder whose server is gone

        os.read = hanging_read


def hosted(host: type[Host], services: Mapping[str, str], photos: Path, folder: Path) -> HostedPart:
    """Prepares an orchestrator on a host, with its data below `folder`."""
    (port,) = free_ports(1)
    settings = {
        **{f"{name}_address": address for name, address in services.items()},
        "allowed_roots": str([str(photos)]),
    }
    flags = ("--data", str(folder / "data"))
    return HostedPart(host("", "127.0.0.1", "", "", folder), "orchestrator", port, settings, flags)


def test_reads_that_hang_block_neither_calls_nor_cancelling_nor_stopping(
    services: dict[str, Part], tmp_path: Path
) -> None:
    photos, hung = tmp_path / "photos", tmp_path / "hung"
    for folder in (photos, hung):
        folder.mkdir()
    for number in range(9):
        Image.fromarray(draw_picture(number)).save(photos / f"hanging-{number:02}.jpg")
    found = addresses(services)
    hanging = hosted(HangingHost, found, photos, tmp_path)
    hanging.start()
    try:
        with grpc.insecure_channel(hanging.address) as channel:
            stub = orchestrator_pb2_grpc.OrchestratorServiceStub(channel)
            album = stub.CreateAlbum(pb.CreateAlbumRequest(folder=str(photos))).album
            start = pb.StartRunRequest(album_id=album.id)
            run_id = stub.StartRun(start).run.id
            wait_until(lambda: len(list(hung.iterdir())) == 8)  # occupies all reader threads
            assert len(stub.ListAlbums(pb.ListAlbumsRequest(), timeout=LIMIT_S).albums) == 1
            stub.CancelRun(pb.CancelRunRequest(run_id=run_id), timeout=LIMIT_S)
            ended = list(stub.WatchRun(pb.WatchRunRequest(run_id=run_id), timeout=LIMIT_S))[-1]
            assert ended.run.state == pb.RUN_STATE_CANCELLED
            pending = stub.StartRun(start).run.id
        hanging.stop()  # it stops by itself: it is not killed, and the run is not lost
    finally:
        hanging.stop(signal.SIGKILL)
    with orchestrator(tmp_path, found, photos) as part:
        # the lock on the data folder is released, and nothing still hangs
        assert part.end(pending).state == pb.RUN_STATE_COMPLETED


class SlowHost(Host):
    """This machine, where reads of some photos wait until the test releases them."""

    def enter(self) -> None:
        read = os.read

        def slow_read(descriptor: int, count: int) -> bytes:
            if Path(os.readlink(f"/proc/self/fd/{descriptor}")).name == "slow.jpg":
                (self.folder / "waiting").touch()
                wait_until((self.folder / "released").exists)
            return read(descriptor, count)

        os.read = slow_read


def test_decisions_made_while_photos_are_scored_count(
    services: dict[str, Part], tmp_path: Path
) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    for number, name in enumerate(("a.jpg", "slow.jpg")):
        Image.fromarray(draw_picture(number)).save(photos / name)
    slow = hosted(SlowHost, addresses(services), photos, tmp_path)
    slow.start()
    try:
        with grpc.insecure_channel(slow.address) as channel:
            stub = orchestrator_pb2_grpc.OrchestratorServiceStub(channel)
            album = stub.CreateAlbum(pb.CreateAlbumRequest(folder=str(photos))).album
            start = pb.StartRunRequest(album_id=album.id)
            (tmp_path / "released").touch()
            first = stub.StartRun(start).run.id
            list(stub.WatchRun(pb.WatchRunRequest(run_id=first), timeout=LIMIT_S))
            for name in ("released", "waiting"):
                (tmp_path / name).unlink()
            run_id = stub.StartRun(start).run.id
            wait_until((tmp_path / "waiting").exists)
            reject = pb.DECISION_REJECT
            stub.SetDecision(
                pb.SetDecisionRequest(album_id=album.id, path="a.jpg", decision=reject)
            )
            (tmp_path / "released").touch()
            list(stub.WatchRun(pb.WatchRunRequest(run_id=run_id), timeout=LIMIT_S))
            images = stub.ListImages(pb.ListImagesRequest(run_id=run_id)).images
            reasons = {image.path: image.reason_code for image in images}
            assert reasons["a.jpg"] == pb.REASON_CODE_USER_REJECT
    finally:
        slow.stop(signal.SIGKILL)
