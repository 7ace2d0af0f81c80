"""The life of a gRPC server: bind, warm up, serve, drain."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from services.common.channels import KEEPALIVE
from services.common.errors import ConfigError
from services.common.interceptors import ErrorInterceptor
from services.common.metrics import Metrics
from services.common.process import split_address, stop_when_told, write_address

logger = logging.getLogger(__name__)

GRACE_S = 10.0


class Server:
    """A gRPC server with health and reflection that drains on SIGTERM and SIGINT.

    Args:
        address: "host:port"; port 0 takes a free one.
        service_names: Full names of the services that `register` adds.
        register: Adds the servicers to the server.
        max_message_bytes: Largest message taken or sent.
        warm_up: First inference; the services count as SERVING once it is through.
        metrics: Told of every call.
        max_connection_age_s: After this a client is asked to connect anew, and finds the replicas
            that have come since; None = never. Calls under way are finished.
    """

    def __init__(
        self,
        *,
        address: str,
        service_names: Sequence[str],
        register: Callable[[grpc.aio.Server], None],
        max_message_bytes: int,
        metrics: Metrics,
        warm_up: Callable[[], object] = lambda: None,
        max_connection_age_s: int | None = None,
    ) -> None:
        self._warm_up = warm_up
        self._service_names = tuple(service_names)
        self._health = health.aio.HealthServicer()
        self._stopping = asyncio.Event()
        self._server = grpc.aio.server(
            interceptors=[ErrorInterceptor(metrics)],
            options=[
                *KEEPALIVE,
                *_connection_age(max_connection_age_s),
                ("grpc.so_reuseport", 0),  # a second server on the port is an error, not a twin
                ("grpc.max_send_message_length", max_message_bytes),
                ("grpc.max_receive_message_length", max_message_bytes),
            ],
        )
        register(self._server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        reflection.enable_server_reflection(
            (*self._service_names, health.SERVICE_NAME, reflection.SERVICE_NAME), self._server
        )
        self.address = self._bind(address)

    def _bind(self, address: str) -> str:
        host, port = split_address(address)
        if not port:
            raise ConfigError(f"address {address!r} is not of the form host:port")
        try:
            bound_port = self._server.add_insecure_port(address)
        except RuntimeError:
            bound_port = 0
        if bound_port == 0:
            raise ConfigError(
                f"cannot listen on {address}: the port is in use, or the host is not one of "
                f"this machine's. Stop the other program or choose another address"
            )
        return f"{host}:{bound_port}"

    async def start(self) -> None:
        """Starts to answer; the services count as SERVING once the warm-up is through."""
        for name in self._service_names:
            await self._health.set(name, health_pb2.HealthCheckResponse.NOT_SERVING)
        await self._server.start()
        await asyncio.to_thread(self._warm_up)
        for name in self._service_names:
            await self._health.set(name, health_pb2.HealthCheckResponse.SERVING)

    def request_stop(self) -> None:
        """Lets `wait` drain the server and return."""
        self._stopping.set()

    async def wait(self) -> None:
        """Returns when a stop was requested and the calls under way have ended (or 10 s passed)."""
        await self._stopping.wait()
        await self._health.enter_graceful_shutdown()
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
    """Runs `server` until SIGTERM, SIGINT or, if asked, the end of the parent process.

    Args:
        server: Bound, not yet started.
        name: For the log.
        port_file: Gets the address once the services serve; for parents that passed port 0.
        exit_with_parent: Whether the end of stdin (the parent's pipe) stops the server.
    """
    stop_when_told(server.request_stop, exit_with_parent=exit_with_parent)
    await server.start()
    logger.info("%s serves on %s (pid %d)", name, server.address, os.getpid())
    write_address(port_file, server.address)
    await server.wait()
    logger.info("%s has stopped", name)
