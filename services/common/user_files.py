"""Reads files that a user names: regular files of bounded size, without ever hanging."""

from __future__ import annotations

import io
import os
import stat
from pathlib import Path

from services.common.errors import ConfigError

SETTINGS_LIMIT_BYTES = 1_000_000
"""Limit for settings, tokens, passwords, keys and certificates; the largest we ship is 20 kB."""


def open_regular(path: Path, source: str = "") -> io.BufferedReader:
    """Opens a regular file, or a link to one, for reading.

    Args:
        path: The file.
        source: The setting that names it, for messages.

    Raises:
        ConfigError: It cannot be opened, or is a folder, a pipe or a device.
    """
    where = f"{source}: " if source else ""
    try:
        # Opening a pipe that nobody writes to would block without O_NONBLOCK.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise ConfigError(f"{where}cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise ConfigError(f"{where}a path must not contain a NUL character") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise ConfigError(f"{where}cannot read {path}: it must be a regular file")
    return os.fdopen(descriptor, "rb")


def read_user_bytes(path: Path, source: str = "", limit: int = SETTINGS_LIMIT_BYTES) -> bytes:
    """Reads a whole file of at most `limit` bytes.

    Raises:
        ConfigError: As `open_regular`, or the file is larger.
    """
    with open_regular(path, source) as opened:
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
        ConfigError: As `read_user_bytes`, or the file is not UTF-8.
    """
    content = read_user_bytes(path, source, limit)
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        where = f"{source}: " if source else ""
        raise ConfigError(f"{where}{path}, line {line}: the text is not UTF-8") from error
