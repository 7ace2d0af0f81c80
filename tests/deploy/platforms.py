"""Checks that every dependency has a wheel for each supported system and Python version.

Nothing is installed: uv resolves the dependencies as on the other system. A line that says FAILED
ends with the reason.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.conftest import ROOT

PYTHONS = ("3.11", "3.12", "3.13", "3.14")
SYSTEMS = {
    "x86_64-manylinux_2_28": PYTHONS,
    "aarch64-manylinux_2_28": PYTHONS,
    "aarch64-apple-darwin": PYTHONS,
    "x86_64-apple-darwin": PYTHONS[:-1],  # ONNX Runtime 1.23 has no wheel for Python 3.14
    "x86_64-pc-windows-msvc": PYTHONS,
}
OLDEST_MACOS = "14.0"
EXTRAS = ("cpu", "ui", "parquet", "tracing", "postgres")
NO_RAW = ("x86_64-apple-darwin",)
"""Systems for which rawpy has no wheel."""


def resolve(system: str, python: str, folder: Path) -> str:
    """Resolves the dependencies for a system; returns the error, or "" if all are there."""
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8").splitlines()
    copy = folder / "pyproject.toml"  # without our own package, which is not on the index
    copy.write_text("\n".join(line for line in project if '"bestshot-protos' not in line))
    protos = ROOT / "protos" / "pyproject.toml"
    extras = [f"--extra={name}" for name in (*EXTRAS, *(() if system in NO_RAW else ("raw",)))]
    command = [Path(sys.executable).with_name("uv"), "pip", "compile", "-q", "--no-header"]
    command += ["--only-binary=:all:", "--python-platform", system, "--python-version", python]
    done = subprocess.run(
        [*command, "-c", ROOT / "constraints.txt", *extras, copy, protos],
        env={**os.environ, "MACOSX_DEPLOYMENT_TARGET": OLDEST_MACOS},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stderr if done.returncode else ""


def main() -> None:
    """Prints a line per system and version; the exit code is 1 if any of them failed."""
    has_failed = False
    with TemporaryDirectory() as folder:
        for system, pythons in SYSTEMS.items():
            for python in pythons:
                error = resolve(system, python, Path(folder))
                has_failed |= bool(error)
                print(f"{system} Python {python}:", f"FAILED\n{error}" if error else "ok")
    sys.exit(has_failed)


if __name__ == "__main__":
    main()
