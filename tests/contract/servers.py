"""Model services in this process, on a real port, with their real models."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

import grpc
import numpy as np
from bestshot.image.v1 import image_pb2
from numpy.typing import NDArray

from orchestrator.clients.calls import Patience, ServiceCaller
from services.common.config.sections import SharedSettings, load_section, parse_arguments
from services.common.rpc.channels import client_options
from services.common.rpc.server import Server, server_options
from tests.conftest import ROOT

SHARED = load_section(ROOT / "configs", "builtin", "shared", SharedSettings)


@dataclass(frozen=True)
class Running:
    """A running service."""

    server: Server
    channel: grpc.aio.Channel
    service_name: str


@contextlib.asynccontextmanager
async def running(
    name: str, *flags: str, address: str = "127.0.0.1:0", insecure: bool = False
) -> AsyncIterator[Running]:
    """Starts a service in the same way as its process, and stops it afterwards.

    Args:
        name: The service.
        flags: Arguments of --set.
        address: Address to listen on.
        insecure: Same as --insecure on the command line.
    """
    arguments = ["--address", address]
    for flag in flags:
        arguments += ["--set", flag]
    invocation = parse_arguments(name, arguments)
    shared = invocation.settings("shared", SharedSettings)
    parts = importlib.import_module(f"services.{name}.__main__").build(invocation, shared)
    server = parts.server(server_options(shared, insecure=insecure), None)
    options = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]
    await server.start()
    try:
        async with grpc.aio.insecure_channel(server.address, options=options) as opened:
            yield Running(server, opened, parts.host.service_name)
    finally:
        server.stop_at_once()
        await server.wait()


def pixels_message(pixels: NDArray[np.uint8]) -> image_pb2.Image:
    height, width = pixels.shape[:2]
    return image_pb2.Image(
        pixels=image_pb2.Pixels(width_px=width, height_px=height, rgb=pixels.tobytes())
    )


def caller_to(
    service: Running, *, max_message_bytes: int = SHARED.max_message_bytes
) -> ServiceCaller:
    """Returns our own client of a service."""
    options = dataclasses.replace(client_options(SHARED), max_message_bytes=max_message_bytes)
    name = service.service_name.split(".")[1]
    patience = Patience(call_timeout_s=60, service_wait_s=5)
    return ServiceCaller(name, service.server.address, service.service_name, patience, options)
