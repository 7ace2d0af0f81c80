"""Goals for the whole album, such as "the 50 best", and how picks are spread to reach them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Literal

import numpy as np
from annotated_types import Gt, Le
from numpy.typing import NDArray

from orchestrator.domain.bounds import Count

MOMENT_COST = 0.2
"""How much each pick from a moment lowers the scores of the moment's other photos. A heuristic: a
second shot is picked only if the best photo of the remaining moments is worse by this much."""
TIME_COST = 0.02
"""How much each pick lowers the scores of photos taken at about the same time. Also a heuristic."""
FAULT_COST = 1.0
"""How much being below a floor lowers a score: the photo is picked only if nothing else is left."""
NEAR_SECONDS = 1800.0
"""Photos taken at most this far apart count as taken at about the same time."""

Pick = Literal["moments", "one_per_moment", "count", "share", "all_but_failures", "everybody"]


@dataclass(frozen=True, slots=True)
class Goal:
    """What a selection aims for."""

    pick: Pick
    """which photos to pick: `moments` = the best of each moment, up to `max_images_per_cluster`;
    `one_per_moment` = only the best of each; `everybody` = as `moments`, plus a good photo of each
    person whom those picks do not show clearly and with open eyes (needs `people.enabled`; people
    count if they are named, important, or in at least 3 photos); `count` or `share` = that many
    photos from the whole album, spread over moments and time; `all_but_failures` = every photo that
    clears the floors and the minimum score"""
    count: Count
    """number of photos for `count` (`--count 50`). Photos that you keep come first, and are all
    picked even if they exceed this number; a set of photos that is kept as a whole counts as one"""
    share: Annotated[float, Gt(0), Le(1)]
    """for `share` (`--share 10%`): share of the readable photos, rounded, at least one photo"""

    @property
    def is_album_wide(self) -> bool:
        """Whether a pick in one moment depends on the other moments."""
        return self.is_counted or self.pick == "everybody"

    @property
    def is_counted(self) -> bool:
        """Whether it is a number or share of photos."""
        return self.pick in ("count", "share")

    @property
    def is_open(self) -> bool:
        """Whether a moment may have any number of picks."""
        return self.is_counted or self.pick == "all_but_failures"

    def find_count(self, photo_count: int) -> int:
        """Returns the number of photos to pick from an album, if the goal is a number."""
        return self.count if self.pick == "count" else max(1, round(self.share * photo_count))


BEST_OF_MOMENTS = Goal(pick="moments", count=50, share=0.1)
"""The goal of runs that were stored before goals were introduced."""


@dataclass(frozen=True, slots=True)
class Entrant:
    """A photo that may be picked for the album.

    Attributes:
        path: Unique.
        score: Its composite score.
        seconds: When it was taken; NaN if unknown.
        is_kept: Whether it is picked in any case.
        is_faulty: Whether it is below a floor, like all other photos in its moment.
    """

    path: str
    score: float
    seconds: float = math.nan
    is_kept: bool = False
    is_faulty: bool = False


@dataclass(frozen=True, slots=True)
class Coverage:
    """How a photo did in the competition for a limited number of picks.

    Attributes:
        requested: Number of photos requested.
        place: Its position in the order of picking, from 1; None if it was not picked.
        moment_count: Number of picks from its moment: those before it, or all if it was not picked.
        near_count: Likewise, for picks taken at about the same time.
        value: Its score minus the costs of these picks and of its fault.
        last_value: The value of the last pick; None if the user keeps every photo picked.
        is_faulty: Whether it is below a floor.
        ahead: Path of the photo that was next in its moment and was not picked either; None if this
            photo was next.
        preferred_to: Path of a photo with a higher score that was not picked, because more picks
            counted against it; None if there is none.
    """

    requested: int
    place: int | None
    moment_count: int
    near_count: int
    value: float
    last_value: float | None
    is_faulty: bool = False
    ahead: str | None = None
    preferred_to: str | None = None


def spread(queues: Sequence[Sequence[Entrant]], requested: int) -> dict[str, Coverage]:
    """Picks photos for an album, spread over its moments and over time.

    A greedy algorithm picks the photos that are kept in any case, and then repeatedly the photo
    with the highest value among the next photos of all moments:

        score - MOMENT_COST x (picks of its moment) - TIME_COST x (picks within NEAR_SECONDS of it)

    minus FAULT_COST if it is below a floor. Each further pick from the same moment or time is
    therefore worth less. The photos in a moment are picked in the given order. The result for a
    smaller number is the beginning of the result for a larger one.

    Args:
        queues: The photos of each moment that may be picked, best first.
        requested: Number of photos to pick; kept photos are all picked even if they exceed it.

    Returns:
        By path, how each photo did.
    """
    return _Spread(queues, requested).run()


class _Spread:
    """The state of a competition; its rows are the photos of one queue after the other."""

    def __init__(self, queues: Sequence[Sequence[Entrant]], requested: int) -> None:
        self._requested = requested
        self._entrants = [one for queue in queues for one in queue]
        sizes = np.array([len(queue) for queue in queues], np.intp)
        self._ends = np.cumsum(sizes)
        self._heads = self._ends - sizes
        self._moments = np.repeat(np.arange(len(queues)), sizes)
        self._scores = np.array([one.score for one in self._entrants], np.float64)
        is_faulty = np.array([one.is_faulty for one in self._entrants], np.bool_)
        self._starts = self._scores - FAULT_COST * is_faulty
        self._seconds = np.array([one.seconds for one in self._entrants], np.float64)
        self._by_time = np.argsort(self._seconds, kind="stable")  # unknown times come last
        self._moment_counts = np.zeros(len(queues), np.int64)
        self._near_counts = np.zeros(len(self._entrants), np.int64)
        self._taken: dict[int, Coverage] = {}
        self._last_value: float | None = None

    def run(self) -> dict[str, Coverage]:
        for row, one in enumerate(self._entrants):
            if one.is_kept:
                self._take(row)
        while len(self._taken) < self._requested and (best := self._find_best()) is not None:
            self._last_value = float(self._values([best])[0])
            self._take(best)
        heads = [int(row) for row in self._open_heads()]
        left_out = {row: self._place(row, None) for row in heads}
        rows = {**self._compare(left_out), **left_out, **self._follow(heads)}
        return {self._entrants[row].path: coverage for row, coverage in rows.items()}

    def _values(self, rows: Sequence[int] | NDArray[np.intp]) -> NDArray[np.float64]:
        of_moments = MOMENT_COST * self._moment_counts[self._moments[rows]]
        of_times = TIME_COST * self._near_counts[rows]
        return np.asarray(self._starts[rows] - of_moments - of_times, np.float64)

    def _open_heads(self) -> NDArray[np.intp]:
        """Returns the next photo of each moment that has one left."""
        return self._heads[self._heads < self._ends]

    def _find_best(self) -> int | None:
        heads = self._open_heads()
        if not len(heads):
            return None
        values = self._values(heads)
        tied = heads[values == values.max()]
        return min((int(row) for row in tied), key=lambda row: self._entrants[row].path)

    def _take(self, row: int) -> None:
        self._taken[row] = self._place(row, len(self._taken) + 1)
        moment = self._moments[row]
        self._moment_counts[moment] += 1
        while self._heads[moment] < self._ends[moment] and self._heads[moment] in self._taken:
            self._heads[moment] += 1
        if not np.isnan(self._seconds[row]):
            reach = self._seconds[row] + np.array([-NEAR_SECONDS, NEAR_SECONDS])
            first = np.searchsorted(self._seconds, reach[0], "left", sorter=self._by_time)
            last = np.searchsorted(self._seconds, reach[1], "right", sorter=self._by_time)
            self._near_counts[self._by_time[first:last]] += 1

    def _place(self, row: int, place: int | None) -> Coverage:
        return Coverage(
            requested=self._requested,
            place=place,
            moment_count=int(self._moment_counts[self._moments[row]]),
            near_count=int(self._near_counts[row]),
            value=float(self._values([row])[0]),
            last_value=self._last_value,
            is_faulty=self._entrants[row].is_faulty,
        )

    def _compare(self, left_out: Mapping[int, Coverage]) -> dict[int, Coverage]:
        """Finds the best-scoring photo that each pick came ahead of despite a lower score."""
        sound = [row for row, coverage in left_out.items() if not coverage.is_faulty]
        if not sound:
            return self._taken
        best = min(sound, key=lambda row: (-self._scores[row], self._entrants[row].path))
        name, score, value = self._entrants[best].path, self._scores[best], left_out[best].value
        return {
            row: replace(taken, preferred_to=name)
            if self._scores[row] < score and value <= taken.value
            else taken
            for row, taken in self._taken.items()
        }

    def _follow(self, heads: Sequence[int]) -> dict[int, Coverage]:
        """Returns how the photos did that come after the next photo of their moment."""
        return {
            row: replace(self._place(row, None), ahead=self._entrants[head].path)
            for head in heads
            for row in range(head + 1, self._ends[self._moments[head]])
            if row not in self._taken
        }
