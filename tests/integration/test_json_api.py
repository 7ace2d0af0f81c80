"""/api/v1 returns the same data as gRPC, and schemathesis finds no faults."""

from __future__ import annotations

import contextlib
import csv
import http.server
import io
import json
import queue
import re
import subprocess
import uuid
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import grpc
import httpx
import pytest
from bestshot.orchestrator.v1 import orchestrator_pb2 as pb
from bestshot.orchestrator.v1 import orchestrator_pb2_grpc
from PIL import Image

from services.common.rpc.auth import token_digest
from tests.conftest import ROOT
from tests.integration.command import BESTSHOT
from tests.integration.up import free_ports, running_up
from tests.local_server import serving
from tests.waiting import LIMIT_S, http_get

TOKENS = """tokens:
  reader: {sha256: %s, scope: read}
"""


PICTURES = ("china-1-sharp.jpg", "flower-1-sharp.jpg")


@dataclass(frozen=True)
class System:
    """A running bestshot with a completed run.

    Attributes:
        url: URL of the JSON API, with /api/v1.
        stub: Stub of the orchestrator.
        run: The run.
        events: Bodies of the webhooks that have arrived.
    """

    url: str
    stub: orchestrator_pb2_grpc.OrchestratorServiceStub
    run: pb.Run
    events: queue.Queue[bytes]


@contextlib.contextmanager
def receiving_webhooks() -> Iterator[tuple[str, queue.Queue[bytes]]]:
    """Yields the address of a receiver, and the bodies that it receives."""
    received: queue.Queue[bytes] = queue.Queue()

    class Receiver(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.put(self.rfile.read(int(self.headers["content-length"])))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with serving(http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)) as server:
        yield f"http://127.0.0.1:{server.server_port}/hook", received


