"""An orchestrator dies between a change and the storing of its answer; the call is repeated."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from bestshot.orchestrator.v1 import orchestrator_pb2 as pb
from bestshot.orchestrator.v1 import orchestrator_pb2_grpc

from tests.benchmarks.scale import make_photos
from tests.conftest import ROOT
from tests.fakes.dying_orchestrator import DIE
from tests.integration.up import free_ports

START_S = 60
ENVIRONMENT = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'protos' / 'gen'}"}


class MortalOrchestrator:
    """An orchestrator on model services that answer at once."""

    def __init__(self, folder: Path, photos: Path, services_address: str) -> None:
        self._folder = folder
        self._address = f"127.0.0.1:{free_ports(1)[0]}"
        self.uploads = folder / "data" / "uploads"
        settings = {f"{role}_address": services_address for role in ROLES}
        settings["allowed_roots"] = str([str(photos)])
        self._command = [
            *(sys.executable, "-m", "tests.fakes.dying_orchestrator"),
            *("--data", str(folder / "data"), "--address", self._address),
            *(part for item in settings.items() for part in ("--set", "=".join(item))),
        ]
        self.start()

    def start(self) -> None:
        self._process = subprocess.Popen(self._command, cwd=self._folder, env=ENVIRONMENT)
        self._channel = grpc.insecure_channel(self._address)
        grpc.channel_ready_future(self._channel).result(START_S)
        self.stub = orchestrator_pb2_grpc.OrchestratorServiceStub(self._channel)

    def stop(self) -> None:
        self._channel.close()
        self._process.kill()
        self._process.wait()

    def call_and_die(self, call: Callable[[], Any]) -> None:
        """Makes a call whose change is stored and whose answer is lost; then starts again."""
        (self._folder / DIE).touch()
        with pytest.raises(grpc.RpcError) as caught:
            call()
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        self._process.wait()
        self._channel.close()
        self.start()

    def answer_twice(self, method: str, request: Any) -> Any:
        """The answer to a call whose first attempt was followed by the process's death."""
        request.request_id = str(uuid.uuid4())
        self.call_and_die(lambda: getattr(self.stub, method)(request, timeout=START_S))
        answer = getattr(self.stub, method)(request, timeout=START_S)
        assert answer == getattr(self.stub, method)(request, timeout=START_S)
        return answer


ROLES = ("embedding", "quality", "face", "siamese")


@pytest.fixture(scope="module")
def services_address() -> Iterator[str]:
    command = [sys.executable, "-m", "tests.fakes.model_services"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=ENVIRONMENT, cwd=ROOT
    ) as services:
        assert services.stdin is not None
        assert services.stdout is not None
        yield json.loads(services.stdout.readline())["address"]
        services.stdin.close()


@pytest.fixture(scope="module")
def part(
    tmp_path_factory: pytest.TempPathFactory, services_address: str
) -> Iterator[MortalOrchestrator]:
    folder = tmp_path_factory.mktemp("mortal")
    photos = folder / "photos"
    photos.mkdir()
    make_photos(photos, 10)
    started = MortalOrchestrator(folder, photos, services_address)
    yield started
    started.stop()


@pytest.fixture(scope="module")
def album(part: MortalOrchestrator) -> pb.Album:
    folder = part.uploads.parent.parent / "photos"
    return part.stub.CreateAlbum(pb.CreateAlbumRequest(folder=str(folder))).album


def end(part: MortalOrchestrator, run_id: str) -> pb.Run:
    snapshots = part.stub.WatchRun(pb.WatchRunRequest(run_id=run_id), timeout=START_S)
    return [snapshot.run for snapshot in snapshots][-1]


@pytest.fixture(scope="module")
def run(part: MortalOrchestrator, album: pb.Album) -> pb.Run:
    started = part.stub.StartRun(pb.StartRunRequest(album_id=album.id)).run
    ended = end(part, started.id)
    assert ended.state == pb.RUN_STATE_COMPLETED, ended.error
    return ended


