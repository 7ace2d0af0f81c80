"""The PhotoSource port for a folder in a file system."""

from __future__ import annotations

import contextlib
import logging
import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

from orchestrator.ports import FileStamp, FoundPhotos, PhotoFile
from orchestrator.storage.album_rules import IGNORE_FILE, AlbumRules
from orchestrator.storage.companions import FileGroup, group_files
from orchestrator.storage.containment import check_inside, open_inside, resolved_roots
from orchestrator.storage.photo_io import report_progress
from orchestrator.storage.results_manifest import MANIFEST_NAME, copies_in_results
from services.common.errors import (
    FailedPreconditionError,
    InvalidArgumentError,
    InvalidImageError,
    UnavailableError,
)
from services.common.imaging import decode as imaging
from services.common.imaging.decode import CanonicalImage
from services.common.imaging.memory_budget import MemoryBudget
from services.common.platform.files import Folder, open_folder
from services.common.suffixes import OTHER_SUFFIXES, PHOTO_SUFFIXES, PICTURE_SUFFIXES, RAW_SUFFIXES
from services.common.user_files import open_regular

logger = logging.getLogger(__name__)

MAX_FILE_BYTES = 640 * 10**6
"""Maximum size of a photo file: 100 megapixels at 16 bits per colour, uncompressed."""
_CHUNK_BYTES = 2**22
_MAX_IGNORE_BYTES = 2**20
_REPLACED = "\ufffd"
"""Stands for bytes in a name that are not UTF-8."""


