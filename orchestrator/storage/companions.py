"""Finds, by name, the files that belong to one photo, and photos that are versions of others."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from services.common.suffixes import (
    FILM_SUFFIXES,
    OTHER_SUFFIXES,
    PICTURE_SUFFIXES,
    RAW_SUFFIXES,
    SIDECAR_SUFFIXES,
    XMP_SUFFIX,
)

_PIXEL_PARTS = re.compile(r"(\.raw-\d+)?(\.mp)?(\.(cover|original))?(?=$|~\d+$|-)")
_PIXEL_MODE = re.compile(r"\.(?!raw-)([a-z_]+)-\d+(?:\.mp)?\.(cover|original)(?=$|~\d+$|-)")
_APPLE_EDIT = re.compile(r"(img_)e(\d+)")
_APPLE_ORIGINAL_EDITS = re.compile(r"(img_)o(\d+)")
_EDIT_WORDS = "|".join(
    map(
        re.escape,
        (
            *("edited", "edit", "effects", "bearbeitet", "bewerkt", "edytowane", "modifi\u00e9"),
            *("modificato", "ha editado", "editat", "\u7de8\u96c6\u6e08\u307f"),
        ),
    )
)
_EDIT = re.compile(rf"(?P<stem>.+?)(?:~\d+|[-_ ](?:{_EDIT_WORDS})(?:-\d+)?(?P<number>\(\d+\))?)")
"""Names of edits from Pixel phones and Google Photos (`~2`), Lightroom (`-Edit-2`), and Google
Takeout in the languages that GooglePhotosTakeoutHelper lists. Takeout puts the number that
distinguishes equal names at the end."""
_ORIGINAL = "_original"


@dataclass(slots=True)
class FileGroup:
    """A photo and the files that go with it; names do not include the folder.

    Attributes:
        photo: The file that is shown and scored.
        companions: RAW file, video and sidecars.
        version_of: The photo that this one is an edited copy of; empty if it is not a copy.
    """

    photo: str
    companions: list[str] = field(default_factory=list)
    version_of: str = ""


def group_files(names: Sequence[str]) -> list[FileGroup]:
    """Finds the photos among the files of one folder, and the files that go with each.

    A RAW file or video belongs to the picture with the same name, ignoring case. If there are
    several, it belongs to the one whose name also matches in case, otherwise to the first. Pixel
    phones name the files of one shot differently (`PXL_1.RAW-01.COVER.jpg`,
    `PXL_1.RAW-02.ORIGINAL.dng`).

    A photo counts as a version of another only if both are in the folder. A copy with a number in
    brackets does not count, because browsers and Google Takeout give such names to different
    photos.
    """
    by_key: dict[str, list[str]] = {}
    for name in sorted(names):
        by_key.setdefault(_key(name), []).append(name)
    groups = {key: list(_group_same(same)) for key, same in by_key.items()}
    found = [group for same in groups.values() for group in same]
    _add_sidecars(groups, found, [name for name in sorted(names) if _kind(name) == "sidecar"])
    for key, same in groups.items():
        for group in same:
            group.version_of = _find_original(key, group, groups)
    return found


def is_sidecar(path: str) -> bool:
    """Whether a path names an XMP sidecar."""
    return path.lower().endswith(XMP_SUFFIX)


def is_raw_file(path: str) -> bool:
    """Whether a path names a RAW file."""
    return _kind(path) == "raw"


def is_film(path: str) -> bool:
    """Whether a path names a video."""
    return _kind(path) == "film" and not path.lower().endswith(".aae")


def _group_same(names: Sequence[str]) -> Iterator[FileGroup]:
    kinds: dict[str, list[str]] = {}
    for name in names:
        kinds.setdefault(_kind(name), []).append(name)
    pictures, raws, films = (kinds.get(kind, []) for kind in ("picture", "raw", "film"))
    companions = films
    if pictures:
        companions, raws = [*raws, *films], []
    photos = [FileGroup(name) for name in [*pictures, *raws, *kinds.get("other", [])]]
    for name in companions if photos else ():
        _owner(name, photos).companions.append(name)
    yield from photos


def _add_sidecars(
    groups: Mapping[str, Sequence[FileGroup]], found: Sequence[FileGroup], sidecars: Sequence[str]
) -> None:
    """Adds each sidecar to the photo with the same name, or whose companion has the same name."""
    exact = {name: group for group in found for name in (*group.companions, group.photo)}
    folded = {_fold(name): group for name, group in exact.items()}
    for name in sidecars:
        body = os.path.splitext(name)[0]
        same = groups.get(_key(name), ())
        group = exact.get(body) or folded.get(_fold(body)) or (same and _owner(name, same))
        if group:
            group.companions.append(name)


def _owner(name: str, photos: Sequence[FileGroup]) -> FileGroup:
    stem = os.path.splitext(name)[0]
    return next((one for one in photos if os.path.splitext(one.photo)[0] == stem), photos[0])


def _find_original(key: str, group: FileGroup, groups: Mapping[str, Sequence[FileGroup]]) -> str:
    suffix = os.path.splitext(group.photo)[1].lower()
    for original in _original_keys(key):
        same = [other.photo for other in groups.get(original, ())]
        if same:
            alike = (photo for photo in same if photo.lower().endswith(suffix))
            return next(alike, same[0])
    return ""


def _original_keys(key: str) -> Iterator[str]:
    """Yields keys under which a photo's original may be found, the earliest version first."""
    keys = [key]
    while shorter := _strip_edit(keys[-1]):
        keys.append(shorter)
    for one in reversed(keys):
        yield f"{one}{_ORIGINAL}"
        if one != key:
            yield one


def _strip_edit(key: str) -> str:
    if match := _APPLE_EDIT.fullmatch(key):
        return f"{match[1]}{match[2]}"
    if match := _EDIT.fullmatch(key):
        return f"{match['stem']}{match['number'] or ''}"
    return f"{key.removesuffix('.cover')}.original" if key.endswith(".cover") else ""


def _key(name: str) -> str:
    """Makes a key that the files of a shot share: the name without suffix, case or Pixel parts."""
    stem, suffix = os.path.splitext(_fold(name))
    if suffix == ".aae":
        return _APPLE_ORIGINAL_EDITS.sub(r"\1\2", stem)
    if not stem.startswith("pxl_"):
        return stem
    if mode := _PIXEL_MODE.search(stem):
        return f"{stem[: mode.start()]}.{mode[1]}.{mode[2]}{stem[mode.end() :]}"
    return _PIXEL_PARTS.sub("", stem)


def _kind(name: str) -> str:
    suffix = os.path.splitext(name)[1].lower()
    for kind, suffixes in (
        ("picture", PICTURE_SUFFIXES),
        ("raw", RAW_SUFFIXES),
        ("other", OTHER_SUFFIXES),
        ("film", FILM_SUFFIXES),
        ("sidecar", SIDECAR_SUFFIXES),
    ):
        if suffix in suffixes:
            return kind
    return ""


def _fold(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()
