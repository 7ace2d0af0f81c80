"""The orchestrator's gRPC API, on a system started by `bestshot up`."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import re
import shutil
import subprocess
import uuid
import zipfile
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
import skimage.data
from bestshot.orchestrator.v1 import orchestrator_pb2 as pb
from bestshot.orchestrator.v1 import orchestrator_pb2_grpc
from google.protobuf import struct_pb2
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_status import rpc_status
from PIL import Image
from pyarrow import parquet

from orchestrator.cli.parts import MODEL_SERVICES
from tests.conftest import draw_picture
from tests.integration.access import copy_data
from tests.integration.command import Curated, bestshot
from tests.integration.parts import Part, orchestrator
from tests.integration.up import free_ports, running_up
from tests.waiting import LIMIT_S, http_get


@pytest.fixture(scope="module")
def metrics() -> dict[str, str]:
    """The metrics address of each model service."""
    ports = free_ports(len(MODEL_SERVICES))
    return {name: f"127.0.0.1:{port}" for name, port in zip(MODEL_SERVICES, ports, strict=True)}


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def system(
    request: pytest.FixtureRequest,
    album: Path,
    metrics: dict[str, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[str]:
    """`bestshot up` on each kind of database; yields the orchestrator's address."""
    base = tmp_path_factory.mktemp("up")
    with contextlib.ExitStack() as stack:
        changes = {
            f"BESTSHOT_SERVICES__{name.upper()}__METRICS_ADDRESS": address
            for name, address in metrics.items()
        }
        if request.param == "postgresql":
            url = stack.enter_context(request.getfixturevalue("postgresql").database())
            changes["BESTSHOT_SERVICES__ORCHESTRATOR__DATABASE_URL"] = url
        roots = [album.parent, base]
        addresses = stack.enter_context(running_up(base, roots, "--no-ui", changes=changes))
        yield addresses["orchestrator"]


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


def test_a_folder_becomes_one_album(stub: Stub, run: pb.Run, album: Path) -> None:
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


def test_the_api_returns_the_content_of_the_files(
    stub: Stub, run: pb.Run, curated: Curated
) -> None:
    """The command and the API return the same numbers, to the last digit."""
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


def test_a_run_has_config_models_and_summary(stub: Stub, run: pb.Run) -> None:
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
    selected = stub.ListImages(
        pb.ListImagesRequest(run_id=run.id, filters=[pb.IMAGE_FILTER_SELECTED])
    )
    assert list(selected.images) == [image for image in every if image.is_selected]
    assert stub.ListImages(pb.ListImagesRequest(run_id=run.id, selected_only=True)) == selected
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


def count_inferences(metrics: dict[str, str]) -> dict[str, float]:
    """Returns the number of pictures, or pairs, that each model service has processed so far."""
    texts = {name: http_get(f"http://{address}/metrics").text for name, address in metrics.items()}
    return {
        name: sum(map(float, re.findall(r"^bestshot_batch_items_sum(?:\{.*\})? (\S+)", text, re.M)))
        for name, text in texts.items()
    }


def test_reselect_previews_and_applies_changes_without_inference(
    stub: Stub, run: pb.Run, metrics: dict[str, str]
) -> None:
    before_it = count_inferences(metrics)
    assert all(before_it.values())
    fewer = overrides(select_best={"max_images_per_cluster": 1})
    only_told = stub.Reselect(
        pb.ReselectRequest(run_id=run.id, config_overrides=fewer, validate_only=True)
    )
    assert not only_told.run.id
    made = stub.Reselect(pb.ReselectRequest(run_id=run.id, config_overrides=fewer))
    assert made.lost_paths == only_told.lost_paths
    assert made.run.source_run_id == run.id
    selected = [image.path for image in all_images(stub, made.run.id) if image.is_selected]
    before = [image.path for image in all_images(stub, run.id) if image.is_selected]
    assert sorted([*selected, *made.lost_paths]) == sorted([*before, *made.gained_paths])
    assert len(selected) == 2
    assert count_inferences(metrics) == before_it


def test_reselect_with_the_same_settings_changes_nothing(stub: Stub, run: pb.Run) -> None:
    same = stub.Reselect(pb.ReselectRequest(run_id=run.id))
    assert not same.gained_paths
    assert not same.lost_paths
    assert all_images(stub, same.run.id) == all_images(stub, run.id)


