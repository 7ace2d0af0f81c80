"""Servers of the standard library, run in a thread of a test."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from socketserver import BaseServer
from typing import TypeVar

Server = TypeVar("Server", bound=BaseServer)

POLL_S = 0.01
"""How often a server checks whether to stop; by default, stopping takes half a second."""


@contextmanager
def serving(server: Server) -> Iterator[Server]:
    """Serves until the block ends, then closes the server."""
    with server:
        thread = threading.Thread(target=server.serve_forever, args=(POLL_S,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
