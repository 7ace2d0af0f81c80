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
    """A Python that has the given packages; skips where they cannot be installed, save on CI."""
    try:
        return installed_python(*requirements)
    except subprocess.CalledProcessError as error:
        if "CI" in os.environ:
            raise
        pytest.skip(f"{requirements[0]} cannot be installed here: {error.stderr[-300:]}")


def installed_python(*requirements: str) -> Path:
    """A Python that has the given packages, made once.

    Raises:
        CalledProcessError: They cannot be installed.
    """
    name = re.split(r"[\[<>=]", requirements[0])[0]
    folder = ROOT / "build" / name
    python = folder / "bin" / "python"
    if not (folder / "installed").exists():
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        command = [python, "-m", "pip", "install", "-q", "--no-compile", *requirements]
        subprocess.run(command, capture_output=True, text=True, check=True)
        (folder / "installed").touch()
    return python
