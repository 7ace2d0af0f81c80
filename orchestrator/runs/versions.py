"""The versions of all software that computes a run's results."""

from __future__ import annotations

import contextlib
import functools
import importlib.metadata
import platform
import subprocess
from pathlib import Path

from services.common.imaging.decode import CANONICAL_VERSION

_COMPUTING_PACKAGES = (
    "bestshot",
    "numpy",
    "hdbscan",
    "scikit-learn",
    "pillow",
    "pillow-heif",
    "opencv-python-headless",
)


def find_versions() -> dict[str, str]:
    """Returns the versions that a run records."""
    versions = {
        "python": platform.python_version(),
        "canonical_image": CANONICAL_VERSION,
        "machine": platform.machine(),
    }
    if revision := _git_revision():
        versions["git_revision"] = revision
    for package in _COMPUTING_PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[package] = importlib.metadata.version(package)
    return versions


_WHOLE_REVISION = ("--always", "--dirty", "--abbrev=40", "--exclude=*")


@functools.cache
def _git_revision() -> str:
    """Finds the commit of the checkout that this code runs from, with `-dirty` if modified.

    Empty if it does not run from a checkout.
    """
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return ""
    try:
        answer = subprocess.run(  # noqa: S603
            ["git", "-C", str(root), "describe", *_WHOLE_REVISION],  # noqa: S607
            capture_output=True,
            text=True,
            timeout=5,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return answer.stdout.strip()
