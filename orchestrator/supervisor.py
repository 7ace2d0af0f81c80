"""The parts of bestshot as child processes of one command."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from services.common.errors import ConfigError, UnavailableError

MODEL_SERVICES = ("embedding", "quality", "face", "siamese")
PARTS = (*MODEL_SERVICES, "orchestrator", "ui")
START_TIMEOUT_S = 120.0
STOP_TIMEOUT_S = 15.0
_LOG_TAIL_LINES = 5


def part_command(name: str, arguments: Sequence[str]) -> list[str]:
    """The command that runs one part in the foreground."""
    module = f"services.{name}" if name in MODEL_SERVICES else name
    return [sys.executable, "-m", module, *arguments]


@dataclass
class _Child:
    name: str
    process: subprocess.Popen[bytes]
    port_file: Path
    log: Path


class Supervisor:
    """Starts parts, knows their addresses, notices their end, stops them.

    Children watch their stdin: however this process ends, they end too.

    Args:
        log_folder: Gets one log file a part.
        common_arguments: Passed to every part: --config-dir, --profile.
    """

    def __init__(self, log_folder: Path, common_arguments: Sequence[str]) -> None:
        self._log_folder = log_folder
        self._common_arguments = tuple(common_arguments)
        self._children: list[_Child] = []

    def start(self, name: str, arguments: Sequence[str]) -> None:
        """Starts a part; `address` tells when it serves."""
        self._log_folder.mkdir(parents=True, exist_ok=True)
        port_file = self._log_folder / f".{name}.address"
        port_file.unlink(missing_ok=True)
        log = self._log_folder / f"{name}.log"
        command = part_command(
            name,
            [
                *self._common_arguments,
                *arguments,
                "--exit-with-parent",
                "--port-file",
                str(port_file),
            ],
        )
        with log.open("wb") as target:
            process = subprocess.Popen(  # noqa: S603
                command,
                stdin=subprocess.PIPE,
                stdout=target,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is for the parent, which stops the children
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
            )
        self._children.append(_Child(name, process, port_file, log))

    def address(self, name: str) -> str:
        """Waits until a part serves, and returns its address.

        Raises:
            ConfigError: It ended instead; the message is its own.
            UnavailableError: It did not serve within two minutes.
        """
        child = next(child for child in self._children if child.name == name)
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline:
            if child.port_file.exists():
                return child.port_file.read_text()
            if child.process.poll() is not None:
                raise ConfigError(_last_words(child))
            time.sleep(0.02)
        raise UnavailableError(
            f"the {name} service did not start within {START_TIMEOUT_S:.0f} s; see {child.log}"
        )

    def ended(self) -> str | None:
        """Says which child has ended, and how; None while all live."""
        for child in self._children:
            code = child.process.poll()
            if code is not None:
                return f"the {child.name} process has ended (exit code {code}); see {child.log}"
        return None

    def process_id(self, name: str) -> int:
        """Process id of a part."""
        return next(child.process.pid for child in self._children if child.name == name)

    def stop(self) -> None:
        """Stops all parts, the youngest first, gracefully and then by force."""
        for child in reversed(self._children):
            if child.process.stdin is not None:
                child.process.stdin.close()
        deadline = time.monotonic() + STOP_TIMEOUT_S
        for child in self._children:
            try:
                child.process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                child.process.kill()
                child.process.wait()
            child.port_file.unlink(missing_ok=True)
        self._children.clear()


def _last_words(child: _Child) -> str:
    lines = child.log.read_text(errors="replace").splitlines()
    errors = [line for line in lines if line.startswith("error: ")]
    if errors:
        start = lines.index(errors[0])
        return "\n".join(lines[start:]).removeprefix("error: ")
    tail = "\n".join(lines[-_LOG_TAIL_LINES:])
    return (
        f"the {child.name} process ended at its start (exit code {child.process.returncode}); "
        f"{child.log} ends with:\n{tail}"
    )
