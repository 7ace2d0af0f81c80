"""Entry point of the `bestshot` command.

Imports almost nothing, so that a few milliseconds after Python loads this module, Ctrl-C already
ends the command without a traceback; see `run_interruptible`. Before that, Python's own start-up
and the script that pip generates run for about 20 ms, during which only a launcher that is not
written in Python could prevent a traceback.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Callable

from services.common.process.interrupts import run_interruptible


def main() -> None:
    """Runs the command."""
    # By default, OpenBLAS's threads, here and in the parts, spin for up to 0.1 s before they sleep,
    # even right after they are created. With this setting, they spin for about 2**16 clock cycles.
    os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "16")
    try:
        run_interruptible(_load)
    finally:
        gc.freeze()  # otherwise, Python would search all imported objects for garbage


def _load() -> Callable[[], object]:
    from orchestrator.cli.app import main as run

    return run
