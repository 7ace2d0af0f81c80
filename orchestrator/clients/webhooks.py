"""Notifies other programs over HTTP when a run has ended.

Requests are signed according to https://www.standardwebhooks.com, whose libraries can verify them.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import dataclasses
import hashlib
import hmac
import json
import logging
import time
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
from tenacity import (
    AsyncRetrying,
    retry_if_exception_type,
    stop_after_attempt,
    wait_chain,
    wait_fixed,
)

from orchestrator.records import Run, utc_now
from services.common.errors import ConfigError
from services.common.user_files import WatchedFile, read_user_text

logger = logging.getLogger(__name__)

DELAYS_S = (1.0, 5.0, 25.0, 125.0, 625.0)
"""Pauses between attempts; together, they cover 13 minutes of downtime."""
TIMEOUT_S = 10.0
MIN_SECRET_BYTES = 16
_PREFIX = "whsec_"


class Webhooks:
    """Announces each run that has ended.

    Only the operator chooses the addresses. Redirects are not followed and responses are not read,
    so a receiver cannot use this machine to reach others.

    Args:
        urls: Addresses to send to.
        secret_file: File with the key for the signatures; a change takes effect at once.
        delays_s: Pauses between attempts.

    Raises:
        ConfigError: The file is missing or invalid.
    """

    def __init__(
        self, urls: Sequence[str], secret_file: Path, *, delays_s: Sequence[float] = DELAYS_S
    ) -> None:
        self._urls = tuple(urls)
        self._key = WatchedFile(secret_file, read_key)
        self._delays_s = tuple(delays_s)
        self._client = httpx.AsyncClient(timeout=TIMEOUT_S, follow_redirects=False)
        self._tasks: set[asyncio.Task[None]] = set()

    def announce(self, run: Run) -> None:
        """Notifies all addresses, in the background, that a run has ended."""
        event_id, body = f"msg_{uuid.uuid4().hex}", _event(run)
        for url in self._urls:
            task = asyncio.ensure_future(self._send(url, event_id, body))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def settle(self) -> None:
        """Waits until every delivery has succeeded or failed for good."""
        await asyncio.gather(*self._tasks)

    async def close(self) -> None:
        """Abandons deliveries that are still pending."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._client.aclose()

    async def _send(self, url: str, event_id: str, body: bytes) -> None:
        attempts = AsyncRetrying(
            retry=retry_if_exception_type(httpx.HTTPError),
            wait=wait_chain(*map(wait_fixed, self._delays_s)),
            stop=stop_after_attempt(1 + len(self._delays_s)),
            reraise=True,
        )
        try:
            await attempts(self._post, url, event_id, body)
        except httpx.HTTPError as error:
            logger.error("cannot deliver webhook %s to %s: %r", event_id, _origin(url), error)

    async def _post(self, url: str, event_id: str, body: bytes) -> None:
        headers = sign(self._key.content(), event_id, int(time.time()), body)
        async with self._client.stream("POST", url, content=body, headers=headers) as answer:
            if not answer.is_success:
                raise httpx.HTTPError(f"status {answer.status_code}")


def sign(key: bytes, event_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """Returns the headers of a request, with the HMAC-SHA256 of id, time and body."""
    signed = f"{event_id}.{timestamp}.".encode() + body
    signature = base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
    return {
        "content-type": "application/json",
        "webhook-id": event_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": f"v1,{signature}",
    }


def read_key(path: Path) -> bytes:
    """Reads the key on a file's first line: any text, or `whsec_` followed by base64.

    Raises:
        ConfigError: There is no valid key, or it is too short to be safe.
    """
    source = "orchestrator.webhook_secret_file"
    lines = read_user_text(path, source).splitlines()
    text = lines[0].strip() if lines else ""
    key = text.encode()
    if text.startswith(_PREFIX):
        try:
            key = base64.b64decode(text.removeprefix(_PREFIX), validate=True)
        except binascii.Error:
            raise ConfigError(f"{source}: {path} has no base64 after {_PREFIX}") from None
    if len(key) < MIN_SECRET_BYTES:
        raise ConfigError(
            f"{source}: the first line of {path} must be a secret of at least {MIN_SECRET_BYTES} "
            f"bytes"
        )
    return key


def _event(run: Run) -> bytes:
    data: dict[str, Any] = {
        "run_id": run.id,
        "album_id": run.album_id,
        "state": run.state.value,
        "profile": run.profile,
        "error": run.error,
        "create_time": run.create_time.isoformat(),
        "start_time": run.start_time.isoformat() if run.start_time else None,
        "end_time": run.end_time.isoformat() if run.end_time else None,
        "summary": dataclasses.asdict(run.summary) if run.summary else None,
    }
    event = {"type": f"run.{run.state.value.lower()}", "timestamp": utc_now().isoformat()}
    return json.dumps({**event, "data": data}).encode()


def _origin(url: str) -> str:
    """Returns an address for the log, without the path, which may contain a secret."""
    parts = httpx.URL(url)
    return f"{parts.scheme}://{parts.netloc.decode().rpartition('@')[2]}"
