"""Entry point of the `bestshot` command.

Imports next to nothing, so that Ctrl-C ends it without a traceback a few milliseconds after this
module is imported; see `run_interruptible`. Before that, Python's own start-up and the script that
pip generates run for about 20 ms, and only a launcher not written in Python could prevent one then.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Callable

from services.common.process.interrupts import run_interruptible


def main() -> None:
    """Runs the command."""
    # Otherwise OpenBLAS's threads, in this process and the parts, spin for up to 0.1 s before they
    # sleep, also after they have just been created; with this, about 2**16 cycles of the clock.
    os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "16")
    try:
        run_interruptible(_load)
    finally:
        gc.freeze()  # or Python would search everything imported for garbage on exit


def _load() -> Callable[[], object]:
    from orchestrator.cli.app import main as run

    return run
