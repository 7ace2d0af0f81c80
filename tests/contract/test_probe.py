"""The health check of containers, wherever a part listens."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from pathlib import Path
from typing import Any

import pytest
import trustme

from services.common.config.sections import SharedSettings, load_section
from services.common.rpc.http import HttpServer
from services.common.rpc.probe import probe
from tests.conftest import ROOT
from tests.contract.servers import running

HOSTS = ["127.0.0.1", "127.0.0.2", "0.0.0.0"]
with contextlib.suppress(OSError), socket.socket(socket.AF_INET6) as trial:
    trial.bind(("::1", 0))
    HOSTS += ["[::1]", "[::]"]
PLACES = [*((host, False) for host in HOSTS), ("127.0.0.2", True)]
"""Where a part listens, and whether with TLS."""


@pytest.fixture
def shared(is_secure: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SharedSettings:
    """Settings, which the environment has too; with TLS, for a certificate as in the manifests."""
    if is_secure:
        authority = trustme.CA()
        issued = authority.issue_cert("siamese-service", "localhost")
        authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
        issued.private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "pair.pem"))
        for key, file in (("CA", "ca"), ("CERTIFICATE", "pair"), ("KEY", "pair")):
            monkeypatch.setenv(
                f"BESTSHOT_SERVICES__SHARED__TLS__{key}_FILE", str(tmp_path / f"{file}.pem")
            )
    return load_section(ROOT / "configs", "builtin", "shared", SharedSettings)


@pytest.mark.parametrize(("host", "is_secure"), PLACES)
async def test_the_probe_calls_a_service_where_it_listens(
    host: str, shared: SharedSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running("siamese", address=f"{host}:0", insecure=True) as service:
        monkeypatch.setenv("BESTSHOT_SERVICES__SIAMESE__ADDRESS", f"'{service.server.address}'")
        assert await asyncio.to_thread(probe, "siamese") == ""
    assert "UNAVAILABLE" in await asyncio.to_thread(probe, "siamese")


@pytest.mark.parametrize(("host", "is_secure"), PLACES)
async def test_the_probe_calls_the_page_where_it_listens(
    host: str, shared: SharedSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = HttpServer(
        answer_healthy,
        address=f"{host}:0",
        key="ui.address",
        tls=shared.tls,
        allowed_hosts=(),
        is_for_browsers=True,
    )
    monkeypatch.setenv("BESTSHOT_SERVICES__UI__ADDRESS", f"'{server.address}'")
    await server.start()
    assert await asyncio.to_thread(probe, "ui") == ""
    server.request_stop()
    await server.wait()
    assert "refused" in await asyncio.to_thread(probe, "ui")


async def answer_healthy(scope: dict[str, Any], receive: Any, send: Any) -> None:
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"{}"})
