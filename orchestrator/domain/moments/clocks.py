"""Compares the clocks of cameras using photos that look alike; a heuristic.

Two people who photograph the same things take some photos at about the same time. If the clocks
differ, the times of all these pairs differ by the same amount. A single scene that both
photographed could mislead, because they may have been there at different times, so several
occasions have to agree.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from orchestrator.domain.moments.capture_time import Captures

AGREEING_SECONDS = 60.0
"""Differences within this span agree: two people seldom press the shutter in the same second."""
OCCASION_SECONDS = 600.0
"""After a pause of this length, look-alikes count as another occasion."""
MIN_OCCASIONS, MIN_AGREEING_SHARE = 3, 0.5
"""Minimum number of occasions that agree, and their minimum share of all look-alike pairs."""
MAX_COUNT = 20_000
"""Maximum photos per camera for comparing clocks: the work grows with the product of the counts."""
_ROWS_AT_A_TIME = 512

Indices = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class ClockOffset:
    """How far one camera's clock is ahead of another's.

    Attributes:
        camera: The camera.
        reference: The other camera.
        seconds: How far ahead; negative if it is behind.
        pair_count: Number of look-alike pairs that agree on this.
    """

    camera: str
    reference: str
    seconds: float
    pair_count: int


def align_clocks(
    embeddings: NDArray[np.float32], captures: Captures, radius: float
) -> tuple[Captures, list[ClockOffset]]:
    """Adjusts camera clocks to the camera that took the most photos, where the offset is known.

    Args:
        embeddings: float32, (n, d), unit rows.
        captures: Captures of the n photos.
        radius: Cosine distance up to which photos look alike.

    Returns:
        The adjusted captures, in which cameras with a known offset count as one; and the offsets.
    """
    rows = _rows_by_camera(captures)
    offsets = [
        offset
        for camera in list(rows)[1:]
        if (offset := _find_offset(embeddings, captures, rows, camera, radius)) is not None
    ]
    seconds, cameras = captures.seconds.copy(), list(captures.cameras)
    for offset in offsets:
        for row in rows[offset.camera].tolist():
            seconds[row] -= offset.seconds
            cameras[row] = offset.reference
    return replace(captures, seconds=seconds, cameras=cameras), offsets


def _rows_by_camera(captures: Captures) -> dict[str, Indices]:
    """Lists each camera's photos of known time, the camera with the most photos first."""
    rows: dict[str, list[int]] = {}
    for row, camera in enumerate(captures.cameras):
        if camera and not np.isnan(captures.seconds[row]):
            rows.setdefault(camera, []).append(row)
    ordered = sorted(rows, key=lambda camera: (-len(rows[camera]), camera))
    return {camera: np.array(rows[camera], np.intp) for camera in ordered}


def _find_offset(
    embeddings: NDArray[np.float32],
    captures: Captures,
    rows: dict[str, Indices],
    camera: str,
    radius: float,
) -> ClockOffset | None:
    """Finds a camera's offset from the first one; None if too few look-alikes agree."""
    reference = next(iter(rows))
    mine, theirs = rows[camera], rows[reference]
    if max(len(mine), len(theirs)) > MAX_COUNT:
        return None
    one, other = _look_alikes(embeddings[mine], embeddings[theirs], radius)
    times, their_times = captures.seconds[mine[one]], captures.seconds[theirs[other]]
    agreeing = _find_agreeing(times - their_times)
    if len(agreeing) < MIN_AGREEING_SHARE * len(one) or not len(agreeing):
        return None
    pauses = np.diff(np.sort(their_times[agreeing]))
    if np.count_nonzero(pauses > OCCASION_SECONDS) + 1 < MIN_OCCASIONS:
        return None
    seconds = float(np.median((times - their_times)[agreeing]))
    return ClockOffset(camera, reference, seconds, len(agreeing))


def _look_alikes(
    first: NDArray[np.float32], second: NDArray[np.float32], radius: float
) -> tuple[Indices, Indices]:
    """Finds pairs of rows that are each other's nearest and within a radius."""
    nearest, similarity = _nearest(first, second)
    back, _ = _nearest(second, first)
    own = np.arange(len(first))
    is_pair = (back[nearest] == own) & (similarity >= 1.0 - radius)
    return own[is_pair], nearest[is_pair]


def _nearest(
    first: NDArray[np.float32], second: NDArray[np.float32]
) -> tuple[Indices, NDArray[np.float32]]:
    """For each row of `first`, returns the most similar row of `second` and their similarity."""
    nearest = np.empty(len(first), np.intp)
    similarity = np.empty(len(first), np.float32)
    for start in range(0, len(first), _ROWS_AT_A_TIME):
        part = slice(start, start + _ROWS_AT_A_TIME)
        block = first[part] @ second.T
        nearest[part], similarity[part] = block.argmax(axis=1), block.max(axis=1)
    return nearest, similarity


def _find_agreeing(differences: NDArray[np.float64]) -> Indices:
    """Finds the largest group of differences within `AGREEING_SECONDS`."""
    order = np.argsort(differences, kind="stable")
    ordered = differences[order]
    ends = np.searchsorted(ordered, ordered + AGREEING_SECONDS, side="right")
    if len(ends) == 0:
        return order
    start = int(np.argmax(ends - np.arange(len(ends))))
    return order[start : ends[start]]


def describe_offsets(offsets: Sequence[ClockOffset]) -> list[str]:
    """Describes the offsets to the user."""
    return [
        f"{one.camera}'s clock was assumed to be {format_seconds(abs(one.seconds))} "
        f"{'behind' if one.seconds < 0 else 'ahead of'} {one.reference}'s, because "
        f"{one.pair_count} pairs of similar photos agree on this."
        for one in offsets
    ]


def format_seconds(seconds: float) -> str:
    """Formats a span of time in one unit."""
    for unit, size in (("days", 86400.0), ("hours", 3600.0), ("minutes", 60.0)):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} seconds"