class FolderPhotoSource:
    """All photos below a folder, except hidden, system and excluded files and folders.

    Args:
        folder: The album's folder.
        max_pixels: Maximum number of pixels in a photo, checked in its header.
        budget: Memory budget that all decoding in this process shares.
        roots: Resolved folders that links in the album may point into, besides the album.
    """

    def __init__(
        self,
        folder: Path,
        *,
        max_pixels: int,
        budget: MemoryBudget | None = None,
        roots: Sequence[Path] = (),
    ) -> None:
        self._folder = folder
        self._roots = tuple(roots)
        self._max_pixels = max_pixels
        self._budget = budget
        self._identity: tuple[int, int] | None = None

    def list_photos(self) -> list[PhotoFile]:
        """Finds the photos as `find_photos` does, without exclude patterns from the caller."""
        return self.find_photos().photos

    def find_photos(
        self, exclude: Sequence[str] = (), *, may_be_empty: bool = False
    ) -> FoundPhotos:
        """Finds the photos, ordered by path, except what .bestshotignore or `exclude` matches.

        Args:
            exclude: Patterns as in .gitignore, relative to the album. They are applied after those
                in the album's .bestshotignore.
            may_be_empty: Whether the folder is allowed to have no photos.

        A RAW file beside a picture of the same name is that picture's companion, not a separate
        photo; so are the video of a Live Photo and sidecars. See `group_files`.

        Raises:
            InvalidArgumentError: The folder is missing, cannot be read, or contains no photos.
            UnavailableError: The folder disappears during the search.
        """
        check_folder(self._folder)
        try:
            check_inside(self._folder, self._folder, self._roots)
        except InvalidImageError as error:
            raise InvalidArgumentError(
                "folder",
                f"{self._folder} now leads outside the allowed roots through a symbolic link; see "
                f"orchestrator.allowed_roots",
            ) from error
        self._identity = _identity(self._folder)
        rules = AlbumRules([*self._ignored(), *exclude], PHOTO_SUFFIXES)
        found = []
        for root, folders, names in os.walk(self._folder, onerror=self._warn_unread):
            report_progress()
            place = "" if root == str(self._folder) else self._relative(Path(root))
            if MANIFEST_NAME in names:
                copies = copies_in_results(Path(root))
                rules.leave_out_results(self._relative(Path(path)) for path in copies)
            folders[:] = rules.keep_folders(place, folders)
            files = rules.keep_files(place, names)
            groups = group_files(files)
            found += [self._photo(root, place, group) for group in groups]
            rules.count_videos(files, (name for group in groups for name in group.companions))
        self.check_reachable()
        notes = rules.left_out.notes()
        if not found and not may_be_empty:
            raise InvalidArgumentError(
                "folder",
                f"no photos found in {self._folder} or its subfolders (looked for RAW files and "
                f"for files ending in {', '.join(sorted(PICTURE_SUFFIXES | OTHER_SUFFIXES))})"
                + "".join(f". {note.removesuffix('.')}" for note in notes),
            )
        return FoundPhotos(sorted(found, key=lambda photo: photo.path), notes)

    def _ignored(self) -> list[str]:
        """Reads the lines of the album's .bestshotignore; none if there is no such file.

        Raises:
            InvalidArgumentError: The file cannot be read. If it were skipped, photos that the
                owner excluded would be curated.
        """
        try:
            with open_inside(self._folder / IGNORE_FILE, self._folder, self._roots) as opened:
                content = opened.read(_MAX_IGNORE_BYTES + 1)
                if len(content) > _MAX_IGNORE_BYTES:
                    raise InvalidImageError(f"it is larger than {_MAX_IGNORE_BYTES:,} bytes")
                return content.decode().splitlines()
        except FileNotFoundError:
            return []
        except (OSError, UnicodeDecodeError, InvalidImageError) as error:
            raise InvalidArgumentError(
                "folder", f"{self._folder / IGNORE_FILE} cannot be read: {error}"
            ) from error

    def size(self, path: str) -> int:
        """Returns the size of a photo in bytes.

        Raises:
            InvalidImageError, UnavailableError: As for `read`.
        """
        with self._opened(path) as opened:
            return _checked_size(opened)

    def read(self, path: str, size: int | None = None) -> bytes:
        """Reads a whole photo.

        Args:
            path: The photo.
            size: Its expected size, for which the caller has reserved room; None = any.

        Raises:
            InvalidImageError: The photo is not a regular file, is outside the album and the roots,
                is too large, is larger than `size`, or cannot be read.
            UnavailableError: The whole album has disappeared since it was listed.
        """
        with self._opened(path) as opened:
            return _read_whole(opened, _checked_size(opened) if size is None else size)

    def read_stamped(self, path: str, size: int) -> tuple[bytes, FileStamp | None]:
        """Reads a photo that is not larger than `size`; errors as for `read`.

        Returns:
            The content and the stamp; the stamp is None if the file changed while it was being
            read.
        """
        with self._opened(path) as opened:
            before = _stamp(opened)
            content = _read_whole(opened, size)
            return content, before if _stamp(opened) == before else None

    def stamps(self, paths: Sequence[str]) -> dict[str, FileStamp]:
        """Returns the current stamps of photos, except links and those that cannot be opened.

        Each file is opened, because a network file system may otherwise return an outdated status.
        Whether a folder is inside the album is checked only once, because no content is read.
        """
        by_folder: dict[str, list[str]] = {}
        for path in paths:
            by_folder.setdefault(path.rpartition("/")[0], []).append(path)
        found: dict[str, FileStamp] = {}
        for folder, inside in by_folder.items():
            report_progress()
            with contextlib.suppress(OSError, InvalidImageError):
                check_inside(self._folder / folder, self._folder, self._roots)
                with open_folder(self._folder / folder) as opened:
                    found.update(_stamps_in(opened, inside))
        return found

    @contextlib.contextmanager
    def _opened(self, path: str) -> Iterator[IO[bytes]]:
        try:
            with open_inside(self._folder / path, self._folder, self._roots) as opened:
                yield opened
        except OSError as error:
            self.check_reachable()
            if _REPLACED in path:
                raise InvalidImageError("its name is not valid UTF-8: rename the file") from error
            raise InvalidImageError(f"the file cannot be read: {error.strerror}") from error

    def decode(
        self, content: bytes, long_side_px: int = imaging.CANONICAL_LONG_SIDE_PX
    ) -> CanonicalImage:
        """Decodes a photo."""
        return imaging.decode(
            content,
            max_pixels=self._max_pixels,
            budget=self._budget,
            long_side_px=long_side_px,
        )

    def _photo(self, folder: str, place: str, group: FileGroup) -> PhotoFile:
        """Describes a photo in a folder whose path in the album is `place`."""
        prefix = f"{place}/" if place else ""
        return PhotoFile(
            prefix + _printable(group.photo),
            self._size(os.path.join(folder, group.photo)),
            tuple(
                prefix + _printable(name)
                for name in group.companions
                # keep a RAW file that is a broken link, so that copying it reports the problem
                if _suffix(name) in RAW_SUFFIXES or os.path.isfile(os.path.join(folder, name))
            ),
            prefix + _printable(group.version_of) if group.version_of else "",
        )

    def _size(self, path: str) -> int:
        """Returns a file's size; 0 for a broken or forbidden link, so that `read` reports it."""
        try:
            status = os.lstat(path)
            if stat.S_ISLNK(status.st_mode):
                check_inside(Path(path), self._folder, self._roots)
                status = os.stat(path)
            report_progress()
            return status.st_size
        except (OSError, InvalidImageError):
            return 0

    def _relative(self, path: Path) -> str:
        return _printable(path.relative_to(self._folder).as_posix())

    def _warn_unread(self, error: OSError) -> None:
        logger.warning("skipping %s: %s", error.filename, error.strerror)

    def check_reachable(self) -> None:
        """Distinguishes a broken file from a disk or a network folder that has gone away.

        Raises:
            UnavailableError: The album's folder is gone, or a different one has taken its place.
        """
        try:
            identity = _identity(self._folder)
            os.scandir(self._folder).close()
        except OSError as error:
            raise UnavailableError(
                f"the folder {self._folder} is no longer available: {error.strerror}"
            ) from error
        if self._identity is not None and identity != self._identity:
            raise UnavailableError(f"the folder {self._folder} was replaced by a different one")


