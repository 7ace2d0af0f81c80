"""Waits for tests: on events and on the end of processes, not on the clock."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Sequence
from functools import partial

import httpx

LIMIT_S = 20 * 60.0
"""Limit for any wait. It only ends tests that hang; slow machines must not reach it."""

PAUSE_S = 0.02

http_get = partial(httpx.get, timeout=LIMIT_S)
"""httpx.get without its limit of five seconds, which a busy machine may exceed."""


def wait_until(
    condition: Callable[[], bool],
    *,
    processes: Sequence[subprocess.Popen[str] | subprocess.Popen[bytes]] = (),
    read_log: Callable[[], str] = str,
) -> None:
    """Returns when the condition holds; fails with the log as soon as a process has ended."""
    deadline = time.monotonic() + LIMIT_S
    while True:
        ended = [process for process in processes if process.poll() is not None]
        if condition():  # checked after the processes, so that their last actions count
            return
        for process in ended:
            raise AssertionError(f"{process.args} ended with {process.returncode}: {read_log()}")
        assert time.monotonic() < deadline, read_log()
        time.sleep(PAUSE_S)
