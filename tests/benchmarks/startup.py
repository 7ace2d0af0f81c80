"""Measures the processor time of commands whose work is small, so most of it is starting up.

The baseline is one Python process that imports the third-party packages that every run uses. A run
needs six processes, so a ratio near 1 means that they share nearly all of their imports. Processor
time includes all child processes; the best of several rounds counts.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image
from rich.console import Console
from rich.table import Table

from services.common.config.folders import BUILTIN_PROFILE, DATA_DIR_VARIABLE, PROFILE_VARIABLE
from tests.conftest import ROOT, draw_picture

BESTSHOT = Path(sys.executable).with_name("bestshot")
TARGET = ROOT / "build" / "bench" / "startup.json"
ROUNDS = 3
PACKAGES = "import cv2, grpc, numpy, onnxruntime, pydantic, sqlalchemy"
_BECOME_SUBREAPER = 36  # PR_SET_CHILD_SUBREAPER in prctl.h


def cpu_seconds(*command: str | Path) -> float:
    """Runs a command; returns its processor time and that of all processes that it started."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, capture_output=True)
    while True:  # processes that outlive the command become children of this process
        try:
            os.wait()
        except ChildProcessError:
            break
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Measures everything, prints a table and writes JSON."""
    ctypes.CDLL(None).prctl(_BECOME_SUBREAPER, 1, 0, 0, 0)
    os.environ[PROFILE_VARIABLE] = BUILTIN_PROFILE
    times: dict[str, list[float]] = {}
    for _ in range(ROUNDS):
        with TemporaryDirectory() as folder:
            photos, out = Path(folder, "photos"), Path(folder, "out")
            photos.mkdir()
            for number in range(2):
                Image.fromarray(draw_picture(number)).save(photos / f"{number}.jpg")
            os.environ[DATA_DIR_VARIABLE] = str(Path(folder, "data"))
            curate = (BESTSHOT, "curate", photos, "--out", out)
            for name, command in (
                ("packages", (sys.executable, "-c", PACKAGES)),
                ("help", (BESTSHOT, "--help")),
                ("two_new_photos", curate),
                ("two_cached_photos", curate),
            ):
                times.setdefault(name, []).append(cpu_seconds(*command))
    best = {name: min(found) for name, found in times.items()}
    results = {f"{name}_cpu_s": value for name, value in best.items()}
    results |= {
        f"{name}_to_packages": value / best["packages"]
        for name, value in best.items()
        if name != "packages"
    }
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    TARGET.write_text(json.dumps(results, indent=2) + "\n")
    table = Table("what", "value")
    for name, value in results.items():
        table.add_row(name, f"{value:.2f}")
    Console().print(table)


if __name__ == "__main__":
    main()