def test_runs_are_compared_page_by_page(stub: Stub, run: pb.Run) -> None:
    same = stub.DiffRuns(pb.DiffRunsRequest(run_id=run.id, other_run_id=run.id))
    assert same == pb.DiffRunsResponse()
    changes = {
        "select_best": {"max_images_per_cluster": 1},
        "cluster_scenes": {"scene_distance": 0},
    }
    reselected = stub.Reselect(
        pb.ReselectRequest(run_id=run.id, config_overrides=overrides(**changes))
    )
    request = pb.DiffRunsRequest(run_id=run.id, other_run_id=reselected.run.id, page_size=3)
    first = stub.DiffRuns(request)
    assert list(first.gained_paths) == list(reselected.gained_paths)
    assert list(first.lost_paths) == list(reselected.lost_paths)
    told = {change.field: (change.before, change.after) for change in first.settings}
    before, after = told["select_best.max_images_per_cluster"]
    assert (before.number_value, after.number_value) == (2, 1)
    assert [*first.models, *first.added_paths, *first.changed_file_paths] == []
    assert first.regroupings
    for regrouping in first.regroupings:
        photos = [path for moment in regrouping.before for path in moment.paths]
        assert sorted(photos) == sorted(path for one in regrouping.after for path in one.paths)
    found = list(first.photo_changes)
    page = first
    while page.next_page_token:
        request.page_token = page.next_page_token
        page = stub.DiffRuns(request)
        found += page.photo_changes
    assert len(found) == first.total_change_count > 3
    assert [(change.path, change.field) for change in found] == sorted(
        (change.path, change.field) for change in found
    )
    with pytest.raises(grpc.RpcError) as caught:
        stub.DiffRuns(pb.DiffRunsRequest(run_id=run.id, other_run_id="none"))
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


def test_decisions_win_and_outlive_runs_and_can_be_undone(stub: Stub, run: pb.Run) -> None:
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


def images_by(stub: Stub, run: pb.Run, **query: object) -> list[pb.ImageResult]:
    return list(stub.ListImages(pb.ListImagesRequest(run_id=run.id, page_size=100, **query)).images)


@pytest.mark.parametrize("order", ["composite_score", "iqa_score", "ava_score", "sharpness"])
def test_photos_are_sorted_by_any_score_with_missing_scores_last(
    stub: Stub, run: pb.Run, order: str
) -> None:
    def value(image: pb.ImageResult) -> float:
        holder = image if order == "composite_score" else image.quality
        return float(getattr(holder, order))

    up, down = (images_by(stub, run, order_by=f"{order}{end}") for end in ("", " desc"))
    readable = [image for image in up if image.status == pb.IMAGE_STATUS_SCORED]
    assert [value(image) for image in readable] == sorted(map(value, readable))
    assert [value(i) for i in down[: len(readable)]] == sorted(map(value, readable), reverse=True)
    for found in (up, down):
        assert {image.status for image in found[len(readable) :]} == {pb.IMAGE_STATUS_UNREADABLE}


def test_sorting_by_moment_puts_the_best_photo_of_each_first(stub: Stub, run: pb.Run) -> None:
    found = images_by(stub, run, order_by="moment")
    assert [image.cluster_id for image in found[:12]] == [0] * 6 + [1] * 6
    assert found[0].is_selected
    assert found[6].is_selected
    assert all(image.status == pb.IMAGE_STATUS_UNREADABLE for image in found[12:])
    pages = [images_by(stub, run, order_by="moment", skip=skip)[:5] for skip in (0, 5, 10)]
    assert [image for page in pages for image in page] == found


def test_photos_are_found_by_name_and_reason(stub: Stub, run: pb.Run) -> None:
    found = images_by(stub, run, search="CHINA-1")  # its copies name it in their reasons
    assert "china-1-sharp.jpg" in {image.path for image in found}
    assert all("china-1" in image.path + image.reason for image in found)
    assert len(found) < len(images_by(stub, run))
    assert {image.path for image in images_by(stub, run, search="not a")} >= {"letter.jpg"}
    assert images_by(stub, run, search="%") == [i for i in images_by(stub, run) if "%" in i.reason]
    unreadable = images_by(stub, run, filters=[pb.IMAGE_FILTER_UNREADABLE])
    assert len(unreadable) == 3
    request = pb.GetImageRequest(run_id=run.id, path=unreadable[0].path)
    assert stub.GetImage(request).image == unreadable[0]


def test_statistics_count_the_listed_photos(stub: Stub, run: pb.Run) -> None:
    found = stub.GetRunStatistics(pb.GetRunStatisticsRequest(run_id=run.id))
    assert found.image_count == 15
    for entry in found.filter_counts:
        assert entry.image_count == len(images_by(stub, run, filters=[entry.filter]))
    for histogram in found.histograms:
        assert sum(histogram.counts) == 12, histogram.score
    assert {histogram.score for histogram in found.histograms} >= {"ava_score", "composite_score"}
    assert [(size.image_count, size.cluster_count) for size in found.cluster_sizes] == [(6, 2)]


def test_the_error_for_a_wrong_query_names_its_field(stub: Stub, run: pb.Run) -> None:
    for query, field in (
        ({"order_by": "beauty"}, "order_by"),
        ({"order_by": "path up"}, "order_by"),
        ({"filters": [0]}, "filters"),
        ({"skip": -1}, "skip"),
    ):
        with pytest.raises(grpc.RpcError) as caught:
            images_by(stub, run, **query)
        violation = detail(caught.value, error_details_pb2.BadRequest).field_violations[0]
        assert violation.field == field


