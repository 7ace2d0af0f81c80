"""Lists folders in the allowed roots, for choosing an album's folder."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from orchestrator.storage.album_rules import AlbumRules
from orchestrator.storage.companions import PHOTO_SUFFIXES, group_files
from orchestrator.storage.containment import resolved_roots
from orchestrator.storage.photo_source import check_allowed, check_folder


@dataclass(frozen=True)
class ListedFolder:
    """A folder and the number of photos directly in it."""

    path: Path
    photo_count: int


@dataclass(frozen=True)
class FolderListing:
    """The folders in `folder`, or the allowed roots if that is None.

    `parent` is None if it is outside the allowed roots; `photo_count` is as in ListedFolder.
    """

    folder: Path | None
    parent: Path | None
    photo_count: int
    folders: tuple[ListedFolder, ...]


def list_folders(folder: str, allowed_roots: Sequence[Path]) -> FolderListing:
    """Lists the folders in a folder; without one, the allowed roots.

    Raises:
        InvalidArgumentError: The folder is outside the allowed roots, or cannot be read.
    """
    roots = resolved_roots(allowed_roots)
    if not folder:
        return FolderListing(None, None, 0, _count(sorted(set(filter(os.path.isdir, roots)))))
    resolved = check_allowed(Path(folder), allowed_roots, field="folder")
    check_folder(resolved)
    names = AlbumRules((), PHOTO_SUFFIXES).keep_folders("", sorted(os.listdir(resolved)))
    inside = [resolved / name for name in names if _is_folder_inside(resolved / name, roots)]
    parent = resolved.parent
    is_allowed = resolved not in roots and any(parent.is_relative_to(root) for root in roots)
    shown_parent = parent if is_allowed else None
    return FolderListing(resolved, shown_parent, _count_photos(resolved), _count(inside))


def _is_folder_inside(path: Path, roots: Iterable[Path]) -> bool:
    real = Path(os.path.realpath(path))  # before looking at it: a link may lead outside
    return any(real.is_relative_to(root) for root in roots) and real.is_dir()


def _count(folders: Iterable[Path]) -> tuple[ListedFolder, ...]:
    return tuple(ListedFolder(folder, _count_photos(folder)) for folder in folders)


def _count_photos(folder: Path) -> int:
    try:
        names = AlbumRules((), PHOTO_SUFFIXES).keep_files("", os.listdir(folder))
    except OSError:  # it cannot be read, or has just been deleted
        return 0
    return len(group_files(names))
