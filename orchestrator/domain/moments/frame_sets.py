"""Finds photos that were taken as a set, such as a bracket, whatever their embeddings say.

What the camera recorded comes first: the identifier of a burst, and whether it varied exposure or
focus from shot to shot. Most cameras do not record this, so brackets and panoramas are also found
by content, among photos that follow each other. The frames of an exposure bracket show one view,
recognized by its structure, at different exposures (see `structure`); each frame of a panorama
overlaps the next one (see `overlap`). The work grows linearly with the number of photos.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from orchestrator.domain.moments.capture_time import Captures
from orchestrator.domain.moments.distances import components
from orchestrator.domain.moments.structure import Structures
from orchestrator.domain.overlap import Overlap
from orchestrator.domain.photo import CameraFacts
from orchestrator.domain.sets import SetKind, SetParameters, SetPlace

SAME_VIEW = 0.7
"""Minimum correlation between the structures of two frames of one view. In four labelled exposure
series, neighbouring frames correlate by 0.83 or more, photos of one place or person by at most
0.62, and unrelated pairs by less than 0.4."""
BRACKET_SECONDS = 60.0
"""Maximum time between two frames of a series: enough for exposures of half a minute."""
BRACKET_BRIGHTENING = math.log(2.0) * (2.0 / 3.0) / 2.2
"""The smallest usual difference in exposure within a series, two thirds of a stop, as the natural
logarithm of a ratio of 8-bit levels at the gamma of sRGB."""
BRACKET_STEP = BRACKET_BRIGHTENING / 2.0
"""Minimum difference from one frame to the next brighter one: a third of a stop."""
MIN_BRACKET_EXPOSURES = 3
"""Minimum number of exposures in a series found by content: two frames are more often a photo and
its edit, or a shot that was repeated because the first came out dark."""
FOCUS_SECONDS = 10.0
"""Maximum time between two frames of a focus stack, which a camera takes automatically."""
WINDOW_COUNT = 8
"""Number of consecutive photos that are compared with each other. No camera's series needs more,
because a frame only has to match its neighbours in exposure."""

PANORAMA_SECONDS = 15.0
"""Maximum time between two frames of a panorama."""
PANORAMA_SHARES = 0.1, 0.8
"""Limits on the share of a panorama's frame that the next one also shows: photographers overlap
frames by a quarter to a half, and hand-held shots of one scene share more."""
PANORAMA_LENGTHS, PANORAMA_TURN = (0.7, 1.4), 20.0
"""Limits on the relative size of a panorama's aligned frames, and their maximum rotation in
degrees: the camera and lens stay the same, but perspective stretches the edges."""
PANORAMA_AGREEMENT = 0.4
"""Minimum agreement of the overlap (see `Overlap`): neighbouring shots from a walk along a street
are below 0.1, and moving or near objects keep a panorama well below 1."""
MIN_PANORAMA_COUNT = 3
"""Minimum frames in a panorama: two overlapping frames are more often a reframed scene."""

Indices = NDArray[np.intp]
Pair = tuple[int, int]
Measure = Callable[[Sequence[Pair]], Sequence[Overlap | None]]


def _measure_nothing(pairs: Sequence[Pair]) -> Sequence[Overlap | None]:
    return [None] * len(pairs)


@dataclass(frozen=True, slots=True, eq=False)
class Frames:
    """The photos to search for sets.

    Attributes:
        folders: (n,), folder of each; photos of two folders do not follow each other.
        shapes: (n,), width and height in pixels.
        captures: Captures of the n photos.
        structures: Structures of the n photos.
        facts: What the n files state about the shots.
        measure: Finds the overlap of each pair of rows.
    """

    folders: Sequence[str]
    shapes: Sequence[tuple[int, int]]
    captures: Captures
    structures: Structures
    facts: Sequence[CameraFacts]
    measure: Measure = _measure_nothing

    def __len__(self) -> int:
        return len(self.folders)


@dataclass(frozen=True, slots=True)
class FrameSet:
    """Photos that belong together; the order of `rows` depends on the kind of set."""

    kind: SetKind
    rows: tuple[int, ...]


def find_sets(frames: Frames, parameters: SetParameters) -> list[FrameSet]:
    """Finds all sets among photos in path order; a photo is in at most one set.

    Returns:
        Sets of at least two photos, ordered by first photo.
    """
    searches = (
        (SetKind.FOCUS_STACK, _stated_focus_stacks),
        (SetKind.EXPOSURE_BRACKET, _stated_brackets),
        (SetKind.EXPOSURE_BRACKET, exposure_brackets),
        (SetKind.PANORAMA, panoramas),
        (SetKind.BURST, _stated_bursts),
    )
    found: list[FrameSet] = []
    is_free = np.ones(len(frames), np.bool_)
    for kind, search in searches:
        if parameters.use_of(kind) == "ignore":
            continue
        for one in search(frames):
            rows = tuple(row for row in one.rows if is_free[row])
            if len(rows) > 1:
                found.append(FrameSet(kind, rows))
                is_free[list(rows)] = False
    return sorted(found, key=lambda one: min(one.rows))


def _stated_bursts(frames: Frames) -> list[FrameSet]:
    """Groups photos of one camera and folder with the same burst identifier, by time."""
    bursts: dict[tuple[str, str, str], list[int]] = {}
    for row, facts in enumerate(frames.facts):
        if facts.burst_id:
            key = frames.folders[row], frames.captures.cameras[row], facts.burst_id
            bursts.setdefault(key, []).append(row)
    return [FrameSet(SetKind.BURST, tuple(_by_time(frames, rows))) for rows in bursts.values()]


def _stated_focus_stacks(frames: Frames) -> list[FrameSet]:
    """Finds consecutive frames whose camera varied the focus."""
    chosen = [row for row, facts in enumerate(frames.facts) if facts.bracket_mode == "focus"]
    series = _series(frames, chosen, FOCUS_SECONDS, lambda rows, row: False)
    return [FrameSet(SetKind.FOCUS_STACK, tuple(rows)) for rows in series]


def _stated_brackets(frames: Frames) -> list[FrameSet]:
    """Finds consecutive frames, each at a different exposure, whose camera varied it."""
    chosen = [row for row, facts in enumerate(frames.facts) if _is_bracketed(facts)]

    def begins_next(rows: Sequence[int], row: int) -> bool:
        """Whether the frame's bias already occurs in the series before it."""
        return _bias(frames, row) in {_bias(frames, other) for other in rows}

    return [
        FrameSet(
            SetKind.EXPOSURE_BRACKET, tuple(sorted(rows, key=lambda row: (_bias(frames, row), row)))
        )
        for rows in _series(frames, chosen, BRACKET_SECONDS, begins_next)
    ]


