"""Opens files of an album only if they are inside the album or an allowed root."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from services.common.errors import InvalidImageError
from services.common.platform.files import path_of_descriptor
from services.common.user_files import NotRegularError, open_regular


def resolved_roots(roots: Sequence[Path]) -> tuple[Path, ...]:
    """Resolves the roots in the settings; "~" is the home of the current user."""
    return tuple(root.expanduser().resolve() for root in roots)


def check_inside(path: Path, folder: Path, roots: Sequence[Path]) -> Path:
    """Resolves a path, and checks that it is inside the album or an allowed root.

    Args:
        path: A file of the album.
        folder: The album, as resolved when the album was created. It is not resolved again:
            a folder that has become a link since then would vouch for its target.
        roots: Resolved roots.

    Raises:
        InvalidImageError: The path leads outside.
    """
    return _check_resolved(Path(os.path.realpath(path)), folder, roots)


def _check_resolved(real: Path, folder: Path, roots: Sequence[Path]) -> Path:
    if not any(real.is_relative_to(root) for root in (folder, *roots)):
        raise InvalidImageError("a symbolic link leads outside the album and the allowed roots")
    return real


def open_inside(path: Path, folder: Path, roots: Sequence[Path]) -> IO[bytes]:
    """Opens a regular file of an album for reading; takes the arguments of `check_inside`.

    Raises:
        InvalidImageError: The path leads outside, or is not a regular file.
        OSError: The file cannot be opened.
    """
    check_inside(path, folder, roots)  # first, so that nothing outside is even opened
    try:
        opened = open_regular(path)
    except NotRegularError as error:
        raise InvalidImageError(str(error.strerror)) from error
    try:
        # A link may have been put in place between the check and the open.
        _check_opened(opened.fileno(), path, folder, roots)
    except BaseException:
        opened.close()
        raise
    return opened


def _check_opened(descriptor: int, path: Path, folder: Path, roots: Sequence[Path]) -> None:
    """Checks the location of an opened file."""
    if (opened := path_of_descriptor(descriptor)) is not None:
        _check_resolved(opened, folder, roots)
        return
    real = check_inside(path, folder, roots)  # must still lead to the opened file
    if not os.path.samestat(os.fstat(descriptor), os.stat(real, follow_symlinks=False)):
        raise InvalidImageError("the file was replaced while it was being opened")
