"""Process handling shared by all parts: stop signals and address reporting.

What a stopping server does is in `services.common.rpc.server`; what a stopping orchestrator does,
in `serve` in `orchestrator/__main__.py`.
"""

from __future__ import annotations

import asyncio
import ipaddress
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from services.common.errors import ConfigError
from services.common.platform.processes import call_on_stop


def install_stop_handlers(
    request_stop: Callable[[], object], at_parents_end: Callable[[], object] | None
) -> None:
    """Calls `request_stop` on SIGTERM and SIGINT, and on Ctrl-Break on Windows.

    Args:
        request_stop: Called in the running event loop.
        at_parents_end: Called in the event loop when stdin, the parent's pipe, is closed; None =
            ignore that.
    """
    loop = asyncio.get_running_loop()
    call_on_stop(loop, request_stop)

    def watch_stdin() -> None:
        # not through sys.stdin: a daemon thread that holds its lock would make the interpreter
        # abort at shutdown
        while os.read(sys.stdin.fileno(), 4096):
            pass
        if at_parents_end is not None:
            loop.call_soon_threadsafe(at_parents_end)

    if at_parents_end is not None:
        threading.Thread(target=watch_stdin, daemon=True).start()


def write_address(port_file: Path | None, address: str) -> None:
    """Writes the bound address atomically into the file that a parent waits for."""
    if port_file is not None:
        partial = port_file.with_suffix(".partial")
        partial.write_text(address, encoding="utf-8")
        partial.replace(port_file)


def split_address(address: str) -> tuple[str, str]:
    """Splits "host:port"; both are empty if it is not of that form."""
    host, _, port = address.rpartition(":")
    return (host, port) if host and port.isdigit() else ("", "")


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a server that listens on `host`."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def check_loopback(host: str, key: str = "the address") -> None:
    """Refuses an address where other machines could reach a part without authentication.

    Args:
        host: Host to listen on.
        key: The setting that names it, for the error.

    Raises:
        ConfigError: `host` is not one of this machine's loopback addresses.
    """
    if not is_loopback(host):
        raise ConfigError(
            f"{key} {host} can be reached by other machines, and authentication is off: set "
            f"shared.tokens_file, or shared.tls.require_client_certificate with its files; or "
            f"listen on 127.0.0.1; or pass --insecure on a trusted network"
        )
