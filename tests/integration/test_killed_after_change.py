"""An orchestrator is killed after it makes a change and before it stores the response."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
from bestshot.orchestrator.v1 import orchestrator_pb2 as pb
from bestshot.orchestrator.v1 import orchestrator_pb2_grpc

from tests.benchmarks.scale import make_photos
from tests.conftest import ROOT
from tests.fakes.holding_orchestrator import HELD
from tests.integration.up import free_ports

TIMEOUT_S = 120
ENVIRONMENT = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'protos' / 'gen'}"}
ROLES = ("embedding", "quality", "face", "siamese")
Stub = orchestrator_pb2_grpc.OrchestratorServiceStub


@contextlib.contextmanager
def model_services() -> Iterator[str]:
    """Model services that answer at once."""
    command = [sys.executable, "-m", "tests.fakes.model_services"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=ENVIRONMENT, cwd=ROOT
    ) as services:
        assert services.stdin is not None
        assert services.stdout is not None
        yield json.loads(services.stdout.readline())["address"]
        services.stdin.close()


@contextlib.contextmanager
def orchestrator(folder: Path, services_address: str) -> Iterator[Stub]:
    """Runs an orchestrator that is killed at the end of the block."""
    address = f"127.0.0.1:{free_ports(1)[0]}"
    settings = {f"{role}_address": services_address for role in ROLES}
    settings["allowed_roots"] = str([str(folder)])
    command = [
        *(sys.executable, "-m", "tests.fakes.holding_orchestrator"),
        *("--data", str(folder / "data"), "--address", address),
        *(part for item in settings.items() for part in ("--set", "=".join(item))),
    ]
    with (
        subprocess.Popen(command, cwd=folder, env=ENVIRONMENT) as process,
        grpc.insecure_channel(address) as channel,
    ):
        try:
            grpc.channel_ready_future(channel).result(TIMEOUT_S)
            yield Stub(channel)
        finally:
            process.kill()


class Calls:
    """Calls with a request_id, made once before the orchestrator is killed and once after."""

    def __init__(self, folder: Path) -> None:
        self._held = folder / HELD
        self._made: list[tuple[str, Callable[[], Any]]] = []
        self._open: list[Any] = []  # gRPC cancels calls without a reference
        os.mkfifo(self._held)

    def make(self, stub: Stub, method: str, message: Callable[[str], Any]) -> str:
        """Makes a call; returns its id once its change is stored."""
        request_id = str(uuid.uuid4())
        self._made.append((method, lambda: message(request_id)))
        call = getattr(stub, method).future(message(request_id), timeout=TIMEOUT_S)
        call.add_done_callback(self._report_end)
        self._open.append(call)
        assert self._held.read_text().strip() == request_id, call.details()
        return request_id

    def _report_end(self, call: Any) -> None:
        with contextlib.suppress(OSError):  # there is no reader once the process is killed
            pipe = os.open(self._held, os.O_WRONLY | os.O_NONBLOCK)
            os.write(pipe, b"ended before it was held")
            os.close(pipe)

    def repeat(self, stub: Stub) -> list[Any]:
        """Repeats all calls twice, in order; returns the responses."""
        self._held.unlink(missing_ok=True)
        return [getattr(stub, method)(made(), timeout=TIMEOUT_S) for method, made in self._made]


def end(stub: Stub, run_id: str) -> pb.Run:
    snapshots = stub.WatchRun(pb.WatchRunRequest(run_id=run_id), timeout=TIMEOUT_S)
    return [snapshot.run for snapshot in snapshots][-1]


def test_repeated_calls_are_applied_once_and_get_their_response(tmp_path: Path) -> None:
    photos, old, calls = tmp_path / "photos", tmp_path / "old", Calls(tmp_path)
    for folder in (photos, old):
        folder.mkdir()
        make_photos(folder, 10)
    content = next(photos.rglob("*.jpg")).read_bytes()

    def upload(request_id: str) -> Iterator[pb.UploadAlbumRequest]:
        header = pb.UploadHeader(display_name="Trip", request_id=request_id)
        yield pb.UploadAlbumRequest(header=header)
        for name in ("a.jpg", "b.jpg"):
            yield pb.UploadAlbumRequest(filename=name)
            yield pb.UploadAlbumRequest(chunk=content)

    def having(message: Any) -> Callable[[str], Any]:
        def with_id(request_id: str) -> Any:
            message.request_id = request_id
            return message

        return with_id

    with model_services() as services_address:
        with orchestrator(tmp_path, services_address) as stub:
            album, forgotten = (
                stub.CreateAlbum(pb.CreateAlbumRequest(folder=str(folder))).album
                for folder in (photos, old)
            )
            run = stub.StartRun(pb.StartRunRequest(album_id=album.id)).run
            assert end(stub, run.id).state == pb.RUN_STATE_COMPLETED
            images = stub.ListImages(pb.ListImagesRequest(run_id=run.id)).images
            path = next(image.path for image in images if image.is_selected)
            about = {"album_id": album.id, "run_id": run.id}
            calls.make(stub, "UploadAlbum", upload)
            calls.make(stub, "DeleteAlbum", having(pb.DeleteAlbumRequest(album_id=forgotten.id)))
            renaming = pb.UpdateAlbumRequest(album_id=album.id, display_name="Summer")
            calls.make(stub, "UpdateAlbum", having(renaming))
            calls.make(
                stub,
                "SetDecision",
                having(pb.SetDecisionRequest(path=path, decision=pb.DECISION_REJECT, **about)),
            )
            calls.make(stub, "UndoDecision", having(pb.UndoDecisionRequest(**about)))
            keep = {"action": pb.DECISION_ACTION_KEEP, "paths": [path]}
            calls.make(stub, "AppendDecision", having(pb.AppendDecisionRequest(**keep, **about)))
            (newest,) = (
                known
                for known in stub.ListDecisions(pb.ListDecisionsRequest(album_id=album.id)).entries
                if known.action == pb.DECISION_ACTION_KEEP
            )
            newest.id = uuid.uuid4().hex
            entries = pb.ImportDecisionsRequest(entries=[newest], **about)
            calls.make(stub, "ImportDecisions", having(entries))
            reselection = pb.ReselectRequest(run_id=run.id)
            reselection.config_overrides.update({"cluster_scenes": {"scene_distance": 0.01}})
            calls.make(stub, "Reselect", having(reselection))
            calls.make(stub, "StartRun", having(pb.StartRunRequest(album_id=album.id)))

        with orchestrator(tmp_path, services_address) as stub:
            answers = calls.repeat(stub)
            assert calls.repeat(stub) == answers
            uploaded, _, renamed, rejected, undone, kept, imported, reselected, started = answers
            uploads = tmp_path / "data" / "uploads"
            assert [str(folder) for folder in uploads.iterdir()] == [uploaded.album.folder]
            assert {path.name for path in Path(uploaded.album.folder).iterdir()} == {
                *("a.jpg", "b.jpg")
            }
            assert (uploaded.photo_count, uploaded.album.display_name) == (2, "Trip")
            albums = stub.ListAlbums(pb.ListAlbumsRequest()).albums
            assert {known.id for known in albums} == {album.id, uploaded.album.id}
            assert renamed.album.display_name == "Summer"
            assert rejected.previous_decision == pb.DECISION_UNSPECIFIED
            changed = [{one.path for one in answer.changed_images} for answer in (rejected, undone)]
            assert path in changed[0]
            assert changed[0] == changed[1]
            assert undone.undone_entry.id == rejected.entry_id
            assert imported.added_count == 1
            log = stub.ListDecisions(pb.ListDecisionsRequest(album_id=album.id)).entries
            made = {rejected.entry_id, undone.entry.id, kept.entry.id, newest.id}
            assert len(log) == len(made)
            assert {entry.id for entry in log} == made
            assert end(stub, started.run.id).state == pb.RUN_STATE_COMPLETED
            runs = stub.ListRuns(pb.ListRunsRequest(album_id=album.id)).runs
            assert {known.id for known in runs} == {run.id, reselected.run.id, started.run.id}
            assert len(runs) == 3
