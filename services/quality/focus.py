"""Measures focus by the width of edges, independently of their contrast.

A sharp edge goes from dark to bright within a pixel or two; a blurred one takes many. To tell them
apart, we divide the steepest slope in a short profile by the range of values in that profile. This
ratio does not depend on contrast, so fog, high-key and night shots are not penalized.
Marziliano et al. (2002), "A no-reference perceptual blur metric", and Crete et al. (2007), "The
blur effect", also measure blur at edges. Like them, we treat rows and columns separately, because
camera shake blurs one direction and leaves the other sharp.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from services.common.imaging.decode import RgbImage

Gray = NDArray[np.uint8]
Response = NDArray[np.int16]
"""Response of a filter, (height, width): whole grey levels, which 16 bits hold exactly."""
Cells = NDArray[np.float64]
"""One value per region, (5, 5), or one for the whole picture, ()."""

REGION_GRID = 5
"""Regions per side: a sharp subject in front of a soft background fills at least one of the 25."""
PROFILE_PX = 9
"""Length of a profile: wider edges count as blurred."""
COARSE_FACTOR = 4
"""Factor by which the picture is shrunk to find edges that are wider than a profile."""
MIN_STEP = 10.0
"""Smallest step, in grey levels, that counts as an edge; smaller ones come from compression and
rounding."""
NOISE_STEPS = 8.0
"""An edge is a step of at least this many standard deviations of the noise. In 9 samples of normal
noise, the largest and the smallest are 3 apart on average, and almost never 8."""
NOISE_SLOPE = 2.0
"""How much noise adds to the steepest slope of a profile, in standard deviations: the largest of 8
differences, each with 1.4 standard deviations, is 2 on average."""
MAIN_STEPS, STRONG_SHARE = 0.25, 0.99
"""An edge is at least this share of the picture's strong edges (the 99th percentile of the ranges),
so that grain in soft shadows is not mistaken for a sharp subject."""
MIN_EDGE_SHARE = 0.004
"""Minimum share of a region that edges must fill: that of an edge one profile wide and as long as a
tenth of the region's width."""
SIDE_SHARE = 0.1
"""A direction counts if it has at least this share of the other direction's energy."""
BLURRED, SHARP = 0.20, 0.60
"""Slope over range at which focus is 0 and 1. Sharp pictures that ship with Python packages have a
median of 0.59; blurred by Gaussians of 1, 1.5, 2 and 3 pixels, they have 0.34, 0.27, 0.24, 0.20."""

_NOISE_KERNEL = np.array([1, -2, 1], np.float32)
"""Applied along rows and columns, it is the difference of two Laplacians (Immerkaer 1996)."""
_NOISE_BLOCK_PX = 16
_FLAT_SHARE = 0.1


def to_gray(pixels: RgbImage) -> Gray:
    """Converts uint8 RGB (height, width, 3) to luminance (ITU-R BT.601), uint8 (height, width)."""
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), np.uint8)


def focus_scale(steepness: float) -> float:
    """Maps slope over range to 0.0 (nothing is in focus) to 1.0 (as sharp as pictures get)."""
    return min(1.0, max(0.0, (steepness - BLURRED) / (SHARP - BLURRED)))


def measure_focus(gray: Gray) -> tuple[float, float]:
    """Measures how steep edges are, 0.0 to 1.0; values above 0.6 are mostly due to sharpening.

    Args:
        gray: uint8, (height, width).

    Returns:
        Slope over range in the whole picture and in its sharpest region, which is at least as
        sharp; 0.0 if there are no edges.
    """
    if min(gray.shape) < 3:
        return 0.0, 0.0
    noise = flat_noise(gray)
    ranges = [_range(gray, axis) for axis in (0, 1)]
    counts = cv2.calcHist([cv2.max(*ranges)], [0], None, [256], [0, 256]).ravel().cumsum()
    strong = int(np.searchsorted(counts, STRONG_SHARE * counts[-1]))
    step = max(MIN_STEP, NOISE_STEPS * noise, MAIN_STEPS * strong)
    small = np.asarray(_shrink(gray, COARSE_FACTOR), np.uint8)
    directions = [
        _Direction.of(ranges[axis], _steepest(gray, axis), _range(small, axis), step, noise)
        for axis in (0, 1)
    ]
    regions = _combine([found.grid for found in directions], MIN_EDGE_SHARE * step**2)
    whole = _whole([found.total for found in directions])
    return whole, max(whole, float(regions.max()))


def noise_response(gray: Gray) -> Response:
    """Filters out slopes and curves, which leaves noise; drops a border of one pixel."""
    kernel = _NOISE_KERNEL
    return np.asarray(cv2.sepFilter2D(gray, cv2.CV_16S, kernel, kernel)[1:-1, 1:-1], np.int16)


def flat_noise(gray: Gray) -> float:
    """Estimates the standard deviation of the noise where the picture is flattest, in grey levels.

    Uses the method of Immerkaer (1996) on blocks of 16 x 16 pixels, and returns the tenth
    percentile, so that texture does not count as noise.
    """
    if min(gray.shape) < 3:
        return 0.0
    answer = cv2.convertScaleAbs(noise_response(gray))
    blocks = np.asarray(_shrink(answer.astype(np.float32), _NOISE_BLOCK_PX), np.float64)
    return float(math.sqrt(math.pi / 2) * np.quantile(blocks, _FLAT_SHARE) / 6)


