"""Runs whose services are killed, stopped, slow, overloaded, cut off or unauthorized.

A run that completes has the same results as an undisturbed one.
"""

from __future__ import annotations

import contextlib
import signal
import socket
import threading
from collections.abc import Mapping
from pathlib import Path

import grpc
import pytest
import trustme
from bestshot.orchestrator.v1 import orchestrator_pb2 as pb

from orchestrator.cli.parts import MODEL_SERVICES
from services.common.rpc.auth import new_token, token_digest
from tests.conftest import draw_pairs
from tests.contract.test_security import write_files
from tests.integration.parts import Part, orchestrator

PHOTO_COUNT = 24


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_pairs(tmp_path_factory.mktemp("photos"), PHOTO_COUNT, 120, 90)


def addresses(services: Mapping[str, Part], **others: str) -> dict[str, str]:
    return {**{name: part.address for name, part in services.items()}, **others}


@pytest.fixture(scope="module")
def undisturbed(
    services: dict[str, Part], photos: Path, tmp_path_factory: pytest.TempPathFactory
) -> bytes:
    """The results of an undisturbed run."""
    folder = tmp_path_factory.mktemp("undisturbed")
    with orchestrator(folder, addresses(services), photos) as part:
        run = part.end(part.begin())
        assert run.state == pb.RUN_STATE_COMPLETED
        assert any(stage.stage == "compare" and stage.total_count for stage in run.stages)
        return part.results(run.id)


def accept_and_close(address: str) -> None:
    """Waits until a client tries to reach a service that is down, and refuses to serve it."""
    host, _, port = address.rpartition(":")
    with socket.create_server((host, int(port))) as listener:
        listener.accept()[0].close()


@pytest.mark.parametrize("name", MODEL_SERVICES)
def test_a_run_waits_for_a_service_that_is_killed_and_restarted(
    name: str, services: dict[str, Part], photos: Path, undisturbed: bytes, tmp_path: Path
) -> None:
    with orchestrator(tmp_path, addresses(services), photos) as part:
        run_id = part.begin()
        part.until(run_id, "score", 4)
        services[name].kill()
        if name == "siamese":
            part.until(run_id, "compare", 0)
        accept_and_close(services[name].address)
        services[name].start()
        run = part.end(run_id)
        assert run.state == pb.RUN_STATE_COMPLETED, run.error
        assert part.results(run_id) == undisturbed


def test_a_service_that_does_not_return_fails_the_run_but_it_can_be_resumed(
    services: dict[str, Part], photos: Path, undisturbed: bytes, tmp_path: Path
) -> None:
    quality = services["quality"]
    with orchestrator(tmp_path, addresses(services), photos, service_wait_s="1.0") as part:
        run_id = part.begin()
        part.until(run_id, "score", 8)
        quality.kill()
        run = part.end(run_id)
        assert run.state == pb.RUN_STATE_FAILED
        assert f"the quality service at {quality.address} cannot be reached" in run.error
        assert "resume this run" in run.error
        with pytest.raises(grpc.RpcError) as caught:
            part.resume(run_id)
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        quality.start()
        run = part.resume(run_id)
        assert run.state == pb.RUN_STATE_COMPLETED, run.error
        assert run.summary.cached_count >= 8
        assert part.results(run_id) == undisturbed


def test_a_service_that_hangs_fails_the_run_at_the_deadline(
    services: dict[str, Part], photos: Path, undisturbed: bytes, tmp_path: Path
) -> None:
    face = services["face"]
    patience = {"call_timeout_s": "8.0", "service_wait_s": "0.0"}
    with orchestrator(tmp_path, addresses(services), photos, **patience) as part:
        run_id = part.begin()
        part.until(run_id, "score", 4)
        face.signal(signal.SIGSTOP)
        run = part.end(run_id)
        face.signal(signal.SIGCONT)
        assert run.state == pb.RUN_STATE_FAILED
        assert f"the face service at {face.address} did not answer in time" in run.error
        run = part.resume(run_id)
        assert run.state == pb.RUN_STATE_COMPLETED, run.error
        assert part.results(run_id) == undisturbed


