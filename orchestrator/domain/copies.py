"""Finds copies and versions of the same picture, and decides which one is the original.

Shots that only look nearly the same are compared in `selection.moment_picks`, by the similarity of
their embeddings (`select_best.siamese.duplicate_threshold`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from orchestrator.domain.photo import Candidate

SAME_LEVEL = 4
"""Maximum difference in grey levels between cells of two copies' luminance grids: JPEG and scaling
shift a cell's mean by one level, and rounding by another."""
MIN_LEVELS = 8
"""Minimum range of the luminance grid for a picture to be recognizable."""
MIN_SAME_SHARE = 0.25
"""Minimum share of the cells that an overlay leaves unchanged."""
MORE_DETAIL, MORE_DETAIL_LEVELS = 1.15, 2.0
"""A cell has more detail than another if it exceeds it by this ratio and this many grey levels."""
OVERLAY_SHARE, OVERLAY_EDGE_SHARE, OVERLAY_LOSS_SHARE = 0.8, 0.3, 0.02
"""An overlay adds detail to at least OVERLAY_SHARE of the cells whose luminance it changes and, at
its edges, to at most OVERLAY_EDGE_SHARE of the others; it removes detail from at most
OVERLAY_LOSS_SHARE of all cells. A moving subject both adds and removes detail; a sharper frame adds
detail everywhere."""
OTHER_SHARPNESS = 0.25
"""Two pictures of the same size whose sharpness differs by at least this much are not copies: they
are two frames, or one is a blurred version, so their scores decide. JPEG at quality 20 lowers the
sharpness of the sharp pictures that ship with Python packages by up to 0.18."""
MORE_LENGTH = 1.05
"""Minimum ratio of long sides for one picture to count as having more pixels."""
ENLARGED_FOCUS, CRISP_FOCUS, MORE_SHARPNESS = 0.45, 0.80, 0.10
"""A picture was enlarged if its focus is at most ENLARGED_FOCUS, the focus of a smaller copy is at
least CRISP_FOCUS, and its sharpness, which is measured at a fixed scale, exceeds the copy's by at
most MORE_SHARPNESS. Copies of a soft original are soft too, because shrinking steepens edges at
most by the ratio of the sides."""
LESS_COMPRESSED = 1.5
"""Minimum ratio of bits per pixel for a file to count as less compressed: re-saving at the same
quality changes it less than this."""
GRAIN_RATIO, GRAIN_LEVELS = 2.0, 0.5
"""If a picture is noisier than its copy by more than this ratio and this many grey levels, its
larger file holds grain or sharpening, not detail that compression removed from the copy."""
MAX_ALL_PAIRS_COUNT, NEAREST_COUNT = 2000, 100
"""In a moment with more than MAX_ALL_PAIRS_COUNT photos, each photo is compared only with the
NEAREST_COUNT next darker and the NEAREST_COUNT next brighter ones."""

Grid = NDArray[np.float32]


class CopyRule(StrEnum):
    """Why a file is the copy and another the original; the first rule that applies decides."""

    DAMAGED = "damaged"
    VERSION = "version"
    OVERLAY = "overlay"
    ENLARGED = "enlarged"
    SMALLER = "smaller"
    CAMERA = "camera"
    COMPRESSED = "compressed"
    INDIRECT = "indirect"
    """No rule applies to the copy and the original: the file is a copy of another copy."""


@dataclass(frozen=True, slots=True)
class Copy:
    """A photo that is a copy of another one.

    Attributes:
        original: Path of the original.
        rule: Why the original is preferred; None if the user keeps it.
    """

    original: str
    rule: CopyRule | None


