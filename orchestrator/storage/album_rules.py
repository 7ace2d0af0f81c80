"""Decides which files and folders of an album are left out, and counts them."""

from __future__ import annotations

import fnmatch
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from orchestrator.domain.wording import pluralize
from services.common.errors import InvalidArgumentError

IGNORE_FILE = ".bestshotignore"
"""A file that lists patterns of files and folders to leave out, in the syntax of .gitignore."""
SYSTEM_FOLDERS = (
    *("@eadir", "#recycle", "#snapshot", "@recycle", ".@__thumb", "@recently-snapshot"),
    *("$recycle.bin", "recycler", "system volume information", "lost+found"),
    *("__macosx", ".thumbnails", ".trash*", "*.lrdata"),
)
"""Lower-case names of the folders in which Synology and QNAP devices, Windows, macOS, Linux and
Lightroom keep thumbnails, previews and deleted files."""
SYSTEM_FILES = ("._*",)
"""macOS may store a file's attributes beside it, in a file named "._" plus the file's name."""
VIDEO_SUFFIXES = frozenset(
    {
        *(".3gp", ".avi", ".flv", ".insv", ".lrv", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4"),
        *(".mpeg", ".mpg", ".mts", ".mxf", ".ogv", ".webm", ".wmv"),
    }
)


@dataclass
class LeftOut:
    """Counts of the files and folders left out of an album."""

    system_folders: int = 0
    system_files: int = 0
    hidden_folders: int = 0
    hidden_files: int = 0
    excluded_folders: int = 0
    excluded_files: int = 0
    results: int = 0
    videos: int = 0

    def notes(self) -> tuple[str, ...]:
        """Describes what was left out, in sentences for the user."""
        counted = (
            (self.system_folders, "folder", " of thumbnails or deleted files"),
            (self.system_files, "system file", ""),
            (self.hidden_folders, "hidden folder", ""),
            (self.hidden_files, "hidden file", ""),
            (self.excluded_folders, "excluded folder", ""),
            (self.excluded_files, "excluded file", ""),
            (self.results, "file", " written by bestshot"),
            (self.videos, "video", ""),
        )
        parts = [f"{pluralize(count, noun)}{rest}" for count, noun, rest in counted if count]
        return (f"Left out: {', '.join(parts)}.",) if parts else ()


class AlbumRules:
    """Decides what is left out of one album, and keeps count.

    Args:
        patterns: In the syntax of .gitignore, relative to the album; later patterns win.
        photo_suffixes: Suffixes of photos, in lower case; other files are not counted.

    Raises:
        InvalidArgumentError: A pattern is invalid.
    """

    def __init__(self, patterns: Sequence[str], photo_suffixes: frozenset[str]) -> None:
        self.left_out = LeftOut()
        self._results: set[str] = set()
        self._photo_suffixes = photo_suffixes
        self._is_system_folder = _compile(SYSTEM_FOLDERS)
        self._is_system_file = _compile(SYSTEM_FILES)
        self._excluded = None
        if patterns:
            from pathspec import GitIgnoreSpec

            try:
                self._excluded = GitIgnoreSpec.from_lines(patterns)
            except ValueError as error:
                raise InvalidArgumentError(
                    "find_photos.exclude",
                    f"invalid pattern here or in {IGNORE_FILE}: {error}",
                ) from error

    def leave_out_results(self, paths: Iterable[str]) -> None:
        """Leaves out files that bestshot itself wrote, given as paths relative to the album."""
        self._results.update(paths)

    def keep_folders(self, place: str, names: Iterable[str]) -> list[str]:
        """Returns the subfolders of `place` (relative, "" = the album) to descend into."""
        kept = []
        for name in names:
            if self._is_system_folder.fullmatch(name.lower()):
                self.left_out.system_folders += 1
            elif name.startswith("."):
                self.left_out.hidden_folders += 1
            elif self._matches(place, f"{name}/"):
                self.left_out.excluded_folders += 1
            else:
                kept.append(name)
        return kept

    def keep_files(self, place: str, names: Iterable[str]) -> list[str]:
        """Returns the files in the folder `place` that are not left out."""
        kept = []
        for name in names:
            is_photo = _suffix(name) in self._photo_suffixes
            if is_photo and self._is_system_file.fullmatch(name.lower()):
                self.left_out.system_files += 1
            elif name.startswith("."):
                self.left_out.hidden_files += is_photo
            elif self._matches(place, name):
                self.left_out.excluded_files += is_photo
            elif _join(place, name) in self._results:
                self.left_out.results += is_photo
            else:
                kept.append(name)
        return kept

    def count_videos(self, names: Iterable[str], companions: Iterable[str]) -> None:
        """Counts the videos among a folder's files that do not belong to a photo."""
        alone = set(names) - set(companions)
        self.left_out.videos += sum(_suffix(name) in VIDEO_SUFFIXES for name in alone)

    def _matches(self, place: str, name: str) -> bool:
        return self._excluded is not None and self._excluded.match_file(_join(place, name))


def _join(place: str, name: str) -> str:
    return f"{place}/{name}" if place else name


def _compile(patterns: Sequence[str]) -> re.Pattern[str]:
    return re.compile("|".join(fnmatch.translate(pattern) for pattern in patterns))


def _suffix(name: str) -> str:
    return os.path.splitext(name)[1].lower()
