"""Requests that a browser, or anyone who forges its requests, can send to the page."""

from __future__ import annotations

import base64
import contextlib
import http.server
import itertools
import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from orchestrator.cli.supervisor import Supervisor
from tests.local_server import serving
from tests.waiting import LIMIT_S

SECRET = "figs and plums"
MARK = {"_type": "gradio.FileData"}
FOREIGN = ("http://evil.example", "https://evil.example:7860", "null", "http://localhost:3000")
Json = Any


@dataclass(frozen=True)
class PageUnderAttack:
    """A page, and the things that an attacker would look for.

    Attributes:
        client: HTTP client of the page.
        secret: A private file of the page's user.
        files: The folder that Gradio serves files from.
        seen: Paths that were requested from a web server on this machine.
        url: URL of that server.
    """

    client: httpx.Client
    secret: Path
    files: Path
    seen: list[str]
    url: str

    @property
    def endpoints(self) -> list[dict[str, Any]]:
        return list(self.client.get("/config").json()["dependencies"])

    def stored(self) -> set[Path]:
        return {path for path in self.files.rglob("*") if path.is_file()}


@contextlib.contextmanager
def web_server() -> Iterator[tuple[str, list[str]]]:
    """Runs a server on this machine that the page must never call."""
    seen: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(SECRET.encode())

        def log_message(self, *_: object) -> None:
            pass

    with serving(http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)) as server:
        yield f"http://127.0.0.1:{server.server_port}/", seen


