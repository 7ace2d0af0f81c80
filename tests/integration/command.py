"""The installed `bestshot` command, run as a user runs it."""

from __future__ import annotations

import csv
import json
import multiprocessing
import os
import signal
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Self

from orchestrator.cli.launcher import PRELOADED
from tests.waiting import LIMIT_S

BESTSHOT = Path(sys.executable).with_name("bestshot")
BUILTIN = {
    "BESTSHOT_PROFILE": "builtin",
    # off, because tests run side by side; those that need the JSON API choose a port for it
    "BESTSHOT_SERVICES__ORCHESTRATOR__HTTP_ADDRESS": "null",
}

forking = multiprocessing.get_context("forkserver")
forking.set_forkserver_preload(
    [
        *PRELOADED,
        *("orchestrator.cli.main", "orchestrator.cli.app", "orchestrator.cli.curate"),
        *("orchestrator.cli.reproduce", "orchestrator.cli.run_diff_text"),
        *("models.pull", "models.profiles", "alembic.command", "gradio", "gradio.routes"),
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
    """Builds a command's environment: this process's, with its own data folder and no settings.

    The models are the built-in ones, so that no test downloads models by accident.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith("BESTSHOT_")}
    own = {"BESTSHOT_DATA_DIR": str(data), "COLUMNS": "200", **BUILTIN}
    return {**kept, **own, **(changes or {})}


class Running:
    """A command in progress, with the methods of subprocess.Popen that tests need.

    The command and all processes that it starts are forked from one process that has already
    imported everything, because importing takes seconds.
    """

    def __init__(
        self,
        arguments: Sequence[object],
        *,
        data: Path,
        changes: Mapping[str, str] | None = None,
        folder: Path | None = None,
    ) -> None:
        self.args = [str(BESTSHOT), *(str(argument) for argument in arguments)]
        reader, writer = forking.Pipe(duplex=False)
        with reader, writer:
            self._process = _start(self.args, environment(data, changes), writer, folder)
            self.stdout = os.fdopen(os.dup(reader.fileno()), encoding="utf-8")

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def poll(self) -> int | None:
        return self.returncode

    def send_signal(self, number: signal.Signals) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def communicate(self, timeout: float = LIMIT_S) -> tuple[str, None]:
        """Returns the rest of its output once it has ended."""
        text = self.stdout.read()
        self._process.join(timeout)
        assert self.returncode is not None, text
        return text, None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        if raised[0] is not None:
            self.kill()
        self._process.join()
        self.stdout.close()


def bestshot(
    arguments: Sequence[object],
    *,
    data: Path,
    changes: Mapping[str, str] | None = None,
    timeout_s: float = LIMIT_S,
) -> Finished:
    """Runs the command to completion in a forked process; fails if there is a traceback."""
    command = [str(BESTSHOT), *(str(argument) for argument in arguments)]
    with tempfile.NamedTemporaryFile() as output:
        descriptor = Connection(os.dup(output.fileno()), readable=False)
        with descriptor:
            process = _start(command, environment(data, changes), descriptor, None)
        process.join(timeout_s)
        text = Path(output.name).read_text()
        if process.exitcode is None:
            process.kill()
            raise AssertionError(f"{command} is still running after {timeout_s} s: {text}")
    assert "Traceback" not in text, text
    return Finished(process.exitcode, text)


def _start(
    command: list[str], variables: dict[str, str], output: Connection, folder: Path | None
) -> multiprocessing.process.BaseProcess:
    process = forking.Process(
        target=_main, args=(command, variables, output, str(folder or Path.cwd()))
    )
    process.start()
    return process


def _main(command: list[str], variables: dict[str, str], output: Connection, folder: str) -> None:
    """Runs the command as the installed script does."""
    from orchestrator.cli.main import main

    for stream in (sys.stdout, sys.stderr):
        os.dup2(output.fileno(), stream.fileno())
    output.close()
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(variables)
    tempfile.tempdir = None  # forgets the folder that the fork server found
    sys.argv = command
    main()


def curate(
    photos: Path,
    out: Path,
    data: Path,
    *arguments: object,
    changes: Mapping[str, str] | None = None,
) -> Curated:
    """Runs `bestshot curate`, and expects success."""
    command = ["curate", photos, "--out", out, *arguments]
    finished = bestshot(command, data=data, changes=changes)
    assert finished.code == 0, finished.text
    return Curated(photos, out, data, finished.text)