def test_a_large_picture_is_decoded_from_its_file(stub: Stub, run: pb.Run) -> None:
    request = pb.GetThumbnailRequest(run_id=run.id, path="china-1-sharp.jpg", long_side_px=350)
    assert max(Image.open(io.BytesIO(stub.GetThumbnail(request).jpeg)).size) == 350
    request.long_side_px = 70_000
    with pytest.raises(grpc.RpcError) as caught:
        stub.GetThumbnail(request)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


def test_a_decision_is_applied_at_once_to_the_named_run(stub: Stub, run: pb.Run) -> None:
    own = stub.Reselect(pb.ReselectRequest(run_id=run.id)).run
    before = images_by(stub, own)
    best = next(image for image in before if image.reason_code == pb.REASON_CODE_SELECTED_BEST)

    def decide(decision: int) -> pb.SetDecisionResponse:
        return stub.SetDecision(
            pb.SetDecisionRequest(
                album_id=own.album_id, path=best.path, decision=decision, run_id=own.id
            )
        )

    rejected = decide(pb.DECISION_REJECT)
    assert rejected.previous_decision == pb.DECISION_UNSPECIFIED
    changed = {image.path: image for image in rejected.changed_images}
    assert changed[best.path].reason_code == pb.REASON_CODE_USER_REJECT
    assert changed[best.path].decision == pb.DECISION_REJECT
    assert [image.path for image in images_by(stub, own, filters=[pb.IMAGE_FILTER_DECIDED])] == [
        best.path
    ]
    whole = stub.Reselect(pb.ReselectRequest(run_id=own.id, validate_only=True))
    assert not whole.gained_paths
    assert not whole.lost_paths
    count = stub.GetRun(pb.GetRunRequest(run_id=own.id)).run.summary.selected_count
    assert count == sum(image.is_selected for image in images_by(stub, own))
    assert decide(pb.DECISION_UNSPECIFIED).previous_decision == pb.DECISION_REJECT
    assert images_by(stub, own) == before


def moments(stub: Stub, run_id: str) -> set[frozenset[str]]:
    found: dict[object, set[str]] = {}
    for image in all_images(stub, run_id, 1000):
        if image.HasField("cluster_id"):
            is_single = image.cluster_id < 0
            found.setdefault(image.path if is_single else image.cluster_id, set()).add(image.path)
    return set(map(frozenset, found.values()))


def test_moments_are_corrected_at_once_in_later_runs_and_undone(stub: Stub, run: pb.Run) -> None:
    own = stub.Reselect(pb.ReselectRequest(run_id=run.id)).run
    before = {image.path: image for image in all_images(stub, own.id, 1000)}
    china, flower = "china-1-sharp.jpg", "flower-1-sharp.jpg"

    def append(action: int, *paths: str, target: str = "") -> pb.AppendDecisionResponse:
        return stub.AppendDecision(
            pb.AppendDecisionRequest(
                album_id=own.album_id,
                action=action,
                paths=paths,
                target_path=target,
                run_id=own.id,
            )
        )

    found = moments(stub, own.id)
    merged = append(pb.DECISION_ACTION_MERGE, china, flower)
    assert flower in {image.path for image in merged.changed_images}
    together = next(moment for moment in moments(stub, own.id) if china in moment)
    assert flower in together
    listed = {image.path: image for image in all_images(stub, own.id, 1000)}
    assert sum(listed[path].is_selected for path in together) <= 2
    for path, image in before.items():
        assert listed[path].HasField("machine_cluster_id") == image.HasField("cluster_id")
        assert listed[path].machine_cluster_id == image.cluster_id
    again = stub.StartRun(pb.StartRunRequest(album_id=own.album_id)).run
    watch_to_its_end(stub, again.id)
    assert all_images(stub, again.id, 1000) == list(listed.values()), "as a new run has it"
    summary = stub.GetRun(pb.GetRunRequest(run_id=own.id)).run.summary
    assert summary.cluster_count == own.summary.cluster_count - 1
    assert summary.selected_count == sum(image.is_selected for image in listed.values())

    append(pb.DECISION_ACTION_SPLIT, china)
    moved = append(pb.DECISION_ACTION_MOVE, "china-2-shifted.jpg", target=china)
    assert frozenset({china, "china-2-shifted.jpg"}) in moments(stub, own.id)
    later = stub.Reselect(pb.ReselectRequest(run_id=run.id)).run
    assert moments(stub, later.id) == moments(stub, own.id), "every later run applies them"

    def undo(entry_id: str = "") -> pb.UndoDecisionResponse:
        return stub.UndoDecision(
            pb.UndoDecisionRequest(album_id=own.album_id, entry_id=entry_id, run_id=own.id)
        )

    assert undo().undone_entry.id == moved.entry.id
    undo(merged.entry.id)
    undone = undo()
    assert undone.undone_entry.action == pb.DECISION_ACTION_SPLIT
    assert moments(stub, own.id) == found
    after = {image.path: image for image in all_images(stub, own.id, 1000)}
    assert after == before
    log = stub.ListDecisions(pb.ListDecisionsRequest(album_id=own.album_id, page_size=1000)).entries
    assert [entry.is_in_force for entry in log[-6:]] == [False] * 3 + [True] * 3
    again = pb.ImportDecisionsRequest(album_id=own.album_id, entries=log, run_id=own.id)
    assert stub.ImportDecisions(again).added_count == 0
    redone = undo(undone.entry.id)
    assert redone.undone_entry.action == pb.DECISION_ACTION_UNDO
    assert frozenset({china}) in moments(stub, own.id)
    undo(redone.entry.id)