def _checked_size(opened: IO[bytes]) -> int:
    size = os.fstat(opened.fileno()).st_size
    if size > MAX_FILE_BYTES:
        raise InvalidImageError(
            f"the file is too large: {size / 10**6:,.0f} MB, limit {MAX_FILE_BYTES // 10**6} MB"
        )
    return size


def _stamp(opened: IO[bytes]) -> FileStamp:
    status = os.fstat(opened.fileno())
    return FileStamp(status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)


def _stamps_in(folder: Folder, paths: Sequence[str]) -> Iterator[tuple[str, FileStamp]]:
    for path in paths:
        report_progress()
        name = path.rpartition("/")[2]
        with (
            contextlib.suppress(OSError),
            open_regular(name, follow=False, folder=folder) as opened,
        ):
            yield path, _stamp(opened)


def _read_whole(opened: IO[bytes], size: int) -> bytes:
    content = bytearray()
    while chunk := os.read(opened.fileno(), min(_CHUNK_BYTES, size + 1 - len(content))):
        report_progress()
        content += chunk
        if len(content) > size:
            raise InvalidImageError("the file grew while it was being read")
    return bytes(content)


def check_folder(folder: Path) -> None:
    """Checks that a path is a readable folder."""
    try:
        folder.stat()
    except FileNotFoundError as error:
        raise InvalidArgumentError("folder", f"{folder} does not exist") from error
    except OSError as error:  # for example, its name is too long
        raise InvalidArgumentError(
            "folder", f"{folder} cannot be read: {error.strerror}"
        ) from error
    if not folder.is_dir():
        raise InvalidArgumentError("folder", f"{folder} is a file, not a folder")
    if not os.access(folder, os.R_OK | os.X_OK):
        raise InvalidArgumentError("folder", f"{folder} cannot be read: permission denied")


def has_photos(folder: Path) -> bool:
    """Whether there is a file with a photo's suffix in a folder or below it; stops at the first."""
    for _, _, names in os.walk(folder):
        report_progress()
        if any(_suffix(name) in PHOTO_SUFFIXES for name in names):
            return True
    return False


def check_allowed(folder: Path, allowed_roots: Sequence[Path], *, field: str) -> Path:
    """Resolves `folder`, including symlinks, and checks that it is inside an allowed root.

    Args:
        folder: From a request. "~" is the home of the user that the orchestrator runs as.
        allowed_roots: From the settings; "~" is expanded in the same way.
        field: Name of the request's field, for the error.

    Raises:
        InvalidArgumentError: The path is not absolute, or is not in an allowed root.
    """
    with contextlib.suppress(RuntimeError):  # no such user
        folder = folder.expanduser()
    if not folder.is_absolute():
        raise InvalidArgumentError(field, f"{folder} is not an absolute path")
    try:
        resolved = folder.resolve()
    except (OSError, ValueError, RuntimeError):  # RuntimeError: symlink loop
        resolved = Path()  # not in any root: callers must not learn what exists outside the roots
    if problem := _find_outside(folder, resolved, resolved_roots(allowed_roots)):
        raise InvalidArgumentError(field, problem)
    return resolved


def check_still_allowed(folder: str, roots: Sequence[Path]) -> None:
    """Checks that an album is still in an allowed root, without accessing the disk.

    Args:
        folder: The album's folder, as resolved when the album was created.
        roots: Resolved roots.

    Raises:
        FailedPreconditionError: The album is not in any of the roots.
    """
    if problem := _find_outside(Path(folder), Path(folder), roots):
        raise FailedPreconditionError(problem)


def _find_outside(folder: Path, resolved: Path, roots: Sequence[Path]) -> str:
    if any(resolved.is_relative_to(root) for root in roots):
        return ""
    is_link = any(folder.is_relative_to(root) for root in roots) and ".." not in folder.parts
    which = "is a link, or in one, whose target is" if is_link else "is"
    return (
        f"{folder} {which} not in any of the allowed roots "
        f"({', '.join(str(root) for root in roots)}); see orchestrator.allowed_roots"
    )


def _identity(folder: Path) -> tuple[int, int]:
    """Identifies a folder, so that a different one mounted in its place is detected."""
    status = folder.stat()
    return status.st_dev, status.st_ino


def _suffix(name: str) -> str:
    return os.path.splitext(name)[1].lower()


def _printable(path: str) -> str:
    """Replaces bytes that are not UTF-8; such a file is then reported as unreadable."""
    return os.fsencode(path).decode("utf-8", "replace")
