"""Locates albums by identity (device and inode) as well as by path.

Two paths may lead to the same folder: through links, through mounts, or because a file system
ignores case. The list of mounts reveals this for all folders in an album, without visiting any.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from orchestrator.export.mounts import Place, find_places, read_mounts
from orchestrator.storage.photo_io import report_progress
from services.common.platform.files import Folder

STAT_S = 2.0
"""How long an album's disk may take to identify the folder."""
MAX_STALLED = 3
"""Maximum number of albums that may take longer; after that, no more are checked."""

Identity = tuple[int, int]


@dataclass(frozen=True)
class AlbumPlace:
    """An album's folder.

    Attributes:
        path: Its path as given.
        resolved: Its path with links resolved, if the disk answered.
        identity: Device and inode; None if the folder does not exist or its disk is not responding.
        above: Identities of the folders that contain it.
        places: Locations of the folder and of mounts below it in their file systems, if known.
    """

    path: Path
    resolved: Path
    identity: Identity | None = None
    above: frozenset[Identity] = frozenset()
    places: frozenset[Place] = frozenset()

    def find_around(self, folder: Path) -> Path | None:
        """Returns the album if it is `folder` or one of its parents; otherwise None."""
        for place in (folder, *folder.parents):
            if place in (self.path, self.resolved):
                return place
            if self.identity is not None and identity_of(place) == self.identity:
                return place
        return None

    def is_inside(self, folder: Path) -> bool:
        """Whether the album is below a folder."""
        identity = identity_of(folder)
        return folder in self.resolved.parents or (identity is not None and identity in self.above)


def identity_of(path: Path | Folder) -> Identity | None:
    """Returns the device and inode of a file, following links; None if it cannot be found."""
    try:
        status = path.status() if isinstance(path, Folder) else os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def locate_albums(albums: Sequence[Path]) -> list[AlbumPlace]:
    """Locates albums.

    An album on an unresponsive network folder must not block exports of all other albums, so it is
    identified by its path alone. If an output folder is the same folder under another path, it is
    unresponsive too, so nothing can be written to it.
    """
    found: dict[Path, AlbumPlace] = {}
    waiting = deque(dict.fromkeys(albums))
    for _ in range(MAX_STALLED):
        thread = threading.Thread(target=_locate_all, args=(waiting, found), daemon=True)
        thread.start()
        while thread.is_alive():
            before = len(waiting)
            thread.join(STAT_S)
            report_progress()
            if thread.is_alive() and len(waiting) == before:
                break
        if not waiting:
            break
    return [found.get(album) or AlbumPlace(album, album) for album in albums]


def _locate_all(waiting: deque[Path], found: dict[Path, AlbumPlace]) -> None:
    known: dict[Path, Identity | None] = {}  # albums often share parent folders
    mounts = read_mounts()
    while waiting:
        try:
            album = waiting.popleft()
        except IndexError:  # a stalled thread has resumed and taken the last album
            return
        resolved = Path(os.path.realpath(album))
        for place in resolved.parents:
            if place not in known:
                known[place] = identity_of(place)
        above = _without_none(known[place] for place in resolved.parents)
        places = find_places(resolved, mounts)
        found[album] = AlbumPlace(album, resolved, identity_of(resolved), above, places)


def _without_none(identities: Iterable[Identity | None]) -> frozenset[Identity]:
    return frozenset(identity for identity in identities if identity is not None)
