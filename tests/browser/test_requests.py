"""Requests that a browser, or anyone who forges its requests, can send to the page."""

from __future__ import annotations

import base64
import contextlib
import http.server
import itertools
import os
import socket
import subprocess
import sys
import threading
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
from tests.conftest import ROOT
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
        uploads: The folder of uploads.
        upload: A genuine upload.
        seen: Paths that were requested from a web server on this machine.
        url: URL of that server.
    """

    client: httpx.Client
    secret: Path
    uploads: Path
    upload: Path
    seen: list[str]
    url: str

    @property
    def endpoints(self) -> list[dict[str, Any]]:
        return list(self.client.get("/config").json()["dependencies"])

    def stored(self) -> set[Path]:
        return {path for path in self.uploads.rglob("*") if path.is_file()}


def upload(client: httpx.Client, *files: tuple[str, bytes]) -> httpx.Response:
    return client.post("/gradio_api/upload", files=[("files", file) for file in files])


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

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/", seen
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def attacked(
    alone: PageAlone, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[PageUnderAttack]:
    secret = tmp_path_factory.mktemp("attacked") / "secret.txt"
    secret.write_text(SECRET)
    with web_server() as (url, seen):
        (path,) = upload(alone.client, ("honest.jpg", b"honest")).json()
        yield PageUnderAttack(alone.client, secret, alone.uploads, Path(path), seen, url)


def file_data(path: str, **more: Json) -> dict[str, Json]:
    return {"path": path, "orig_name": "x.jpg", "size": 1, "meta": MARK, **more}


def forged(attacked: PageUnderAttack, kind: str) -> dict[str, Json]:
    """Returns an object that Gradio treats as a file, or as something that contains one."""
    secret, honest = str(attacked.secret), str(attacked.upload)
    text = base64.b64encode(SECRET.encode()).decode()
    beside = attacked.uploads / "x" / ".." / ".." / secret.removeprefix("/")
    return {
        "a path": file_data(secret),
        "dots": file_data(f"{attacked.upload.parent}/../../../../../../../../../..{secret}"),
        "dots that lead nowhere": file_data(str(beside)),
        "a file URL": file_data(f"file://{secret}"),
        "a URL": file_data(f"{attacked.url}path"),
        "a URL beside the path": file_data(secret, url=f"{attacked.url}url"),
        "a stream": file_data(secret, is_stream=True),
        "base64": file_data(f"data:image/jpeg;base64,{text}"),
        "an honest file in it": {**file_data(honest), "more": file_data(secret)},
        "an honest path without a mark": {"path": honest, "more": file_data(secret)},
        "another mark": {"path": secret, "meta": {"_type": "gradio.FileData", "x": 1}},
    }[kind]


KINDS = (
    *("a path", "dots", "dots that lead nowhere", "a file URL", "a URL", "a URL beside the path"),
    *("a stream", "base64", "an honest file in it", "an honest path without a mark"),
    "another mark",
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
@example(8, ["list"], 2)
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
    answers = []
    if way == 0:
        answers.append(queued(attacked.client, bodies))
    for one, body in zip(called, bodies, strict=True):
        if way == 1:
            place = f"/gradio_api/run/{one['api_name']}"
            answers.append(attacked.client.post(place, json=body).text)
        if way == 2:
            place = f"/gradio_api/call/{one['api_name']}"
            began = attacked.client.post(place, json={"data": body["data"]})
            if began.status_code == 200:
                answers.append(attacked.client.get(f"{place}/{began.json()['event_id']}").text)
    assert not any(SECRET in answer for answer in answers)
    assert attacked.stored() == before
    assert len(attacked.seen) == seen


def test_a_genuine_upload_is_served_to_its_browser_and_forged_names_stay_in_its_folder(
    attacked: PageUnderAttack,
) -> None:
    names = ("../../evil.jpg", "/etc/evil.jpg", "..", "a\\..\\evil.jpg", "x/../../evil.jpg", "~")
    for name in names:
        answer = upload(attacked.client, (name, name.encode()))
        if answer.status_code == 200:
            (path,) = answer.json()
            assert Path(path).resolve().is_relative_to(attacked.uploads.resolve())
            assert Path(path).read_bytes() == name.encode()
    served = attacked.client.get(f"/gradio_api/file={attacked.upload}")
    assert served.content == b"honest"
    for path in (attacked.secret, f"{attacked.upload.parent}/../../../{attacked.secret}"):
        assert attacked.client.get(f"/gradio_api/file={path}").status_code == 404


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
        ("POST", "gradio_api/upload/"),
        ("POST", "gradio_api//upload"),
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
    """A page without an orchestrator, with uploads limited to 50 MB."""

    client: httpx.Client
    folder: Path

    @property
    def uploads(self) -> Path:
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
    *(("GET", path) for path in ("/downloads/x/csv", "/gradio_api/heartbeat/x")),
    *(("POST", f"/gradio_api/{name}") for name in ("queue/join", "upload", "run/x", "cancel")),
    *(("OPTIONS", path) for path in ("/gradio_api/queue/join", "/gradio_api/upload")),
)


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


def test_the_health_check_accepts_any_host_name(alone: PageAlone) -> None:
    answer = alone.client.get("/healthz", headers={"host": "10.1.2.3:7860"})
    assert answer.json() == {"status": "ok"}


def test_uploads_are_limited_in_total_and_partial_ones_are_deleted(alone: PageAlone) -> None:
    before = len(list(alone.uploads.glob("*/*.jpg")))
    files = [(f"{number}.jpg", bytes([number]) * 900_000) for number in range(30)]
    kept = upload(alone.client, *files)
    assert kept.status_code == 200
    refused = upload(alone.client, *files)
    assert refused.status_code == 413
    assert "27 of 50 MB" in refused.text
    large = upload(alone.client, ("x.jpg", bytes(1_100_000)))
    assert large.status_code == 413
    chunked = alone.client.post("/gradio_api/upload", content=iter([b"x"]))
    assert chunked.status_code == 411
    body = alone.client.post("/gradio_api/queue/join", content=bytes(17 * 2**20))
    assert body.status_code == 413

    host, port = alone.client.base_url.host, alone.client.base_url.port
    part = b'--b\r\nContent-Disposition: form-data; name="files"; filename="y.jpg"\r\n\r\n'
    head = (
        f"POST /gradio_api/upload HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Length: 900000\r\n"
        "Content-Type: multipart/form-data; boundary=b\r\n\r\n"
    )
    partial = {path for path in alone.uploads.iterdir() if path.is_file()}
    assert not partial
    with socket.create_connection((host, port)) as connection:
        connection.sendall(head.encode() + part + bytes(100_000))
        while not any(path.is_file() for path in alone.uploads.iterdir()):
            threading.Event().wait(0.02)
    while any(path.is_file() for path in alone.uploads.iterdir()):
        threading.Event().wait(0.02)
    assert len(list(alone.uploads.glob("*/*.jpg"))) == before + 30


ABANDONED = """
import asyncio, os, sys
import httpx, uvicorn
import ui.inputs
ui.inputs.CLEANUP_S = (0.05, 0.05)
from services.common.rpc.channels import ClientOptions
from ui.server import build_server

async def main():
    app = build_server(None, None, 1)
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error"))
    serving = asyncio.ensure_future(server.serve())
    while not server.started:
        await asyncio.sleep(0.02)
    port = server.servers[0].sockets[0].getsockname()[1]
    async with httpx.AsyncClient(timeout=None) as client:
        url = f"http://127.0.0.1:{port}/gradio_api/upload"
        (path,) = (await client.post(url, files={"files": ("x.jpg", b"x")})).json()
    while os.path.exists(path):
        await asyncio.sleep(0.02)
    server.should_exit = True
    await serving

asyncio.run(main())
"""


def test_abandoned_uploads_are_deleted(tmp_path: Path) -> None:
    paths = {"GRADIO_TEMP_DIR": str(tmp_path), "PYTHONPATH": ":".join(sys.path)}
    command = [sys.executable, "-c", ABANDONED]
    subprocess.run(command, env={**os.environ, **paths}, cwd=ROOT, check=True, timeout=LIMIT_S)
