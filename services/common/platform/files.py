"""Opened folders, and flags for opening files.

If the system can address files relative to an opened folder, no change to the path in the
meantime (such as replacing a folder with a link) leads outside it. Windows cannot do this; there,
the path is checked for links right before it is used.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
from abc import ABC, abstractmethod
from pathlib import Path

_BINARY = getattr(os, "O_BINARY", 0) | getattr(os, "O_NOINHERIT", 0)  # Windows
NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0)
NO_WAIT = getattr(os, "O_NONBLOCK", 0)
"""Without this flag, opening a named pipe that nobody writes to would never return."""
READ = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOCTTY", 0) | _BINARY
READ_WRITE = os.O_RDWR | getattr(os, "O_CLOEXEC", 0) | _BINARY
WRITE = os.O_WRONLY | getattr(os, "O_CLOEXEC", 0) | _BINARY
FIND = getattr(os, "O_PATH", os.O_RDONLY) | getattr(os, "O_CLOEXEC", 0)
"""Opens a file or folder only to find out where it is."""
_FOLDER = READ | getattr(os, "O_DIRECTORY", 0)
_HAS_DESCRIPTORS = hasattr(os, "O_DIRECTORY") and {os.open, os.stat} <= os.supports_dir_fd
_LINK_TAGS = {
    getattr(stat, "IO_REPARSE_TAG_SYMLINK", None),
    getattr(stat, "IO_REPARSE_TAG_MOUNT_POINT", None),
}


class Folder(ABC):
    """An opened folder; names in it are single components, and links are never followed.

    Methods raise OSError in the same cases as the functions of `os` that they are named after.
    """

    @abstractmethod
    def open(self, name: str, flags: int, mode: int = 0o666) -> int:
        """Returns the descriptor of a file; ELOOP for a link unless `flags` creates it."""

    @abstractmethod
    def open_folder(self, name: str) -> Folder:
        """Opens a subfolder; ELOOP or ENOTDIR if the name is not that of a folder."""

    @abstractmethod
    def duplicate(self) -> Folder:
        """Opens the same folder a second time."""

    @abstractmethod
    def close(self) -> None:
        """Closes it."""

    @abstractmethod
    def status(self, name: str | None = None) -> os.stat_result:
        """Returns the status of a file in the folder; without a name, that of the folder itself."""

    @abstractmethod
    def names(self) -> list[str]:
        """Lists the names in the folder."""

    @abstractmethod
    def make_folder(self, name: str) -> None:
        """Creates a subfolder."""

    @abstractmethod
    def remove_folder(self, name: str) -> None:
        """Removes an empty subfolder."""

    @abstractmethod
    def remove(self, name: str) -> None:
        """Removes a file or link from the folder."""

    @abstractmethod
    def replace(self, name: str, target: Folder, new_name: str) -> None:
        """Moves a file to another folder, and replaces the one there."""

    @abstractmethod
    def link(self, name: str, target: Folder, new_name: str) -> None:
        """Creates a hard link to a file of this folder in another folder."""

    @abstractmethod
    def add_hard_link(self, path: Path, name: str) -> None:
        """Creates a hard link in this folder to a file elsewhere."""

    @abstractmethod
    def add_symbolic_link(self, path: Path, name: str) -> None:
        """Creates a symbolic link to a path."""

    @abstractmethod
    def read_link(self, name: str) -> str:
        """Returns where a symbolic link leads."""

    @abstractmethod
    def sync(self) -> None:
        """Flushes its entries to the disk, which makes additions, moves and deletions durable."""

    def sync_file(self, name: str) -> None:
        """Flushes a file's content to the disk; a symbolic link has no content."""
        try:
            descriptor = self.open(name, READ | NO_FOLLOW)
        except OSError:  # a link, or a file that only its owner may read
            return
        try:
            _flush(descriptor)
        finally:
            os.close(descriptor)

    def __enter__(self) -> Folder:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