@pytest.fixture(scope="module")
def attacked(
    alone: PageAlone, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[PageUnderAttack]:
    secret = tmp_path_factory.mktemp("attacked") / "secret.txt"
    secret.write_text(SECRET)
    with web_server() as (url, seen):
        yield PageUnderAttack(alone.client, secret, alone.files, seen, url)


def file_data(path: str, **more: Json) -> dict[str, Json]:
    return {"path": path, "orig_name": "x.jpg", "size": 1, "meta": MARK, **more}


def forged(attacked: PageUnderAttack, kind: str) -> dict[str, Json]:
    """Returns an object that Gradio treats as a file, or as something that contains one."""
    secret = str(attacked.secret)
    text = base64.b64encode(SECRET.encode()).decode()
    beside = attacked.files / "x" / ".." / ".." / secret.removeprefix("/")
    return {
        "a path": file_data(secret),
        "dots": file_data(f"{attacked.files}/../../../../../../../../../..{secret}"),
        "dots that lead nowhere": file_data(str(beside)),
        "a file URL": file_data(f"file://{secret}"),
        "a URL": file_data(f"{attacked.url}path"),
        "a URL beside the path": file_data(secret, url=f"{attacked.url}url"),
        "a stream": file_data(secret, is_stream=True),
        "base64": file_data(f"data:image/jpeg;base64,{text}"),
        "a file in it": {**file_data(str(attacked.files / "x.jpg")), "more": file_data(secret)},
        "another mark": {"path": secret, "meta": {"_type": "gradio.FileData", "x": 1}},
    }[kind]


KINDS = (
    *("a path", "dots", "dots that lead nowhere", "a file URL", "a URL", "a URL beside the path"),
    *("a stream", "base64", "a file in it", "another mark"),
)
wrappings = st.lists(st.sampled_from(["list", "object", "value"]), max_size=3)


def wrapped(value: Json, wrapping: list[str]) -> Json:
    for layer in wrapping:
        value = {"list": [value], "object": {"a": value}, "value": {"value": value, "b": 1}}[layer]
    return value


def queued(client: httpx.Client, bodies: list[dict[str, Json]]) -> str:
    """Calls through the queue, as browsers do; returns the whole response."""
    session = uuid.uuid4().hex
    for body in bodies:
        client.post("/gradio_api/queue/join", json={**body, "session_hash": session})
    answers = ""
    with client.stream("GET", f"/gradio_api/queue/data?session_hash={session}") as stream:
        for line in stream.iter_lines():
            answers += line
            if "close_stream" in line:
                break
    return answers


@settings(max_examples=2)
@given(st.integers(0, len(KINDS) - 1), wrappings, st.integers(0, 1))
@example(0, [], 0)
@example(4, [], 1)
@example(7, ["list"], 2)
def test_no_endpoint_reads_a_file_that_was_not_uploaded(
    attacked: PageUnderAttack, first: int, wrapping: list[str], way: int
) -> None:
    """Every endpoint gets a forged file in every input, each of a different kind."""
    kinds = itertools.islice(itertools.cycle(KINDS), first, None)
    before, seen = attacked.stored(), len(attacked.seen)
    called = [one for one in attacked.endpoints if one["inputs"] and one["backend_fn"]]
    assert len(called) > 30
    bodies = []
    for one, kind in zip(called, kinds, strict=False):
        value = wrapped(forged(attacked, kind), wrapping)
        data = [value] * len(one["inputs"])
        bodies.append({"fn_index": one["id"], "data": data, "event_data": value})
    session = uuid.uuid4().hex  # one for all calls, because Gradio takes 0.1 s to make one
    answers = []
    if way == 0:
        answers.append(queued(attacked.client, bodies))
    for one, body in zip(called, bodies, strict=True):
        if way == 1:
            place = f"/gradio_api/run/{one['api_name']}"
            sent = {**body, "session_hash": session}
            answers.append(attacked.client.post(place, json=sent).text)
        if way == 2:
            place = f"/gradio_api/call/{one['api_name']}"
            sent = {"data": body["data"], "session_hash": session}
            began = attacked.client.post(place, json=sent)
            if began.status_code == 200:
                answers.append(attacked.client.get(f"{place}/{began.json()['event_id']}").text)
    assert not any(SECRET in answer for answer in answers)
    assert attacked.stored() == before
    assert len(attacked.seen) == seen


def test_routes_of_gradio_that_the_page_does_not_need_are_closed(
    attacked: PageUnderAttack,
) -> None:
    for method, path in (
        ("GET", f"gradio_api/file={attacked.url}x"),
        ("GET", f"gradio_api/file/{attacked.url}x"),
        ("GET", f"gradio_api/proxy={attacked.url}x"),
        ("GET", "gradio_api/custom_component/x/client/a/b"),
        ("GET", "gradio_api/stream/a/b/1/playlist.m3u8"),
        ("GET", "gradio_api/deep_link?session_hash=x"),
        ("GET", "gradio_api/dev/reload"),
        ("GET", "gradio_api/vibe-code"),
        ("GET", "gradio_api/runs"),
        ("GET", "monitoring"),
        ("GET", "monitoring/summary"),
        ("POST", "gradio_api/process_recording"),
        ("POST", "gradio_api/component_server"),
        ("POST", "gradio_api/vibe-edit"),
        ("POST", "gradio_api/run-history/connect"),
        ("POST", "gradio_api/upload"),
        ("GET", "gradio_api/upload_progress"),
        ("GET", f"gradio_api/file={attacked.secret}"),
        ("POST", "login"),
        ("GET", "docs"),
    ):
        assert attacked.client.request(method, path).status_code == 404, path
    assert not attacked.seen
    for place in ("assets", "static"):
        for path in ("..%2f..%2f..%2froutes.py", "%2fetc%2fpasswd", "..%5c..%5croutes.py"):
            assert attacked.client.get(f"/{place}/{path}").status_code in (403, 404)


@dataclass(frozen=True)
class PageAlone:
    """A page without an orchestrator, with uploads limited to 50 MB, and 1 MB a file."""

    client: httpx.Client
    folder: Path

    @property
    def files(self) -> Path:
        (found,) = self.folder.glob("bestshot-ui-*")
        return found


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PageAlone]:
    base = tmp_path_factory.mktemp("alone")
    supervisor = Supervisor(base / "logs", [])
    arguments = ["--address", "127.0.0.1:0", "--set", "orchestrator_address=127.0.0.1:9"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(base))
        patch.setenv("BESTSHOT_SERVICES__SHARED__ALLOWED_HOSTS", "[photos.example.com]")
        supervisor.start("ui", [*arguments, "--set", "max_upload_mb=1"])
    try:
        url = f"http://{supervisor.wait_for_address('ui')}"
        with httpx.Client(base_url=url, timeout=LIMIT_S) as client:
            yield PageAlone(client, base)
    finally:
        supervisor.stop()


