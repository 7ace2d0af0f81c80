"""Model services in this process, on a real port, with their real models."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

import grpc
import numpy as np
from bestshot.image.v1 import image_pb2
from numpy.typing import NDArray

from services.common.server import Server
from services.common.service_config import SharedSettings, parse_arguments


@dataclass(frozen=True)
class Running:
    """A service that answers."""

    server: Server
    channel: grpc.aio.Channel
    service_name: str


@contextlib.asynccontextmanager
async def running(name: str, *flags: str) -> AsyncIterator[Running]:
    """Starts a service as its process would, and stops it."""
    arguments = ["--address", "127.0.0.1:0"]
    for flag in flags:
        arguments += ["--set", flag]
    invocation = parse_arguments(name, arguments)
    shared = invocation.settings("shared", SharedSettings)
    parts = importlib.import_module(f"services.{name}.__main__").build(invocation, shared)
    server = parts.server(shared)
    options = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]
    await server.start()
    try:
        async with grpc.aio.insecure_channel(server.address, options=options) as channel:
            yield Running(server, channel, parts.service_name)
    finally:
        server.request_stop()
        await server.wait()


def pixels_message(pixels: NDArray[np.uint8]) -> image_pb2.Image:
    height, width = pixels.shape[:2]
    return image_pb2.Image(
        pixels=image_pb2.Pixels(width_px=width, height_px=height, rgb=pixels.tobytes())
    )