def test_an_upload_is_one_album_and_one_folder(part: MortalOrchestrator, album: pb.Album) -> None:
    header = pb.UploadHeader(display_name="Trip", request_id=str(uuid.uuid4()))
    content = next(Path(album.folder).rglob("*.jpg")).read_bytes()

    def parts() -> Iterator[pb.UploadAlbumRequest]:
        yield pb.UploadAlbumRequest(header=header)
        for name in ("a.jpg", "b.jpg"):
            yield pb.UploadAlbumRequest(filename=name)
            yield pb.UploadAlbumRequest(chunk=content)

    part.call_and_die(lambda: part.stub.UploadAlbum(parts(), timeout=START_S))
    answer = part.stub.UploadAlbum(parts(), timeout=START_S)
    assert answer.photo_count == 2
    assert answer.album.display_name == "Trip"
    assert [str(folder) for folder in part.uploads.iterdir()] == [answer.album.folder]
    assert sorted(path.name for path in Path(answer.album.folder).iterdir()) == ["a.jpg", "b.jpg"]
    albums = part.stub.ListAlbums(pb.ListAlbumsRequest()).albums
    assert sorted(known.id for known in albums) == sorted([album.id, answer.album.id])
    assert part.stub.UploadAlbum(parts(), timeout=START_S) == answer
    part.answer_twice("DeleteAlbum", pb.DeleteAlbumRequest(album_id=answer.album.id))
    with pytest.raises(grpc.RpcError) as caught:
        part.stub.GetAlbum(pb.GetAlbumRequest(album_id=answer.album.id))
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND
    assert list(part.uploads.iterdir())  # forgetting an album never touches photos


def test_runs(part: MortalOrchestrator, album: pb.Album, run: pb.Run) -> None:
    started = part.answer_twice("StartRun", pb.StartRunRequest(album_id=album.id)).run
    assert end(part, started.id).state == pb.RUN_STATE_COMPLETED
    again = part.answer_twice("Reselect", reselection(run)).run
    assert again.source_run_id == run.id
    runs = part.stub.ListRuns(pb.ListRunsRequest(album_id=album.id)).runs
    assert {known.id for known in runs} == {run.id, started.id, again.id}


def reselection(run: pb.Run) -> pb.ReselectRequest:
    request = pb.ReselectRequest(run_id=run.id)
    request.config_overrides.update({"cluster_scenes": {"scene_distance": 0.01}})
    return request


def test_decisions(part: MortalOrchestrator, album: pb.Album, run: pb.Run) -> None:
    images = part.stub.ListImages(pb.ListImagesRequest(run_id=run.id)).images
    path = next(image.path for image in images if image.is_selected)
    rejected = part.answer_twice(
        "SetDecision",
        pb.SetDecisionRequest(
            album_id=album.id, run_id=run.id, path=path, decision=pb.DECISION_REJECT
        ),
    )
    assert rejected.previous_decision == pb.DECISION_UNSPECIFIED
    assert path in {image.path for image in rejected.changed_images}
    undone = part.answer_twice(
        "UndoDecision", pb.UndoDecisionRequest(album_id=album.id, run_id=run.id)
    )
    assert undone.undone_entry.id == rejected.entry_id
    changed = {image.path for image in undone.changed_images}
    assert changed == {image.path for image in rejected.changed_images}
    appended = part.answer_twice(
        "AppendDecision",
        pb.AppendDecisionRequest(
            album_id=album.id, action=pb.DECISION_ACTION_KEEP, paths=[path], run_id=run.id
        ),
    )
    log = part.stub.ListDecisions(pb.ListDecisionsRequest(album_id=album.id)).entries
    made = {rejected.entry_id, undone.entry.id, appended.entry.id}
    assert len(log) == 3
    assert {entry.id for entry in log} == made
    entry = pb.DecisionEntry()
    entry.CopyFrom(appended.entry)
    entry.id = uuid.uuid4().hex
    imported = part.answer_twice(
        "ImportDecisions", pb.ImportDecisionsRequest(album_id=album.id, entries=[entry])
    )
    assert imported.added_count == 1


def test_a_rename(part: MortalOrchestrator, album: pb.Album) -> None:
    renaming = pb.UpdateAlbumRequest(album_id=album.id, display_name="Summer")
    assert part.answer_twice("UpdateAlbum", renaming).album.display_name == "Summer"