def _is_bracketed(facts: CameraFacts) -> bool:
    is_stated = facts.bracket_mode == "exposure" or facts.exposure_mode == "auto bracket"
    return is_stated and facts.exposure_bias_ev is not None


def _bias(frames: Frames, row: int) -> float:
    return frames.facts[row].exposure_bias_ev or 0.0


def _series(
    frames: Frames,
    chosen: Sequence[int],
    seconds: float,
    begins_next: Callable[[Sequence[int], int], bool],
) -> list[list[int]]:
    """Splits photos of known time into series of one folder, camera and size, by time.

    Args:
        frames: All photos.
        chosen: Rows of the photos to split.
        seconds: Maximum time between a photo and the next one in its series.
        begins_next: Whether a photo begins a series, given the rows of the series before it.
    """
    groups: dict[tuple[str, str, tuple[int, int]], list[int]] = {}
    for row in chosen:
        if not math.isnan(frames.captures.seconds[row]):
            key = frames.folders[row], frames.captures.cameras[row], frames.shapes[row]
            groups.setdefault(key, []).append(row)
    found: list[list[int]] = []
    for rows in groups.values():
        series: list[int] = []
        for row in _by_time(frames, rows):
            times = frames.captures.seconds
            if series and (times[row] - times[series[-1]] > seconds or begins_next(series, row)):
                found.append(series)
                series = []
            series.append(row)
        found.append(series)
    return found


def _by_time(frames: Frames, rows: Sequence[int]) -> list[int]:
    """Sorts by time and the camera's own count, unknown times last, then by path."""

    def key(row: int) -> tuple[float, int, int]:
        seconds = float(frames.captures.seconds[row])
        count = frames.facts[row].sequence_number or 0
        return (math.inf if math.isnan(seconds) else seconds), count, row

    return sorted(rows, key=key)


