"""Temporary files and folders; if none can be created, the error says which variable to set."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from services.common.errors import ConfigError


@contextlib.contextmanager
def temporary_folder(prefix: str) -> Iterator[Path]:
    """Creates a folder that only this user can read, and deletes it at the end of the block.

    Raises:
        ConfigError: There is no writable temporary folder.
    """
    with _translate_errors():
        folder = tempfile.TemporaryDirectory(prefix=prefix)
    with folder as path:
        yield Path(path)


def temporary_file() -> IO[bytes]:
    """Opens a file without a name; the caller closes it.

    Raises:
        ConfigError: There is no writable temporary folder.
    """
    with _translate_errors():
        return tempfile.TemporaryFile()


@contextlib.contextmanager
def _translate_errors() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ConfigError(
            f"cannot create temporary files: {error.strerror}; set TMPDIR to a writable folder"
        ) from error