class _DescriptorFolder(Folder):
    """A folder held by a descriptor."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def open(self, name: str, flags: int, mode: int = 0o666) -> int:
        return os.open(name, flags, mode, dir_fd=self._descriptor)

    def open_folder(self, name: str) -> Folder:
        return _DescriptorFolder(os.open(name, _FOLDER | NO_FOLLOW, dir_fd=self._descriptor))

    def duplicate(self) -> Folder:
        return _DescriptorFolder(os.dup(self._descriptor))

    def close(self) -> None:
        os.close(self._descriptor)

    def status(self, name: str | None = None) -> os.stat_result:
        if name is None:
            return os.stat(self._descriptor)
        return os.stat(name, dir_fd=self._descriptor, follow_symlinks=False)

    def names(self) -> list[str]:
        return os.listdir(self._descriptor)

    def make_folder(self, name: str) -> None:
        os.mkdir(name, dir_fd=self._descriptor)

    def remove_folder(self, name: str) -> None:
        os.rmdir(name, dir_fd=self._descriptor)

    def remove(self, name: str) -> None:
        os.unlink(name, dir_fd=self._descriptor)

    def replace(self, name: str, target: Folder, new_name: str) -> None:
        assert isinstance(target, _DescriptorFolder)
        os.replace(name, new_name, src_dir_fd=self._descriptor, dst_dir_fd=target._descriptor)

    def link(self, name: str, target: Folder, new_name: str) -> None:
        assert isinstance(target, _DescriptorFolder)
        os.link(
            name,
            new_name,
            src_dir_fd=self._descriptor,
            dst_dir_fd=target._descriptor,
            follow_symlinks=False,
        )

    def add_hard_link(self, path: Path, name: str) -> None:
        os.link(path, name, dst_dir_fd=self._descriptor, follow_symlinks=False)

    def add_symbolic_link(self, path: Path, name: str) -> None:
        os.symlink(path, name, dir_fd=self._descriptor)

    def read_link(self, name: str) -> str:
        return os.readlink(name, dir_fd=self._descriptor)

    def sync(self) -> None:
        with contextlib.suppress(OSError):  # some network file systems refuse to sync a folder
            os.fsync(self._descriptor)


class _PathFolder(Folder):
    """A folder held by its path, for systems without descriptors of folders."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def open(self, name: str, flags: int, mode: int = 0o666) -> int:
        place = self._path / name
        with contextlib.suppress(FileNotFoundError):
            if _is_link(place.lstat()):
                raise OSError(errno.ELOOP, "it is a symbolic link", str(place))
        return os.open(place, flags, mode)

    def open_folder(self, name: str) -> Folder:
        place = self._path / name
        status = place.lstat()
        if _is_link(status):
            raise OSError(errno.ELOOP, "it is a symbolic link", str(place))
        if not stat.S_ISDIR(status.st_mode):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(place))
        return _PathFolder(place)

    def duplicate(self) -> Folder:
        return _PathFolder(self._path)

    def close(self) -> None:
        pass

    def status(self, name: str | None = None) -> os.stat_result:
        return self._path.stat() if name is None else (self._path / name).lstat()

    def names(self) -> list[str]:
        return os.listdir(self._path)

    def make_folder(self, name: str) -> None:
        (self._path / name).mkdir()

    def remove_folder(self, name: str) -> None:
        (self._path / name).rmdir()

    def remove(self, name: str) -> None:
        (self._path / name).unlink()

    def replace(self, name: str, target: Folder, new_name: str) -> None:
        assert isinstance(target, _PathFolder)
        (self._path / name).replace(target._path / new_name)

    def link(self, name: str, target: Folder, new_name: str) -> None:
        assert isinstance(target, _PathFolder)
        os.link(self._path / name, target._path / new_name)

    def add_hard_link(self, path: Path, name: str) -> None:
        os.link(path, self._path / name)

    def add_symbolic_link(self, path: Path, name: str) -> None:
        (self._path / name).symlink_to(path)

    def read_link(self, name: str) -> str:
        return os.readlink(self._path / name)

    def sync(self) -> None:
        pass  # Windows cannot; NTFS has a journal


def open_folder(path: Path, *, follow: bool = True) -> Folder:
    """Opens a folder.

    Args:
        path: The folder.
        follow: Whether the path may be a link to a folder.

    Raises:
        OSError: The folder cannot be opened; ELOOP or ENOTDIR for a link that is not followed.
    """
    if _HAS_DESCRIPTORS:
        return _DescriptorFolder(os.open(path, _FOLDER if follow else _FOLDER | NO_FOLLOW))
    status = path.stat() if follow else path.lstat()
    if _is_link(status) or not stat.S_ISDIR(status.st_mode):
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path))
    return _PathFolder(path)


def sync_folder(path: Path) -> None:
    """Flushes a folder's entries to the disk; see `Folder.sync`."""
    with open_folder(path) as opened:
        opened.sync()


def copy_status(source: int, target: int, place: Path) -> None:
    """Copies times and permissions from one opened file to another.

    Args:
        source: Descriptor of the first.
        target: Descriptor of the second.
        place: Path of the second, for systems that cannot set times by descriptor.
    """
    if os.utime in os.supports_fd:
        # Typed for paths, but accepts descriptors, whose files cannot be swapped.
        shutil.copystat(source, target)  # type: ignore[arg-type]
        return
    set_modified(target, place, os.fstat(source).st_mtime)


def set_modified(descriptor: int, place: Path | str, seconds: float) -> None:
    """Sets when an opened file was last changed.

    Args:
        descriptor: Its descriptor.
        place: Its path, for systems that cannot set times by descriptor.
        seconds: Seconds since 1970.
    """
    os.utime(descriptor if os.utime in os.supports_fd else place, (seconds, seconds))


def set_mode(descriptor: int, mode: int) -> None:
    """Sets a file's permissions, where the system supports them."""
    if hasattr(os, "fchmod"):
        os.fchmod(descriptor, mode)


def path_of_descriptor(descriptor: int) -> Path | None:
    """Returns the path of an opened file; None if the system does not say."""
    try:
        return Path(os.readlink(f"/proc/self/fd/{descriptor}"))
    except OSError:
        return None


def _is_link(status: os.stat_result) -> bool:
    tag = getattr(status, "st_reparse_tag", 0)
    return stat.S_ISLNK(status.st_mode) or (tag != 0 and tag in _LINK_TAGS)


def _flush(descriptor: int) -> None:
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EBADF:  # Windows flushes only files that are open for writing
            raise
