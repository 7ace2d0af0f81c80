"""Finds a folder's location in its file system: the same for all its paths, even in bind mounts."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from services.common.platform.files import FIND

MOUNTS = Path("/proc/self/mountinfo")
_HIDES_ROOTS = ("nfs", "nfs4")
"""File systems that report "/" as the root of every mount (`nfs_show_path` in Linux)."""
_ESCAPED = re.compile(r"\\([0-7]{3})")

Place = tuple[str, Path]
"""A file system's device number, and a path from its root."""


@dataclass(frozen=True)
class Mount:
    """A line of mountinfo; see proc_pid_mountinfo(5).

    Attributes:
        device: Device number of the file system.
        root: The mounted folder, as a path from the root of the file system.
        point: Where it is mounted.
        kind: Type of the file system.
    """

    device: str
    root: Path
    point: Path
    kind: str


def read_mounts() -> dict[int, Mount]:
    """Reads the mounts that this process sees, by id; none on systems other than Linux."""
    try:
        lines = os.fsdecode(MOUNTS.read_bytes()).splitlines()
    except OSError:
        return {}
    mounts = {}
    for line in lines:
        fixed, _, rest = line.partition(" - ")
        number, _, device, root, point, *_ = fixed.split(" ")
        mounts[int(number)] = Mount(device, _path(root), _path(point), rest.split(" ")[0])
    return mounts


def find_place(folder: Path, mounts: Mapping[int, Mount]) -> Place | None:
    """Finds the actual location of a folder; None if that is unknown.

    Args:
        folder: Resolved; it need not exist.
        mounts: See `read_mounts`.
    """
    for existing in (folder, *folder.parents):
        try:
            opened = os.open(existing, FIND)
        except FileNotFoundError:
            continue
        except OSError:
            return None
        try:
            facts = Path(f"/proc/self/fdinfo/{opened}").read_text(encoding="utf-8")
            mount = mounts[int(facts.split("mnt_id:")[1].split()[0])]
            below = folder.relative_to(mount.point)
        except (OSError, LookupError, ValueError):
            return None
        finally:
            os.close(opened)
        return None if mount.kind in _HIDES_ROOTS else (mount.device, mount.root / below)
    return None


def find_places(folder: Path, mounts: Mapping[int, Mount]) -> frozenset[Place]:
    """Finds the locations of a folder and of all mounts below it; arguments as for `find_place`."""
    below = [
        (mount.device, mount.root)
        for mount in mounts.values()
        if folder in mount.point.parents and mount.kind not in _HIDES_ROOTS
    ]
    place = find_place(folder, mounts)
    return frozenset([*below, *([place] if place else [])])


def is_below(place: Place | None, places: Collection[Place]) -> bool:
    """Whether a place is one of `places`, or below one of them."""
    return place is not None and any(
        device == place[0] and place[1].is_relative_to(path) for device, path in places
    )


def overlap(one: Collection[Place], other: Collection[Place]) -> bool:
    """Whether two sets of folder trees have a folder in common."""
    return any(is_below(place, other) for place in one) or any(
        is_below(place, one) for place in other
    )


def _path(escaped: str) -> Path:
    """Decodes a path in which spaces and similar characters are written as octal byte values."""
    return Path(_ESCAPED.sub(lambda match: chr(int(match[1], 8)), escaped))
