"""Virtual environments of packages that want other versions of what bestshot uses."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT


def python_with(*requirements: str) -> Path:
    """A Python that has the given packages, made once; skips where they cannot be installed.

    On CI it must be possible.
    """
    name = re.split(r"[\[<>=]", requirements[0])[0]
    folder = ROOT / "build" / name
    python = folder / "bin" / "python"
    if not (folder / "installed").exists():
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        command = [python, "-m", "pip", "install", "-q", *requirements]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode and "CI" not in os.environ:
            pytest.skip(f"{name} cannot be installed here: {done.stderr[-300:]}")
        assert done.returncode == 0, done.stderr
        (folder / "installed").touch()
    return python
