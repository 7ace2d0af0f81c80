"""Runs that have ended are announced in signed requests, again if the receiver does not answer."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import hmac
import json
import logging
import re
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.__main__ import make_webhooks
from orchestrator.clients.webhooks import Webhooks, read_key, sign
from orchestrator.config import OrchestratorSettings
from orchestrator.records import Run, RunState, RunSummary, utc_now
from services.common.errors import ConfigError
from tests.conftest import ROOT

SECRET = "a secret of the operator"


class Receiver:
    """An HTTP server that records requests and sends prepared answers."""

    def __init__(self, *answers: str) -> None:
        self.requests: list[tuple[dict[str, str], bytes]] = []
        self._answers = list(answers)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode().splitlines()
            headers = dict(line.lower().split(": ", 1) for line in head[1:] if line)
            body = await reader.readexactly(int(headers["content-length"]))
            self.requests.append((headers, body))
            writer.write(f"HTTP/1.1 {self._answers.pop(0)}\r\ncontent-length: 0\r\n\r\n".encode())
        writer.close()


@contextlib.asynccontextmanager
async def receiving(receiver: Receiver) -> AsyncIterator[str]:
    server = await asyncio.start_server(receiver.serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


@pytest.fixture
def secret_file(tmp_path: Path) -> Path:
    path = tmp_path / "secret"
    path.write_text(f"{SECRET}\n")
    return path


def ended_run() -> Run:
    summary = RunSummary(3, 0, 1, 0, 1, 0, 2.5)
    now = utc_now()
    return Run("r", "a", RunState.COMPLETED, "p", {}, {}, {}, now, end_time=now, summary=summary)


async def test_the_end_of_a_run_is_signed_and_sent_again_with_the_same_id(
    secret_file: Path,
) -> None:
    receiver = Receiver("500 Broken", "302 Found\r\nlocation: http://127.0.0.1:1/", "204 Fine")
    async with receiving(receiver) as url:
        webhooks = Webhooks([f"{url}/hook"], secret_file, delays_s=(0.0, 0.0))
        webhooks.announce(ended_run())
        await webhooks.settle()
        await webhooks.close()
    assert len(receiver.requests) == 3
    assert len({headers["webhook-id"] for headers, _ in receiver.requests}) == 1
    for headers, body in receiver.requests:
        signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
        digest = hmac.new(SECRET.encode(), signed, hashlib.sha256).digest()
        assert headers["webhook-signature"].lower() == (
            f"v1,{base64.b64encode(digest).decode()}".lower()
        )
        assert headers["content-type"] == "application/json"
    event = json.loads(body)
    assert event["type"] == "run.completed"
    assert event["data"]["run_id"] == "r"
    assert event["data"]["summary"]["selected_count"] == 1


async def test_a_receiver_that_never_answers_is_given_up_and_logged_without_its_path(
    secret_file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    webhooks = Webhooks(["http://me:pass@127.0.0.1:1/token"], secret_file, delays_s=(0.0,))
    webhooks.announce(ended_run())
    await webhooks.settle()
    await webhooks.close()
    (record,) = [one for one in caplog.records if one.levelno == logging.ERROR]
    assert "http://127.0.0.1:1:" in record.getMessage()
    assert "token" not in record.getMessage()
    assert "pass" not in record.getMessage()


def test_the_receiver_in_the_documentation_verifies_our_signatures() -> None:
    page = (ROOT / "docs" / "reference" / "json-api.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    names: dict[str, Any] = {}
    exec(code, names)
    now = int(time.time())
    headers = sign(b"key", "msg_1", now, b"{}")
    assert names["is_genuine"](b"key", headers, b"{}")
    assert not names["is_genuine"](b"key", headers, b"{ }")
    assert not names["is_genuine"](b"other", headers, b"{}")
    assert not names["is_genuine"](b"key", sign(b"key", "msg_1", now - 3600, b"{}"), b"{}")


@pytest.mark.parametrize("content", ["", "short", "whsec_!!", "whsec_c2hvcnQ="])
def test_a_weak_secret_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "secret"
    path.write_text(content)
    with pytest.raises(ConfigError, match="webhook_secret_file"):
        read_key(path)


def test_a_secret_in_base64_is_decoded(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text("whsec_" + base64.b64encode(bytes(range(24))).decode())
    assert read_key(path) == bytes(range(24))


def test_addresses_need_a_secret() -> None:
    settings = OrchestratorSettings.model_construct(
        webhook_urls=["https://example.org"], webhook_secret_file=None
    )
    with pytest.raises(ConfigError, match="webhook_secret_file"):
        make_webhooks(settings)
    assert make_webhooks(settings.model_copy(update={"webhook_urls": []})) is None
