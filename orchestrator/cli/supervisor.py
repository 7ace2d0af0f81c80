"""Runs the parts of bestshot as child processes of one command."""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import FrameType

from orchestrator.cli.part_process import PartProcess
from services.common.errors import (
    EXIT_FAILED,
    BestshotError,
    ConfigError,
    FailedPreconditionError,
    InternalError,
    UnavailableError,
)
from services.common.platform.locks import lock_folder

START_TIMEOUT_S = 120.0
STOP_TIMEOUT_S = 15.0
FIRST_BACKOFF_S, LONGEST_BACKOFF_S = 0.5, 30.0
STEADY_S = 60.0
"""After running this long, a part counts as healthy again, and earlier deaths are forgotten."""
NOTICE_S = 2.0
"""How long a death may take to be reported: a connection can break moments before that."""
_POLL_S = 0.02
_TAIL_BYTES, _TAIL_LINES = 16_384, 5


@contextlib.contextmanager
def interrupt_on_sigterm() -> Iterator[None]:
    """Makes SIGTERM raise KeyboardInterrupt in the block, then ends this process with SIGTERM."""
    is_terminated = False

    def interrupt(number: int, frame: FrameType | None) -> None:
        nonlocal is_terminated
        is_terminated = True
        raise KeyboardInterrupt

    previous = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)
        if is_terminated:
            sys.stdout.flush()
            atexit._run_exitfuncs()  # a signal would skip them and leave temporary files behind
            signal.raise_signal(signal.SIGTERM)


class _Part:
    """A part and its current process.

    Attributes:
        address: Its current or last address; empty until it first serves.
        death_count: Number of its processes that have ended.
        last_end: How the last process ended; empty if none has.
        failure: Why it will not be restarted; None while it is running or restarting.
    """

    def __init__(self, name: str, arguments: Sequence[str], log: Path) -> None:
        self.name = name
        self.log = log
        self.address = ""
        self.is_serving = False
        self.death_count = 0
        self.last_end = ""
        self.failure: BestshotError | None = None
        self._arguments = arguments
        self._runtime: tempfile.TemporaryDirectory[str] | None = None
        self.process: PartProcess
        self.thread: threading.Thread

    def launch(self) -> None:
        """Starts a process on the previous address; raises OSError if that fails."""
        # private, so that no part of another command can report its address here
        self._runtime = tempfile.TemporaryDirectory(prefix="bestshot-")
        arguments = [*self._arguments, "--exit-with-parent", "--port-file", str(self._port_file)]
        if self.address:
            arguments += ["--address", self.address]
        self.log.parent.mkdir(parents=True, exist_ok=True)
        if not self.death_count:
            self.log.write_bytes(b"")
        self.process = PartProcess(self.name, arguments, self.log)

    @property
    def _port_file(self) -> Path:
        assert self._runtime is not None
        return Path(self._runtime.name, "address")

    def wait_until_serving(self) -> str:
        """Returns the address once the process serves; empty if it ended instead."""
        assert self._runtime is not None
        with self._runtime:
            while not self._port_file.exists():
                if self.process.poll() is not None:
                    return ""
                time.sleep(_POLL_S)
            return self._port_file.read_text(encoding="utf-8")

    def wait_until_ended(self) -> None:
        code = self.process.wait()
        is_lost = self.process.is_lost
        self.last_end = "the launcher process was killed" if is_lost else _describe(code)

    def last_words(self, when: str = "") -> str:
        """Describes how the last process ended, with the end of the log."""
        tail = "\n".join(_tail(self.log)[-_TAIL_LINES:])
        end = f"{self.log} ends with:\n{tail}" if tail else f"{self.log} is empty"
        return f"the {self.name} process ended{when} ({self.last_end}); {end}"

    def start_error(self) -> BestshotError:
        """Explains why the part never served, with its own error message if it printed one."""
        lines = _tail(self.log)
        failed = self.process.poll() == EXIT_FAILED
        for number, line in enumerate(lines):
            if line.startswith("error: "):
                message = "\n".join(lines[number:]).removeprefix("error: ")
                return FailedPreconditionError(message) if failed else ConfigError(message)
        return ConfigError(self.last_words(" during startup"))


