"""Finds versions of one photo: mirrored, turned, cropped, framed, black-and-white or filtered ones.

A version matches its original in every part after a change that no second shot of the scene makes.
Where nothing of the kind was changed, this module says nothing: copies are compared by `copies`,
and frames of a burst by their scores.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from orchestrator.domain.alteration import Alteration, Edit
from orchestrator.domain.overlap import Overlap, Side
from orchestrator.domain.photo import FileFacts

MIN_AGREEMENT, MIN_LOWEST, MAX_BEND = 0.8, 0.25, 0.01
"""What versions of one photo reach in `Overlap`. In an album of 124 real photos and a made
version of each, 103 are found with the builtin embedding: all 45 that are mirrored, turned, black
and white or sepia, 6 of 12 crops to a sixth of the picture, and 7 of 11 with strong contrast.
No photo is taken for a version of another scene. Other shots of one scene by hand reach an
agreement of 0.84 with a bend of 0.02, except for frames of a burst."""
WHOLE_SHARE, CROPPED_SHARE = 0.93, 0.90
"""A picture lies wholly in another one from the first share on, and is a part of it if that one
shows at most the second share in common."""
PLAIN_SPREAD = 8.0
"""Spread of levels up to which what surrounds the other picture is a frame."""
GREY_CHROMA, COLOUR_CHROMA = 2.0, 6.0
"""Chroma up to which a picture is black and white, and from which on it has colours."""
OTHER_COLOURS = 8.0
"""Colour shift of a filter; frames of a burst, between which the camera adjusts its white balance,
reach 6."""
MAX_TURN_ERROR = 3.0
"""Degrees by which a turned version is off a quarter turn."""
MAX_DENSITY = 1.1
"""Resolution of a crop, relative to its original: no program adds any, but another lens does."""

NEAREST_COUNT = 3
"""Photos with which one is compared: those most alike by embedding, and as many by structure."""
MIN_STRUCTURE = 0.8
"""Correlation of miniatures from which on the structure is alike."""
MIN_SIMILARITY = 0.3
"""Cosine similarity of embeddings from which on photos may be versions: with the weakest embedding,
all but a few of the made versions are above it."""
_ROWS_AT_A_TIME = 512

Indices = NDArray[np.intp]
Singles = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class VersionPhoto:
    """What is known of a photo among which versions are looked for.

    Attributes:
        path: Relative to the album.
        file: What is known of its file.
    """

    path: str
    file: FileFacts

    @property
    def length(self) -> int:
        """Long side in pixels."""
        return max(self.file.width_px, self.file.height_px)


def pairs_to_check(
    files: Sequence[FileFacts], embeddings: Singles, miniatures: Singles
) -> tuple[Indices, Indices]:
    """Pairs of photos that may be versions of one: first < second, each once.

    Photos that the camera took at different times are not, so in an album straight from a camera
    there are none to check. The others are compared with those of the most similar structure, and
    with those of the most similar embedding that have another size in pixels, as what is cropped or
    framed has. The number of pairs grows with the number of photos and not with its square.

    Args:
        files: What is known of the n files.
        embeddings: float32, (n, d), unit rows.
        miniatures: float32, (n, 32, 32); NaN where there is none.
    """
    times = np.unique([file.capture_time for file in files], return_inverse=True)[1]
    is_timed = np.array([bool(file.capture_time) for file in files], np.bool_)
    shared = np.bincount(times)[times] > 1
    open_rows = np.flatnonzero(~is_timed | shared)
    sizes = np.array([sorted((file.width_px, file.height_px)) for file in files])
    alike = _nearest_pairs(open_rows, embeddings, MIN_SIMILARITY)
    is_resized = (sizes[alike[:, 0]] != sizes[alike[:, 1]]).any(axis=1)
    same = _nearest_pairs(open_rows, upright_structures(miniatures), MIN_STRUCTURE)
    pairs = [alike[is_resized], same]
    found = np.unique(np.sort(np.concatenate(pairs), axis=1), axis=0)
    first, second = found[:, 0], found[:, 1]
    is_possible = (times[first] == times[second]) | ~is_timed[first] | ~is_timed[second]
    return first[is_possible], second[is_possible]


def upright_structures(miniatures: Singles) -> Singles:
    """Miniatures as unit vectors, each turned and mirrored to one side: (n, 256).

    The brighter half comes to lie on the left and at the top, and the stronger contrast of the two
    from left to right. So turned and mirrored versions get about the same vector.
    """
    count = len(miniatures)
    parts = miniatures.reshape(count, 16, 2, 16, 2).mean(axis=(2, 4))
    parts = np.nan_to_num(parts - parts.mean(axis=(1, 2), keepdims=True))
    ramp = np.linspace(1.0, -1.0, 16, dtype=np.float32)
    across, down = parts.sum(axis=1) @ ramp, parts.sum(axis=2) @ ramp
    parts = np.where((across < 0)[:, None, None], parts[:, :, ::-1], parts)
    parts = np.where((down < 0)[:, None, None], parts[:, ::-1], parts)
    is_steep = (np.abs(down) > np.abs(across))[:, None, None]
    parts = np.where(is_steep, parts.transpose(0, 2, 1), parts).reshape(count, 256)
    lengths = np.linalg.norm(parts, axis=1, keepdims=True)
    return np.asarray(parts / np.maximum(lengths, 1e-6), np.float32)


def _nearest_pairs(rows: Indices, vectors: Singles, floor: float) -> Indices:
    """Pairs of some rows and the few rows most similar to each, (m, 2)."""
    pairs = [np.empty((0, 2), np.intp)]
    count = min(NEAREST_COUNT, len(vectors) - 1)
    for start in range(0, len(rows) if count > 0 else 0, _ROWS_AT_A_TIME):
        part = rows[start : start + _ROWS_AT_A_TIME]
        similarity = vectors[part] @ vectors.T
        similarity[np.arange(len(part)), part] = -np.inf
        nearest = np.argpartition(-similarity, count - 1, axis=1)[:, :count]
        is_alike = np.take_along_axis(similarity, nearest, axis=1) >= floor
        own = np.broadcast_to(part[:, np.newaxis], nearest.shape)
        pairs.append(np.stack([own[is_alike], nearest[is_alike]], axis=1))
    return np.concatenate(pairs)


def find_versions(
    photos: Sequence[VersionPhoto],
    pairs: Sequence[tuple[int, int]],
    overlaps: Sequence[Overlap | None],
) -> list[Alteration | None]:
    """What each photo is a version of; of several, the one that agrees most.

    Args:
        photos: The n photos.
        pairs: Rows of pairs, each once.
        overlaps: What each pair has in common.
    """
    found: list[Alteration | None] = [None] * len(photos)
    best: dict[int, tuple[float, int]] = {}
    for (one, other), overlap in zip(pairs, overlaps, strict=True):
        directed = None if overlap is None else _direct(photos, one, other, overlap)
        if overlap is None or directed is None:
            continue
        version, original, edits = directed
        rank = -overlap.agreement, original
        if version not in best or rank < best[version]:
            best[version] = rank
            found[version] = Alteration(photos[original].path, edits)
    return found


def _direct(
    photos: Sequence[VersionPhoto], one: int, other: int, overlap: Overlap
) -> tuple[int, int, tuple[Edit, ...]] | None:
    """Which row of a pair is the version, which the original, and the edits; None if neither."""
    mine = edits_of(photos[one], photos[other], overlap)
    theirs = edits_of(photos[other], photos[one], overlap.swap())
    if mine is None or theirs is None or not (mine or theirs):
        return None
    is_first = len(mine), _rank(photos[one]) > _rank(photos[other])
    if is_first > (len(theirs), _rank(photos[other]) > _rank(photos[one])):
        return one, other, mine
    return other, one, theirs


def _rank(photo: VersionPhoto) -> tuple[bool, int, float, str]:
    """The lower, the more likely the original: by camera, pixels, compression."""
    return not photo.file.has_camera, -photo.length, -float(photo.file.size_bytes), photo.path


def edits_of(photo: VersionPhoto, other: VersionPhoto, overlap: Overlap) -> tuple[Edit, ...] | None:
    """What a photo differs by if the other one is its original.

    Args:
        photo: The first picture of the overlap.
        other: The second one.
        overlap: What both show.

    Returns:
        None if they are no versions of one photo; empty if this one is unchanged.
    """
    if overlap.agreement < MIN_AGREEMENT or overlap.lowest < MIN_LOWEST or overlap.bend > MAX_BEND:
        return None
    mine, theirs = overlap.first, overlap.second
    if max(mine.share, theirs.share) < WHOLE_SHARE:
        return None
    found = []
    if mine.share >= WHOLE_SHARE and theirs.share <= CROPPED_SHARE and not _is_frame(theirs):
        if theirs.length * photo.length > MAX_DENSITY * other.length:
            return None
        found.append(Edit.CROPPED)
    if theirs.share >= WHOLE_SHARE and mine.share < WHOLE_SHARE and _is_frame(mine):
        found.append(Edit.FRAMED)
    if overlap.is_mirrored:
        found.append(Edit.MIRRORED)
    if _is_quarter_turn(overlap.turn_degrees):
        found.append(Edit.TURNED)
    if mine.chroma <= GREY_CHROMA and theirs.chroma >= COLOUR_CHROMA:
        found.append(Edit.BLACK_AND_WHITE)
    elif overlap.colour_shift >= OTHER_COLOURS and min(mine.chroma, theirs.chroma) > GREY_CHROMA:
        found.append(Edit.FILTERED)
    return tuple(found)


def _is_frame(side: Side) -> bool:
    """Whether what a picture shows beyond the other one is plain."""
    return side.spread <= PLAIN_SPREAD


def _is_quarter_turn(degrees: float) -> bool:
    return degrees >= 45.0 and abs(degrees - 90.0 * round(degrees / 90.0)) <= MAX_TURN_ERROR
