"""Ctrl-C while the command is still loading its modules."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from tests.waiting import LIMIT_S

MAIN = """
import sys
sys.argv = ["bestshot", "--help"]
from orchestrator.cli.main import main
main()
"""
WAITS = "import os, signal; os.write(1, b'loading'); signal.pause()"


def test_ctrl_c_while_loading_ends_without_a_traceback(tmp_path: Path) -> None:
    (tmp_path / "typer.py").write_text(WAITS)  # the first large module
    path = os.pathsep.join([str(tmp_path), *filter(None, sys.path)])
    process = subprocess.Popen(
        [sys.executable, "-c", MAIN],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert process.stdout is not None
    assert process.stdout.read(len("loading")) == b"loading"
    process.send_signal(signal.SIGINT)
    text, _ = process.communicate(timeout=LIMIT_S)
    assert (process.returncode, text) == (130, b"")