def test_invalid_decisions_are_refused(stub: Stub, run: pb.Run) -> None:
    def append(action: int, *paths: str, target: str = "") -> grpc.RpcError:
        request = pb.AppendDecisionRequest(
            album_id=run.album_id, action=action, paths=paths, target_path=target
        )
        with pytest.raises(grpc.RpcError) as caught:
            stub.AppendDecision(request)
        return caught.value

    path = "china-1-sharp.jpg"
    assert "needs at least 2 photos" in append(pb.DECISION_ACTION_MERGE, path).details()
    assert "needs a target" in append(pb.DECISION_ACTION_MOVE, path).details()
    assert "its own moment" in append(pb.DECISION_ACTION_MOVE, path, target=path).details()
    assert "call UndoDecision" in append(pb.DECISION_ACTION_UNDO, path).details()
    assert "not a DecisionAction" in append(99, path).details()
    assert append(pb.DECISION_ACTION_KEEP, "nowhere.jpg").code() == grpc.StatusCode.NOT_FOUND
    with pytest.raises(grpc.RpcError, match="no earlier entry"):
        stub.UndoDecision(pb.UndoDecisionRequest(album_id=run.album_id, entry_id="none"))
    entries = [pb.DecisionEntry(id="x", action=pb.DECISION_ACTION_KEEP)]
    with pytest.raises(grpc.RpcError, match="create_time"):
        stub.ImportDecisions(pb.ImportDecisionsRequest(album_id=run.album_id, entries=entries))


def test_every_photo_is_explained_with_the_numbers_that_were_used(stub: Stub, run: pb.Run) -> None:
    images = {image.path: image for image in all_images(stub, run.id, 1000)}
    weights = run.config["select_best"]["quality_weights"]
    tied = 0
    for path, image in images.items():
        request = pb.ExplainImageRequest(run_id=run.id, path=path)
        if image.status == pb.IMAGE_STATUS_UNREADABLE:
            with pytest.raises(grpc.RpcError, match="could not be read"):
                stub.ExplainImage(request)
            continue
        found = stub.ExplainImage(request).explanation
        iqa, ava = found.terms
        assert (iqa.value, iqa.weight) == (image.quality.iqa_score, weights["iqa"])
        assert ava.contribution == weights["ava"] * ((image.quality.ava_score - 1) / 9)
        composite = iqa.contribution + ava.contribution + found.person_penalty
        assert composite == found.composite_score == image.composite_score
        assert found.person_penalty == image.person_penalty
        assert (found.reason, found.lost_to_path) == (image.reason, image.lost_to_path)
        same = [
            other
            for other in images.values()
            if other.HasField("cluster_id") and other.cluster_id == image.cluster_id
        ]
        assert found.moment_size == (1 if image.cluster_id < 0 else len(same))
        inside = found.grouping.nearest_inside
        if image.cluster_id >= 0:
            assert images[inside.path].cluster_id == image.cluster_id
            assert inside.distance <= found.grouping.farthest_inside.distance
        assert images[found.grouping.nearest_outside.path].cluster_id != image.cluster_id
        assert [one.similarity for one in found.neighbours] == sorted(
            (one.similarity for one in found.neighbours), reverse=True
        )
        if found.HasField("points"):
            tied += 1
            assert found.points == pytest.approx(sum(m.probability for m in found.matches))
            assert len(found.matches) == found.tied_count
            for match in found.matches:
                compared = stub.CompareImages(
                    pb.CompareImagesRequest(run_id=run.id, first_path=path, second_path=match.path)
                ).first_better_probability
                assert match.probability == pytest.approx(compared, abs=1e-12)
        assert found.lines[0] == image.reason
    assert tied


def test_an_album_is_renamed(stub: Stub, run: pb.Run) -> None:
    for name in ("Summer", "Trip"):
        request = pb.UpdateAlbumRequest(album_id=run.album_id, display_name=f" {name} ")
        for paths in ([], ["display_name"], ["*"]):
            request.update_mask.paths[:] = paths
            assert stub.UpdateAlbum(request).album.display_name == name
    request.update_mask.paths[:] = ["folder"]
    nameless = pb.UpdateAlbumRequest(album_id=run.album_id, display_name=" ")
    for wrong, field in ((request, "update_mask"), (nameless, "display_name")):
        with pytest.raises(grpc.RpcError, match=field) as caught:
            stub.UpdateAlbum(wrong)
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


