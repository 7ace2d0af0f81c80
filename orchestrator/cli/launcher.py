"""A process that starts the parts on Linux, has already imported their modules, and has no threads.

Imports take up most of a part's start time; forked processes share them and their memory. A command
forks this process from itself, because it needs most of these modules too.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection, wait
from typing import TYPE_CHECKING, Any

from orchestrator.cli.parts import MODEL_SERVICES
from services.common.platform.processes import (
    CAN_FORK,
    STOP_SIGNALS,
    defer_signals,
    kill,
    leave_terminal,
    receive_signals,
    set_name,
)

if TYPE_CHECKING:
    from multiprocessing.context import ForkProcess  # does not exist on Windows

PRELOADED = (
    "orchestrator.run_service",
    "orchestrator.transport.build",
    "services.common.inference.model_service",
    *(f"services.{name}.{module}" for name in MODEL_SERVICES for module in ("model", "servicer")),
)
"""Modules that several parts, or a part and the command, import."""
LOST = 255
"""Stands for the exit code of a process whose launcher was killed first."""

Task = tuple[Callable[..., None], Sequence[Any]]
"""A function at the top level of a module, and its arguments."""


class LaunchedProcess:
    """A process forked by the launcher; has the members of multiprocessing.Process that we use.

    Attributes:
        pid: Process id.
        is_lost: Whether the launcher was killed first; the process may still be running.
    """

    def __init__(self, channel: Connection) -> None:
        self._channel = channel
        self._exit_code: int | None = None
        self.is_lost = False
        self._reading = threading.Lock()
        started = channel.recv()
        if isinstance(started, OSError):
            raise started
        self.pid: int = started

    @property
    def exitcode(self) -> int | None:
        """The exit code, or minus the number of the signal that killed it; None while it runs."""
        with self._reading:
            if self._exit_code is None and self._channel.poll():
                self._read_exit_code()
            return self._exit_code

    def join(self) -> None:
        """Waits until the process ends."""
        wait([self._channel])
        with self._reading:
            if self._exit_code is None:
                self._read_exit_code()

    def kill(self) -> None:
        """Kills the process."""
        if self.exitcode is None:
            kill(self.pid)

    def _read_exit_code(self) -> None:
        try:
            self._exit_code = self._channel.recv()
        except (EOFError, OSError):
            self._exit_code, self.is_lost = LOST, True


class Launcher:
    """Starts processes from a helper process, which it starts first if necessary.

    This process itself is not forked once it has threads, because they may hold locks that a child
    would wait for forever.

    Attributes:
        preloaded: Modules that the helper process imports; can be changed until it starts.
        pid: Process id of the helper process, or 0.
    """

    def __init__(self) -> None:
        self.preloaded: Sequence[str] = PRELOADED
        self._sending = threading.Lock()
        self._control: socket.socket | None = None
        self._interpreter: subprocess.Popen[bytes] | None = None
        self.pid = 0

    def fork(self) -> None:
        """Imports what the parts need and forks the helper process from this one.

        Call it before this process has threads, locks or connections, which the helper and the
        parts would inherit. Without this call, the first `launch` starts a new interpreter.
        """
        if self._control is not None or not CAN_FORK:
            return
        preload(self.preloaded)
        for stream in filter(None, (sys.stdout, sys.stderr)):
            stream.flush()  # otherwise, the helper would write the unflushed output again
        ours, theirs = socket.socketpair()
        with theirs, defer_signals():
            self.pid = os.fork()
            if self.pid == 0:
                ours.close()
                _serve_and_exit(theirs)
        self._control = ours

    def launch(self, task: Task, stdin: Connection) -> LaunchedProcess:
        """Runs a task in a new process.

        Args:
            task: What to run; the function's last argument is the process's copy of `stdin`.
            stdin: A connection, of which the process gets a copy.

        Raises:
            OSError: The process cannot be started.
        """
        channel, theirs = multiprocessing.Pipe()
        with theirs, self._sending:
            descriptors = [theirs.fileno(), stdin.fileno()]
            try:
                socket.send_fds(self._running_control(), [b"."], descriptors)
            except (BrokenPipeError, ConnectionResetError):  # the helper process was killed
                self.close()
                socket.send_fds(self._running_control(), [b"."], descriptors)
        try:
            channel.send(task)
            return LaunchedProcess(channel)
        except (EOFError, BrokenPipeError, ConnectionResetError) as error:
            raise OSError("the launcher process was killed") from error

    def close(self) -> None:
        """Ends the helper process; processes that it has started keep running."""
        if self._control is not None:
            self._control.close()
            self._control = None
        if self._interpreter is not None:
            self._interpreter.wait()
            self._interpreter = None

    def _running_control(self) -> socket.socket:
        if self._control is None:
            self._start_interpreter()
        assert self._control is not None
        return self._control

    def _start_interpreter(self) -> None:
        ours, theirs = socket.socketpair()
        # -P: without it, the current folder, which often holds someone else's photos, comes first
        # on the module path, and a yaml.py there would be executed
        command = [sys.executable, "-P", "-m", __name__, str(theirs.fileno()), *self.preloaded]
        with theirs, defer_signals():
            self._interpreter = subprocess.Popen(command, pass_fds=[theirs.fileno()])  # noqa: S603
        atexit.register(self.close)
        self.pid = self._interpreter.pid
        self._control = ours


def preload(modules: Sequence[str]) -> None:
    """Imports modules that several parts need."""
    gc.disable()  # none of the imported objects is garbage
    for module in modules:
        importlib.import_module(module)
    gc.freeze()  # a collection would touch, and so copy, the memory that forked processes share
    gc.enable()


def _serve_and_exit(control: socket.socket) -> None:
    try:
        leave_terminal()  # Ctrl-C must reach only the command, not a part that has just been forked
        serve(control)
    finally:
        os._exit(0)


def serve(control: socket.socket) -> None:
    """Forks a process for each request, and reports exit codes, until the command closes `control`.

    A request is a byte with two descriptors: a channel, and the standard input of the process. The
    task arrives through the channel; the process id and then the exit code are sent back.
    """
    set_name("bs-launcher")
    running: dict[int, tuple[ForkProcess, Connection]] = {}
    while True:
        for ready in wait([control, *running]):
            if ready is control:
                request, descriptors, _, _ = socket.recv_fds(control, 1, 2)
                if not request:
                    return
                channel, stdin = (Connection(descriptor) for descriptor in descriptors)
                with stdin:
                    process = _fork(control, running, channel, stdin)
                if process is not None:
                    running[process.sentinel] = (process, channel)
            else:
                assert isinstance(ready, int)
                process, channel = running.pop(ready)
                process.join()
                _report(channel, process.exitcode)
                process.close()
                channel.close()


def _fork(
    control: socket.socket,
    running: dict[int, tuple[ForkProcess, Connection]],
    channel: Connection,
    stdin: Connection,
) -> ForkProcess | None:
    """Forks one process; returns None if the command ended before it sent the task."""
    try:
        function, arguments = channel.recv()
    except (EOFError, OSError):
        channel.close()
        return None
    process = multiprocessing.get_context("fork").Process(
        target=_run_task, args=(control, running, channel, stdin, function, arguments)
    )
    try:
        process.start()
    except OSError as error:
        _report(channel, error)
        channel.close()
        return None
    _report(channel, process.pid)
    return process


def _report(channel: Connection, answer: int | OSError | None) -> None:
    with contextlib.suppress(OSError):  # the command has ended
        channel.send(answer)


def _run_task(
    control: socket.socket,
    running: dict[int, tuple[ForkProcess, Connection]],
    channel: Connection,
    stdin: Connection,
    function: Callable[..., None],
    arguments: Sequence[Any],
) -> None:
    # Left open, these copies would keep the channels of other processes from closing.
    control.close()
    for _, other in running.values():
        other.close()
    channel.close()
    for number in STOP_SIGNALS:
        if callable(signal.getsignal(number)):  # a handler that the command has set
            signal.signal(number, signal.SIG_DFL)
    receive_signals()
    function(*arguments, stdin)


launcher = Launcher()
"""The launcher that all supervisors in this process share."""


def main() -> None:
    """Serves a command that started this interpreter.

    Its arguments are the socket's descriptor and the modules to import.
    """
    preload(sys.argv[2:])
    _serve_and_exit(socket.socket(fileno=int(sys.argv[1])))


if __name__ == "__main__":
    main()
