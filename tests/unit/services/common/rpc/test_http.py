"""The HTTP server of the UI and of the JSON API."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from typing import Any

import pytest

from services.common.config.tls import TlsSettings
from services.common.rpc.http import HttpServer


async def answer(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"done"})


def sends_at_once(peer: tuple[str, int]) -> bool:
    """Whether this process's socket that is connected to a peer sends small packets at once."""
    for name in os.listdir("/proc/self/fd"):
        try:
            copy = os.dup(int(name))
        except OSError:
            continue  # the descriptor of the listing itself
        try:
            opened = socket.socket(fileno=copy)
        except OSError:  # a file or a pipe, which parts that other tests started would wait for
            os.close(copy)
            continue
        with opened:
            try:
                is_wanted = opened.getpeername() == peer
            except OSError:
                continue  # not connected
            if is_wanted:
                return bool(opened.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
    raise AssertionError(f"nothing is connected to {peer}")


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_response_does_not_wait_for_the_client_to_acknowledge_its_headers() -> None:
    async def check() -> None:
        server = HttpServer(
            answer,
            address="127.0.0.1:0",
            key="ui.address",
            tls=TlsSettings(
                certificate_file=None,
                key_file=None,
                ca_file=None,
                require_client_certificate=False,
            ),
            allowed_hosts=(),
            is_for_browsers=True,
        )
        await server.start()
        host, _, port = server.address.partition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(f"GET / HTTP/1.1\r\nHost: {server.address}\r\n\r\n".encode())
        await reader.readuntil(b"done")
        assert sends_at_once(writer.get_extra_info("sockname"))
        writer.close()
        server.request_stop()
        await server.wait()

    asyncio.run(check())