def exposure_brackets(frames: Frames) -> list[FrameSet]:
    """Finds exposure brackets by content among photos in the order of their paths.

    Returns:
        Sets of at least three photos, ordered by first photo; the rows from dark to bright.
    """
    first, second = _following_pairs(frames)
    is_other = ~_have_one_exposure(frames, first, second)
    first, second = first[is_other], second[is_other]
    is_same = frames.structures.correlations(first, second) >= SAME_VIEW
    first, second = first[is_same], second[is_same]
    brighter = frames.structures.brightening(first, second)
    exposures = _relative_exposures(len(frames), first, second, brighter)
    component = components(len(frames), first, second)
    found = []
    for rows in _groups(component):
        order = rows[np.argsort(exposures[rows], kind="stable")]
        steps = np.diff(exposures[order])
        if np.count_nonzero(steps >= BRACKET_STEP) + 1 >= MIN_BRACKET_EXPOSURES:
            found.append(FrameSet(SetKind.EXPOSURE_BRACKET, tuple(order.tolist())))
    return sorted(found, key=lambda one: min(one.rows))


def _have_one_exposure(frames: Frames, first: Indices, second: Indices) -> NDArray[np.bool_]:
    """Whether both files of a pair state the same exposure, and differ only by later editing."""
    stated = [
        (facts.exposure_time_seconds, facts.f_number, facts.iso, facts.exposure_bias_ev)
        for facts in frames.facts
    ]
    return np.array(
        [
            stated[one] == stated[other] and None not in stated[one][:3]
            for one, other in zip(first.tolist(), second.tolist(), strict=True)
        ],
        np.bool_,
    )


def panoramas(frames: Frames) -> list[FrameSet]:
    """Finds panoramas among consecutive photos of known time with the same camera settings.

    Returns:
        Sets of at least three photos, by time; the camera keeps turning the same way.
    """
    chosen = [row for row, facts in enumerate(frames.facts) if None not in _exposure(facts)]
    all_series = _series(
        frames,
        chosen,
        PANORAMA_SECONDS,
        lambda rows, row: _exposure(frames.facts[rows[-1]]) != _exposure(frames.facts[row]),
    )
    steps = _steps(frames, [pair for rows in all_series for pair in pairwise(rows)])
    return [
        FrameSet(SetKind.PANORAMA, tuple(sweep))
        for rows in all_series
        for sweep in _sweeps(rows, steps)
        if len(sweep) >= MIN_PANORAMA_COUNT
    ]


def _exposure(facts: CameraFacts) -> tuple[float | None, ...]:
    return facts.focal_length_mm, facts.exposure_time_seconds, facts.f_number, facts.iso


def _steps(frames: Frames, pairs: Sequence[Pair]) -> dict[Pair, tuple[float, float]]:
    """Finds how far the camera turned between the photos of each pair, in frame sizes.

    Pairs that cannot be consecutive frames of a panorama are left out.
    """
    sides = np.array(pairs, np.intp).reshape(-1, 2)
    is_still = frames.structures.correlations(sides[:, 0], sides[:, 1]) >= SAME_VIEW
    moved = [pair for pair, is_same in zip(pairs, is_still.tolist(), strict=True) if not is_same]
    return {
        pair: (overlap.first.x, overlap.first.y)
        for pair, overlap in zip(moved, frames.measure(moved), strict=True)
        if overlap is not None and _is_step(overlap)
    }


def _is_step(overlap: Overlap) -> bool:
    sides = overlap.first, overlap.second
    return (
        not overlap.is_mirrored
        and overlap.agreement >= PANORAMA_AGREEMENT
        and overlap.turn_degrees <= PANORAMA_TURN
        and all(PANORAMA_SHARES[0] <= side.share <= PANORAMA_SHARES[1] for side in sides)
        and all(PANORAMA_LENGTHS[0] <= side.length <= PANORAMA_LENGTHS[1] for side in sides)
    )


