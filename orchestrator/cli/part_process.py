"""Runs a part of bestshot in its own process."""

from __future__ import annotations

import multiprocessing
import os
import runpy
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from pathlib import Path

from orchestrator.cli.launcher import LaunchedProcess, Task, launcher
from orchestrator.cli.parts import part_module
from services.common.platform.processes import (
    CAN_FORK,
    defer_signals,
    descriptor_of,
    duplicate_above_streams,
    leave_terminal,
    receive_signals,
    set_name,
    wait_or_kill,
)

ORPHAN_WAIT_S = 15.0


class PartProcess:
    """A process that runs a part, in a separate session, so that Ctrl-C reaches only this process.

    Args:
        name: The part.
        arguments: Command line arguments.
        log: File to which its output is appended.

    Raises:
        OSError: The process cannot be started.
    """

    def __init__(self, name: str, arguments: Sequence[str], log: Path) -> None:
        stdin, self._stdin = multiprocessing.Pipe(duplex=False)
        self._closing = threading.Lock()
        start = launcher.launch if CAN_FORK else _spawn
        try:
            with stdin:
                part = (name, list(arguments), dict(os.environ), str(log))
                self._process = start((run_part, part), stdin)
        except BaseException:
            self._stdin.close()
            raise

    @property
    def pid(self) -> int:
        """Process id."""
        pid = self._process.pid
        assert pid is not None
        return pid

    def poll(self) -> int | None:
        """Returns the exit code, or minus the number of the signal that killed the process.

        None while the process runs.
        """
        return self._process.exitcode

    @property
    def is_lost(self) -> bool:
        """Whether the exit code is unknown because the launcher was killed first."""
        self.poll()
        return isinstance(self._process, LaunchedProcess) and self._process.is_lost

    def wait(self) -> int:
        """Waits until the process ends; returns the same as `poll`."""
        self._process.join()
        self.close_stdin()
        if self.is_lost:
            wait_or_kill(self.pid, ORPHAN_WAIT_S)
        assert self._process.exitcode is not None
        return self._process.exitcode

    def close_stdin(self) -> None:
        """Asks the process to stop, which it also does when this process ends."""
        with self._closing:  # in another thread, `wait` also closes it once the process has ended
            self._stdin.close()

    def kill(self) -> None:
        """Kills the process."""
        self._process.kill()


def _spawn(task: Task, stdin: Connection) -> SpawnProcess:
    """Runs a task in a new interpreter; for systems that cannot fork processes."""
    # otherwise the current folder, which often holds someone else's photos, comes first on the
    # module path, and a yaml.py there would be executed
    os.environ["PYTHONSAFEPATH"] = "1"
    function, arguments = task
    process = multiprocessing.get_context("spawn").Process(
        target=function, args=(*arguments, stdin)
    )
    with defer_signals():
        process.start()
    return process


def run_part(
    name: str, arguments: list[str], variables: Mapping[str, str], log: str, stdin: Connection
) -> None:
    """Runs a part's module in this process, which was started for it.

    Args:
        name: The part.
        arguments: Its command line arguments.
        variables: Its environment variables.
        log: File to which its output is appended.
        stdin: Becomes its standard input.
    """
    leave_terminal()
    set_name(f"bs-{name}")  # the command line may still be that of the parent
    module = part_module(name)
    receive_signals()
    os.environ.clear()  # the launcher's variables may be outdated
    os.environ.update(variables)
    tempfile.tempdir = None  # TMPDIR may have changed
    # If the command's own streams were closed, their objects are None, and files opened since may
    # have their descriptors.
    source = descriptor_of(stdin)
    opened = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    output = duplicate_above_streams(opened)
    os.close(opened)
    for number, descriptor in enumerate((source, output, output)):
        os.dup2(descriptor, number)
    os.close(source)
    os.close(output)
    sys.stdin = open(0, closefd=False, encoding="utf-8")  # noqa: SIM115
    sys.stdout = open(1, "w", buffering=1, closefd=False, encoding="utf-8")  # noqa: SIM115
    sys.stderr = open(2, "w", buffering=1, closefd=False, encoding="utf-8")  # noqa: SIM115
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)
