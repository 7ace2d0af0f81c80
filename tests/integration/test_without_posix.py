"""bestshot on a Python without the functions that Windows lacks.

hdbscan is missing too, as on arm64 Linux. This simulates missing functions, not another system.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.conftest import ROOT, draw_pairs

FAKE = ROOT / "tests" / "fakes" / "without_posix"
COMMAND = "from orchestrator.cli.main import main; main()"


def run(*arguments: object, data: Path) -> subprocess.CompletedProcess[str]:
    paths = (FAKE, ROOT, ROOT / "protos" / "gen")
    variables = {"PYTHONPATH": os.pathsep.join(map(str, paths)), "BESTSHOT_DATA_DIR": str(data)}
    return subprocess.run(
        [sys.executable, "-W", "ignore", *map(str, arguments)],
        env={**os.environ, **variables},
        cwd=data,
        capture_output=True,
        text=True,
        check=False,
    )


def test_every_module_can_be_imported(tmp_path: Path) -> None:
    modules = sorted(
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for package in ("orchestrator", "services", "ui", "models")
        for path in (ROOT / package).rglob("*.py")
        if path.name not in ("__init__.py", "env.py")
        and not {"migrations", "train", "export"} & set(path.relative_to(ROOT).parts[1:2])
        and "migrations" not in path.parts
    )
    code = f"import importlib\nfor name in {modules}: importlib.import_module(name)"
    done = run("-c", code, data=tmp_path)
    assert done.returncode == 0, done.stderr
    hidden = run("-c", "import fcntl", data=tmp_path)
    assert "ModuleNotFoundError" in hidden.stderr


def test_photos_are_curated_twice_into_the_same_folder(tmp_path: Path) -> None:
    photos = draw_pairs(tmp_path / "photos", 2, 320, 240)
    out = tmp_path / "out"
    for _ in range(2):  # the second replaces the files of the first
        curate = ("-c", COMMAND, "curate", photos, "--out", out, "--copy-selected")
        done = run(*curate, data=tmp_path)
        assert done.returncode == 0, done.stderr
    assert "<html" in (out / "index.html").read_text()
    assert len((out / "image_metrics.csv").read_text().splitlines()) == 3
    [copy] = (out / "selected").iterdir()
    assert copy.stat().st_mtime == (photos / copy.name).stat().st_mtime
    assert not list(out.glob(".bestshot-*lock")), "locks are removed"
