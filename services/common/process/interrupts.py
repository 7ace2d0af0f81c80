"""Ctrl-C ends a program at any moment without a traceback.

Imports next to nothing, because Ctrl-C before `run_interruptible` still causes a traceback.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from types import FrameType

EXIT_INTERRUPTED = 130
"""128 + SIGINT, the exit code that shells report."""


def run_interruptible(load: Callable[[], Callable[[], object]]) -> None:
    """Imports and runs a program; Ctrl-C ends it with `EXIT_INTERRUPTED`.

    Args:
        load: Imports the program, and returns its main function.
    """
    is_interruptible = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if is_interruptible:  # a shell makes background jobs ignore the signal
        signal.signal(signal.SIGINT, _exit_at_once)
    run = load()
    if is_interruptible:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        run()
    except KeyboardInterrupt:
        sys.exit(EXIT_INTERRUPTED)


def _exit_at_once(number: int, frame: FrameType | None) -> None:
    """Ends the process while it loads modules, some of which swallow KeyboardInterrupt."""
    os._exit(EXIT_INTERRUPTED)
