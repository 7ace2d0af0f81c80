"""Virtual environments for packages that need other versions of our dependencies."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT


def python_with(*requirements: str) -> Path:
    """Returns a Python with the given packages; skips if they cannot be installed, except in CI."""
    try:
        return installed_python(*requirements)
    except subprocess.CalledProcessError as error:
        if "CI" in os.environ:
            raise
        pytest.skip(f"{requirements[0]} cannot be installed here: {error.stderr[-300:]}")


def installed_python(*requirements: str) -> Path:
    """Returns a Python with the given packages; the environment is created once.

    Raises:
        CalledProcessError: The packages cannot be installed.
    """
    name = re.split(r"[\[<>=]", requirements[0])[0]
    folder = ROOT / "build" / name
    python = folder / "bin" / "python"
    if not (folder / "installed").exists():
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        uv = [Path(sys.executable).with_name("uv"), "pip", "install", "-q", "--python", python]
        pip = [python, "-m", "pip", "install", "-q", "--no-compile"]
        # uv takes seconds and pip a minute, but they have separate settings, and pip's index may be
        # the only one that can be reached
        quick = subprocess.run([*uv, *requirements], capture_output=True, check=False)
        if quick.returncode:
            subprocess.run([*pip, *requirements], capture_output=True, text=True, check=True)
        (folder / "installed").touch()
    return python