def upload(stub: Stub, *files: tuple[str, bytes]) -> pb.UploadAlbumResponse:
    def parts() -> Iterator[pb.UploadAlbumRequest]:
        yield pb.UploadAlbumRequest(header=pb.UploadHeader(display_name="From my phone"))
        for name, content in files:
            yield pb.UploadAlbumRequest(filename=name)
            for start in range(0, len(content), 1000):
                yield pb.UploadAlbumRequest(chunk=content[start : start + 1000])

    return stub.UploadAlbum(parts())


def test_uploaded_photos_become_an_album(stub: Stub, album: Path) -> None:
    content = (album / "china-1-sharp.jpg").read_bytes()
    names = ("../../a.jpg", "b.jpg", "b.jpg", "day 1/./b.jpg")
    made = upload(stub, *((name, content) for name in names), ("day 1/b.xmp", b"<x/>"))
    assert made.photo_count == 4
    assert made.album.display_name == "From my phone"
    folder = Path(made.album.folder)
    stored = {str(path.relative_to(folder)) for path in folder.rglob("*.*")}
    assert stored == {"a.jpg", "b.jpg", "b (2).jpg", "day 1/b.jpg", "day 1/b.xmp"}
    assert all(path.read_bytes() == content for path in folder.rglob("*.jpg"))
    started = stub.StartRun(pb.StartRunRequest(album_id=made.album.id)).run
    assert watch_to_its_end(stub, started.id)[-1].state == pb.RUN_STATE_COMPLETED
    stub.DeleteAlbum(pb.DeleteAlbumRequest(album_id=made.album.id))
    assert len(list(folder.rglob("*.jpg"))) == 4


def test_an_upload_that_fails_leaves_nothing(stub: Stub, album: Path) -> None:
    content = (album / "china-1-sharp.jpg").read_bytes()
    with pytest.raises(grpc.RpcError, match=r"script\.sh") as caught:
        upload(stub, ("a.jpg", content), ("script.sh", b"x"))
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    with pytest.raises(grpc.RpcError, match="no photos"):
        upload(stub)
    with pytest.raises(grpc.RpcError, match="must contain only a header"):
        stub.UploadAlbum(iter([pb.UploadAlbumRequest(chunk=bytes(10**6))]))


def test_settings_are_described_with_their_bounds(stub: Stub) -> None:
    described = stub.DescribeSettings(pb.DescribeSettingsRequest())
    assert described.profile == "builtin"
    assert {profile.name for profile in described.profiles} >= {"builtin", "lite", "reference"}
    settings = {setting.key: setting for setting in described.settings}
    method = settings["cluster_scenes.method"]
    assert list(method.choices) == ["hdbscan", "dbscan"]
    threshold = settings["select_best.min_score_threshold"]
    assert (threshold.minimum, threshold.maximum) == (-1.0, 1.0)
    assert described.config["select_best"]["max_images_per_cluster"] == 2
    assert described.allowed_roots
    other = stub.DescribeSettings(pb.DescribeSettingsRequest(profile="reference"))
    assert other.config["cluster_scenes"]["scene_distance"] is None
    with pytest.raises(grpc.RpcError, match="builtn"):
        stub.DescribeSettings(pb.DescribeSettingsRequest(profile="builtn"))


def test_settings_are_kept_as_a_profile_that_runs_can_name(stub: Stub, run: pb.Run) -> None:
    weights = {"quality_weights": {"iqa": 0.36, "ava": 0.64}}
    request = pb.KeepProfileRequest(
        name="mine",
        base_profile=run.profile,
        description="sharper",
        config_overrides=overrides(select_best=weights),
    )
    for _ in range(2):  # a repeated call changes nothing
        assert stub.KeepProfile(request).name == "mine"
    described = stub.DescribeSettings(pb.DescribeSettingsRequest(profile="mine"))
    assert {one.name: one.description for one in described.profiles}["mine"] == "sharper"
    started = stub.StartRun(pb.StartRunRequest(album_id=run.album_id, profile="mine")).run
    stub.CancelRun(pb.CancelRunRequest(run_id=started.id))
    assert started.profile == "mine"
    assert dict(started.config["select_best"]["quality_weights"]) == weights["quality_weights"]
    for name, problem in (
        ("builtin", "ships"),
        ("mine", "already"),
        ("../up", "not a valid profile name"),
    ):
        request.name = name
        request.description = "another"
        with pytest.raises(grpc.RpcError, match=problem):
            stub.KeepProfile(request)
    request.name = "other"
    request.config_overrides.update({"select_best": {"quality_weights": {"iqa": 7}}})
    with pytest.raises(grpc.RpcError, match="must be at most 1"):
        stub.KeepProfile(request)
    request.config_overrides.CopyFrom(overrides(select_best={"goal": {"count": 1e300}}))
    with pytest.raises(grpc.RpcError, match="an integer must fit into 64 bits"):
        stub.KeepProfile(request)


