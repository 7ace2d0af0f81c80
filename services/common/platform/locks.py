"""Locks between processes; the system releases them however a process ends."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from services.common.platform import files

_LOCK_NAME = ".bestshot.lock"


def lock_descriptor(descriptor: int, *, wait: bool = False) -> None:
    """Locks an opened file for this process, until the descriptor is closed.

    Args:
        descriptor: The file; a folder too where `os.open` opens folders.
        wait: Whether to wait for another process to release it.

    Raises:
        BlockingIOError: Another process has locked it.
        OSError: The file system has no locks.
    """
    import portalocker  # loading it takes 40 ms, and not every command locks something

    flags = portalocker.LOCK_EX if wait else portalocker.LOCK_EX | portalocker.LOCK_NB
    try:
        portalocker.lock(descriptor, flags)
    except portalocker.AlreadyLocked as error:
        raise BlockingIOError(*_reason(error).args) from error
    except portalocker.LockException as error:
        raise _reason(error) from error


def lock_folder(folder: Path, *, wait: bool = False) -> int:
    """Locks a folder for this process; returns a descriptor that holds the lock until it is closed.

    Where folders cannot be opened, a file in it is locked instead.

    Raises:
        BlockingIOError: Another process has locked it.
        OSError: The folder cannot be opened, or its file system has no locks.
    """
    if hasattr(os, "O_DIRECTORY"):
        descriptor = os.open(folder, files.READ | os.O_DIRECTORY)
    else:
        descriptor = os.open(folder / _LOCK_NAME, files.READ_WRITE | os.O_CREAT)
    try:
        lock_descriptor(descriptor, wait=wait)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


@contextlib.contextmanager
def hold_folder(folder: Path) -> Iterator[None]:
    """Holds the lock of a folder, after waiting for it; see `lock_folder`."""
    descriptor = lock_folder(folder, wait=True)
    try:
        yield
    finally:
        os.close(descriptor)


def _reason(error: BaseException) -> OSError:
    cause = error.__cause__ or error.__context__
    return cause if isinstance(cause, OSError) else OSError(str(error))