class Supervisor:
    """Starts, restarts and stops parts, and knows their addresses.

    A part that dies is restarted on its old address, which the other parts use, after a pause that
    doubles each time. A part that dies before it ever serves is not restarted, because its settings
    must be wrong. Children watch their stdin, so they end when this process does, however it ends.

    Args:
        log_folder: Folder for one log file per part.
        common_arguments: Passed to every part: --config-dir, --profile.
        max_deaths: A part that dies this many times in a row is no longer restarted.
        report: Called from other threads with a readable line about each death and restart.
    """

    def __init__(
        self,
        log_folder: Path,
        common_arguments: Sequence[str],
        *,
        max_deaths: int = 1,
        report: Callable[[str], None] = lambda line: None,
    ) -> None:
        self._log_folder = log_folder
        self._common_arguments = tuple(common_arguments)
        self._max_deaths = max_deaths
        self._report = report
        self._parts: dict[str, _Part] = {}
        self._changed = threading.Condition()
        self._stopping = threading.Event()
        self._lock: int | None = None

    def start(self, name: str, arguments: Sequence[str]) -> None:
        """Starts a part; call `wait_for_address` to wait until it serves.

        Raises:
            ConfigError: Its log cannot be written.
            FailedPreconditionError: Parts of another command are writing to the log folder.
        """
        if not self._parts:
            self._lock = _lock_logs(self._log_folder)
        part = _Part(name, [*self._common_arguments, *arguments], self._log_folder / f"{name}.log")
        try:
            part.launch()
        except OSError as error:
            raise ConfigError(f"cannot start the {name} process: {error}") from error
        part.thread = threading.Thread(target=self._keep_running, args=(part,), daemon=True)
        with self._changed:
            self._parts[name] = part
        part.thread.start()

    def wait_for_address(self, name: str) -> str:
        """Waits until a part serves, and returns its address.

        Raises:
            ConfigError: Its settings are invalid; the message is the part's own.
            FailedPreconditionError: Something it needs is in use; the message is the part's own.
            InternalError: The part died too often.
            UnavailableError: The part did not serve within two minutes.
        """
        part = self._parts[name]
        with self._changed:
            self._changed.wait_for(lambda: part.is_serving or part.failure, START_TIMEOUT_S)
            if part.failure is not None:
                raise part.failure
            if part.is_serving:
                return part.address
        raise UnavailableError(
            f"the {name} service did not start within {START_TIMEOUT_S:.0f} s; see {part.log}"
        )

    def wait_for_failure(self) -> BestshotError | None:
        """Waits until the supervisor gives up on a part, and returns why; None once stopped."""
        with self._changed:
            self._changed.wait_for(lambda: self._failure() or self._stopping.is_set())
            return self._failure()

    @property
    def has_failed(self) -> bool:
        """Whether the supervisor has given up on a part."""
        with self._changed:
            return self._failure() is not None

    def death_count(self, name: str) -> int:
        """Returns how many times a part has died."""
        return self._parts[name].death_count

    def has_died_since(self, name: str, death_count: int) -> bool:
        """Whether a part has died more than `death_count` times, or does so within two seconds."""
        part = self._parts[name]
        with self._changed:
            return self._changed.wait_for(lambda: part.death_count > death_count, NOTICE_S)

    def last_words(self, name: str) -> str:
        """Describes how a part last died, with the end of its log."""
        return self._parts[name].last_words()

    def process_id(self, name: str) -> int:
        """Returns the process id of a part."""
        return self._parts[name].process.pid

    def stop(self) -> None:
        """Stops all parts, newest first, gracefully and then by force."""
        with self._changed:
            self._stopping.set()
            self._changed.notify_all()
            parts = list(reversed(self._parts.values()))
        for part in parts:
            part.process.close_stdin()
        deadline = time.monotonic() + STOP_TIMEOUT_S
        for part in parts:
            part.thread.join(max(0.1, deadline - time.monotonic()))
            if part.thread.is_alive():
                part.process.kill()
                part.thread.join()
        with self._changed:
            self._parts.clear()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _failure(self) -> BestshotError | None:
        failures = (part.failure for part in self._parts.values())
        return next((failure for failure in failures if failure is not None), None)

    def _keep_running(self, part: _Part) -> None:
        try:
            deaths = 0
            while True:
                deaths = 1 if self._live(part) >= STEADY_S else deaths + 1
                if self._stopping.is_set():
                    return
                if error := self._reason_to_give_up(part, deaths):
                    break
                delay_s = min(FIRST_BACKOFF_S * 2 ** (deaths - 1), LONGEST_BACKOFF_S)
                self._say(
                    f"the {part.name} process ended ({part.last_end}); "
                    f"restarting in {delay_s:g} s; see {part.log}"
                )
                if self._stopping.wait(delay_s):
                    return
                with self._changed:  # `stop` sees either the old process or the new one
                    if self._stopping.is_set():
                        return
                    part.launch()
        except OSError as problem:
            error = InternalError(f"cannot restart the {part.name} process: {problem}")
        with self._changed:
            part.failure = error
            self._changed.notify_all()

    def _live(self, part: _Part) -> float:
        """Waits until a part's process has ended; returns its age, in seconds."""
        began = time.monotonic()
        address = part.wait_until_serving()
        if address:
            with self._changed:
                is_back = part.death_count > 0
                part.address, part.is_serving = address, True
                self._changed.notify_all()
            if is_back:
                self._say(f"the {part.name} process restarted on {address}")
        part.wait_until_ended()
        with self._changed:
            part.is_serving = False
            part.death_count += 1
            self._changed.notify_all()
        return time.monotonic() - began

    def _reason_to_give_up(self, part: _Part, deaths: int) -> BestshotError | None:
        if not part.address:
            return part.start_error()
        if deaths < self._max_deaths:
            return None
        times = f" {deaths} times in a row" if deaths > 1 else ""
        return InternalError(part.last_words(times))

    def _say(self, line: str) -> None:
        # the terminal may be gone; that must not stop the parts
        with contextlib.suppress(Exception, SystemExit):
            self._report(line)


def _lock_logs(folder: Path) -> int | None:
    """Locks the log folder for this process; returns a descriptor that holds the lock."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"cannot write to the log folder {folder}: {error.strerror}") from error
    try:
        return lock_folder(folder)
    except BlockingIOError:
        raise FailedPreconditionError(
            f"another bestshot command is writing its logs to {folder}; wait for it to finish, or "
            f"stop it if it is `bestshot up`, or pass another --data or --out"
        ) from None
    except OSError:  # some network file systems cannot lock folders
        return None


def _describe(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"


def _tail(log: Path) -> list[str]:
    try:
        with log.open("rb") as opened:
            opened.seek(max(0, opened.seek(0, os.SEEK_END) - _TAIL_BYTES))
            return opened.read().decode(errors="replace").splitlines()
    except OSError:  # removed in the meantime
        return []
