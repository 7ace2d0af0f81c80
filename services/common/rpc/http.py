"""The life cycle of an HTTP server: bind, serve, and stop in the same way as all parts."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Iterable
from typing import Any

from services.common.config.tls import TlsSettings
from services.common.errors import ConfigError
from services.common.process.signals import split_address
from services.common.rpc.origin import OriginGuard

GRACE_S = 2
"""How long requests in progress may take to finish."""


class HttpServer:
    """uvicorn on our own socket, without its signal handlers.

    Args:
        app: ASGI application.
        address: "host:port"; port 0 picks a free one.
        key: Setting that the address comes from, for errors.
        tls: Certificates.
        allowed_hosts: Host names that clients may use, in addition to the address and loopback.
        is_for_browsers: Whether clients are browsers, which do not have client certificates.
        problem_type: Start of the type of problems; see `OriginGuard`.

    Raises:
        ConfigError: The server cannot listen on the address.
    """

    def __init__(
        self,
        app: Any,  # noqa: ANN401
        *,
        address: str,
        key: str,
        tls: TlsSettings,
        allowed_hosts: Iterable[str],
        is_for_browsers: bool,
        problem_type: str = "",
    ) -> None:
        import uvicorn

        host, _ = split_address(address)
        self._listener = _bind(address, key)
        self.address = f"{host}:{self._listener.getsockname()[1]}"
        needs_certificate = tls.require_client_certificate and not is_for_browsers
        config = uvicorn.Config(
            OriginGuard(app, address, allowed_hosts, problem_type),
            log_config=None,
            log_level="warning",
            access_log=False,
            timeout_graceful_shutdown=GRACE_S,
            ssl_certfile=tls.certificate_file,
            ssl_keyfile=tls.key_file,
            ssl_ca_certs=str(tls.ca_file) if needs_certificate else None,
            ssl_cert_reqs=ssl.CERT_REQUIRED if needs_certificate else ssl.CERT_NONE,
        )
        self._server = uvicorn.Server(config)
        # the part handles the signals itself
        self._server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign,assignment]
        self._serving: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Returns once the server accepts requests."""
        self._serving = asyncio.ensure_future(self._server.serve(sockets=[self._listener]))
        while not self._server.started and not self._serving.done():
            await asyncio.sleep(0.02)

    def request_stop(self) -> None:
        """Makes `wait` return."""
        self._server.should_exit = True

    async def wait(self) -> None:
        """Returns when a stop was requested and the requests in progress have ended."""
        assert self._serving is not None
        await self._serving


def _bind(address: str, key: str) -> socket.socket:
    host, port = split_address(address)
    if not port:
        raise ConfigError(f"{key}: address {address!r} is not of the form host:port")
    try:
        listener = _listen(host, int(port))
    except OSError as error:
        raise ConfigError(
            f"cannot listen on {address}: {error.strerror}. Stop the other program, which may be "
            f"another bestshot, or choose another address ({key})"
        ) from error
    # Connections inherit this; asyncio sets it only for sockets with an explicit protocol. Without
    # it, the body of a response waits 40 ms for the client to acknowledge the headers.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def _listen(host: str, port: int) -> socket.socket:
    if not host.startswith("["):
        return socket.create_server((host, port))
    every = {"dualstack_ipv6": True} if host == "[::]" and socket.has_dualstack_ipv6() else {}
    return socket.create_server((host.strip("[]"), port), family=socket.AF_INET6, **every)
