"""Entry point of the `bestshot` command: Ctrl-C ends it at any moment without a traceback.

Imports next to nothing, because Ctrl-C during an import before `main` runs still causes one.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
from types import FrameType

EXIT_INTERRUPTED = 130
"""128 + SIGINT, the exit code that shells report."""


def main() -> None:
    """Runs the command."""
    is_interruptible = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if is_interruptible:  # not in the background of a shell, which ignores the signal
        signal.signal(signal.SIGINT, _exit_at_once)
    from orchestrator.cli.app import main as run

    if is_interruptible:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        run()
    except KeyboardInterrupt:
        sys.exit(EXIT_INTERRUPTED)
    finally:
        gc.freeze()  # or Python would search everything imported for garbage on exit


def _exit_at_once(number: int, frame: FrameType | None) -> None:
    """Ends the process while it loads modules, some of which swallow KeyboardInterrupt."""
    os._exit(EXIT_INTERRUPTED)
