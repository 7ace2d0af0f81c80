"""The browser requests that an HTTP server accepts."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common.rpc.origin import OriginGuard

LOOPBACK, EVERYWHERE = "127.0.0.1:7860", "0.0.0.0:7860"
Headers = dict[str, str]


def status(address: str, headers: Headers, method: str = "GET", path: str = "/") -> int:
    """Returns the guard's response; 200 = it passes the request on."""
    statuses: list[int] = []

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def receive() -> Any:
        raise AssertionError("the guard must decide before it reads anything")

    guard = OriginGuard(app, address, ["photos.example.com"])
    raw = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    scope = {"type": "http", "method": method, "path": path, "headers": raw}
    asyncio.run(guard(scope, receive, send))
    return statuses[0]


@pytest.mark.parametrize(
    ("address", "host", "expected"),
    [
        *((LOOPBACK, name, 200) for name in ("127.0.0.1:7860", "localhost", "LOCALHOST.:80")),
        *((LOOPBACK, name, 200) for name in ("[::1]:7860", "photos.example.com", "127.0.0.9")),
        *((LOOPBACK, name, 403) for name in ("10.0.0.1", "0.0.0.0:7860", "evil.example", "")),
        *((LOOPBACK, name, 403) for name in ("x@localhost", "localhost/x", "localhost, evil")),
        *((LOOPBACK, name, 403) for name in ("[::1", "localhost:", "localhost:x", "localhost#")),
        *((EVERYWHERE, name, 200) for name in ("10.0.0.1:7860", "[fe80::1]", "localhost")),
        *((EVERYWHERE, name, 403) for name in ("nas.local", "10.0.0.1.evil.example")),
        ("nas.local:7860", "nas.local:80", 200),
    ],
)
def test_a_server_accepts_only_its_own_names(address: str, host: str, expected: int) -> None:
    assert status(address, {"host": host}) == expected


@pytest.mark.parametrize(
    ("host", "origin", "expected"),
    [
        ("localhost:7860", "http://localhost:7860", 200),
        ("localhost:7860", "http://localhost:3000", 403),
        ("localhost:7860", "http://127.0.0.1:7860", 403),
        ("localhost:7860", "null", 403),
        ("localhost:7860", "chrome-extension://x", 403),
        ("localhost:7860", "http://[", 403),
        ("photos.example.com", "https://photos.example.com", 200),
        ("photos.example.com:443", "https://photos.example.com", 200),
        ("127.0.0.1:7860", "https://photos.example.com", 200),
        ("photos.example.com", "https://photos.example.com.evil.example", 403),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_only_its_own_pages_may_call_it(host: str, origin: str, expected: int, method: str) -> None:
    assert status(LOOPBACK, {"host": host, "origin": origin}, method) == expected


def test_other_sites_may_only_link_to_it() -> None:
    link = {"host": LOOPBACK, "sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}
    assert status(LOOPBACK, {**link, "sec-fetch-dest": "document"}) == 200
    assert status(LOOPBACK, {**link, "sec-fetch-dest": "document"}, "POST") == 403
    for kind in ("iframe", "image", "object"):
        assert status(LOOPBACK, {**link, "sec-fetch-dest": kind}) == 403
    for site, expected in (("same-origin", 200), ("none", 200), ("same-site", 403)):
        assert status(LOOPBACK, {"host": LOOPBACK, "sec-fetch-site": site}, "POST") == expected


def test_probes_may_use_any_name() -> None:
    assert status(EVERYWHERE, {"host": "pod.example"}, path="/healthz") == 200
    assert status(EVERYWHERE, {}, path="/healthz") == 200
    assert status(EVERYWHERE, {}) == 403


@given(
    st.text(st.characters(max_codepoint=255)),
    st.text(st.characters(max_codepoint=255)),
    st.sampled_from(["GET", "POST", "OPTIONS"]),
)
def test_any_text_gets_a_response(host: str, origin: str, method: str) -> None:
    own = host.lower().rpartition(":")[0] or host.lower()
    known = own.strip("[]").startswith(("localhost", "127.", "::1", "photos.example.com"))
    if not known:
        assert status(LOOPBACK, {"host": host}, method) == 403
    assert status(LOOPBACK, {"host": LOOPBACK, "origin": origin}, method) == 403
