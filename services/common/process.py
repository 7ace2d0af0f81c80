"""What every part's process has in common: it is told to stop, and tells where it serves."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path


def stop_when_told(request_stop: Callable[[], object], *, exit_with_parent: bool) -> None:
    """Calls `request_stop` on SIGTERM, SIGINT and, if asked, at the end of stdin.

    Args:
        request_stop: Called within the running event loop.
        exit_with_parent: Whether the end of stdin (the parent's pipe) counts.
    """
    loop = asyncio.get_running_loop()
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signal_number, request_stop)

    def watch_stdin() -> None:
        # not through sys.stdin: a daemon thread that holds its lock aborts the interpreter's end
        while os.read(sys.stdin.fileno(), 4096):
            pass
        loop.call_soon_threadsafe(request_stop)

    if exit_with_parent:
        threading.Thread(target=watch_stdin, daemon=True).start()


def write_address(port_file: Path | None, address: str) -> None:
    """Puts the bound address into the file that a parent waits for, whole or not at all."""
    if port_file is not None:
        partial = port_file.with_suffix(".partial")
        partial.write_text(address)
        partial.replace(port_file)


def split_address(address: str) -> tuple[str, str]:
    """Host and port of "host:port"; both empty where it is not of that form."""
    host, _, port = address.rpartition(":")
    return (host, port) if host and port.isdigit() else ("", "")
