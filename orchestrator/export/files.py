"""Writes files atomically: readers never see a partial file, even after a power cut."""

from __future__ import annotations

import contextlib
import enum
import os
import shutil
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import IO

from orchestrator.export.mounts import find_place, is_below, read_mounts
from services.common.errors import InvalidArgumentError
from services.common.platform.files import sync_folder


class FileTransfer(enum.StrEnum):
    """How a photo gets into an exported folder; named as in orchestrator.proto."""

    COPY = "copy"
    HARDLINK = "hardlink"
    SYMLINK = "symlink"


def replace_file(target: Path, content: bytes) -> None:
    """Writes a file atomically; an existing one keeps its permissions."""
    partial = _partial(target)
    try:
        with partial.open("xb") as opened:
            opened.write(content)
            opened.flush()
            os.fsync(opened.fileno())
        if target.exists():
            shutil.copymode(target, partial)
        os.replace(partial, target)
        sync_folder(target.parent)
    finally:
        _remove(partial)


def write_file(
    target: Path, content: IO[bytes], *, albums: Iterable[Path] = (), force: bool = False
) -> None:
    """Writes a stream to a file.

    Args:
        target: The file.
        content: The stream, which is read to its end.
        albums: Folders in which no file may be replaced, even with `force`.
        force: Replace an existing file.

    Raises:
        InvalidArgumentError: The file cannot be written, already exists, or belongs to an album.
    """
    partial = _partial(target)
    try:
        if target.exists() and not target.is_file() and not target.is_dir():
            with target.open("wb") as opened:  # a pipe or device, such as /dev/stdout
                shutil.copyfileobj(content, opened)
            return
        if os.path.lexists(target):
            _check_replaceable(target, albums, force=force)
        target.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("xb") as opened:
            shutil.copyfileobj(content, opened)
            opened.flush()
            os.fsync(opened.fileno())
        if force:
            os.replace(partial, target)
        else:
            _rename_new(partial, target)
        sync_folder(target.parent)
    except OSError as error:
        raise InvalidArgumentError("", f"cannot write {target}: {error.strerror}") from error
    finally:
        _remove(partial)


def _check_replaceable(target: Path, albums: Iterable[Path], *, force: bool) -> None:
    from orchestrator.export.album_places import locate_albums  # loads asyncio

    # The name itself is replaced, not what it links to, so resolve only the folder.
    place = Path(os.path.realpath(target.parent)) / target.name
    mounted = find_place(place.parent, read_mounts())
    for album in locate_albums(list(albums)):
        if album.find_around(place.parent) is not None or is_below(mounted, album.places):
            raise InvalidArgumentError(
                "", f"{target} belongs to the album {album.path}; choose another name"
            )
    if not force:
        raise InvalidArgumentError(
            "", f"{target} already exists; choose another name, or replace it with --force"
        )


def _rename_new(partial: Path, target: Path) -> None:
    """Renames a file to a name that must still be free."""
    try:
        os.link(partial, target)
    except FileExistsError as error:
        raise InvalidArgumentError(
            "", f"{target} has been created by another process in the meantime"
        ) from error
    except OSError:  # the file system has no hard links
        os.replace(partial, target)


def _partial(target: Path) -> Path:
    """Makes a short temporary name, because the target's name may have the maximum length."""
    return target.with_name(f".bestshot-{uuid.uuid4().hex}.partial")


def _remove(partial: Path) -> None:
    """Removes a leftover partial file; ignores errors, which a read-only disk always raises."""
    with contextlib.suppress(OSError):
        partial.unlink()
