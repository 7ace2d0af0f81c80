"""Locates named persons' faces in the stored picture, before any rotation by its orientation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from orchestrator.domain.photo import FaceScores
from orchestrator.metadata.reader import read_orientation
from orchestrator.records import ImageRecord
from orchestrator.storage.containment import open_inside
from services.common.errors import InvalidImageError

_SIDES_SWAPPED = (5, 6, 7, 8)


@dataclass(frozen=True)
class FaceRegion:
    """A named face: its centre and size, from 0 to 1, as written to sidecars."""

    name: str
    x: str
    y: str
    width: str
    height: str


@dataclass(frozen=True)
class FaceRegions:
    """The named faces of a photo, and the size of its stored picture in pixels."""

    width_px: int
    height_px: int
    faces: tuple[FaceRegion, ...] = ()


def find_regions(
    album: Path, record: ImageRecord, roots: Sequence[Path] = ()
) -> FaceRegions | None:
    """Finds the regions of a photo's named faces; reads the photo only if it has any.

    Args:
        album: Folder of the album.
        record: The photo.
        roots: Resolved folders that links in the album may point into.

    Returns:
        None if they are unknown, because the photo cannot be read or its orientation is unclear.
    """
    named = _find_named(record)
    if not named:
        return FaceRegions(record.width_px, record.height_px)
    try:
        with open_inside(album / record.path, album, roots) as opened:
            orientation = read_orientation(opened.read())
    except (OSError, InvalidImageError):
        return None
    return None if orientation is None else _regions(record, named, orientation)


def _find_named(record: ImageRecord) -> list[tuple[str, FaceScores]]:
    if not record.face_people:
        return []
    pairs = zip(record.face_people, record.faces, strict=True)
    return [(person.name, face) for person, face in pairs if person and person.name]


def _regions(
    record: ImageRecord, named: Sequence[tuple[str, FaceScores]], orientation: int
) -> FaceRegions:
    size = (record.width_px, record.height_px)
    width_px, height_px = size[::-1] if orientation in _SIDES_SWAPPED else size
    faces = tuple(_region(name, face, orientation) for name, face in named)
    return FaceRegions(width_px, height_px, faces)


def _region(name: str, face: FaceScores, orientation: int) -> FaceRegion:
    left, top = max(0.0, face.left), max(0.0, face.top)
    width = min(1.0, face.left + face.width) - left
    height = min(1.0, face.top + face.height) - top
    x, y = _to_stored(left + width / 2, top + height / 2, orientation)
    if orientation in _SIDES_SWAPPED:
        width, height = height, width
    return FaceRegion(name, *(f"{value:.6f}" for value in (x, y, width, height)))


def _to_stored(x: float, y: float, orientation: int) -> tuple[float, float]:
    """Converts a point in the upright picture to the same point in the stored picture."""
    return {
        1: (x, y),
        2: (1 - x, y),
        3: (1 - x, 1 - y),
        4: (x, 1 - y),
        5: (y, x),
        6: (y, 1 - x),
        7: (1 - y, 1 - x),
        8: (1 - y, x),
    }[orientation]
