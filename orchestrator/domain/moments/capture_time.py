"""Capture times and cameras of photos, and splitting photos by time."""

from __future__ import annotations

import datetime
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Captures:
    """Capture times and cameras of photos.

    Attributes:
        seconds: float64, (n,), by the camera's own clock. NaN if unknown: then `time_term` adds
            0, and `time_evidence` leaves the photo with the nearest one.
        cameras: (n,); empty if unknown.
    """

    seconds: NDArray[np.float64]
    cameras: Sequence[str]

    def take(self, rows: NDArray[np.intp]) -> Captures:
        """Returns the captures of some photos, in the given order."""
        return Captures(self.seconds[rows], [self.cameras[row] for row in rows.tolist()])


def capture_seconds(text: str) -> float:
    """Converts an ISO 8601 local time without zone to seconds.

    NaN if it is unknown, invalid, or only a date, which does not show the order of a day's shots.
    """
    if "T" not in text:
        return math.nan
    try:
        time = datetime.datetime.fromisoformat(text)
    except ValueError:
        return math.nan
    return (time - datetime.datetime(1970, 1, 1)).total_seconds()


def parts_by_time(seconds: NDArray[np.float64], max_count: int) -> list[NDArray[np.intp]]:
    """Splits photos at the longest pauses until no part is too large.

    A part that is too large is cut at the longest pause in its middle half. Photos of unknown time
    come last, in their original order, and may be cut anywhere.

    Args:
        seconds: (n,), when each was taken, NaN if unknown.
        max_count: Maximum number of photos in a part.

    Returns:
        Indices of each part, ordered by time.
    """
    order = np.argsort(seconds, kind="stable")
    pauses = np.diff(seconds[order])
    is_known = ~np.isnan(seconds[order])
    pauses = np.where(is_known[:-1] != is_known[1:], np.inf, np.nan_to_num(pauses, nan=0.0))
    parts, waiting = [], [(0, len(order))]
    while waiting:
        start, end = waiting.pop()
        count = end - start
        if count <= max_count:
            parts.append(order[start:end])
            continue
        low, high = start + count // 4, max(start + count // 4 + 1, end - count // 4)
        cut = low + int(np.argmax(pauses[low : min(high, end - 1)])) + 1
        waiting += [(cut, end), (start, cut)]
    return parts
