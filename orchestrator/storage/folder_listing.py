"""Lists folders in the allowed roots, for choosing an album's folder."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from orchestrator.storage.album_rules import AlbumRules
from orchestrator.storage.companions import group_files
from orchestrator.storage.containment import resolved_roots
from orchestrator.storage.photo_source import check_allowed, check_folder
from services.common.suffixes import PHOTO_SUFFIXES

MAX_FOLDERS = 1000
"""Maximum number of folders listed: more than anyone reads, but few enough to count the photos."""


@dataclass(frozen=True)
class ListedFolder:
    """A folder and the number of photos directly in it."""

    path: Path
    photo_count: int


@dataclass(frozen=True)
class FolderListing:
    """The folders in `folder`, or the allowed roots if `folder` is None.

    `parent` is None if it is outside the allowed roots; `photo_count` is as in ListedFolder;
    `left_out_count` is the number of folders that are not in the listing because there are too
    many or because a request cannot name them.
    """

    folder: Path | None
    parent: Path | None
    photo_count: int
    folders: tuple[ListedFolder, ...]
    left_out_count: int = 0


def list_folders(folder: str, allowed_roots: Sequence[Path]) -> FolderListing:
    """Lists the folders in `folder`, or the allowed roots if no folder is given.

    Raises:
        InvalidArgumentError: The folder is outside the allowed roots, or cannot be read.
    """
    roots = resolved_roots(allowed_roots)
    if not folder:
        return FolderListing(None, None, 0, _count(sorted(set(filter(os.path.isdir, roots)))))
    resolved = check_allowed(Path(folder), allowed_roots, field="folder")
    check_folder(resolved)
    with os.scandir(resolved) as entries:
        found = sorted(entry.name for entry in entries if _is_folder_inside(entry, roots))
    inside = [resolved / name for name in AlbumRules((), PHOTO_SUFFIXES).keep_folders("", found)]
    listed = list(filter(_can_be_named, inside))[:MAX_FOLDERS]
    parent = resolved.parent
    is_allowed = resolved not in roots and any(parent.is_relative_to(root) for root in roots)
    shown_parent = parent if is_allowed else None
    return FolderListing(
        resolved,
        shown_parent,
        _count_photos(resolved),
        _count(listed),
        left_out_count=len(inside) - len(listed),
    )


def _is_folder_inside(entry: os.DirEntry[str], roots: Iterable[Path]) -> bool:
    if not entry.is_symlink():
        return entry.is_dir(follow_symlinks=False)
    real = Path(os.path.realpath(entry.path))  # before any access: a link may lead outside
    return any(real.is_relative_to(root) for root in roots) and real.is_dir()


def _can_be_named(path: Path) -> bool:
    """Whether a path is valid UTF-8, for requests, and one line, for the page's list of folders."""
    text = str(path)
    return text.splitlines() == [text] and _is_utf8(text)


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _count(folders: Iterable[Path]) -> tuple[ListedFolder, ...]:
    return tuple(ListedFolder(folder, _count_photos(folder)) for folder in folders)


def _count_photos(folder: Path) -> int:
    try:
        names = AlbumRules((), PHOTO_SUFFIXES).keep_files("", os.listdir(folder))
    except OSError:  # it cannot be read, or has just been deleted
        return 0
    return len(group_files(names))