def find_copies(photos: Sequence[Candidate], kept: frozenset[str]) -> dict[str, Copy]:
    """Finds the copies and versions among the photos of one moment.

    Copies of any size look the same in every cell of a 16 x 16 grid, or differ only by an overlay
    on one of them. Frames of a burst from a tripod may look the same too. Photos that are known to
    have been taken at different times are therefore not copies, and files that do not differ the
    way copies do compete by their scores. So do identical files: `selection.shots.by_score`.

    Args:
        photos: The photos in a moment that may compete.
        kept: Paths of the photos that the user keeps; they are never copies of others.

    Returns:
        The original of each copy, by path of the copy.
    """
    copies: dict[str, Copy] = {}
    for family in find_families(photos):
        mine = [photo for photo in family if photo.path in kept]
        if mine:
            original = min(mine, key=lambda photo: photo.path)
            rest = [photo for photo in family if photo.path not in kept]
            copies.update({photo.path: Copy(original.path, None) for photo in rest})
        else:
            copies.update(_choose_original(family))
    return copies


def long_side(photo: Candidate) -> int:
    """Returns the picture's long side in pixels."""
    return max(photo.file.width_px, photo.file.height_px)


def bits_per_pixel(photo: Candidate) -> float:
    """Returns the file's size in bits divided by the picture's number of pixels; 0 if unknown."""
    pixels = photo.file.width_px * photo.file.height_px
    return 8.0 * photo.file.size_bytes / pixels if pixels else 0.0


def _can_be_recognized(photo: Candidate) -> bool:
    grid = photo.quality.luminance_grid
    return bool(grid) and max(grid) - min(grid) >= MIN_LEVELS and long_side(photo) > 0


def find_families(photos: Sequence[Candidate]) -> list[list[Candidate]]:
    """Groups photos that are copies or versions of each other or of a third photo.

    Returns:
        Groups of at least two photos, in the given order.
    """
    pairs = np.array([*_copy_pairs(photos), *_version_pairs(photos)], np.intp).reshape(-1, 2)
    if not len(pairs):
        return []
    # imported here: SciPy takes a while to load, and most commands find no copies
    from orchestrator.domain.moments.distances import components

    families: dict[int, list[Candidate]] = {}
    for photo, number in zip(photos, components(len(photos), *pairs.T).tolist(), strict=True):
        families.setdefault(number, []).append(photo)
    return [family for family in families.values() if len(family) > 1]


def _version_pairs(photos: Sequence[Candidate]) -> Iterator[tuple[int, int]]:
    rows = {photo.path: row for row, photo in enumerate(photos)}
    for row, photo in enumerate(photos):
        if photo.alteration is not None and photo.alteration.original in rows:
            yield row, rows[photo.alteration.original]


def _copy_pairs(photos: Sequence[Candidate]) -> Iterator[tuple[int, int]]:
    rows = [row for row, photo in enumerate(photos) if _can_be_recognized(photo)]
    if len(rows) > 1:
        luminance = np.array([photos[row].quality.luminance_grid for row in rows], np.float32)
        for first, second in _alike(luminance):
            if _are_copies(photos[rows[first]], photos[rows[second]]):
                yield rows[first], rows[second]


def _alike(luminance: Grid) -> list[tuple[int, int]]:
    """Finds pairs of rows that agree in enough cells."""
    count, cells = luminance.shape
    order = np.argsort(luminance.mean(axis=1), kind="stable")
    reach = count if count <= MAX_ALL_PAIRS_COUNT else NEAREST_COUNT
    pairs: list[tuple[int, int]] = []
    for place, row in enumerate(order):
        others = order[place + 1 : place + 1 + reach]
        same = (np.abs(luminance[others] - luminance[row]) <= SAME_LEVEL).sum(axis=1)
        pairs += [(int(row), int(other)) for other in others[same >= MIN_SAME_SHARE * cells]]
    return pairs


def _are_copies(first: Candidate, second: Candidate) -> bool:
    times = {first.file.capture_time, second.file.capture_time} - {""}
    if len(times) > 1:
        return False
    if _find_changed(first, second).any():
        return _is_overlaid(first, second) or _is_overlaid(second, first)
    sides = sorted((long_side(first), long_side(second)))
    difference = abs(first.quality.sharpness - second.quality.sharpness)
    return sides[1] >= MORE_LENGTH * sides[0] or difference < OTHER_SHARPNESS


