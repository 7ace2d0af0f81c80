"""The orchestrator's gRPC API, on a system that `bestshot up` runs."""

from __future__ import annotations

import io
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from bestshot.orchestrator.v1 import orchestrator_pb2 as pb
from bestshot.orchestrator.v1 import orchestrator_pb2_grpc
from google.protobuf import struct_pb2
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_status import rpc_status
from PIL import Image

from orchestrator.supervisor import Supervisor
from tests.conftest import draw_picture
from tests.integration.command import BESTSHOT, Curated, bestshot, environment, heed_ctrl_c

PARTS = ("embedding", "quality", "face", "siamese", "orchestrator")


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [opened.getsockname()[1] for opened in sockets]
    for opened in sockets:
        opened.close()
    return ports


@pytest.fixture(scope="module")
def system(album: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """`bestshot up`; yields the orchestrator's address."""
    base = tmp_path_factory.mktemp("up")
    addresses = {name: f"127.0.0.1:{port}" for name, port in zip(PARTS, free_ports(5), strict=True)}
    changes = {f"BESTSHOT_SERVICES__{n.upper()}__ADDRESS": a for n, a in addresses.items()}
    for name in PARTS[:4]:
        key = f"BESTSHOT_SERVICES__ORCHESTRATOR__{name.upper()}_ADDRESS"
        changes[key] = addresses[name]
    roots = str([str(album.parent), str(base)])
    changes["BESTSHOT_SERVICES__ORCHESTRATOR__ALLOWED_ROOTS"] = roots
    with subprocess.Popen(
        [str(BESTSHOT), "up"],
        env=environment(base / "data", changes),
        preexec_fn=heed_ctrl_c,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            lines.append(line)
            if "Ctrl-C stops" in line:
                break
        else:
            raise AssertionError("".join(lines))
        yield addresses["orchestrator"]
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=30)
    assert "Traceback" not in rest
    assert process.returncode == 130


@pytest.fixture(scope="module")
def stub(system: str) -> Iterator[orchestrator_pb2_grpc.OrchestratorServiceStub]:
    with grpc.insecure_channel(system) as channel:
        yield orchestrator_pb2_grpc.OrchestratorServiceStub(channel)


Stub = orchestrator_pb2_grpc.OrchestratorServiceStub


def overrides(**values: object) -> struct_pb2.Struct:
    struct = struct_pb2.Struct()
    struct.update(values)
    return struct


def watch_to_its_end(stub: Stub, run_id: str) -> list[pb.Run]:
    snapshots = [answer.run for answer in stub.WatchRun(pb.WatchRunRequest(run_id=run_id))]
    assert [run.revision for run in snapshots] == sorted({run.revision for run in snapshots})
    return snapshots


@pytest.fixture(scope="module")
def run(stub: Stub, album: Path) -> pb.Run:
    """A completed run of the album."""
    created = stub.CreateAlbum(pb.CreateAlbumRequest(folder=str(album), display_name="Trip"))
    started = stub.StartRun(pb.StartRunRequest(album_id=created.album.id)).run
    assert started.state == pb.RUN_STATE_PENDING
    last = watch_to_its_end(stub, started.id)[-1]
    assert last.state == pb.RUN_STATE_COMPLETED, last.error
    return stub.GetRun(pb.GetRunRequest(run_id=started.id)).run


def all_images(stub: Stub, run_id: str, page_size: int = 4) -> list[pb.ImageResult]:
    found: list[pb.ImageResult] = []
    token = ""
    while True:
        request = pb.ListImagesRequest(run_id=run_id, page_size=page_size, page_token=token)
        page = stub.ListImages(request)
        assert len(page.images) <= page_size
        found += page.images
        token = page.next_page_token
        if not token:
            assert page.total_count == len(found)
            return found


def detail(error: grpc.RpcError, kind: type) -> object:
    for packed in rpc_status.from_call(error).details:
        found = kind()
        if packed.Unpack(found):
            return found
    raise AssertionError(f"no {kind.__name__}")


def test_health_and_reflection_of_the_orchestrator(system: str) -> None:
    with grpc.insecure_channel(system) as channel:
        name = "bestshot.orchestrator.v1.OrchestratorService"
        answer = health_pb2_grpc.HealthStub(channel).Check(
            health_pb2.HealthCheckRequest(service=name)
        )
    assert answer.status == health_pb2.HealthCheckResponse.SERVING


def test_an_album_is_made_once_a_folder(stub: Stub, run: pb.Run, album: Path) -> None:
    again = stub.CreateAlbum(pb.CreateAlbumRequest(folder=str(album))).album
    assert again.id == run.album_id
    assert again.display_name == "Trip"
    assert stub.GetAlbum(pb.GetAlbumRequest(album_id=again.id)).album == again
    assert again in stub.ListAlbums(pb.ListAlbumsRequest()).albums


def test_a_folder_outside_the_allowed_roots_is_refused(stub: Stub) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        stub.CreateAlbum(pb.CreateAlbumRequest(folder="/etc"))
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    request = detail(caught.value, error_details_pb2.BadRequest)
    assert request.field_violations[0].field == "folder"


def test_the_api_tells_what_the_files_tell(stub: Stub, run: pb.Run, curated: Curated) -> None:
    """Curate and the API are two doors to the same numbers, the last digit included."""
    images = all_images(stub, run.id)
    assert [image.path for image in images] == sorted(curated.images)
    for image in images:
        wanted = curated.images[image.path]
        assert image.reason == wanted["reason"]
        assert image.is_selected == wanted["is_selected"]
        if image.status == pb.IMAGE_STATUS_UNREADABLE:
            assert image.error == wanted["error"]
            assert not image.HasField("quality")
            continue
        assert image.composite_score == wanted["composite_score"]
        assert image.cluster_id == wanted["cluster_id"]
        for name in ("iqa_score", "ava_score", "sharpness", "laplacian_variance"):
            assert getattr(image.quality, name) == wanted["quality"][name]
        assert len(image.faces) == len(wanted["faces"])


def test_a_run_tells_config_models_and_summary(stub: Stub, run: pb.Run) -> None:
    assert run.config["cluster_scenes"]["min_cluster_size"] == 2
    assert set(run.models) == {"embedding", "quality", "face", "siamese"}
    assert run.summary.photo_count == 15
    assert run.summary.unreadable_count == 3
    assert run in [
        stub.GetRun(pb.GetRunRequest(run_id=listed.id)).run
        for listed in stub.ListRuns(pb.ListRunsRequest(album_id=run.album_id)).runs
    ]


def test_filters_of_list_images(stub: Stub, run: pb.Run) -> None:
    every = all_images(stub, run.id)
    selected = stub.ListImages(pb.ListImagesRequest(run_id=run.id, selected_only=True))
    assert list(selected.images) == [image for image in every if image.is_selected]
    cluster = stub.ListImages(pb.ListImagesRequest(run_id=run.id, cluster_id=0))
    wanted = [i for i in every if i.HasField("cluster_id") and i.cluster_id == 0]
    assert list(cluster.images) == wanted
    assert len(wanted) == 6


def test_clusters(stub: Stub, run: pb.Run) -> None:
    clusters = stub.ListClusters(pb.ListClustersRequest(run_id=run.id)).clusters
    assert [cluster.cluster_id for cluster in clusters] == [0, 1]
    assert all(cluster.image_count == 6 for cluster in clusters)
    assert all(cluster.best_path for cluster in clusters)


def test_thumbnails_are_small_jpegs(stub: Stub, run: pb.Run) -> None:
    request = pb.GetThumbnailRequest(run_id=run.id, path="china-1-sharp.jpg")
    thumbnail = Image.open(io.BytesIO(stub.GetThumbnail(request).jpeg))
    assert thumbnail.format == "JPEG"
    assert max(thumbnail.size) == 320
    with pytest.raises(grpc.RpcError) as caught:
        stub.GetThumbnail(pb.GetThumbnailRequest(run_id=run.id, path="empty.jpg"))
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


def test_reselect_tells_and_makes_what_changes_without_inference(stub: Stub, run: pb.Run) -> None:
    fewer = overrides(select_best={"max_images_per_cluster": 1})
    began = time.monotonic()
    only_told = stub.Reselect(
        pb.ReselectRequest(run_id=run.id, config_overrides=fewer, validate_only=True)
    )
    assert time.monotonic() - began < 10
    assert not only_told.run.id
    made = stub.Reselect(pb.ReselectRequest(run_id=run.id, config_overrides=fewer))
    assert made.lost_paths == only_told.lost_paths
    assert made.run.source_run_id == run.id
    selected = [image.path for image in all_images(stub, made.run.id) if image.is_selected]
    before = [image.path for image in all_images(stub, run.id) if image.is_selected]
    assert sorted([*selected, *made.lost_paths]) == sorted([*before, *made.gained_paths])
    assert len(selected) == 2


def test_reselect_with_the_same_settings_changes_nothing(stub: Stub, run: pb.Run) -> None:
    same = stub.Reselect(pb.ReselectRequest(run_id=run.id))
    assert not same.gained_paths
    assert not same.lost_paths
    assert all_images(stub, same.run.id) == all_images(stub, run.id)


def test_decisions_win_outlive_runs_and_can_be_undone(stub: Stub, run: pb.Run) -> None:
    path = "china-3-blurred.jpg"

    def decide(decision: int) -> pb.ImageResult:
        request = pb.SetDecisionRequest(album_id=run.album_id, path=path, decision=decision)
        stub.SetDecision(request)
        again = stub.Reselect(pb.ReselectRequest(run_id=run.id)).run
        return next(image for image in all_images(stub, again.id) if image.path == path)

    kept = decide(pb.DECISION_KEEP)
    assert kept.is_selected
    assert kept.reason_code == pb.REASON_CODE_USER_KEEP
    assert decide(pb.DECISION_REJECT).reason_code == pb.REASON_CODE_USER_REJECT
    undone = decide(pb.DECISION_UNSPECIFIED)
    assert undone == next(image for image in all_images(stub, run.id) if image.path == path)


def test_compare_images_is_symmetric_and_right(stub: Stub, run: pb.Run) -> None:
    def better(first: str, second: str) -> float:
        request = pb.CompareImagesRequest(run_id=run.id, first_path=first, second_path=second)
        return stub.CompareImages(request).first_better_probability

    sharp, blurred = "china-1-sharp.jpg", "china-3-blurred.jpg"
    assert better(sharp, blurred) > 0.5
    assert better(sharp, blurred) + better(blurred, sharp) == pytest.approx(1.0, abs=1e-6)
    with pytest.raises(grpc.RpcError) as caught:
        better(sharp, "empty.jpg")
    assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION


def test_export_writes_under_an_allowed_root_only(stub: Stub, run: pb.Run, album: Path) -> None:
    folder = album.parent / "exported"
    written = stub.ExportRun(pb.ExportRunRequest(run_id=run.id, output_folder=str(folder)))
    assert sorted(written.paths) == sorted(
        ["image_metrics.csv", "results.json", "run.json", "index.html"]
    )
    assert all((folder / path).exists() for path in written.paths)
    for refused in ("/etc/bestshot", "relative", str(album.parent / ".." / "..")):
        with pytest.raises(grpc.RpcError) as caught:
            stub.ExportRun(pb.ExportRunRequest(run_id=run.id, output_folder=refused))
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


def test_curate_can_use_the_running_system(
    system: str, album: Path, tmp_path: Path, curated: Curated
) -> None:
    out = album.parent / "by-address"
    arguments = ["curate", album, "--out", out, "--orchestrator", system]
    finished = bestshot(arguments, data=tmp_path)
    assert finished.code == 0, finished.text
    assert (out / "image_metrics.csv").read_bytes() == curated.csv_bytes


def test_a_run_can_be_cancelled_and_its_album_deleted(stub: Stub, album: Path) -> None:
    folder = album.parent / "many"
    folder.mkdir()
    for seed in range(40):
        Image.fromarray(draw_picture(seed, 1024, 768)).save(folder / f"{seed}.jpg")
    created = stub.CreateAlbum(pb.CreateAlbumRequest(folder=str(folder))).album
    started = stub.StartRun(pb.StartRunRequest(album_id=created.id)).run
    with pytest.raises(grpc.RpcError) as caught:
        stub.DeleteAlbum(pb.DeleteAlbumRequest(album_id=created.id))
    assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    stub.CancelRun(pb.CancelRunRequest(run_id=started.id))
    assert watch_to_its_end(stub, started.id)[-1].state == pb.RUN_STATE_CANCELLED
    with pytest.raises(grpc.RpcError) as caught:
        stub.CancelRun(pb.CancelRunRequest(run_id=started.id))
    assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    stub.DeleteAlbum(pb.DeleteAlbumRequest(album_id=created.id))
    assert len(list(folder.iterdir())) == 40
    with pytest.raises(grpc.RpcError) as caught:
        stub.GetAlbum(pb.GetAlbumRequest(album_id=created.id))
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


def test_errors_name_the_field_or_the_resource(stub: Stub, run: pb.Run) -> None:
    calls = [
        (lambda: stub.GetRun(pb.GetRunRequest(run_id="x")), "run"),
        (lambda: stub.ListImages(pb.ListImagesRequest(run_id="x")), "run"),
        (lambda: stub.GetAlbum(pb.GetAlbumRequest(album_id="x")), "album"),
        (lambda: stub.StartRun(pb.StartRunRequest(album_id="x")), "album"),
        (lambda: next(stub.WatchRun(pb.WatchRunRequest(run_id="x"))), "run"),
    ]
    for call, kind in calls:
        with pytest.raises(grpc.RpcError) as caught:
            call()
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND
        resource = detail(caught.value, error_details_pb2.ResourceInfo)
        assert (resource.resource_type, resource.resource_name) == (kind, "x")
    wrong = overrides(select_best={"max_image_per_cluster": 1})
    for request in (
        pb.StartRunRequest(album_id=run.album_id, config_overrides=wrong),
        pb.StartRunRequest(album_id=run.album_id, profile="builtn"),
    ):
        with pytest.raises(grpc.RpcError, match="did you mean") as caught:
            stub.StartRun(request)
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    with pytest.raises(grpc.RpcError) as caught:
        stub.ListImages(pb.ListImagesRequest(run_id=run.id, page_size=-1))
    violation = detail(caught.value, error_details_pb2.BadRequest).field_violations[0]
    assert violation.field == "page_size"


def test_a_run_that_needs_an_absent_siamese_service_fails_at_its_start(
    album: Path, tmp_path: Path
) -> None:
    supervisor = Supervisor(tmp_path / "logs", [])
    arguments = ["--address", "127.0.0.1:0", "--data", str(tmp_path / "data")]
    arguments += ["--set", f"allowed_roots={[str(album)]}", "--set", "siamese_address=127.0.0.1:9"]
    try:
        for name in PARTS[:3]:
            supervisor.start(name, ["--address", "127.0.0.1:0"])
        for name in PARTS[:3]:
            arguments += ["--set", f"{name}_address={supervisor.address(name)}"]
        supervisor.start("orchestrator", arguments)
        with grpc.insecure_channel(supervisor.address("orchestrator")) as channel:
            alone = orchestrator_pb2_grpc.OrchestratorServiceStub(channel)
            made = alone.CreateAlbum(pb.CreateAlbumRequest(folder=str(album))).album
            with pytest.raises(grpc.RpcError) as caught:
                alone.StartRun(pb.StartRunRequest(album_id=made.id))
            off = overrides(select_best={"siamese": {"enabled": False}})
            request = pb.StartRunRequest(album_id=made.id, config_overrides=off)
            without = alone.StartRun(request).run
            assert watch_to_its_end(alone, without.id)[-1].state == pb.RUN_STATE_COMPLETED
    finally:
        supervisor.stop()
    assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert "select_best.siamese.enabled is true, but no Siamese model" in caught.value.details()
    log = (tmp_path / "logs" / "orchestrator.log").read_text()
    assert "Siamese comparison enabled" not in log


def test_a_checkpoint_that_the_siamese_service_did_not_load_is_an_error(
    curated: Curated, tmp_path: Path
) -> None:
    other = tmp_path / "another.onnx"
    other.write_bytes(b"another checkpoint")
    flag = f"select_best.siamese.checkpoint_path={other}"
    finished = bestshot(
        ["curate", curated.photos, "--out", tmp_path / "out", "--set", flag], data=curated.data
    )
    assert finished.code == 1
    assert "the Siamese service loaded another model" in finished.text
