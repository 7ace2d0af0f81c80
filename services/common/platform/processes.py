"""Signals and process control that differ between systems."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio

STOP_SIGNALS = tuple(
    getattr(signal, name)
    for name in ("SIGHUP", "SIGINT", "SIGTERM", "SIGBREAK")
    if hasattr(signal, name)
)
"""Signals that stop a process; SIGBREAK is Ctrl-Break on Windows."""
CAN_FORK = sys.platform == "linux" and hasattr(os, "fork") and hasattr(socket, "send_fds")
"""Whether processes are forked. macOS frameworks do not survive a fork; Windows cannot fork."""
_NAME_FILE = Path("/proc/self/comm")


def call_on_stop(loop: asyncio.AbstractEventLoop, callback: Callable[[], object]) -> None:
    """Calls a function in the event loop on SIGTERM, SIGINT and SIGBREAK."""
    for number in STOP_SIGNALS:
        if number == getattr(signal, "SIGHUP", None):  # the supervisor ends when its terminal does
            continue
        try:
            loop.add_signal_handler(number, callback)
        except NotImplementedError:  # Windows
            signal.signal(number, lambda *_: loop.call_soon_threadsafe(callback))


@contextlib.contextmanager
def defer_signals() -> Iterator[None]:
    """Defers signals that stop this process until the end of the block, where supported.

    A process started in the block inherits the deferral permanently: signals to the whole process
    group, such as Ctrl-C, must not end a helper before the parts.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    previous = signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, previous)


def receive_signals() -> None:
    """Ends a deferral that this process has inherited."""
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)


def leave_terminal() -> None:
    """Moves this process to a separate session, so that Ctrl-C reaches only its parent."""
    if hasattr(os, "setsid"):
        os.setsid()


def set_name(name: str) -> None:
    """Names this process for ps and top, where supported; Linux keeps 15 characters."""
    with contextlib.suppress(OSError):
        _NAME_FILE.write_text(name, encoding="utf-8")


def kill(pid: int) -> None:
    """Kills a process, if it is still running."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, getattr(signal, "SIGKILL", signal.SIGTERM))


def wait_or_kill(pid: int, wait_s: float) -> None:
    """Waits for a process that is not our child to end, or kills it; requires `CAN_FORK`."""
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        if not select.select([process], [], [], wait_s)[0]:
            signal.pidfd_send_signal(process, signal.SIGKILL)
            select.select([process], [], [])
    finally:
        os.close(process)


def duplicate_above_streams(descriptor: int) -> int:
    """Duplicates a descriptor to a number that is not one of the three standard streams."""
    low = []
    while (duplicate := os.dup(descriptor)) <= 2:
        low.append(duplicate)
    for number in low:
        os.close(number)
    return duplicate


def descriptor_of(connection: Connection) -> int:
    """Returns a descriptor that reads as end-of-file once the other side is closed.

    Takes ownership of the connection.
    """
    if os.name == "posix":
        descriptor = duplicate_above_streams(connection.fileno())
        connection.close()
        return descriptor
    reading, writing = os.pipe()  # on Windows, it has a handle that os.read cannot use

    def close_at_end() -> None:
        with contextlib.suppress(EOFError, OSError):
            connection.recv_bytes()
        os.close(writing)

    threading.Thread(target=close_at_end, daemon=True).start()
    return reading