def _find_changed(first: Candidate, second: Candidate) -> NDArray[np.bool_]:
    """Returns which cells differ in luminance."""
    ours, theirs = (np.array(photo.quality.luminance_grid, np.int64) for photo in (first, second))
    return np.asarray(np.abs(ours - theirs) > SAME_LEVEL)


def _is_overlaid(photo: Candidate, clean: Candidate) -> bool:
    """Whether an overlay, such as a watermark, was added to a photo."""
    if not (photo.quality.luminance_grid and clean.quality.luminance_grid):  # nothing to compare
        return False
    changed = _find_changed(photo, clean)
    if not changed.any() or len(photo.faces) > len(clean.faces):  # a person entered the frame
        return False
    more, less = _has_more_detail(photo, clean), _has_more_detail(clean, photo)
    return bool(
        more[changed].mean() >= OVERLAY_SHARE
        and (changed.all() or more[~changed].mean() <= OVERLAY_EDGE_SHARE)
        and less.mean() <= OVERLAY_LOSS_SHARE
    )


def _has_more_detail(photo: Candidate, other: Candidate) -> NDArray[np.bool_]:
    ours, theirs = (np.array(one.quality.detail_grid, np.float64) for one in (photo, other))
    return np.asarray(ours >= MORE_DETAIL * theirs + MORE_DETAIL_LEVELS)


def _is_enlarged(photo: Candidate, other: Candidate) -> bool:
    """Whether a photo has more pixels than a crisp copy, but no more detail."""
    ours, theirs = photo.quality, other.quality
    return (
        long_side(photo) >= MORE_LENGTH * long_side(other)
        and (other.file.has_camera or not photo.file.has_camera)
        and ours.focus_score <= ENLARGED_FOCUS
        and theirs.focus_score >= CRISP_FOCUS
        and ours.sharpness <= theirs.sharpness + MORE_SHARPNESS
    )


def _is_more_compressed(photo: Candidate, other: Candidate) -> bool:
    ours, theirs = photo.quality.noise_level or 0.0, other.quality.noise_level or 0.0
    is_grain = theirs > GRAIN_RATIO * ours + GRAIN_LEVELS
    return not is_grain and bits_per_pixel(other) >= LESS_COMPRESSED * bits_per_pixel(photo)


def _is_version(photo: Candidate, other: Candidate) -> bool:
    return photo.alteration is not None and photo.alteration.original == other.path


_RULES: tuple[tuple[CopyRule, Callable[[Candidate, Candidate], bool]], ...] = (
    (CopyRule.DAMAGED, lambda photo, other: photo.file.is_damaged and not other.file.is_damaged),
    (CopyRule.VERSION, _is_version),
    (CopyRule.OVERLAY, _is_overlaid),
    (CopyRule.ENLARGED, _is_enlarged),
    (CopyRule.SMALLER, lambda photo, other: long_side(other) >= MORE_LENGTH * long_side(photo)),
    (CopyRule.CAMERA, lambda photo, other: other.file.has_camera and not photo.file.has_camera),
    (CopyRule.COMPRESSED, _is_more_compressed),
)
"""Tests of whether `photo` loses to `other`, in the order in which they are applied."""


def _choose_original(family: Sequence[Candidate]) -> dict[str, Copy]:
    """Eliminates, rule by rule, the photos that lose to one that is still in the running."""
    left = list(family)
    for _, loses in _RULES:
        lost = [
            photo
            for photo in left
            if any(loses(photo, other) for other in left if other is not photo)
        ]
        if len(lost) < len(left):
            left = [photo for photo in left if photo not in lost]
    original = min(left, key=lambda photo: photo.path)
    # no rule distinguishes those still left from the original, so their scores decide
    lost = [photo for photo in family if photo not in left]
    return {photo.path: Copy(original.path, _find_rule(photo, original)) for photo in lost}


def _find_rule(photo: Candidate, original: Candidate) -> CopyRule:
    """Returns the first rule by which a photo loses to the original itself."""
    indirect = CopyRule.VERSION if photo.alteration else CopyRule.INDIRECT
    return next((rule for rule, loses in _RULES if loses(photo, original)), indirect)
