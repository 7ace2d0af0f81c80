"""Names of files and folders that are also valid on Windows and macOS."""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePosixPath

from orchestrator.export.sidecars import sidecar_paths
from orchestrator.records import ImageRecord

_FORBIDDEN = re.compile(r'[\x00-\x1f<>:"|?*\\]')
_RESERVED = re.compile(
    r"(con|prn|aux|nul|conin\$|conout\$|com[0-9\u00b9\u00b2\u00b3]|lpt[0-9\u00b9\u00b2\u00b3])"
    r"(?=\s*(\.|$))",
    re.IGNORECASE,
)
"""Reserved names, with any suffix. Source: "Naming Files, Paths, and Namespaces", Microsoft."""


_MAX_FOLDER_BYTES = 200
"""File systems allow 255; the rest is reserved for a number."""


def zip_names(records: Sequence[ImageRecord]) -> Mapping[str, str]:
    """Chooses the names of photos, companion files and sidecars in a zip.

    Characters that Windows forbids become "_", as do trailing dots and spaces; "_" is appended
    to a device name such as CON. If names differ only in case or Unicode form, later ones get
    " (2)", " (3)", ..., the same number for all files of a photo.

    Returns:
        Names by path; the paths of sidecars are those from `sidecar_paths`.
    """
    sidecars = sidecar_paths(records)
    groups = {
        record.path: dict.fromkeys((record.path, *record.companion_paths, *sidecars[record.path]))
        for record in sorted(records, key=lambda record: record.path)  # so names never vary
    }
    taken = {
        _fold(str(folder))
        for paths in groups.values()
        for path in paths
        for folder in PurePosixPath(_make_safe(path)).parents
    }
    names: dict[str, str] = {}
    for photo, paths in groups.items():
        stem = PurePosixPath(photo).stem
        common = next(
            number
            for number in itertools.count(1)
            if taken.isdisjoint(_fold(_number(path, stem, number)) for path in paths)
        )
        for path in paths:
            numbered = (_number(path, stem, number) for number in itertools.count(common))
            names[path] = next(name for name in numbered if _fold(name) not in taken)
            taken.add(_fold(names[path]))
    return names


def folder_names(names: Iterable[str]) -> dict[str, str]:
    """Chooses a folder for each person's name, made safe as in `zip_names`; "/" becomes "_"."""
    folders: dict[str, str] = {}
    taken: set[str] = set()
    for name in sorted(names):
        short = name.replace("/", "_").encode()[:_MAX_FOLDER_BYTES].decode(errors="ignore")
        numbered = (_number(short, short, number) for number in itertools.count(1))
        folders[name] = next(folder for folder in numbered if _fold(folder) not in taken)
        taken.add(_fold(folders[name]))
    return folders


def _number(path: str, stem: str, number: int) -> str:
    """Makes a safe name; a number above 1 is inserted after the stem that the files share."""
    folder, _, name = path.rpartition("/")
    if number > 1:
        shared = len(stem) if name.startswith(stem) else len(PurePosixPath(name).stem)
        name = f"{name[:shared]} ({number}){name[shared:]}"
    return _make_safe(f"{folder}/{name}" if folder else name)


def _make_safe(path: str) -> str:
    return "/".join(_make_safe_name(name) for name in path.split("/"))


def _make_safe_name(name: str) -> str:
    safe = _FORBIDDEN.sub("_", name)
    kept = safe.rstrip(". ")
    safe = kept + "_" * (len(safe) - len(kept))
    return _RESERVED.sub(lambda match: f"{match[0]}_", safe) if _RESERVED.match(safe) else safe


def _fold(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()