def test_a_full_queue_only_slows_the_run(
    services: dict[str, Part], photos: Path, undisturbed: bytes, tmp_path: Path
) -> None:
    small = Part("face", tmp_path / "face", settings={"max_queue_count": "4"})
    small.start()
    try:
        found = addresses(services, face=small.address)
        with orchestrator(tmp_path, found, photos, concurrent_batches="6") as part:
            run = part.end(part.begin())
            assert run.state == pb.RUN_STATE_COMPLETED, run.error
            assert part.results(run.id) == undisturbed
    finally:
        small.stop()


class Wire:
    """A TCP connection to a part that can be cut."""

    def __init__(self, address: str) -> None:
        host, _, port = address.rpartition(":")
        self._target = (host, int(port))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> int:
        """Drops every connection silently; new connections can be made."""
        count = len(self._open)
        while self._open:
            with self._open.pop() as end, contextlib.suppress(OSError):  # closed by its thread
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        return count

    def close(self) -> None:
        self._listener.close()
        self.cut()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            far = socket.create_connection(self._target)
            self._open += [near, far]
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=self._copy, args=(source, sink), daemon=True).start()

    @staticmethod
    def _copy(source: socket.socket, sink: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                sink.sendall(data)
        except OSError:
            pass
        for end in (source, sink):
            end.close()


def test_a_dropped_connection_is_reopened(
    services: dict[str, Part], photos: Path, undisturbed: bytes, tmp_path: Path
) -> None:
    wire = Wire(services["embedding"].address)
    try:
        found = addresses(services, embedding=wire.address)
        with orchestrator(tmp_path, found, photos) as part:
            run_id = part.begin()
            for count in (4, 12, 20):
                part.until(run_id, "score", count)
                assert wire.cut()
            run = part.end(run_id)
            assert run.state == pb.RUN_STATE_COMPLETED, run.error
            assert part.results(run_id) == undisturbed
    finally:
        wire.close()


@pytest.mark.parametrize(
    ("own", "message"),
    [
        ("token", "denied access: the token is not known to this server"),
        ("no token", "denied access: this server requires a token"),
        ("certificate", "cannot be reached"),
    ],
)
def test_missing_authorization_is_reported_before_a_run_begins(
    own: str,
    message: str,
    services: dict[str, Part],
    photos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def configure(key: str, path: Path) -> None:
        monkeypatch.setenv(f"BESTSHOT_SERVICES__SHARED__{key}", str(path))

    if own == "certificate":
        files = write_files(tmp_path / "tls", trustme.CA())
        configure("TLS__CERTIFICATE_FILE", files.certificate)
        configure("TLS__KEY_FILE", files.key)
    else:
        known = tmp_path / "tokens.yaml"
        digest = token_digest(new_token())
        known.write_text(f"tokens: {{orchestrator: {{sha256: {digest}, scope: run}}}}")
        configure("TOKENS_FILE", known)
    quality = Part("quality", tmp_path / "quality")
    quality.start()
    for key in ("TLS__CERTIFICATE_FILE", "TLS__KEY_FILE", "TOKENS_FILE"):
        monkeypatch.delenv(f"BESTSHOT_SERVICES__SHARED__{key}", raising=False)
    if own == "token":
        (tmp_path / "token").write_text(new_token())
        configure("TOKEN_FILE", tmp_path / "token")
    try:
        found = addresses(services, quality=quality.address)
        with orchestrator(tmp_path, found, photos) as part:
            with pytest.raises(grpc.RpcError) as caught:
                part.begin()
            assert f"the quality service at {quality.address} {message}" in (
                caught.value.details() or ""
            )
    finally:
        quality.stop()
