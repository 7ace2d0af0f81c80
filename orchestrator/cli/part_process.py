"""A part's process; on Linux, forked from one that has imported the modules common to all parts.

Imports take up most of a part's start time; forked processes share them and their memory.
"""

from __future__ import annotations

import contextlib
import fcntl
import multiprocessing
import multiprocessing.resource_tracker
import multiprocessing.util
import os
import runpy
import select
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext, SpawnContext
from pathlib import Path

from orchestrator.cli.parts import MODEL_SERVICES, part_module

PRELOADED = (
    "orchestrator.cli.main",  # every child runs the imports of its parent's main module
    "orchestrator.run_service",
    "orchestrator.transport.build",
    "services.common.inference.model_service",
    *(f"services.{name}.{module}" for name in MODEL_SERVICES for module in ("model", "servicer")),
)
"""Modules that the fork server imports."""
STOP_SIGNALS = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)
LOST = 255
"""multiprocessing's exit code if the fork server was killed; the process may still be running."""
ORPHAN_WAIT_S = 15.0
_NAME_FILE = Path("/proc/self/comm")
MAX_SOCKET_BYTES = 107
"""Longest path of a Unix socket on Linux (sockaddr_un); the fork server's is a temporary file."""

if sys.platform == "linux":
    multiprocessing.get_context("forkserver").set_forkserver_preload(list(PRELOADED))
# before Python 3.11.1, any user of the machine could reach the fork server (CVE-2022-42919)
multiprocessing.util.abstract_sockets_supported = False  # type: ignore[misc]
# otherwise the current folder, which often holds someone else's photos, comes first on the fork
# server's module path, and a yaml.py there would be executed
os.environ["PYTHONSAFEPATH"] = "1"


def _choose_context() -> ForkServerContext | SpawnContext:
    """Chooses how processes are started.

    This process itself is not forked, because its other threads may hold locks that a child would
    wait for forever. On macOS, the system's own frameworks do not survive a fork.
    """
    socket_bytes = len(os.fsencode(tempfile.gettempdir())) + len("/pymp-12345678/listener-12345678")
    if sys.platform == "linux" and socket_bytes <= MAX_SOCKET_BYTES:
        return multiprocessing.get_context("forkserver")
    return multiprocessing.get_context("spawn")


class PartProcess:
    """A process that runs a part, in a separate session, so that Ctrl-C reaches only this process.

    Args:
        name: The part.
        arguments: Command line arguments.
        log: File to which its output is appended.

    Raises:
        OSError: It cannot be started.
    """

    def __init__(self, name: str, arguments: Sequence[str], log: Path) -> None:
        stdin, self._stdin = multiprocessing.Pipe(duplex=False)
        self._closing = threading.Lock()
        self._context = _choose_context()
        self._process = self._context.Process(
            target=run_part,
            args=(name, list(arguments), dict(os.environ), stdin, str(log)),
        )
        try:
            with _defer_signals():
                self._process.start()
        except BaseException as error:
            self._stdin.close()
            if isinstance(error, EOFError):
                raise OSError("the launcher process was killed") from error
            raise
        finally:
            stdin.close()

    @property
    def pid(self) -> int:
        """Process id."""
        assert self._process.pid is not None
        return self._process.pid

    def poll(self) -> int | None:
        """Returns its exit code, or minus the signal that killed it; None while it runs."""
        return self._process.exitcode

    @property
    def is_lost(self) -> bool:
        """Whether its exit code is unknown because the fork server was killed first."""
        return self._context.get_start_method() == "forkserver" and self.poll() == LOST

    def wait(self) -> int:
        """Waits until it ends; returns the same as `poll`."""
        self._process.join()
        self.close_stdin()
        if self.is_lost:
            _wait_for_orphan(self.pid)
        assert self._process.exitcode is not None
        return self._process.exitcode

    def close_stdin(self) -> None:
        """Asks it to stop, just as the end of this process would."""
        with self._closing:  # `wait`, in another thread, also closes it once the process has ended
            self._stdin.close()

    def kill(self) -> None:
        """Kills it."""
        self._process.kill()


@contextlib.contextmanager
def _defer_signals() -> Iterator[None]:
    """Defers signals that stop this process until the end of the block.

    The fork server, which starts with the first part, inherits that for good: signals to the whole
    process group, such as Ctrl-C, must not end it before the parts.
    """
    multiprocessing.resource_tracker.ensure_running()  # starting it later would unblock the signals
    previous = signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, previous)


def run_part(
    name: str, arguments: list[str], variables: Mapping[str, str], stdin: Connection, log: str
) -> None:
    """Runs a part's module in this process, which was started for it.

    Args:
        name: The part.
        arguments: Its command line arguments.
        variables: Its environment variables.
        stdin: Becomes its standard input.
        log: File to which its output is appended.
    """
    os.setsid()
    with contextlib.suppress(OSError):  # for ps and top; the command line is the fork server's
        _NAME_FILE.write_text(f"bs-{name}")  # the kernel keeps 15 characters
    module = part_module(name)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
    os.environ.clear()  # the fork server has those from when it started
    os.environ.update(variables)
    tempfile.tempdir = None  # TMPDIR is among them
    # The command's own streams may have been closed. Then their objects are None, and files opened
    # since may have their descriptors.
    source = fcntl.fcntl(stdin.fileno(), fcntl.F_DUPFD, 3)
    stdin.close()
    opened = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    output = fcntl.fcntl(opened, fcntl.F_DUPFD, 3)
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


def _wait_for_orphan(pid: int) -> None:
    """Waits until a process that is not our child has ended, or kills it."""
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        if not select.select([process], [], [], ORPHAN_WAIT_S)[0]:
            signal.pidfd_send_signal(process, signal.SIGKILL)
            select.select([process], [], [])
    finally:
        os.close(process)