def test_models_are_listed(stub: Stub, run: pb.Run) -> None:
    served = stub.ListModels(pb.ListModelsRequest()).models
    assert {entry.role: entry.model for entry in served} == dict(run.models)
    assert not any(entry.error for entry in served)


def downloaded(stub: Stub, run: pb.Run, wanted: int) -> tuple[str, bytes]:
    pieces = list(stub.DownloadRun(pb.DownloadRunRequest(run_id=run.id, format=wanted)))
    return pieces[0].filename, b"".join(piece.chunk for piece in pieces)


def test_downloads_equal_the_files(stub: Stub, run: pb.Run, curated: Curated) -> None:
    name, content = downloaded(stub, run, pb.DOWNLOAD_FORMAT_CSV)
    assert (name, content) == ("image_metrics.csv", curated.csv_bytes)
    _, content = downloaded(stub, run, pb.DOWNLOAD_FORMAT_JSON)
    assert content == (curated.out / "results.json").read_bytes()


def test_parquet_has_every_score_of_every_photo(stub: Stub, run: pb.Run, curated: Curated) -> None:
    _, content = downloaded(stub, run, pb.DOWNLOAD_FORMAT_PARQUET)
    rows = {row["path"]: row for row in parquet.read_table(io.BytesIO(content)).to_pylist()}
    assert set(rows) == set(curated.images)
    for path, wanted in curated.images.items():
        row = rows[path]
        scores = wanted["quality"] or {}
        for field, value in {**wanted, **scores}.items():
            if field not in ("quality", "faces"):
                assert row[field] == value, (path, field)
        assert row["faces"] == wanted["faces"]


def test_exiftool_reads_the_sidecars_in_zips(
    stub: Stub, run: pb.Run, album: Path, tmp_path: Path
) -> None:
    images = images_by(stub, run)
    selected = [image.path for image in images if image.is_selected]
    _, content = downloaded(stub, run, pb.DOWNLOAD_FORMAT_SELECTED_ZIP)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.testzip() is None
        photos = [name for name in archive.namelist() if not name.endswith(".xmp")]
        assert photos == selected
        for path in photos:
            assert archive.read(path) == (album / path).read_bytes()
    _, content = downloaded(stub, run, pb.DOWNLOAD_FORMAT_XMP_ZIP)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert len(archive.namelist()) == 12
        archive.extractall(tmp_path)
    if shutil.which("exiftool") is None:
        pytest.skip("exiftool is not installed")
    command = ["exiftool", "-json", "-r", "-ext", "xmp", "-Rating", "-Label", str(tmp_path)]
    tags = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    found = {Path(entry["SourceFile"]).relative_to(tmp_path).as_posix(): entry for entry in tags}
    for image in images:
        if image.status == pb.IMAGE_STATUS_SCORED:
            entry = found[str(Path(image.path).with_suffix(".xmp"))]
            assert entry["Rating"] in ((4, 5) if image.is_selected else (1,))
            assert (entry.get("Label") == "Green") == image.is_selected


def test_compare_images_is_symmetric_and_correct(stub: Stub, run: pb.Run) -> None:
    def better(first: str, second: str) -> float:
        request = pb.CompareImagesRequest(run_id=run.id, first_path=first, second_path=second)
        return stub.CompareImages(request).first_better_probability

    sharp, blurred = "china-1-sharp.jpg", "china-3-blurred.jpg"
    assert better(sharp, blurred) > 0.5
    assert better(sharp, blurred) + better(blurred, sharp) == pytest.approx(1.0, abs=1e-6)
    with pytest.raises(grpc.RpcError) as caught:
        better(sharp, "empty.jpg")
    assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION


