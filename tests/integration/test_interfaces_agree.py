"""gRPC, JSON and the command line report the same mistakes in the same words."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from bestshot.orchestrator.v1 import orchestrator_pb2 as pb
from bestshot.orchestrator.v1 import orchestrator_pb2_grpc
from google.protobuf.message import Message
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from services.common.rpc.status import HTTP_STATUS
from tests.integration.access import copy_data
from tests.integration.command import Curated, bestshot
from tests.integration.parts import orchestrator
from tests.integration.up import free_ports
from tests.waiting import http_get

RUN = "{run}"


@dataclass(frozen=True)
class Interfaces:
    """An orchestrator without model services, and the data folder that it serves."""

    stub: orchestrator_pb2_grpc.OrchestratorServiceStub
    url: str
    address: str
    curated: Curated
    run_id: str


@pytest.fixture(scope="module")
def interfaces(curated: Curated, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Interfaces]:
    base = tmp_path_factory.mktemp("interfaces")
    copy_data(curated, base)
    (port,) = free_ports(1)
    address = f"127.0.0.1:{port}"
    with orchestrator(base, {}, curated.photos, http_address=address) as part:
        copy = Curated(curated.photos, curated.out, base / "data", "")
        yield Interfaces(
            part.stub, f"http://{address}/api/v1", part.address, copy, str(curated.run["id"])
        )


def by_grpc(interfaces: Interfaces, request: Message) -> tuple[grpc.StatusCode, str, str, str]:
    """Returns code, message, reason and field of the error."""
    for field in ("run_id", "other_run_id"):
        if getattr(request, field, "") == RUN:
            setattr(request, field, interfaces.run_id)
    with pytest.raises(grpc.RpcError) as caught:
        getattr(interfaces.stub, request.DESCRIPTOR.name.removesuffix("Request"))(request)
    status = rpc_status.from_call(caught.value)
    info, violations = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    for detail in status.details:
        detail.Unpack(info)
        detail.Unpack(violations)
    field = "".join(violation.field for violation in violations.field_violations)
    return caught.value.code(), caught.value.details(), info.reason, field


def by_json(interfaces: Interfaces, place: str) -> tuple[int, dict[str, Any]]:
    answer = http_get(interfaces.url + place.replace(RUN, interfaces.run_id))
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    return answer.status_code, dict(json.loads(answer.text))


@pytest.mark.parametrize(
    ("request_", "place", "command"),
    [
        (pb.GetRunRequest(run_id="nowhere"), "/runs/nowhere", ["show", "nowhere"]),
        (pb.GetAlbumRequest(album_id="nowhere"), "/albums/nowhere", None),
        (
            pb.ExplainImageRequest(run_id=RUN, path="none.jpg"),
            "/runs/{run}/explanation?path=none.jpg",
            ["explain", "none.jpg", RUN],
        ),
        (
            pb.ExplainImageRequest(run_id=RUN, path="torn.jpg"),
            "/runs/{run}/explanation?path=torn.jpg",
            ["explain", "torn.jpg", RUN],
        ),
        (pb.GetImageRequest(run_id=RUN, path="x"), "/runs/{run}/image?path=x", None),
        (
            pb.DiffRunsRequest(run_id="nowhere", other_run_id=RUN),
            "/runs/nowhere/diff/{run}",
            ["diff", "nowhere"],
        ),
        (pb.ListPairsRequest(run_id=RUN, page_size=-1), "/runs/{run}/pairs?page_size=-1", None),
        (
            pb.ProposeWeightsRequest(run_id="nowhere"),
            "/runs/nowhere/proposed_weights",
            ["tune", "nowhere", "--pairs"],
        ),
        (pb.EvaluateRunRequest(run_id=RUN), "/runs/{run}/evaluation", ["evaluate", RUN]),
        (pb.DescribeSettingsRequest(profile="builtn"), "/settings?profile=builtn", None),
        (pb.ListRunsRequest(page_token="x"), "/runs?page_token=x", None),
        (pb.ListRunsRequest(page_size=-1), "/runs?page_size=-1", None),
        (
            pb.ListImagesRequest(run_id=RUN, order_by="x"),
            "/runs/{run}/images?order_by=x",
            None,
        ),
        (pb.ListImagesRequest(run_id=RUN, skip=-1), "/runs/{run}/images?skip=-1", None),
        (
            pb.ListClustersRequest(run_id=RUN, skip=1, page_token="x"),
            "/runs/{run}/clusters?skip=1&page_token=x",
            None,
        ),
        (
            pb.GetThumbnailRequest(run_id=RUN, path="x", long_side_px=65501),
            "/runs/{run}/thumbnail?path=x&long_side_px=65501",
            None,
        ),
    ],
    ids=lambda value: value.DESCRIPTOR.name if isinstance(value, Message) else "",
)
def test_a_mistake_causes_the_same_error_everywhere(
    interfaces: Interfaces, request_: Message, place: str, command: list[str] | None
) -> None:
    code, message, reason, field = by_grpc(interfaces, request_)
    status, problem = by_json(interfaces, place)
    assert status == problem["status"] == HTTP_STATUS[code.name]
    assert (problem["detail"], problem["reason"], problem["field"]) == (message, reason, field)
    if command is not None:
        # other modules may have added runs to the album: "latest" is not always this one
        command = [interfaces.run_id if word == RUN else word for word in command]
        served = bestshot([*command, "--orchestrator", interfaces.address], data=Path("/nowhere"))
        local = bestshot(command, data=interfaces.curated.data)
        assert served == local
        assert (served.code, served.text) == (1, f"error: {message}\n")


def test_larger_pages_are_reduced_to_the_maximum(interfaces: Interfaces) -> None:
    request = pb.ListImagesRequest(run_id=interfaces.run_id, page_size=100_000)
    by_stub = [image.path for image in interfaces.stub.ListImages(request).images]
    answer = http_get(f"{interfaces.url}/runs/{interfaces.run_id}/images?page_size=100000").json()
    assert [image["path"] for image in answer["images"]] == by_stub
    assert len(by_stub) == 15


def test_an_unknown_profile_of_a_run_is_reported(interfaces: Interfaces, tmp_path: Path) -> None:
    asked = by_grpc(interfaces, pb.DescribeSettingsRequest(profile="builtn"))
    (album,) = interfaces.stub.ListAlbums(pb.ListAlbumsRequest()).albums
    assert by_grpc(interfaces, pb.StartRunRequest(album_id=album.id, profile="builtn")) == asked
    arguments = [
        "curate",
        interfaces.curated.photos,
        "--out",
        tmp_path / "out",
        "--profile",
        "builtn",
    ]
    finished = bestshot([*arguments, "--orchestrator", interfaces.address], data=tmp_path / "data")
    plain = asked[1].removeprefix("profile: ")  # the field is for programs
    assert (finished.code, finished.text) == (1, f"error: {plain}\n")


def test_an_unreachable_orchestrator_and_two_sources_are_refused(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    address = f"127.0.0.1:{port}"
    gone = bestshot(["runs", "--orchestrator", address], data=tmp_path)
    assert gone.code == 1
    assert gone.text.startswith(f"error: the orchestrator at {address} cannot be reached")
    assert gone.text.count("\n") == 1
    both = bestshot(["runs", "--orchestrator", address, "--data", tmp_path], data=tmp_path)
    assert both.code == 2
    assert "--data cannot be combined" in both.text


def test_local_and_served_reports_are_equal(interfaces: Interfaces) -> None:
    photo = "china-1-sharp.jpg"
    for command in (["runs"], ["show"], ["explain", photo], ["diff", interfaces.run_id[:8]]):
        served = bestshot([*command, "--orchestrator", interfaces.address], data=Path("/nowhere"))
        local = bestshot(command, data=interfaces.curated.data)
        assert served == local
        assert served.code == 0, served.text
        assert len(served.text) > 10


def test_local_and_served_exports_are_equal(interfaces: Interfaces, tmp_path: Path) -> None:
    flags = ("--selected", "copy", "--xmp")
    for name, place in (("local", []), ("served", ["--orchestrator", interfaces.address])):
        arguments = ["export", "--out", tmp_path / name, *flags, *place]
        finished = bestshot(arguments, data=interfaces.curated.data)
        assert finished.code == 0, finished.text
    files = {
        name: {
            str(path.relative_to(tmp_path / name)): path
            for path in (tmp_path / name).rglob("*")
            if path.is_file()
        }
        for name in ("local", "served")
    }
    assert files["local"].keys() == files["served"].keys()
    for path, local in files["local"].items():
        served = files["served"][path]
        assert served.read_bytes() == local.read_bytes(), path
        assert served.stat().st_mode == local.stat().st_mode, path
        if path.startswith("selected/") and not path.endswith(".xmp"):
            # zips store times in steps of two seconds
            assert abs(served.stat().st_mtime - local.stat().st_mtime) <= 2, path
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "index.html").write_text("my own")
    arguments = ["export", "--out", foreign, "--orchestrator", interfaces.address]
    refused = bestshot(arguments, data=tmp_path)
    assert refused.code == 1
    assert "not recorded as bestshot's" in refused.text
    assert [path.name for path in foreign.iterdir()] == ["index.html"]
    inside = bestshot(
        ["export", "--out", interfaces.curated.photos / "x", "--orchestrator", interfaces.address],
        data=tmp_path,
    )
    assert inside.code == 1
    assert "is inside the album" in inside.text


def test_a_run_and_its_album_are_deleted_once_that_is_confirmed(interfaces: Interfaces) -> None:
    data, name = interfaces.curated.data, interfaces.run_id[:8]
    asked = bestshot(["delete-run", name], data=data)
    assert asked.code == 1
    assert f"Delete run {interfaces.run_id} of" in asked.text
    done = bestshot(["delete-run", name, "--yes"], data=data)
    assert (done.code, done.text) == (0, f"deleted run {interfaces.run_id}\n")
    assert len(interfaces.stub.ListAlbums(pb.ListAlbumsRequest()).albums) == 1
    assert not interfaces.stub.ListRuns(pb.ListRunsRequest()).runs
    folder = interfaces.curated.photos
    asked = bestshot(["delete-album", folder], data=data)
    assert asked.code == 1
    assert f"Delete the album {folder} with all" in asked.text
    done = bestshot(["delete-album", folder, "--yes"], data=data)
    assert (done.code, done.text) == (0, f"deleted the album {folder}\n")
    again = bestshot(["delete-album", folder, "--yes"], data=data)
    assert again.code == 1
    assert "there is no album" in again.text
    assert any(folder.iterdir())
