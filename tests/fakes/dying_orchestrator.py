"""An orchestrator that is killed after a change, just before it stores its answer.

It dies only while the file DIE is in the current folder, and removes that file first.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path

from orchestrator.__main__ import main
from orchestrator.storage.answers import SqlAnswers

DIE = "die"


def die_before_remembering() -> None:
    """Replaces the storing of answers in this process."""
    remember = SqlAnswers.remember

    def die(self: SqlAnswers, request_id: str, request_digest: str, answer: bytes) -> None:
        if Path(DIE).exists():
            Path(DIE).unlink()
            os.kill(os.getpid(), signal.SIGKILL)
        remember(self, request_id, request_digest, answer)

    SqlAnswers.remember = die  # type: ignore[method-assign]


if __name__ == "__main__":
    die_before_remembering()
    main()
