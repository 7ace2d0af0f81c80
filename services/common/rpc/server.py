"""The life cycle of a gRPC server: bind, warm up, serve, drain."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from services.common.config.sections import SharedSettings
from services.common.errors import ConfigError
from services.common.process.metrics import Metrics
from services.common.process.signals import (
    check_loopback,
    install_stop_handlers,
    is_loopback,
    split_address,
    write_address,
)
from services.common.rpc.auth import Authorize, authorize_by
from services.common.rpc.channels import KEEPALIVE
from services.common.rpc.interceptors import CallInterceptor
from services.common.rpc.tls import check_tls, server_credentials

logger = logging.getLogger(__name__)

GRACE_S = 10.0
"""How long calls in progress may take to finish once the server stops."""
LAME_DUCK_S = 1.0
"""How long a stopping server still accepts calls, so that its clients, which watch its health, can
switch to other replicas."""

FLOOD_FACTOR = 8


@dataclass(frozen=True)
class ServerOptions:
    """Options for serving callers.

    Attributes:
        max_message_bytes: Maximum size of a message, sent or received.
        max_concurrent_calls: Maximum number of concurrent calls; further calls fail with
            RESOURCE_EXHAUSTED and a retry delay.
        credentials: TLS credentials; None = without TLS.
        authorize: Authorizes a call.
        is_open: Whether anyone who can reach the server may call it.
        insecure: Whether an open server may listen on a non-loopback address.
        exposes_tokens: Whether callers would send their tokens unencrypted.
    """

    max_message_bytes: int
    max_concurrent_calls: int
    credentials: grpc.ServerCredentials | None
    authorize: Authorize
    is_open: bool
    insecure: bool
    exposes_tokens: bool

    def check_host(self, host: str) -> None:
        """Refuses to listen if anyone else could call without a token, or read a token.

        Raises:
            ConfigError: `host` is not a loopback address, and the settings do not allow that.
        """
        if self.is_local_only:
            check_loopback(host)
        if self.exposes_tokens and not is_loopback(host):
            raise ConfigError(
                f"callers of the address {host} would send their tokens unencrypted: set "
                f"shared.tls.certificate_file and key_file, or listen on 127.0.0.1, or on a "
                f"trusted network set shared.allow_plaintext_token: true"
            )

    @property
    def is_local_only(self) -> bool:
        """Whether the server may listen only on loopback."""
        return self.is_open and not self.insecure


def server_options(shared: SharedSettings, *, insecure: bool) -> ServerOptions:
    """Reads from the settings how to serve callers.

    Raises:
        ConfigError: A certificate file or the tokens file is missing or wrong.
    """
    check_tls(shared.tls)
    return ServerOptions(
        max_message_bytes=shared.max_message_bytes,
        max_concurrent_calls=shared.max_concurrent_calls,
        credentials=server_credentials(shared.tls),
        authorize=authorize_by(shared.tokens_file),
        is_open=shared.tokens_file is None and not shared.tls.require_client_certificate,
        insecure=insecure,
        exposes_tokens=shared.tokens_file is not None
        and shared.tls.certificate_file is None
        and not shared.allow_plaintext_token,
    )


class Server:
    """A gRPC server with health checks and reflection that drains on SIGTERM and SIGINT.

    Args:
        address: "host:port"; port 0 picks a free one.
        key: Setting that the address comes from, for errors.
        service_names: Full names of the services that `register` adds.
        register: Adds the servicers to the server.
        options: Options for serving callers.
        warm_up: First inference; the services are SERVING once it is done.
        metrics: Receives every call.
        max_connection_age_s: Seconds after which a client is asked to reconnect, so that it finds
            new replicas; None = never. Calls in progress are finished.
    """

    def __init__(
        self,
        *,
        address: str,
        key: str,
        service_names: Sequence[str],
        register: Callable[[grpc.aio.Server], None],
        options: ServerOptions,
        metrics: Metrics,
        warm_up: Callable[[], object] = lambda: None,
        max_connection_age_s: int | None = None,
    ) -> None:
        self._warm_up = warm_up
        self._service_names = tuple(service_names)
        self._health = health.aio.HealthServicer()
        self._stopping = asyncio.Event()
        self._lame_duck_s = LAME_DUCK_S
        self._options = options
        self._server = grpc.aio.server(
            interceptors=[
                CallInterceptor(
                    metrics,
                    options.authorize,
                    options.max_message_bytes,
                    options.max_concurrent_calls,
                )
            ],
            # The interceptor refuses calls with a retry delay, which gRPC cannot do; gRPC's own
            # limit is for floods of calls.
            maximum_concurrent_rpcs=FLOOD_FACTOR * options.max_concurrent_calls,
            options=[
                *KEEPALIVE,
                *_connection_age(max_connection_age_s),
                # Probing would make gRPC buffer megabytes of each request before it is read. A
                # request that is being read has a window of its own size anyway.
                ("grpc.http2.bdp_probe", 0),
                ("grpc.so_reuseport", 0),  # a second server on the port is an error, not a replica
                ("grpc.max_concurrent_streams", options.max_concurrent_calls),
                ("grpc.max_send_message_length", options.max_message_bytes),
                ("grpc.max_receive_message_length", options.max_message_bytes),
            ],
        )
        register(self._server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        reflection.enable_server_reflection(
            (*self._service_names, health.SERVICE_NAME, reflection.SERVICE_NAME), self._server
        )
        self.address = self._bind(address, key)

    def _bind(self, address: str, key: str) -> str:
        host, port = split_address(address)
        if not port:
            raise ConfigError(f"{key}: address {address!r} is not of the form host:port")
        self._options.check_host(host)
        try:
            if self._options.credentials is None:
                bound_port = self._server.add_insecure_port(address)
            else:
                bound_port = self._server.add_secure_port(address, self._options.credentials)
        except RuntimeError:
            bound_port = 0
        if bound_port == 0:
            raise ConfigError(
                f"cannot listen on {address}: the port is in use, or the host is not one of "
                f"this machine's. Stop the other program, which may be another bestshot, or choose "
                f"another address ({key})"
            )
        return f"{host}:{bound_port}"

    async def start(self) -> None:
        """Starts serving; the services are SERVING once the warm-up is done."""
        for name in self._service_names:
            await self._health.set(name, health_pb2.HealthCheckResponse.NOT_SERVING)
        await self._server.start()
        await asyncio.to_thread(self._warm_up)
        for name in self._service_names:
            await self._health.set(name, health_pb2.HealthCheckResponse.SERVING)

    def request_stop(self) -> None:
        """Makes `wait` redirect the clients, drain the server and return."""
        self._stopping.set()

    def stop_at_once(self) -> None:
        """Like `request_stop`, without waiting for clients to switch to another replica."""
        self._lame_duck_s = 0.0
        self._stopping.set()

    async def wait(self) -> None:
        """Returns when a stop was requested and calls in progress have ended (or 10 s passed)."""
        await self._stopping.wait()
        await self._health.enter_graceful_shutdown()
        await asyncio.sleep(self._lame_duck_s)
        await self._server.stop(GRACE_S)


def _connection_age(max_connection_age_s: int | None) -> list[tuple[str, int]]:
    if max_connection_age_s is None:
        return []
    return [
        ("grpc.max_connection_age_ms", 1000 * max_connection_age_s),
        ("grpc.max_connection_age_grace_ms", int(1000 * GRACE_S)),
    ]


async def serve_until_stopped(
    server: Server,
    *,
    name: str,
    port_file: Path | None,
    exit_with_parent: bool,
) -> None:
    """Runs `server` until SIGTERM, SIGINT or, optionally, the end of the parent process.

    Args:
        server: Bound, not yet started.
        name: For the log.
        port_file: File to which the address is written once the services are SERVING; for parents
            that passed port 0.
        exit_with_parent: Whether the end of stdin (the parent's pipe) stops the server.
    """
    install_stop_handlers(server.request_stop, server.stop_at_once if exit_with_parent else None)
    await server.start()
    logger.info("%s is listening on %s (pid %d)", name, server.address, os.getpid())
    write_address(port_file, server.address)
    await server.wait()
    logger.info("%s stopped", name)
