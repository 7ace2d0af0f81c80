"""The folder that an export writes to: one writer at a time, and only our own files are replaced.

A manifest in the folder lists the files that bestshot wrote, with digests. A file that is not
listed, or has changed since, belongs to somebody else. Every path is opened one component at a time
without following links, so nothing outside the folder can be reached, whatever is planted inside.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
import stat
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO

from orchestrator.export.album_places import AlbumPlace, Identity, identity_of, locate_albums
from orchestrator.export.files import FileTransfer
from orchestrator.export.mounts import find_places, overlap, read_mounts
from orchestrator.storage.containment import check_inside
from orchestrator.storage.photo_io import report_progress
from orchestrator.storage.results_manifest import (
    FORMAT_VERSION,
    MANIFEST_NAME,
    Entry,
    is_plain,
    read_manifest,
)
from services.common.errors import FailedPreconditionError, InvalidArgumentError
from services.common.platform import files as system_files
from services.common.platform.files import Folder, open_folder
from services.common.platform.locks import lock_descriptor
from services.common.user_files import open_regular

TABLE_NAMES = ("image_metrics.csv", "results.json", "run.json", "index.html")
SELECTED_FOLDER, PEOPLE_FOLDER = "selected", "people"
EXPORT_LOCK, CURATE_LOCK = ".bestshot-export.lock", ".bestshot-curate.lock"
_STAGING_NAME = ".bestshot-staging"
_LOG_NAME = re.compile(r"logs/[a-z]+\.log")
_STAGED_NAME = re.compile(r"(new|old)\d+")
_CHUNK_BYTES = 2**20
_NAMED_COUNT = 3
_NO_LINKS = (errno.EXDEV, errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK, errno.ENOSYS)
_NO_LOCKS = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS)


def check_location(folder: Path, albums: Iterable[AlbumPlace]) -> Path:
    """Resolves an output folder, and checks that it has no folder in common with an album.

    Folders that are mounted under another path are recognized too.

    Raises:
        InvalidArgumentError: The folder is, contains or is inside an album (see the message).
    """
    resolved = Path(os.path.realpath(folder))
    places = find_places(resolved, read_mounts())
    for album in albums:
        place = album.find_around(resolved)
        if place is not None:
            where = "is" if place == resolved else "is inside"
            raise InvalidArgumentError(
                "output_folder",
                f"the output folder {resolved} {where} the album {album.path}: the next run would "
                f"treat its pictures as photos; choose a folder outside the album",
            )
        if album.is_inside(resolved):
            raise InvalidArgumentError(
                "output_folder",
                f"the output folder {resolved} contains the album {album.path}: an export could "
                f"replace photos; choose a separate folder for the results, such as "
                f"{resolved / 'bestshot-results'}",
            )
        if overlap(places, album.places):
            raise InvalidArgumentError(
                "output_folder",
                f"the output folder {resolved} and the album {album.path} have folders in common, "
                f"because one is mounted inside the other; choose a folder outside the album",
            )
    return resolved


@contextlib.contextmanager
def open_output(
    folder: Path, album: Path, other_albums: Iterable[Path] = (), *, lock: str = EXPORT_LOCK
) -> Iterator[OutputFolder]:
    """Creates the folder if missing and locks it for one writer.

    Raises:
        InvalidArgumentError: The folder is not writable, or is, contains or is inside an album.
        FailedPreconditionError: Another bestshot command is writing to the folder.
    """
    albums = locate_albums([album, *other_albums])
    resolved = check_location(folder, albums)
    with contextlib.ExitStack() as stack:
        with translate_write_errors(resolved):
            resolved.mkdir(parents=True, exist_ok=True)
            root = stack.enter_context(open_folder(resolved, follow=False))
            check_location(resolved, albums)  # a parent may have become a link
            stack.enter_context(_hold_lock(root, lock, resolved))
            output = OutputFolder(resolved, root, album)
            output.guard_albums(albums)
            if lock == EXPORT_LOCK:
                output.remove_staging()
                stack.callback(output.remove_staging)
                with contextlib.suppress(FileExistsError):
                    root.make_folder(_STAGING_NAME)
        yield output


@contextlib.contextmanager
def translate_write_errors(folder: Path) -> Iterator[None]:
    """Turns file system errors into one-sentence errors."""
    try:
        yield
    except OSError as error:
        raise InvalidArgumentError(
            "output_folder", f"cannot write to {folder}: {error.strerror}"
        ) from error


@contextlib.contextmanager
def _hold_lock(root: Folder, name: str, folder: Path) -> Iterator[None]:
    """Holds a lock file and never writes to it, because it may be a planted link to a photo."""
    flags = system_files.READ_WRITE | os.O_CREAT | system_files.NO_FOLLOW | system_files.NO_WAIT
    is_held = False
    while not is_held:
        descriptor = root.open(name, flags)
        try:
            lock_descriptor(descriptor)
            # The previous holder removes the file, so our lock may be on a file without a name.
            is_held = _is_named(descriptor, name, root)
        except BlockingIOError as error:
            raise FailedPreconditionError(
                f"another bestshot command is writing to {folder}; wait for it to finish, or "
                f"choose another folder"
            ) from error
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
            is_held = True  # some network file systems have no locks: better two writers than none
        finally:
            if not is_held:
                os.close(descriptor)
    try:
        yield
    finally:
        if os.fstat(descriptor).st_size == 0:
            with contextlib.suppress(OSError):
                root.remove(name)
        os.close(descriptor)


def _is_named(descriptor: int, name: str, root: Folder) -> bool:
    try:
        named = root.status(name)
    except FileNotFoundError:
        return False
    return os.path.samestat(named, os.fstat(descriptor))


@dataclass
class OutputFolder:
    """An output folder that this process has locked; use `open_output`.

    Files are staged first and put in place together by `commit`.
    """

    path: Path
    root: Folder
    album: Path
    _entries: dict[str, list[Entry]] = field(default_factory=dict)
    _is_marked: bool = False
    _staged: dict[str, tuple[str, Entry]] = field(default_factory=dict)
    _count: int = 0
    _guarded: dict[Identity, Path] = field(default_factory=dict)
    _hashed: dict[tuple[int, int, int, int], str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        found = read_manifest(self.root)
        self._is_marked = found is not None
        self._entries = found or {}

    def guard(self, folders: Iterable[Path]) -> None:
        """Rejects these album folders by identity, because a mount can give them other paths.

        Raises:
            InvalidArgumentError: The output folder is one of them.
        """
        self._guard({identity_of(folder): self.album for folder in folders})

    def guard_albums(self, albums: Iterable[AlbumPlace]) -> None:
        """Rejects the folders of these albums in the same way."""
        self._guard({album.identity: album.path for album in albums})

    def _guard(self, albums: dict[Identity | None, Path]) -> None:
        self._guarded.update({known: path for known, path in albums.items() if known is not None})
        self._check_guarded(self.root, self.path)

    def _check_guarded(self, opened: Folder, folder: Path) -> None:
        identity = identity_of(opened)
        if identity in self._guarded:
            raise InvalidArgumentError(
                "output_folder",
                f"{folder} is a folder of the album {self._guarded[identity]}; choose a folder "
                f"outside the album",
            )

    # Ownership of files

    def check_names(self, names: Iterable[str], *, force: bool) -> None:
        """Checks that the only files to be replaced are ours and have not been changed since.

        Args:
            names: Paths below the folder that will be written.
            force: Allow other files too; folders and paths that lead outside are still rejected.

        Raises:
            InvalidArgumentError: Other files would be replaced; the message names the first.
        """
        foreign = [name for name in names if self._is_foreign(name)]
        if not self._is_marked and self._status(MANIFEST_NAME) is not None:
            foreign.append(MANIFEST_NAME)
        if not foreign or force:
            return
        named = ", ".join(foreign[:_NAMED_COUNT])
        if len(foreign) > _NAMED_COUNT:
            named += f" and {len(foreign) - _NAMED_COUNT} more"
        why = (
            "bestshot did not write, or that were changed afterwards"
            if self._is_marked
            else "are not recorded as bestshot's (there is no export manifest; 0.1.0 wrote none)"
        )
        raise InvalidArgumentError(
            "output_folder",
            f"{self.path} already has files that {why}: {named}; choose another folder, or "
            f"replace them with --force (over the API: overwrite_foreign_files)",
        )

    def _is_foreign(self, name: str) -> bool:
        status, is_ours = self._look(name)
        if status is not None and stat.S_ISDIR(status.st_mode):
            raise InvalidArgumentError(
                "output_folder", f"{self.path / name} is a folder, but a file must be written there"
            )
        return status is not None and not is_ours

    def _status(self, name: str) -> os.stat_result | None:
        try:
            with self._parent(name) as (parent, leaf):
                return parent.status(leaf)
        except FileNotFoundError:
            return None

    def _is_ours(self, name: str) -> bool:
        """Whether an existing file is, according to the manifest, the one that we wrote."""
        return self._look(name)[1]

    def _look(self, name: str) -> tuple[os.stat_result | None, bool]:
        """Returns a file's status (None if it does not exist), and whether the file is ours."""
        try:
            with self._parent(name) as (parent, leaf):
                status = parent.status(leaf)
                return status, any(
                    self._matches(name, entry, parent, leaf, status)
                    for entry in self._entries.get(name, ())
                )
        except FileNotFoundError:
            return None, False

    def _matches(
        self, name: str, entry: Entry, parent: Folder, leaf: str, status: os.stat_result
    ) -> bool:
        """Whether a file matches an entry in the manifest."""
        if "symlink" in entry:
            return stat.S_ISLNK(status.st_mode) and parent.read_link(leaf) == entry["symlink"]
        if not stat.S_ISREG(status.st_mode):
            return False
        if "hardlink" in entry:
            # Ours only while the photo still has its own name; otherwise this is its last one.
            try:
                source = os.stat(entry["hardlink"], follow_symlinks=False)
            except (OSError, ValueError, TypeError):
                return False
            return os.path.samestat(source, status) and status.st_nlink > 1
        # A log has no digest, and a manifest may be forged, so accept only names of logs.
        if entry.get("log") is True and _LOG_NAME.fullmatch(name):
            return True
        if status.st_size != entry.get("size"):
            return False
        return self._sha256(parent, leaf, status) == entry.get("sha256")

    def _sha256(self, parent: Folder, leaf: str, status: os.stat_result) -> str:
        """Hashes a file, or returns the hash from last time if the file has not changed since."""
        stamp = (status.st_dev, status.st_ino, status.st_mtime_ns, status.st_ctime_ns)
        if stamp not in self._hashed:
            digest = hashlib.sha256()
            with open_regular(leaf, follow=False, folder=parent) as opened:
                while chunk := opened.read(_CHUNK_BYTES):
                    digest.update(chunk)
            self._hashed[stamp] = digest.hexdigest()
        return self._hashed[stamp]

    def read(self, name: str) -> bytes | None:
        """Reads a file in the folder; None if it does not exist.

        Raises:
            OSError: The file cannot be read; ELOOP for a symbolic link.
        """
        try:
            with (
                self._parent(name) as (parent, leaf),
                open_regular(leaf, follow=False, folder=parent) as opened,
            ):
                return opened.read()
        except FileNotFoundError:
            return None

    # Staging

    def is_shared(self, name: str) -> bool:
        """Whether the file exists and another program created it, even if we merged into it."""
        if self._status(name) is None:
            return False
        entries = self._entries.get(name, [])
        return any("shared" in entry for entry in entries) or not self._is_ours(name)

    def stage(self, name: str, content: bytes, *, is_shared: bool = False) -> None:
        """Stages a file; an existing file with the same content is left as it is.

        Args:
            name: Its path below the folder.
            content: Content of the file.
            is_shared: Whether it also contains data from other programs; then it is never removed.
        """
        entry = _entry(content)
        if is_shared:
            entry["shared"] = True
        status, is_ours = self._look(name) if name in self._entries else (self._status(name), False)
        if is_ours and self._entries[name] == [entry]:
            return
        mode = None
        if status is not None and stat.S_ISREG(status.st_mode):
            mode = stat.S_IMODE(status.st_mode)
        with self._new_staged(name, entry) as (staging, place):
            _write_new(staging, place, content, mode)
        report_progress()

    def is_current(self, name: str, content: bytes) -> bool:
        """Whether we wrote this content to the file, and it still has the same size.

        The file is not read, so one that was changed to other content of the same size is kept.
        """
        if self._entries.get(name) != [_entry(content)]:
            return False
        status = self._status(name)
        return (
            status is not None and stat.S_ISREG(status.st_mode) and status.st_size == len(content)
        )

    def stage_copy(self, name: str, source: IO[bytes]) -> str:
        """Stages a copy of an opened file, with its times and permissions; returns its sha256."""
        digest, size = hashlib.sha256(), 0
        entry: Entry = {}
        with self._new_staged(name, entry) as (staging, place):
            flags = system_files.WRITE | os.O_CREAT | os.O_EXCL
            with open(staging.open(place, flags, 0o600), "wb") as target:
                while chunk := source.read(_CHUNK_BYTES):
                    report_progress()
                    target.write(chunk)
                    digest.update(chunk)
                    size += len(chunk)
                target.flush()
                staged = self.path / _STAGING_NAME / place
                system_files.copy_status(source.fileno(), target.fileno(), staged)
        entry.update(sha256=digest.hexdigest(), size=size)
        return digest.hexdigest()

    def stage_link(
        self,
        name: str,
        source: IO[bytes],
        path: Path,
        transfer: FileTransfer,
        roots: Sequence[Path],
    ) -> None:
        """Stages a link to a file in the album.

        Args:
            name: Path of the link below the folder.
            source: The file, opened.
            path: Path of the file.
            transfer: HARDLINK or SYMLINK.
            roots: Resolved; `path` must lead into one of them or into the album.

        Raises:
            FailedPreconditionError: The file system does not support such links.
        """
        real = check_inside(path, self.album, roots)
        is_hard = transfer is FileTransfer.HARDLINK
        entry = {"hardlink": str(real)} if is_hard else {"symlink": str(path)}
        try:
            with self._new_staged(name, entry) as (staging, place):
                if not is_hard:
                    staging.add_symbolic_link(path, place)
                    return
                staging.add_hard_link(real, place)
                linked = staging.status(place)
                if not os.path.samestat(linked, os.fstat(source.fileno())):
                    raise FailedPreconditionError(f"{path} was replaced while it was being linked")
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            raise FailedPreconditionError(
                f"{path} cannot be linked into {(self.path / name).parent} ({error.strerror}): "
                f"links must stay on one file system that supports them; copy instead"
            ) from error

    def has_staged(self, name: str) -> bool:
        """Whether a file is staged for a path."""
        return name in self._staged

    @contextlib.contextmanager
    def _new_staged(self, name: str, entry: Entry) -> Iterator[tuple[Folder, str]]:
        staging = self.root.open_folder(_STAGING_NAME)
        try:
            place = f"new{self._count}"
            self._count += 1
            yield staging, place
            self._staged[name] = place, entry
        finally:
            staging.close()

    # Putting in place

    def commit(self, stale: Iterable[str] = ()) -> list[str]:
        """Puts staged files in place, and removes our files that are no longer current.

        Everything is written before the first name changes. If a step fails, the files replaced so
        far are put back. If the process is killed or the power fails, some files are new and some
        old, but each is complete, and the manifest lists both versions.

        Args:
            stale: Paths to remove if their files have not changed since we wrote them.

        Returns:
            The files that were not removed, with reasons.
        """
        kept: list[str] = []
        removed = [name for name in stale if self._may_remove(name, kept)]
        new = {name: entry for name, (_, entry) in self._staged.items()}
        both = {
            name: [*self._entries.get(name, []), *([new[name]] if name in new else [])]
            for name in {**self._entries, **new}
        }
        final = {name: [new[name]] if name in new else both[name] for name in both}
        for name in removed:
            del final[name]
        for name in new:
            with self._parent(name, makes=True):
                pass
        journal_place = self._stage_manifest(both)
        final_place = self._stage_manifest(final)
        self._put_all(journal_place)
        for name in removed:
            self._remove(name, kept)
        self._sync_folders({*new, *removed})
        staging = self.root.open_folder(_STAGING_NAME)
        try:
            staging.sync_file(final_place)
            staging.replace(final_place, self.root, MANIFEST_NAME)
        finally:
            staging.close()
        self.root.sync()
        self._entries, self._staged, self._is_marked = final, {}, True
        return kept

    def _sync_folders(self, names: Iterable[str]) -> None:
        """Flushes the new names to the disk before the final manifest lists them."""
        folders = {parent for name in names for parent in PurePosixPath(name).parents}
        for folder in folders:
            with (
                contextlib.suppress(FileNotFoundError),
                self._parent(str(folder / "any")) as (opened, _),
            ):
                opened.sync()

    def _put_all(self, journal_place: str) -> None:
        staging = self.root.open_folder(_STAGING_NAME)
        done: list[tuple[str, str | None]] = []
        try:
            for place in (*(place for place, _ in self._staged.values()), journal_place):
                report_progress()
                staging.sync_file(place)
            done.append((MANIFEST_NAME, self._put(MANIFEST_NAME, journal_place, staging)))
            for name, (place, _) in self._staged.items():
                report_progress()
                done.append((name, self._put(name, place, staging)))
        except BaseException:
            for name, old in reversed(done):
                self._put_back(name, old, staging)
            raise
        finally:
            staging.close()

    def _put(self, name: str, place: str, staging: Folder) -> str | None:
        """Renames a staged file into place; returns the old file's second name.

        Returns None if there was no old file, and "" if it got no second name. Without hard links,
        an old file cannot be put back: moving it away first would leave a moment without any file.
        """
        old: str | None = f"old{self._count}"
        self._count += 1
        with self._parent(name) as (parent, leaf):
            try:
                parent.link(leaf, staging, str(old))
            except FileNotFoundError:
                old = None
            except OSError:
                old = ""
            staging.replace(place, parent, leaf)
        return old

    def _put_back(self, name: str, old: str | None, staging: Folder) -> None:
        with contextlib.suppress(OSError), self._parent(name) as (parent, leaf):
            if old is None:
                parent.remove(leaf)
            elif old:
                staging.replace(old, parent, leaf)

    def _may_remove(self, name: str, kept: list[str]) -> bool:
        if name not in self._entries or self._status(name) is None:
            return name in self._entries
        if any("shared" in entry for entry in self._entries[name]):
            return False
        if self._is_ours(name):
            return True
        kept.append(f"did not remove {self.path / name}: it has changed since it was written")
        return False

    def _remove(self, name: str, kept: list[str]) -> None:
        try:
            with self._parent(name) as (parent, leaf):
                parent.remove(leaf)
        except FileNotFoundError:
            pass
        except OSError as error:
            kept.append(f"did not remove {self.path / name}: {error.strerror}")

    def _stage_manifest(self, entries: dict[str, list[Entry]]) -> str:
        content = {"written_by": "bestshot", "format": FORMAT_VERSION, "files": entries}
        place = f"new{self._count}"
        self._count += 1
        staging = self.root.open_folder(_STAGING_NAME)
        try:
            _write_new(staging, place, json.dumps(content, sort_keys=True).encode(), None)
        finally:
            staging.close()
        return place

    def names_below(self, folder: str) -> list[str]:
        """Lists the paths in the manifest that are below one of its folders."""
        return [name for name in self._entries if name.startswith(f"{folder}/")]

    def claim_logs(self, names: Sequence[str], *, force: bool) -> None:
        """Removes old logs, and lists the new ones as ours without digests, because logs change.

        Raises:
            InvalidArgumentError: Files with these names exist but are not ours.
        """
        self.check_names(names, force=force)
        for name in names:
            # Unlink rather than truncate, because the name may be a link to a photo.
            with (
                self._parent(name, makes=True) as (parent, leaf),
                contextlib.suppress(FileNotFoundError),
            ):
                parent.remove(leaf)
        self.commit_entries({name: [{"log": True}] for name in names})

    def commit_entries(self, entries: dict[str, list[Entry]]) -> None:
        """Adds entries to the manifest without writing their files."""
        self._put_all(self._stage_manifest({**self._entries, **entries}))
        self._entries, self._is_marked = {**self._entries, **entries}, True

    # Paths

    @contextlib.contextmanager
    def _parent(self, name: str, *, makes: bool = False) -> Iterator[tuple[Folder, str]]:
        """Opens the folder of a path below the root, component by component, following no links.

        Raises:
            InvalidArgumentError: A component is a link or not a folder, or the path leads outside.
            FileNotFoundError: A folder is missing and `makes` is false.
        """
        parts = name.split("/")
        if not is_plain(name):
            raise InvalidArgumentError("output_folder", f"{name!r} leads outside {self.path}")
        current = self.root.duplicate()
        try:
            for number, part in enumerate(parts[:-1], start=1):
                if makes:
                    with contextlib.suppress(FileExistsError):
                        current.make_folder(part)
                following = self._open_below(current, part, parts[:number])
                current.close()
                current = following
            yield current, parts[-1]
        finally:
            current.close()

    def _open_below(self, parent: Folder, part: str, parts: list[str]) -> Folder:
        try:
            found = parent.open_folder(part)
        except OSError as error:
            if error.errno not in (errno.ELOOP, errno.ENOTDIR):
                raise
            raise InvalidArgumentError(
                "output_folder",
                f"{self.path.joinpath(*parts)} is a file or a symbolic link, which exports do not "
                f"follow; replace it with a folder, or choose another output folder",
            ) from error
        try:
            self._check_guarded(found, self.path.joinpath(*parts))
        except BaseException:
            found.close()
            raise
        return found

    def remove_staging(self) -> None:
        """Removes files staged by this process or by one that was killed, and nothing else."""
        try:
            staging = self.root.open_folder(_STAGING_NAME)
        except FileNotFoundError:
            return
        try:
            for name in staging.names():
                if _STAGED_NAME.fullmatch(name):
                    staging.remove(name)
        finally:
            staging.close()
        with contextlib.suppress(OSError):  # a file manager may have put something there
            self.root.remove_folder(_STAGING_NAME)


def _entry(content: bytes) -> Entry:
    return {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}


def _write_new(folder: Folder, name: str, content: bytes, mode: int | None) -> None:
    flags = system_files.WRITE | os.O_CREAT | os.O_EXCL
    with open(folder.open(name, flags), "wb") as opened:
        opened.write(content)
        if mode is not None:
            system_files.set_mode(opened.fileno(), mode)