@dataclass(frozen=True, slots=True)
class _Energy:
    """Mean edge strength along one direction in a region or the picture, in grey levels squared.

    Attributes:
        slope: Mean of slope times range.
        range: Mean of the squared range.
        coarse: Mean of the squared range at the coarse scale, scaled to match `range`.
    """

    slope: Cells
    range: Cells
    coarse: Cells


@dataclass(frozen=True, slots=True)
class _Direction:
    """The edges along rows or columns, in each region and in the whole picture."""

    grid: _Energy
    total: _Energy

    @classmethod
    def of(cls, ranges: Gray, slopes: Gray, coarse: Gray, step: float, noise: float) -> _Direction:
        limit = math.ceil(step) - 1
        edges = cv2.threshold(ranges, limit, 0, cv2.THRESH_TOZERO)[1]
        slopes = cv2.subtract(slopes, round(NOISE_SLOPE * noise))
        wide = cv2.threshold(coarse, limit, 0, cv2.THRESH_TOZERO)[1]
        products = ((edges, slopes), (edges, edges), (wide, wide))
        # an edge affects a profile's length on both sides, which is a larger share of the coarse
        # picture
        shares = (1.0, 1.0, 1.0 / COARSE_FACTOR)
        grids = [
            _mean_products(*pair) * share for pair, share in zip(products, shares, strict=True)
        ]
        return cls(_Energy(*grids), _Energy(*(np.asarray(grid.mean()) for grid in grids)))


def _range(gray: Gray, axis: int) -> Gray:
    """Returns the range of values in the profile around each pixel along an axis."""
    kernel = _line(PROFILE_PX, axis)
    return np.asarray(cv2.subtract(cv2.dilate(gray, kernel), cv2.erode(gray, kernel)), np.uint8)


def _steepest(gray: Gray, axis: int) -> Gray:
    """Finds the largest step between neighbours in the profile around each pixel on an axis."""
    steps = np.zeros_like(gray)
    if axis == 0:
        steps[:-1] = cv2.absdiff(gray[1:], gray[:-1])
    else:
        steps[:, :-1] = cv2.absdiff(gray[:, 1:], gray[:, :-1])
    return np.asarray(cv2.dilate(steps, _line(PROFILE_PX - 1, axis)), np.uint8)


def _line(length: int, axis: int) -> NDArray[np.uint8]:
    return np.ones((length, 1) if axis == 0 else (1, length), np.uint8)


def _combine(pair: list[_Energy], least: float) -> Cells:
    """Finds each region's steepness in its less sharp direction; 0 if one has too few edges."""
    steepness, energy = _steepness(pair)
    counts = (energy >= SIDE_SHARE * energy.max(axis=0)) & (energy >= least)
    return np.asarray(np.where(counts.all(axis=0), steepness.min(axis=0), 0.0))


def _whole(pair: list[_Energy]) -> float:
    """Finds the steepness in the picture's less sharp direction that has edges."""
    steepness, energy = _steepness(pair)
    counts = (energy > 0) & (energy >= SIDE_SHARE * energy.max())
    return float(steepness[counts].min()) if counts.any() else 0.0


def _steepness(pair: list[_Energy]) -> tuple[Cells, Cells]:
    """Returns slope over range, and the energy of the edges, for both directions.

    Where nearly all edges are wider than a profile, their range is taken from the coarse scale.
    """
    slope, fine, coarse = (
        np.stack([getattr(one, name) for one in pair]) for name in ("slope", "range", "coarse")
    )
    base = np.where(fine < SIDE_SHARE * coarse, coarse, fine)
    steepness = np.divide(slope, base, out=np.zeros_like(base), where=base > 0)
    return steepness, np.maximum(fine, coarse)


def _shrink(values: NDArray[Any], factor: int) -> NDArray[Any]:
    """Averages squares of `factor` pixels per side; drops the remainder at the right and bottom."""
    rows, columns = (max(1, length // factor) for length in values.shape)
    # OpenCV takes a tenth of the time if each square has a whole number of pixels
    height, width = (
        length // count * count for length, count in zip(values.shape, (rows, columns), strict=True)
    )
    whole = values[:height, :width]
    return np.asarray(cv2.resize(whole, (columns, rows), interpolation=cv2.INTER_AREA))


def _mean_products(first: Gray, second: Gray) -> Cells:
    """Averages `first` times `second` in each region; drops the rest at the right and bottom."""
    rows, columns = (_spans(length) for length in first.shape)
    sums = [
        [_sum_products(first[row, column], second[row, column]) for column in columns]
        for row in rows
    ]
    return np.array(sums) / first[rows[0], columns[0]].size


def _spans(length: int) -> list[slice]:
    """Splits a side into regions; one with fewer pixels than regions repeats its last pixel."""
    size = max(1, length // REGION_GRID)
    starts = (min(number * size, length - size) for number in range(REGION_GRID))
    return [slice(start, start + size) for start in starts]


def _sum_products(first: Gray, second: Gray) -> float:
    """Sums products by squared norms, which OpenCV computes ten times as fast."""
    squares = cv2.norm(first, cv2.NORM_L2SQR) + cv2.norm(second, cv2.NORM_L2SQR)
    return float(squares - cv2.norm(first, second, cv2.NORM_L2SQR)) / 2
