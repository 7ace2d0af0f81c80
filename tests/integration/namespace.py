"""A process that moves to another network namespace, as `ip netns exec` does.

Apart from `hosts`, because every forked process imports it.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Mapping
from multiprocessing.connection import Connection
from pathlib import Path

from orchestrator.cli.part_process import run_part

CLONE_NEWNS, CLONE_NEWNET = 0x00020000, 0x40000000  # linux/sched.h
MS_BIND, MS_REC, MS_SLAVE = 0x1000, 0x4000, 0x80000  # linux/mount.h


def run_part_in_namespace(
    namespace: str,
    name: str,
    arguments: list[str],
    variables: Mapping[str, str],
    stdin: Connection,
    log: str,
) -> None:
    """Runs a part where only that network is seen, and only the host names that it knows."""
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = os.open(f"/run/netns/{namespace}", os.O_RDONLY)
    _check(libc.setns(descriptor, CLONE_NEWNET))
    os.close(descriptor)
    names = Path("/etc/netns", namespace, "hosts")
    if names.exists():
        _check(libc.unshare(CLONE_NEWNS))
        _check(libc.mount(b"", b"/", None, MS_REC | MS_SLAVE, None))
        _check(libc.mount(bytes(names), b"/etc/hosts", None, MS_BIND, None))
    run_part(name, arguments, variables, stdin, log)


def _check(result: int) -> None:
    if result != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
