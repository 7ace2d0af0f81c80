"""Measures what `make run` downloads and installs in a fresh clone without an NVIDIA GPU.

It also lists the largest packages, which matter most for the total.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from services.common.config.folders import BUILTIN_PROFILE, DATA_DIR_VARIABLE, PROFILE_VARIABLE
from tests.conftest import ROOT, draw_pairs

TARGET = ROOT / "build" / "bench" / "install.json"
LIMITS_MB = {"download": 200.0, "disk": 650.0}
_NAMED_COUNT = 6


def download_sizes(clone: Path, wheels: Path) -> dict[str, float]:
    """Fetches the packages; returns the size of each in MB, without our own."""
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "-q"]
    command = [*pip, "-c", "constraints.txt", "-w", wheels, "./protos", ".[cpu,raw]"]
    subprocess.run(command, cwd=clone, check=True)
    files = [path for path in wheels.iterdir() if not path.name.startswith("bestshot")]
    return {path.name: path.stat().st_size / 1e6 for path in files}


def disk_space(folder: Path) -> float:
    """Returns the disk space of a folder in MB; a file takes whole blocks."""
    files = (path.lstat() for path in folder.rglob("*") if not path.is_dir())
    return sum(status.st_blocks for status in files) * 512 / 1e6


def main() -> None:
    """Installs as `make run` does, curates two photos, prints the figures and writes JSON."""
    with TemporaryDirectory() as folder:
        clone, wheels = Path(folder, "clone"), Path(folder, "wheels")
        subprocess.run(["git", "clone", "-q", ROOT, clone], check=True)
        sizes = download_sizes(clone, wheels)
        photos = draw_pairs(Path(folder, "photos"), 2, 320, 240)
        changes = {PROFILE_VARIABLE: BUILTIN_PROFILE, DATA_DIR_VARIABLE: f"{folder}/data"}
        variables = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        command = ["make", "run", "RUNTIME=cpu", f"PHOTOS={photos}", f"OUT={folder}/out"]
        subprocess.run(command, cwd=clone, env={**variables, **changes}, check=True)
        found = {"download": sum(sizes.values()), "disk": disk_space(clone / ".venv")}
    for name, figure in found.items():
        print(f"{name}: {figure:.0f} MB (limit {LIMITS_MB[name]:.0f})")
    for name in sorted(sizes, key=sizes.__getitem__, reverse=True)[:_NAMED_COUNT]:
        print(f"  {sizes[name]:.0f} MB {name}")
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    TARGET.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