def test_export_writes_only_under_an_allowed_root(stub: Stub, run: pb.Run, album: Path) -> None:
    folder = album.parent / "exported"
    written = stub.ExportRun(pb.ExportRunRequest(run_id=run.id, output_folder=str(folder)))
    assert sorted(written.paths) == sorted(
        ["image_metrics.csv", "results.json", "run.json", "index.html"]
    )
    assert all((folder / path).exists() for path in written.paths)
    (folder / "index.html").write_text("mine")
    request = pb.ExportRunRequest(run_id=run.id, output_folder=str(folder))
    with pytest.raises(grpc.RpcError, match=r"changed afterwards: index\.html") as caught:
        stub.ExportRun(request)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    request.overwrite_foreign_files = True
    stub.ExportRun(request)
    assert (folder / "index.html").read_text() != "mine"
    outside = ("/etc/bestshot", "relative", str(album.parent / ".." / ".."))
    for refused in (*outside, str(album), str(album / "more"), str(album.parent)):
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
    settings = album.parent / "settings.yaml"
    settings.write_text("{cluster_scenes: {min_samples: 3}, filter_quality: {min_sharpness: 0.2}}")
    arguments += ["--config", settings, "--set", "cluster_scenes.min_samples=4"]
    changes = {"BESTSHOT_PIPELINE__SELECT_BEST__MAX_IMAGES_PER_CLUSTER": "1"}
    arguments += ["--set", "cluster_scenes.max_joint_count=5"]
    finished = bestshot([*arguments, "--profile", "reference"], data=tmp_path, changes=changes)
    assert finished.code == 0, finished.text
    assert "photos are too many to group at once" in " ".join(finished.text.split())
    run = json.loads((out / "run.json").read_text())
    assert run["profile"] == "reference"
    assert run["config"]["filter_quality"]["min_sharpness"] == 0.2
    assert run["config"]["cluster_scenes"]["min_samples"] == 4
    assert run["config"]["select_best"]["max_images_per_cluster"] == 1
    assert len(run["notes"]) == 1
    assert run["notes"][0].partition("(")[0] in (out / "index.html").read_text()
    finished = bestshot([*arguments, "--profile", "referenc"], data=tmp_path)
    assert finished.code == 1
    assert "'referenc'" in finished.text


def test_a_run_can_be_cancelled_and_its_album_deleted(stub: Stub, album: Path) -> None:
    folder = album.parent / "many"
    folder.mkdir(exist_ok=True)
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
    deletion = pb.DeleteRunRequest(run_id=started.id, request_id=str(uuid.uuid4()))
    assert stub.DeleteRun(deletion) == stub.DeleteRun(deletion)
    with pytest.raises(grpc.RpcError) as caught:
        stub.DeleteRun(pb.DeleteRunRequest(run_id=started.id))
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND
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
    services: dict[str, Part], album: Path, tmp_path: Path
) -> None:
    addresses = {name: part.address for name, part in services.items()}
    with orchestrator(tmp_path, {**addresses, "siamese": "127.0.0.1:9"}, album) as alone:
        made = alone.stub.CreateAlbum(pb.CreateAlbumRequest(folder=str(album))).album
        with pytest.raises(grpc.RpcError) as caught:
            alone.stub.StartRun(pb.StartRunRequest(album_id=made.id))
        off = overrides(select_best={"siamese": {"enabled": False}})
        request = pb.StartRunRequest(album_id=made.id, config_overrides=off)
        without = alone.stub.StartRun(request).run
        assert watch_to_its_end(alone.stub, without.id)[-1].state == pb.RUN_STATE_COMPLETED
    assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert "select_best.siamese.enabled is true, but no Siamese model" in caught.value.details()
    log = (tmp_path / "orchestrator.log").read_text()
    assert "Siamese CNN enabled for comparison" not in log


def test_a_repeated_call_is_applied_once(stub: Stub, run: pb.Run) -> None:
    """A lost response is returned again: after the first call, and while it is in progress."""
    paths = [image.path for image in all_images(stub, run.id)][:2]
    for path in paths:
        stub.AppendDecision(
            pb.AppendDecisionRequest(
                album_id=run.album_id, action=pb.DECISION_ACTION_KEEP, paths=[path]
            )
        )
    log = pb.ListDecisionsRequest(album_id=run.album_id, page_size=1000)
    before = len(stub.ListDecisions(log).entries)

    undo = pb.UndoDecisionRequest(album_id=run.album_id, run_id=run.id)
    undo.request_id = str(uuid.uuid4())
    calls = [stub.UndoDecision.future(undo) for _ in range(4)]
    first, *others = [call.result(timeout=LIMIT_S) for call in calls]
    assert others == [first] * 3 == [stub.UndoDecision(undo)] * 3
    assert len(stub.ListDecisions(log).entries) == before + 1

    undo.run_id = ""
    for wrong in (undo, pb.UndoDecisionRequest(album_id=run.album_id, request_id="7")):
        with pytest.raises(grpc.RpcError) as caught:
            stub.UndoDecision(wrong)
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert "request_id" in caught.value.details()

    start = pb.StartRunRequest(album_id=run.album_id, request_id=str(uuid.uuid4()))
    calls = [stub.StartRun.future(start) for _ in range(3)]
    assert len({call.result(timeout=LIMIT_S).run.id for call in calls}) == 1
    watch_to_its_end(stub, calls[0].result().run.id)
    header = pb.UploadHeader(display_name="Twice", request_id=str(uuid.uuid4()))
    content = draw_jpeg()

    def parts() -> Iterator[pb.UploadAlbumRequest]:
        yield pb.UploadAlbumRequest(header=header)
        yield pb.UploadAlbumRequest(filename="one.jpg")
        yield pb.UploadAlbumRequest(chunk=content)

    assert stub.UploadAlbum(parts()) == stub.UploadAlbum(parts())
    new = pb.DeleteAlbumRequest(album_id=stub.UploadAlbum(parts()).album.id)
    new.request_id = str(uuid.uuid4())
    assert stub.DeleteAlbum(new) == stub.DeleteAlbum(new)
    stub.UndoDecision(pb.UndoDecisionRequest(album_id=run.album_id))  # on the first path