def _sweeps(rows: Sequence[int], steps: Mapping[Pair, tuple[float, float]]) -> Iterator[list[int]]:
    """Splits photos into runs in which the camera keeps turning the same way."""
    sweep, last = list(rows[:1]), (0.0, 0.0)
    for pair in pairwise(rows):
        x, y = steps.get(pair, (0.0, 0.0))
        continues = pair in steps and (len(sweep) == 1 or x * last[0] + y * last[1] > 0.0)
        if not continues:
            yield sweep
            sweep = [pair[0]] if pair in steps else []
        sweep.append(pair[1])
        last = x, y
    yield sweep


def places_in_sets(count: int, sets: Sequence[FrameSet]) -> list[SetPlace | None]:
    """Returns the position of each of `count` photos in its set; None if it is not in a set."""
    found: list[SetPlace | None] = [None] * count
    for number, one in enumerate(sets):
        for place, row in enumerate(one.rows, start=1):
            found[row] = SetPlace(one.kind, number, place, len(one.rows))
    return found


def join_sets(labels: NDArray[np.int64], sets: Sequence[FrameSet]) -> NDArray[np.intp]:
    """Joins the moments of each set's photos; returns the number of each photo's moment: (n,)."""
    return join_pairs(labels, [(one.rows[0], other) for one in sets for other in one.rows[1:]])


def join_pairs(labels: NDArray[np.int64], pairs: Sequence[tuple[int, int]]) -> NDArray[np.intp]:
    """Joins the moments of each pair's photos; returns the number of each photo's moment: (n,)."""
    count = len(labels)
    own = np.where(labels >= 0, labels, labels.max(initial=-1) + 1 + np.arange(count))
    moment = np.unique(own, return_inverse=True)[1]
    if not pairs:
        return np.asarray(moment, np.intp)
    first, second = np.array(pairs, np.intp).T
    joined = components(int(moment.max()) + 1, moment[first], moment[second])
    return joined[moment]


def _following_pairs(frames: Frames) -> tuple[Indices, Indices]:
    """Finds pairs that could be neighbours in a series: first < second, each once."""
    count = len(frames)
    by_time = np.lexsort((np.arange(count), frames.captures.seconds))
    pairs = [np.empty((0, 2), np.intp)]
    for order in (np.arange(count), by_time):
        for step in range(1, min(WINDOW_COUNT, count)):
            pairs.append(np.sort(np.stack([order[:-step], order[step:]], axis=1), axis=1))
    found = np.unique(np.concatenate(pairs), axis=0)
    return _of_one_series(frames, found[:, 0], found[:, 1])


def _of_one_series(frames: Frames, first: Indices, second: Indices) -> tuple[Indices, Indices]:
    """Selects pairs from one folder, camera and size that are not minutes apart."""
    seconds = frames.captures.seconds
    is_possible = ~(np.abs(seconds[first] - seconds[second]) > BRACKET_SECONDS)  # NaN: unknown
    for values in (frames.folders, frames.captures.cameras, frames.shapes):
        numbers: dict[object, int] = {}
        number = np.array([numbers.setdefault(value, len(numbers)) for value in values], np.intp)
        is_possible &= number[first] == number[second]
    return first[is_possible], second[is_possible]


def _relative_exposures(
    count: int, first: Indices, second: Indices, brighter: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Finds each photo's exposure relative to the first of its series by following pairs: (n,)."""
    near: list[list[tuple[int, float]]] = [[] for _ in range(count)]
    for one, other, step in zip(first.tolist(), second.tolist(), brighter.tolist(), strict=True):
        if not math.isnan(step):
            near[one].append((other, step))
            near[other].append((one, -step))
    found = np.full(count, np.nan)
    for start in range(count):
        if not math.isnan(found[start]):
            continue
        found[start] = 0.0
        waiting = [start]
        while waiting:
            one = waiting.pop()
            # nearest exposures first: they share the most parts that are neither black nor blown
            # out
            for other, step in sorted(near[one], key=lambda pair: (abs(pair[1]), pair[0])):
                if math.isnan(found[other]):
                    found[other] = found[one] + step
                    waiting.append(other)
    return found


def _groups(component: Indices) -> Iterator[Indices]:
    order = np.argsort(component, kind="stable")
    yield from np.split(order, np.flatnonzero(np.diff(component[order])) + 1)