@pytest.fixture(scope="module")
def system(
    request: pytest.FixtureRequest, album: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[System]:
    """Uses PostgreSQL, which refuses more input: text with NUL, numbers that are too large."""
    base = tmp_path_factory.mktemp("json")
    (port,) = free_ports(1)
    address = f"127.0.0.1:{port}"
    changes = {"BESTSHOT_SERVICES__ORCHESTRATOR__HTTP_ADDRESS": address}
    with contextlib.ExitStack() as stack:
        url = stack.enter_context(request.getfixturevalue("postgresql").database())
        changes["BESTSHOT_SERVICES__ORCHESTRATOR__DATABASE_URL"] = url
        hook, events = stack.enter_context(receiving_webhooks())
        (base / "secret").write_text("a secret of the operator")
        changes["BESTSHOT_SERVICES__ORCHESTRATOR__WEBHOOK_URLS"] = str([hook])
        changes["BESTSHOT_SERVICES__ORCHESTRATOR__WEBHOOK_SECRET_FILE"] = str(base / "secret")
        parts = stack.enter_context(running_up(base, [album.parent], "--no-ui", changes=changes))
        channel = stack.enter_context(grpc.insecure_channel(parts["orchestrator"]))
        stub = orchestrator_pb2_grpc.OrchestratorServiceStub(channel)
        created = stub.CreateAlbum(pb.CreateAlbumRequest(folder=str(album))).album
        started = stub.StartRun(pb.StartRunRequest(album_id=created.id)).run
        *_, last = stub.WatchRun(pb.WatchRunRequest(run_id=started.id))
        assert last.run.state == pb.RUN_STATE_COMPLETED
        stub.SetDecision(
            pb.SetDecisionRequest(
                album_id=created.id, path="china-1-sharp.jpg", decision=pb.DECISION_KEEP
            )
        )
        stub.AppendDecision(
            pb.AppendDecisionRequest(
                album_id=created.id,
                paths=["china-1-sharp.jpg"],
                action=pb.DECISION_ACTION_RATE,
                stars=3,
            )
        )
        run = stub.GetRun(pb.GetRunRequest(run_id=started.id)).run
        yield System(f"http://{address}/api/v1", stub, run, events)


def get(system: System, place: str, **query: Any) -> Any:
    answer = http_get(f"{system.url}{place}", params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_the_end_of_a_run_is_announced(system: System) -> None:
    event = json.loads(system.events.get(timeout=LIMIT_S))
    assert (event["type"], event["data"]["run_id"]) == ("run.completed", system.run.id)
    assert event["data"]["summary"]["selected_count"] == system.run.summary.selected_count


def test_results_have_every_score_that_grpc_has(system: System) -> None:
    run_id = system.run.id
    listed = system.stub.ListImages(pb.ListImagesRequest(run_id=run_id, page_size=1000)).images
    found = get(system, f"/results/{run_id}/images")
    assert found["total_count"] == len(found["images"]) == len(listed) == 15
    for row, image in zip(found["images"], listed, strict=True):
        assert row["path"] == image.path
        assert row["filename"] == image.filename
        assert row["reason"] == image.reason
        assert row["is_selected"] == image.is_selected
        assert row["face_count"] == len(image.faces)
        assert row["face_smile_scores"] == [face.smile_score for face in image.faces]
        if image.status == pb.IMAGE_STATUS_UNREADABLE:
            assert row["status"] == "unreadable"
            assert row["iqa_score"] is row["composite_score"] is row["cluster_id"] is None
            continue
        assert row["iqa_score"] == image.quality.iqa_score
        assert row["ava_score"] == image.quality.ava_score
        assert row["sharpness"] == image.quality.sharpness
        assert row["composite_score"] == image.composite_score
        assert row["cluster_id"] == image.cluster_id
    whole = get(system, f"/runs/{run_id}/images")["images"]
    assert [row["path"] for row in whole] == [image.path for image in listed]
    assert {row["decision"] for row in whole} == {None, "keep"}
    assert whole[0]["quality"]["focus_score"] == listed[0].quality.focus_score
    for row, image in zip(whole, listed, strict=True):
        assert row["face_caption"] == image.face_caption
        assert [signs["eyes"] for signs in row["face_signs"]] == [
            signs.eyes for signs in image.face_signs
        ]
        stars = 3 if image.path == "china-1-sharp.jpg" else 0
        assert row["user_mark"] == {"stars": stars, "label": ""}
        assert image.user_mark.stars == stars
        if image.status == pb.IMAGE_STATUS_SCORED:
            assert row["quality"]["noise_level"] == image.quality.noise_level > 0


def test_pairs_and_learned_weights_are_those_of_grpc(system: System) -> None:
    run_id = system.run.id
    listed = system.stub.ListPairs(pb.ListPairsRequest(run_id=run_id))
    found = get(system, f"/runs/{run_id}/pairs")
    assert found["total_count"] == listed.total_count > 0
    assert [(pair["left"]["path"], pair["right"]["path"]) for pair in found["pairs"]] == [
        (pair.left.path, pair.right.path) for pair in listed.pairs
    ]
    assert found["pairs"][0]["left_better_probability"] == listed.pairs[0].left_better_probability
    learned = system.stub.ProposeWeights(pb.ProposeWeightsRequest(run_id=run_id))
    mirrored = get(system, f"/runs/{run_id}/proposed_weights")
    assert mirrored["lines"] == list(learned.lines)
    assert mirrored["choice_count"] == learned.choice_count == 0


def test_pages_filters_and_orders(system: System) -> None:
    path = f"/results/{system.run.id}/images"
    first = get(system, path, page_size=4, order_by="composite_score desc")
    rest = get(
        system,
        path,
        page_size=1000,
        order_by="composite_score desc",
        page_token=first["next_page_token"],
    )
    assert len(first["images"]) == 4
    assert len(rest["images"]) == 11
    assert rest["next_page_token"] == ""
    broken = get(system, path, filters="UNREADABLE")
    assert {row["path"] for row in broken["images"]} == {"empty.jpg", "letter.jpg", "torn.jpg"}
    every = [*first["images"], *rest["images"]]
    values = sorted(row["sharpness"] for row in every if row["sharpness"] is not None)
    low, high = round(values[2], 3), round(values[-3], 3)
    between = get(system, path, score_ranges=[f"sharpness:{low}:", f"sharpness::{high}"])["images"]
    expected = [value for value in values if low <= value <= high]
    assert sorted(row["sharpness"] for row in between) == expected
    assert 0 < len(expected) < len(values)
    assert get(system, path, search="flower", filters=["SELECTED"])["total_count"] >= 1


def test_all_other_resources_can_be_read(system: System) -> None:
    run, base = system.run, f"/runs/{system.run.id}"
    assert [album["id"] for album in get(system, "/albums")["albums"]] == [run.album_id]
    assert get(system, f"/albums/{run.album_id}")["id"] == run.album_id
    kept, rated = get(system, f"/albums/{run.album_id}/decisions")["entries"]
    assert (kept["action"], kept["is_in_force"]) == ("keep", True)
    assert (rated["action"], rated["stars"]) == ("rate", 3)
    assert [found["id"] for found in get(system, "/runs")["runs"]] == [run.id]
    whole = get(system, base)
    assert whole["state"] == "COMPLETED"
    assert whole["models"]["face"]["digest"] == run.models["face"].digest
    assert whole["config"]["select_best"]["max_images_per_cluster"] == 2
    assert len(get(system, f"{base}/clusters")["clusters"]) == run.summary.cluster_count
    assert get(system, f"{base}/statistics")["image_count"] == 15
    assert get(system, f"{base}/diff/{run.id}")["photos"] == []
    photo = "more/=2+5 flower.jpg"
    assert get(system, f"{base}/image", path=photo)["path"] == photo
    why = get(system, f"{base}/explanation", path=photo)
    assert why["composite_score"] == pytest.approx(
        sum(term["contribution"] for term in why["terms"]) + why["person_penalty"]
    )
    answer = http_get(f"{system.url}{base}/thumbnail", params={"path": photo})
    assert answer.headers["content-type"] == "image/jpeg"
    assert max(Image.open(io.BytesIO(answer.content)).size) <= 320
    answer = http_get(f"{system.url}{base}/files/selected-photos.zip")
    assert "selected-photos.zip" in answer.headers["content-disposition"]
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.testzip() is None
    answer = http_get(f"{system.url}{base}/files/results.zip")
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.testzip() is None
        assert {"image_metrics.csv", "run.json", "index.html"} < set(archive.namelist())
        with archive.open("image_metrics.csv") as table:
            rows = csv.DictReader(io.TextIOWrapper(table, "utf-8"))
            assert [row["Path"] for row in rows if row["Stars"] == "3"] == ["china-1-sharp.jpg"]
    evaluated = get(system, f"{base}/evaluation")
    assert sum(evaluated["counts"].values()) == 1
    assert evaluated["moments_agreement"] == 1.0
    assert {model["role"] for model in get(system, "/models")} == set(run.models)
    settings = get(system, "/settings")
    assert settings["profile"] == "builtin"
    assert len(settings["settings"]) > 20


@pytest.mark.parametrize(
    ("path", "status", "field", "problem"),
    [
        ("/runs/nowhere", 404, "", "there is no run 'nowhere'"),
        ("/albums/nowhere", 404, "", "there is no album"),
        ("/results/{run}/images?page_size=-1", 400, "page_size", "must not be negative (got -1)"),
        ("/results/{run}/images?page_token=x", 400, "page_token", "does not match this call"),
        ("/results/{run}/images?order_by=x", 400, "order_by", "'x'"),
        ("/results/{run}/images?filters=x", 400, "filters.0", "filters.0: must be "),
        ("/results/{run}/images?score_ranges=x:1:2", 400, "score_ranges.0", "must match"),
        ("/results/{run}/images?pagesize=1", 400, "pagesize", "pagesize: is unknown"),
        ("/runs/{run}/image", 400, "path", "path: is missing"),
        ("/runs/{run}/explanation?path=torn.jpg", 409, "", "could not be read"),
        ("/settings?profile=x", 400, "profile", "there is no profile 'x'"),
        ("/nowhere", 404, "", "nothing at /api/v1/nowhere; /api/v1/docs lists all calls"),
    ],
)
def test_a_problem_is_returned_as_json(
    system: System, path: str, status: int, field: str, problem: str
) -> None:
    answer = http_get(system.url + path.replace("{run}", system.run.id))
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    told = answer.json()
    assert (told["status"], told["field"]) == (status, field)
    assert problem in told["detail"]


def test_other_sites_are_refused_on_every_route(system: System) -> None:
    described = http_get(f"{system.url}/openapi.json").json()
    client = httpx.Client(timeout=LIMIT_S)
    for path in [*described["paths"], "/api/v1/openapi.json", "/nowhere"]:
        url = system.url.removesuffix("/api/v1") + path.replace("{", "").replace("}", "")
        for headers in (
            {"host": "evil.example"},
            {"origin": "http://evil.example"},
            {"origin": "null"},
            {"sec-fetch-site": "cross-site"},
        ):
            answer = client.get(url, headers=headers)
            assert answer.status_code == 403, (path, headers)
            assert answer.headers["content-type"] == "application/problem+json"
            assert "shared.allowed_hosts" in answer.json()["detail"]
    client.close()


def send(system: System, verb: str, place: str, body: Any = None, **more: Any) -> Any:
    answer = httpx.request(verb, f"{system.url}{place}", json=body, timeout=LIMIT_S, **more)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_changes_do_what_those_of_grpc_do(system: System, album: Path) -> None:
    pictures = [("photos", (name, (album / name).read_bytes())) for name in PICTURES]
    made = send(
        system, "POST", "/albums/upload", params={"display_name": "By form"}, files=pictures
    )
    own = f"/albums/{made['album']['id']}"
    assert (made["photo_count"], made["album"]["display_name"]) == (2, "By form")
    assert get(system, own) == made["album"]
    body = {"display_name": "By JSON", "update_mask": ["display_name"]}
    assert send(system, "PATCH", own, body)["album"]["display_name"] == "By JSON"
    request_id = str(uuid.uuid4())
    start = {"album_id": made["album"]["id"], "request_id": request_id}
    start["config_overrides"] = {"select_best": {"max_images_per_cluster": 1}}
    run = send(system, "POST", "/runs", start)["run"]
    assert send(system, "POST", "/runs", start)["run"]["id"] == run["id"]
    *_, last = system.stub.WatchRun(pb.WatchRunRequest(run_id=run["id"]))
    assert last.run.state == pb.RUN_STATE_COMPLETED
    place = f"/runs/{run['id']}"
    assert get(system, place)["config"]["select_best"]["max_images_per_cluster"] == 1

    decided = send(
        system,
        "POST",
        f"{own}/decision",
        {"path": PICTURES[1], "decision": "reject", "run_id": run["id"]},
    )
    assert decided["previous_decision"] is None
    images = {one["path"]: one for one in get(system, f"{place}/images")["images"]}
    assert all(images[one["path"]] == one for one in decided["changed_images"])
    assert images[PICTURES[1]]["decision"] == "reject"
    undone = send(system, "POST", f"{own}/decisions/undo", {"entry_id": decided["entry_id"]})
    assert undone["undone_entry"]["id"] == decided["entry_id"]
    rated = {"action": "rate", "paths": [PICTURES[0]], "stars": 2}
    assert send(system, "POST", f"{own}/decisions", rated)["entry"]["stars"] == 2
    log = get(system, f"{own}/decisions")["entries"]
    assert [entry["action"] for entry in log] == ["reject", "undo", "rate"]
    log[-1]["id"] = "copied"
    imported = send(system, "POST", f"{own}/decisions/import", {"entries": log})
    assert imported == {"added_count": 1, "changed_images": []}

    preview = {"validate_only": True, "config_overrides": {"cluster_scenes": {"metric": "cosine"}}}
    assert send(system, "POST", f"{place}/reselect", preview)["run"]["album_id"] == run["album_id"]
    assert len(get(system, "/runs", album_id=run["album_id"])["runs"]) == 1
    assert send(system, "DELETE", place, params={"request_id": str(uuid.uuid4())}) == {}
    assert http_get(f"{system.url}{place}").status_code == 404
    assert send(system, "DELETE", own) == {}
    assert http_get(f"{system.url}{own}").status_code == 404


@pytest.mark.parametrize(
    ("headers", "content", "status"),
    [
        ({"content-type": "text/plain"}, "{}", 415),
        ({"content-type": "application/x-www-form-urlencoded"}, "{}", 415),
        ({}, "", 415),
        ({"content-type": "application/json", "origin": "http://evil.example"}, "{}", 403),
        ({"content-type": "application/json", "origin": "null"}, "{}", 403),
        ({"content-type": "application/json", "sec-fetch-site": "cross-site"}, "{}", 403),
        ({"content-type": "application/json", "host": "evil.example"}, "{}", 403),
        ({"content-type": "application/json"}, "{", 400),
        ({"content-type": "application/json"}, '{"album": "x"}', 400),
        ({"content-type": "application/json"}, '{"album_id": 7}', 400),
        ({"content-type": "application/json"}, "{}", 400),
        ({"content-type": "application/json"}, '"' + "x" * 2**20 + '"', 413),
    ],
)
def test_nothing_starts_without_json_of_this_origin(
    system: System, headers: dict[str, str], content: str, status: int
) -> None:
    for place in ("/runs", f"/runs/{system.run.id}/reselect"):
        if status == 400 and place != "/runs":
            continue
        answer = httpx.post(f"{system.url}{place}", content=content, headers=headers)
        assert answer.status_code == status, answer.text
        assert answer.headers["content-type"] == "application/problem+json"
    origin = {"origin": system.url.removesuffix("/api/v1"), "sec-fetch-site": "same-origin"}
    own = httpx.post(f"{system.url}/runs", json={"album_id": "none"}, headers=origin)
    assert own.status_code == 404
    assert len(get(system, "/runs")["runs"]) == 1


@pytest.mark.parametrize(
    "content", [b"", b"--x\r\n", b'--x\r\ncontent-disposition: form-data; name="a"']
)
def test_an_upload_that_ends_early_leaves_nothing(system: System, content: bytes) -> None:
    headers = {"content-type": "multipart/form-data; boundary=x"}
    for whole in (content, content + b'; filename="a.jpg"\r\n\r\nabc\r\n'):
        answer = httpx.post(f"{system.url}/albums/upload", content=whole, headers=headers)
        assert answer.status_code == 400, answer.text
    assert len(get(system, "/albums")["albums"]) == 1


def test_the_type_of_a_problem_leads_to_its_description(system: System) -> None:
    answer = http_get(f"{system.url}/runs/nowhere")
    address, _, name = urljoin(str(answer.url), answer.json()["type"]).partition("#")
    page = http_get(address)
    assert page.headers["content-type"].startswith("text/html")
    assert f"id='{name}'" in page.text
    for call in ("POST /api/v1/runs", "GET /api/v1/runs/{run_id}/images"):
        assert f"<code>{call}</code>" in page.text


def test_a_page_that_is_too_large_is_made_smaller_as_in_grpc(system: System) -> None:
    for place in ("/albums", "/runs", f"/runs/{system.run.id}/images", "/people/questions"):
        assert get(system, place, page_size=10**12)


CHANGES_REFUSED = ("--exclude-checks", "positive_data_acceptance")
"""A schema cannot say which folders are allowed, or which photos and settings there are."""


@pytest.mark.parametrize(
    ("chosen", "count"),
    [
        (
            (
                *("--include-method", "GET", "--phases", "coverage,fuzzing", "--max-examples", "2"),
                *("--exclude-path", "/api/v1/albums/{album_id}/decisions/watch"),  # has no end
            ),
            26,
        ),
        (
            (
                *("--exclude-method", "GET", "--phases", "fuzzing", "--max-examples", "2"),
                *CHANGES_REFUSED,
            ),
            18,
        ),
    ],
    ids=["reads", "changes"],
)
def test_schemathesis_finds_no_faults(
    system: System, tmp_path: Path, chosen: tuple[str, ...], count: int
) -> None:
    known = {}
    if "--include-method" in chosen:
        names = ("run_id", "other_run_id", "job_id")
        known = {f"path.{name}": system.run.id for name in names}
        known["path.album_id"] = system.run.album_id
    opaque = {"query.page_token": ""}  # a schema cannot describe the valid tokens
    config = tmp_path / "schemathesis.toml"
    lines = [f'"{name}" = "{value}"' for name, value in {**known, **opaque}.items()]
    config.write_text("\n".join(["[parameters]", *lines]))
    command = [
        *(str(BESTSHOT.with_name("schemathesis")), "--config-file", str(config)),
        *("run", f"{system.url}/openapi.json", *chosen),
        *("--no-color", "--continue-on-failure", "--seed", "1", "--workers", "4"),
    ]
    finished = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert finished.returncode == 0, finished.stdout[-5000:]
    assert f"Selected: {count}/" in finished.stdout


def test_the_commands_in_the_documentation_work(
    system: System, album: Path, tmp_path: Path
) -> None:
    page = (ROOT / "docs" / "reference" / "json-api.md").read_text()
    blocks = re.findall(r"```console\n(.*?)```", page, re.DOTALL)
    lines = [line.removeprefix("$ ") for block in blocks for line in block.splitlines()]
    assert len(lines) > 10
    for number, name in enumerate(("first.jpg", "second.jpg")):
        (tmp_path / name).write_bytes((album / PICTURES[number]).read_bytes())
    script = "\n".join(["set -e", *lines])
    for name, value in {
        "http://127.0.0.1:50080/api/v1": system.url,
        "/home/me/photos": str(album),
        "ALBUM": system.run.album_id,
        "RUN": system.run.id,
        "PHOTO": PICTURES[0],
    }.items():
        script = script.replace(name, value)
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert zipfile.is_zipfile(tmp_path / "results.zip")
    (started,) = (one for one in get(system, "/runs")["runs"] if one["id"] != system.run.id)
    *_, last = system.stub.WatchRun(pb.WatchRunRequest(run_id=started["id"]))
    assert last.run.state == pb.RUN_STATE_COMPLETED


def test_tokens_are_required(album: Path, tmp_path: Path) -> None:
    tokens = tmp_path / "tokens.yaml"
    tokens.write_text(TOKENS % token_digest("secret"))
    token = tmp_path / "token"
    token.write_text("secret")
    (port,) = free_ports(1)
    changes = {
        "BESTSHOT_SERVICES__ORCHESTRATOR__HTTP_ADDRESS": f"127.0.0.1:{port}",
        "BESTSHOT_SERVICES__SHARED__TOKENS_FILE": str(tokens),
    }
    with running_up(tmp_path, [album.parent], "--no-ui", changes=changes):
        url = f"http://127.0.0.1:{port}/api/v1/albums"
        refused = http_get(url)
        assert refused.status_code == 401
        assert refused.headers["www-authenticate"] == "Bearer"
        assert "requires a token" in refused.json()["detail"]
        answer = http_get(url, headers={"authorization": "Bearer secret"})
        assert answer.json() == {"albums": [], "next_page_token": ""}
        changed = httpx.post(url, json={"folder": str(album)})
        assert changed.status_code == 401
        reader = {"authorization": "Bearer secret"}
        changed = httpx.post(url, json={"folder": str(album)}, headers=reader)
        assert changed.status_code == 403
        assert "scope 'admin'" in changed.json()["detail"]
        described = http_get(f"http://127.0.0.1:{port}/api/v1/openapi.json").json()
        assert described["servers"][0]["url"] == "/"
        assert "HTTPBearer" in described["components"]["securitySchemes"]