def draw_jpeg() -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(draw_picture(7, 64, 48)).save(buffer, "JPEG")
    return buffer.getvalue()


def test_a_setting_or_profile_reveals_nothing_about_files_elsewhere(
    stub: Stub, run: pb.Run, tmp_path: Path
) -> None:
    """Callers can name models, but paths outside the models folder are neither read nor
    revealed."""
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "there.yaml").write_text("secret: 1")
    answers = set()
    for path in ("/dev/zero", "/etc/passwd", "/absent", "../../etc/passwd", "/etc", "~/.bashrc"):
        answers.add(refusal(stub, run, path))
    for name in ("fifo", "loop", "there.yaml", "absent"):
        answers.add(refusal(stub, run, str(tmp_path / name)))
    assert len(answers) == 1
    for name in ("there", "absent"):
        profile = f"../../../../../../../../{tmp_path}/{name}"
        request = pb.StartRunRequest(album_id=run.album_id, profile=profile)
        with pytest.raises(grpc.RpcError) as caught:
            stub.StartRun(request)
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert "there is no profile" in caught.value.details()
    for folder in (tmp_path / "loop", "/etc", "/absent", "/etc/passwd/absent"):
        with pytest.raises(grpc.RpcError) as caught:
            stub.CreateAlbum(pb.CreateAlbumRequest(folder=str(folder)))
        assert "not in any of the allowed roots" in caught.value.details()


def refusal(stub: Stub, run: pb.Run, path: str) -> str:
    settings = overrides(select_best={"siamese": {"checkpoint_path": path}})
    with pytest.raises(grpc.RpcError) as caught:
        stub.StartRun(pb.StartRunRequest(album_id=run.album_id, config_overrides=settings))
    assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    return str(caught.value.details())


def test_a_checkpoint_that_the_siamese_service_did_not_load_is_an_error(
    curated: Curated, tmp_path: Path
) -> None:
    other = tmp_path / "another.onnx"
    other.write_bytes(b"another checkpoint")
    flag = f"select_best.siamese.checkpoint_path={other}"
    copy_data(curated, tmp_path)
    finished = bestshot(
        ["curate", curated.photos, "--out", tmp_path / "out", "--set", flag], data=tmp_path / "data"
    )
    assert finished.code == 1
    assert "the Siamese service loaded a different model" in finished.text


def test_face_faults_follow_the_thresholds_of_the_run(stub: Stub, album: Path) -> None:
    """Penalty, faults, caption, filter and gallery agree, for a run and its reselections."""
    folder = album.parent / "portrait"
    folder.mkdir(exist_ok=True)
    Image.fromarray(skimage.data.astronaut()).save(folder / "astronaut.png")
    made = stub.CreateAlbum(pb.CreateAlbumRequest(folder=str(folder))).album
    started = stub.StartRun(pb.StartRunRequest(album_id=made.id)).run
    assert watch_to_its_end(stub, started.id)[-1].state == pb.RUN_STATE_COMPLETED
    (image,) = all_images(stub, started.id)
    for threshold, is_fault in ((image.eyes_score, False), (image.eyes_score + 1e-6, True)):
        penalties = {
            "eyes_threshold": threshold,
            "pose_threshold": 0,
            "smile_threshold": 0,
        }
        changes = overrides(select_best={"person_penalties": penalties})
        request = pb.ReselectRequest(run_id=started.id, config_overrides=changes)
        again = stub.Reselect(request).run
        (found,) = all_images(stub, again.id)
        assert list(found.face_faults) == ([pb.FACE_FAULT_EYES_CLOSED] if is_fault else [])
        assert (found.person_penalty < 0) == is_fault
        words = "eyes closed" if is_fault else "eyes open"
        assert found.face_caption == f"1 face | {words} | smiling"
        assert ("eyes closed" in found.reason) == is_fault
        filtered = images_by(stub, again, filters=[pb.IMAGE_FILTER_EYES_CLOSED])
        assert [photo.path for photo in filtered] == (["astronaut.png"] if is_fault else [])
        out = folder.parent / f"portrait-out-{started.id}-{is_fault}"
        stub.ExportRun(pb.ExportRunRequest(run_id=again.id, output_folder=str(out)))
        page = (out / "index.html").read_text()
        assert f"1 face | {words} | smiling" in page
        assert ("eyes closed" in page) == is_fault
        (row,) = csv.DictReader((out / "image_metrics.csv").read_text().splitlines())
        assert row["Face_Faults"] == ('["eyes_closed"]' if is_fault else "")
