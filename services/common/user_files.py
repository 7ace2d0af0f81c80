"""Opens files that users name or provide: only regular files of limited size, without hanging."""

from __future__ import annotations

import errno
import io
import logging
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

from services.common.errors import ConfigError
from services.common.platform import files
from services.common.platform.files import Folder

logger = logging.getLogger(__name__)

ContentT = TypeVar("ContentT")

SETTINGS_LIMIT_BYTES = 1_000_000
"""Limit for settings, tokens, passwords, keys and certificates; the largest we ship is 20 kB."""


_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


class NotRegularError(OSError):
    """The opened file is a folder, a pipe, a socket or a device."""


def open_regular(
    path: Path | str, *, follow: bool = True, folder: Folder | None = None
) -> io.BufferedReader:
    """Opens a regular file for reading; refuses anything else without blocking.

    Args:
        path: The file, or a link to one.
        follow: Whether it may be a link.
        folder: The folder in which `path` is a name.

    Raises:
        NotRegularError: The path is not a regular file.
        OSError: The file cannot be opened.
    """
    flags = files.READ | files.NO_WAIT | (0 if follow else files.NO_FOLLOW)
    descriptor = os.open(path, flags) if folder is None else folder.open(str(path), flags)
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        kind = _KINDS.get(stat.S_IFMT(mode), "something else")
        raise NotRegularError(errno.EINVAL, f"it is {kind}, not a regular file", str(path))
    return os.fdopen(descriptor, "rb")


def open_user_file(path: Path, source: str = "") -> io.BufferedReader:
    """Opens a regular file that a setting or an option names.

    Args:
        path: The file.
        source: The setting that names it, for messages.

    Raises:
        ConfigError: It cannot be opened, or is a folder, a pipe or a device.
    """
    where = f"{source}: " if source else ""
    try:
        return open_regular(path)
    except OSError as error:
        raise ConfigError(f"{where}cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise ConfigError(f"{where}a path must not contain a NUL character") from error


def read_user_bytes(path: Path, source: str = "", limit: int = SETTINGS_LIMIT_BYTES) -> bytes:
    """Reads a whole file of at most `limit` bytes.

    Raises:
        ConfigError: As for `open_user_file`, or the file is larger.
    """
    with open_user_file(path, source) as opened:
        try:
            content = opened.read(limit + 1)
        except OSError as error:
            where = f"{source}: " if source else ""
            raise ConfigError(f"{where}cannot read {path}: {error.strerror}") from error
    if len(content) > limit:
        where = f"{source}: " if source else ""
        raise ConfigError(f"{where}{path} is larger than the limit of {limit} bytes")
    return content


def read_user_text(path: Path, source: str = "", limit: int = SETTINGS_LIMIT_BYTES) -> str:
    """Reads a whole UTF-8 file of at most `limit` bytes.

    Raises:
        ConfigError: As for `read_user_bytes`, or the file is not UTF-8.
    """
    content = read_user_bytes(path, source, limit)
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        where = f"{source}: " if source else ""
        raise ConfigError(f"{where}{path}, line {line}: the text is not UTF-8") from error


class WatchedFile(Generic[ContentT]):
    """The content of a file that may be replaced while the process runs.

    Args:
        path: The file.
        read: Reads it; raises ConfigError if it is missing or wrong.

    Raises:
        ConfigError: The file is missing or wrong now; later, only the log reports that.
    """

    def __init__(self, path: Path, read: Callable[[Path], ContentT]) -> None:
        self._path = path
        self._read = read
        self._state = _file_state(path)
        self._content = read(path)

    def content(self) -> ContentT:
        """Returns the content, read again if the file has changed since the last call.

        While the file is missing or invalid, this is the last valid content; the log says so once
        per change.
        """
        state = _file_state(self._path)
        if state != self._state:
            self._state = state
            try:
                self._content = self._read(self._path)
                logger.info("reloaded %s because it changed", self._path)
            except ConfigError as error:
                logger.error("keeping the last content of %s: %s", self._path, error.message)
        return self._content


def _file_state(path: Path) -> tuple[int, ...]:
    """Returns numbers that change whenever the file, or the file it links to, is replaced."""
    try:
        found = path.stat()
    except OSError:
        return ()
    return found.st_ino, found.st_size, found.st_mtime_ns
