"""Starts a part: `python -P -m services.common.process.start MODULE ARGUMENTS`.

Imports next to nothing; see `run_interruptible`.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable

from services.common.process.interrupts import run_interruptible


def _load() -> Callable[[], object]:
    from services.common.platform.processes import receive_signals

    receive_signals()  # `bestshot serve` defers them
    module = sys.argv.pop(1)
    run: Callable[[], object] = importlib.import_module(f"{module}.__main__").main
    return run


if __name__ == "__main__":
    run_interruptible(_load)
