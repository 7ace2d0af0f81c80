"""Entry point of the `bestshot` command.

Imports next to nothing; see `run_interruptible`.
"""

from __future__ import annotations

import gc
from collections.abc import Callable

from services.common.process.interrupts import run_interruptible


def main() -> None:
    """Runs the command."""
    try:
        run_interruptible(_load)
    finally:
        gc.freeze()  # or Python would search everything imported for garbage on exit


def _load() -> Callable[[], object]:
    from orchestrator.cli.app import main as run

    return run
