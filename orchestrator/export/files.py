"""Files written and linked so that a reader never sees half of one."""

from __future__ import annotations

import contextlib
import enum
import errno
import os
import shutil
import uuid
from pathlib import Path
from typing import IO

from services.common.errors import FailedPreconditionError, InvalidArgumentError


class FileTransfer(enum.StrEnum):
    """How a photo comes into an exported folder; the names of orchestrator.proto."""

    COPY = "copy"
    HARDLINK = "hardlink"
    SYMLINK = "symlink"


def replace_file(target: Path, content: bytes) -> None:
    """Writes a file whole; one that is there already keeps its permissions."""
    partial = _partial(target)
    try:
        partial.write_bytes(content)
        if target.exists():
            shutil.copymode(target, partial)
        os.replace(partial, target)
    finally:
        _remove(partial)


def write_file(target: Path, content: IO[bytes]) -> None:
    """Writes a stream into a file.

    Raises:
        InvalidArgumentError: The file cannot be written.
    """
    partial = _partial(target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as opened:
            shutil.copyfileobj(content, opened)
        os.replace(partial, target)
    except OSError as error:
        raise InvalidArgumentError("", f"cannot write {target}: {error.strerror}") from error
    finally:
        _remove(partial)


def transfer_file(source: Path, target: Path, transfer: FileTransfer) -> None:
    """Copies or links a file; one that is there already is replaced, never written through.

    Raises:
        FailedPreconditionError: The two lie on different disks, or on one that knows no links.
    """
    partial = _partial(target)
    try:
        match transfer:
            case FileTransfer.COPY:
                shutil.copy2(source, partial)
            case FileTransfer.HARDLINK:
                os.link(source.resolve(), partial)
            case FileTransfer.SYMLINK:
                os.symlink(source.absolute(), partial)
        os.replace(partial, target)
    except OSError as error:
        if transfer is FileTransfer.COPY or error.errno not in _NO_LINKS:
            raise
        raise FailedPreconditionError(
            f"{source} cannot be linked into {target.parent} ({error.strerror}): links need one "
            f"disk that knows them; copy instead"
        ) from error
    finally:
        _remove(partial)


_NO_LINKS = (errno.EXDEV, errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK, errno.ENOSYS)


def _partial(target: Path) -> Path:
    """A short name of our own: that of the target may be as long as names can be."""
    return target.with_name(f".bestshot-{uuid.uuid4().hex}.partial")


def _remove(partial: Path) -> None:
    """Removes what a failure left; on a read-only disk even a file that is not there refuses."""
    with contextlib.suppress(OSError):
        partial.unlink()