ROUTES = (
    *(("GET", path) for path in ("/", "/config", "/theme.css", "/photos/x/320/y", "/nowhere")),
    *(("GET", f"/gradio_api/{name}") for name in ("info", "queue/data?session_hash=x")),
    ("GET", "/downloads/x/csv"),
    *(("POST", f"/gradio_api/{name}") for name in ("queue/join", "run/x", "cancel")),
    ("POST", "/uploads"),
    *(("OPTIONS", path) for path in ("/gradio_api/queue/join", "/uploads")),
)


def test_an_idle_page_keeps_no_connection_of_gradio_open(alone: PageAlone) -> None:
    """A browser opens six to a server, and six open tabs would use them up."""
    assert alone.client.get("/config").json()["connect_heartbeat"] is False
    assert alone.client.get("/gradio_api/heartbeat/x").status_code == 404


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_other_sites_are_refused_on_every_route(alone: PageAlone, method: str, path: str) -> None:
    for headers in (
        *({"host": host} for host in ("evil.example", "127.0.0.1.evil.example:7860", "10.0.0.1")),
        *({"origin": origin} for origin in FOREIGN),
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ):
        answer = alone.client.request(method, path, headers=headers)
        assert answer.status_code == 403, headers
        assert "access-control-allow-origin" not in answer.headers
        assert "shared.allowed_hosts" in answer.json()["detail"]
    for hosts in ({}, {"host": "photos.example.com", "origin": "https://photos.example.com"}):
        # do not wait for endless responses
        with alone.client.stream(method, path, headers=hosts) as stream:
            assert stream.status_code != 403, stream.read()


def test_the_page_is_sent_compressed(alone: PageAlone) -> None:
    with alone.client.stream("GET", "/") as stream:
        text = stream.read()
        assert stream.num_bytes_downloaded < 200_000 < len(text)


def test_the_health_check_accepts_any_host_name(alone: PageAlone) -> None:
    answer = alone.client.get("/healthz", headers={"host": "10.1.2.3:7860"})
    assert answer.json() == {"status": "ok"}


def post_upload(alone: PageAlone, files: Json, contents: bytes) -> httpx.Response:
    manifest = json.dumps({"name": "Trip", "files": files}).encode()
    return alone.client.post("/uploads", content=manifest + b"\n" + contents)


@pytest.mark.parametrize(
    ("sizes", "length", "code", "text"),
    [
        ([3], 3, 503, "is not responding"),
        (
            [1_100_000],
            1_100_000,
            413,
            "0.jpg is 1 MB; the limit per file is 1 MB (ui.max_upload_mb)",
        ),
        ([1_000_000] * 51, 0, 413, "These files total 51 MB; the limit is 50 MB"),
        ([3, 4], 6, 400, "should total 7 bytes, but 6 were sent"),
        ([], 0, 400, "files must not be empty"),
        ([-1], 0, 400, "must be at least 0"),
    ],
)
def test_uploads_are_checked_before_anything_is_stored(
    alone: PageAlone, sizes: list[int], length: int, code: int, text: str
) -> None:
    files = [{"path": f"{number}.jpg", "size": size} for number, size in enumerate(sizes)]
    answer = post_upload(alone, files, bytes(length))
    assert answer.status_code == code
    assert text in answer.json()["detail"]


def test_requests_are_limited_in_size(alone: PageAlone) -> None:
    assert alone.client.post("/uploads", content=b"no list").status_code == 400
    assert alone.client.post("/uploads", content=iter([b"x"])).status_code == 411
    for path, length in (("/gradio_api/queue/join", 17 * 2**20), ("/uploads", 90 * 2**20)):
        assert alone.client.post(path, content=bytes(length)).status_code == 413
