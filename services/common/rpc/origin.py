"""Protects this machine's HTTP servers from other web sites."""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any
from urllib.parse import urlsplit

from services.common.process.signals import is_loopback

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
AsgiApp = Callable[[Message, Receive, Send], Awaitable[None]]

HEALTH_PATH = "/healthz"
_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[^\s\[\]:/?#@\\]+)(:\d{1,5})?", re.IGNORECASE)
_DEFAULT_PORTS = {"http": "80", "https": "443"}
_READING = ("GET", "HEAD")


class OriginGuard:
    """ASGI middleware that refuses unknown host names and requests from other sites' pages.

    A web site can make a browser send requests to servers that only this machine or network can
    reach. Checking the Host header stops DNS rebinding, in which the site's own name resolves to
    this server; checking Origin and Sec-Fetch-Site (https://www.w3.org/TR/fetch-metadata/) stops
    requests from pages of other origins. Clients other than browsers send neither and are let
    through.

    Args:
        app: The application to guard.
        address: Its "host:port".
        allowed_hosts: Its other host names, for example behind a proxy.
        problem_type: Start of a problem's type (RFC 9457), which the reason completes; empty if
            the application does not describe its problems.
    """

    def __init__(
        self, app: AsgiApp, address: str, allowed_hosts: Iterable[str], problem_type: str = ""
    ) -> None:
        self._app = app
        self._problem_type = problem_type
        host = address.rpartition(":")[0]
        self._public_names = {_normalize(name) for name in allowed_hosts}
        self._names = {"localhost", _normalize(host), *self._public_names}
        self._takes_any_ip = not is_loopback(_normalize(host))

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Serves the request, or answers 403."""
        if scope["type"] == "lifespan" or scope["path"] == HEALTH_PATH:
            # probes use the container's address, and only learn that it is serving
            return await self._app(scope, receive, send)
        problem = self._find_problem(scope)
        if not problem:
            return await self._app(scope, receive, send)
        if scope["type"] == "websocket":
            return await send({"type": "websocket.close", "code": 1008})
        await _refuse(send, *problem, self._problem_type)

    def _find_problem(self, scope: Message) -> tuple[str, str] | None:
        """Returns the reason and a message; None = the request may pass."""
        headers: dict[str, list[str]] = {}
        for name, value in scope["headers"]:
            headers.setdefault(name.decode("latin-1").lower(), []).append(value.decode("latin-1"))
        hosts = headers.get("host", [])
        if len(hosts) != 1 or not self._knows(hosts[0]):
            return (
                "HOST_UNKNOWN",
                f"unknown host name {', '.join(hosts)[:100]!r}: call this server by the address "
                "that it listens on, or add the name to shared.allowed_hosts",
            )
        origins = headers.get("origin", [])
        sites = headers.get("sec-fetch-site", [])
        if any(not self._is_own(origin, hosts[0]) for origin in origins) or (
            any(site not in ("same-origin", "none") for site in sites)
            and not _is_followed_link(scope, headers)
        ):
            return (
                "ORIGIN_FOREIGN",
                f"pages of other sites ({', '.join([*origins, *sites])[:100]}) may not call this "
                "server; behind a proxy that changes the host, add its name to "
                "shared.allowed_hosts",
            )
        return None

    def _knows(self, host: str) -> bool:
        if not _HOST.fullmatch(host):
            return False
        name = _split_port(host)[0]
        # a literal address needs no name server, so it cannot be rebound
        is_literal = _ip_address(name) is not None
        return name in self._names or is_loopback(name) or (is_literal and self._takes_any_ip)

    def _is_own(self, origin: str, host: str) -> bool:
        """Whether a page of this origin came from this server."""
        try:
            parts = urlsplit(origin)
        except ValueError:
            return False
        if parts.scheme not in _DEFAULT_PORTS or not _HOST.fullmatch(parts.netloc):
            return False
        default = _DEFAULT_PORTS[parts.scheme]
        (name, port), (own_name, own_port) = _split_port(parts.netloc), _split_port(host)
        if (name, port or default) == (own_name, own_port or default):
            return True
        return name in self._public_names


def _is_followed_link(scope: Message, headers: dict[str, list[str]]) -> bool:
    """Whether a person follows a link, in which case the other site cannot read the response."""
    return (
        scope.get("method") in _READING
        and headers.get("sec-fetch-mode") == ["navigate"]
        and headers.get("sec-fetch-dest") == ["document"]
    )


def _split_port(netloc: str) -> tuple[str, str]:
    """Splits "host[:port]" into name and port; the port may be empty."""
    match = _HOST.fullmatch(netloc)
    assert match is not None
    return _normalize(match[1]), (match[2] or "").removeprefix(":")


def _normalize(host: str) -> str:
    return host.lower().strip("[]").removesuffix(".")


def _ip_address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


async def _refuse(send: Send, reason: str, detail: str, problem_type: str) -> None:
    content = {"status": 403, "title": "Forbidden", "detail": detail, "reason": reason, "field": ""}
    if problem_type:
        content["type"] = problem_type + reason
    body = json.dumps(content).encode()
    headers = [
        (b"content-type", b"application/problem+json"),
        (b"content-length", str(len(body)).encode()),
    ]
    await send({"type": "http.response.start", "status": 403, "headers": headers})
    await send({"type": "http.response.body", "body": body})
