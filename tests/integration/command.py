"""The installed `bestshot` command, run as a user runs it."""

from __future__ import annotations

import csv
import json
import multiprocessing
import multiprocessing.forkserver
import multiprocessing.resource_tracker
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.cli.part_process import PRELOADED
from tests.waiting import LIMIT_S

BESTSHOT = Path(sys.executable).with_name("bestshot")
BUILTIN = {"BESTSHOT_PROFILE": "builtin"}

_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload(
    [
        *PRELOADED,
        *("orchestrator.cli.app", "orchestrator.cli.reproduce", "orchestrator.cli.run_diff_text"),
        *("models.pull", "models.profiles", "alembic.command"),
    ]
)


@dataclass(frozen=True)
class Finished:
    """The exit code and the output of a command; `text` has both stdout and stderr."""

    code: int
    text: str


@dataclass(frozen=True)
class Curated:
    """A folder of results."""

    photos: Path
    out: Path
    data: Path
    text: str

    @property
    def csv_bytes(self) -> bytes:
        return (self.out / "image_metrics.csv").read_bytes()

    @property
    def rows(self) -> dict[str, dict[str, str]]:
        with (self.out / "image_metrics.csv").open(newline="", encoding="utf-8") as opened:
            return {row["Path"]: row for row in csv.DictReader(opened)}

    @property
    def images(self) -> dict[str, dict[str, Any]]:
        listed = json.loads((self.out / "results.json").read_text())["images"]
        return {image["path"]: image for image in listed}

    @property
    def run(self) -> dict[str, Any]:
        return dict(json.loads((self.out / "run.json").read_text()))


def environment(data: Path, changes: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of a command: this process's, with a separate data folder and no settings.

    The models are the builtin ones, so that no test downloads models by accident.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith("BESTSHOT_")}
    own = {"BESTSHOT_DATA_DIR": str(data), "COLUMNS": "200", **BUILTIN}
    return {**kept, **own, **(changes or {})}


def bestshot(
    arguments: Sequence[object],
    *,
    data: Path,
    changes: Mapping[str, str] | None = None,
    timeout_s: float = LIMIT_S,
) -> Finished:
    """Runs the command to completion in a separate process; fails if there is a traceback.

    The command and all processes that it starts are forked from one process that has already
    imported everything, because importing takes seconds.
    """
    command = [str(BESTSHOT), *(str(argument) for argument in arguments)]
    with tempfile.NamedTemporaryFile() as output:
        process = _processes.Process(
            target=_main, args=(command, environment(data, changes), output.name)
        )
        process.start()
        process.join(timeout_s)
        text = output.read().decode()
        if process.exitcode is None:
            process.kill()
            raise AssertionError(f"{command} is still running after {timeout_s} s: {text}")
    assert "Traceback" not in text, text
    return Finished(process.exitcode, text)


def _main(command: list[str], variables: dict[str, str], output: str) -> None:
    """Does the same as the installed script."""
    from orchestrator.cli.main import main

    # according to its documentation, a process and its children share the fork server, but Python
    # 3.11 to 3.13 start a second one
    server = multiprocessing.forkserver._forkserver  # type: ignore[attr-defined]
    server.ensure_running = multiprocessing.resource_tracker.ensure_running
    descriptor = os.open(output, os.O_WRONLY | os.O_APPEND)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(descriptor, stream.fileno())
    os.environ.clear()
    os.environ.update(variables)
    sys.argv = command
    main()


def curate(
    photos: Path,
    out: Path,
    data: Path,
    *arguments: object,
    changes: Mapping[str, str] | None = None,
) -> Curated:
    """Curates, and expects success."""
    command = ["curate", photos, "--out", out, *arguments]
    finished = bestshot(command, data=data, changes=changes)
    assert finished.code == 0, finished.text
    return Curated(photos, out, data, finished.text)
