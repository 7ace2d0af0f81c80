"""Technical quality from formulas; aesthetics from a network or a heuristic labelled as such."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from services.common.imaging.decode import CANONICAL_LONG_SIDE_PX, RgbImage
from services.common.inference.onnx import ModelSession
from services.common.inference.registry import Preprocessing
from services.common.inference.tensor import to_tensor
from services.quality.config import IqaConstants
from services.quality.focus import (
    Gray,
    Response,
    focus_scale,
    measure_focus,
    noise_response,
    to_gray,
)

Histogram = NDArray[np.int64]
"""Number of pixels at each grey level, (256,)."""

HEURISTIC_LOW, HEURISTIC_HIGH = 2.0, 8.0
"""Mean votes in AVA rarely leave the range 2 to 8 (Murray et al. 2012, figure 3)."""
HEURISTIC_WEIGHTS = {
    "focus": 0.30,
    "contrast": 0.20,
    "light": 0.20,
    "colour": 0.15,
    "compactness": 0.10,
    "simplicity": 0.05,
}
"""Chosen by hand, not learned."""

SIGNATURE_SIDE_PX, SIGNATURE_GRID = 256, 16
"""Side of the square that a picture is resized to for its signature, and number of cells per
side."""


@dataclass(frozen=True)
class Quality:
    """Scores of one picture; ranges as in quality.proto."""

    iqa_score: float
    ava_score: float
    ava_distribution: tuple[float, ...]
    sharpness: float
    focus_score: float
    exposure: float
    contrast: float
    colourfulness: float
    laplacian_variance: float
    noise_level: float | None
    brightness: float
    tonal_range: float
    flat_share: float
    luminance_grid: tuple[int, ...]
    detail_grid: tuple[int, ...]


class AestheticNetwork:
    """Predicts the votes that a picture would get.

    Args:
        session: A graph with one input, whose output is (1, 1), the mean vote, or (1, 10), the
            shares of the votes 1 to 10.
        preprocessing: The preprocessing that the graph was trained with.
    """

    def __init__(self, session: ModelSession, preprocessing: Preprocessing) -> None:
        self._session = session
        self._preprocessing = preprocessing

    def votes(self, pixels: RgbImage) -> tuple[float, tuple[float, ...]]:
        """Predicts the mean vote, 1 to 10, and the share of each vote (empty if unknown)."""
        (name,) = self._session.input_names
        answer = self._session.run({name: to_tensor(pixels, self._preprocessing)})[0][0]
        if len(answer) == 1:
            return float(answer[0]), ()
        with np.errstate(divide="ignore", invalid="ignore"):  # rejected later if all are zero
            shares = answer.astype(np.float64) / answer.sum(dtype=np.float64)
        return float(shares @ np.arange(1, len(shares) + 1)), tuple(shares.tolist())


class QualityModel:
    """Scores pictures with formulas, and their aesthetics with a network if there is one.

    Args:
        constants: Constants of the formulas.
        aesthetic: None = the heuristic.
    """

    def __init__(self, constants: IqaConstants, aesthetic: AestheticNetwork | None = None) -> None:
        self._constants = constants
        self._aesthetic = aesthetic

    def score(self, pixels: RgbImage) -> Quality:
        """Scores one canonical image, uint8 (height, width, 3), RGB."""
        constants = self._constants
        gray = to_gray(pixels)
        response = laplacian_response(gray)
        luminance_grid, detail_grid = sign(gray)
        histogram = count_levels(gray)
        whole, sharpest = measure_focus(gray)
        whole_at_scale, sharpest_at_scale = (
            measure_focus(to_reference_scale(gray))
            if max(gray.shape) < CANONICAL_LONG_SIDE_PX
            else (whole, sharpest)
        )
        sharpness = focus_scale(whole_at_scale)
        exposure = exposure_score(histogram)
        colour = colourfulness(pixels)
        colourful = _clip(colour / constants.colourfulness_full_scale)
        contrast = contrast_score(histogram, constants.contrast_full_scale)
        if self._aesthetic is not None:
            ava_score, ava_distribution = self._aesthetic.votes(pixels)
        else:
            focus = focus_scale(sharpest_at_scale)
            ava_score = heuristic_aesthetic(pixels, response, histogram, colour, focus)
            ava_distribution = ()
        return Quality(
            iqa_score=constants.sharpness_weight * sharpness
            + constants.exposure_weight * exposure
            + constants.colourfulness_weight * colourful
            + constants.contrast_weight * contrast,
            ava_score=ava_score,
            ava_distribution=ava_distribution,
            sharpness=sharpness,
            focus_score=focus_scale(sharpest),
            exposure=exposure,
            contrast=contrast,
            colourfulness=colourful,
            laplacian_variance=laplacian_variance(response),
            noise_level=noise_level(gray),
            brightness=_mean_level(histogram) / 255.0,
            tonal_range=_tonal_width(histogram),
            flat_share=1.0 - cv2.countNonZero(response) / response.size,
            luminance_grid=luminance_grid,
            detail_grid=detail_grid,
        )


def to_reference_scale(gray: Gray) -> Gray:
    """Enlarges a picture to the long side of a canonical image, so that missing detail shows."""
    factor = CANONICAL_LONG_SIDE_PX / max(gray.shape)
    size = (max(1, round(gray.shape[1] * factor)), max(1, round(gray.shape[0] * factor)))
    return np.asarray(cv2.resize(gray, size, interpolation=cv2.INTER_LINEAR), np.uint8)


def sign(gray: Gray) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Computes a coarse signature of a picture; copies of any size have nearly the same one.

    The picture is resized to 256 x 256 and divided into 16 x 16 cells.

    Returns:
        The mean luminance of each cell and the mean absolute Laplacian of each cell, 256 values
        each, row by row, rounded to integers from 0 to 255.
    """
    side, grid = (SIGNATURE_SIDE_PX,) * 2, (SIGNATURE_GRID,) * 2
    small = cv2.resize(gray, side, interpolation=cv2.INTER_AREA)
    edges = cv2.convertScaleAbs(cv2.Laplacian(small, cv2.CV_16S))
    luminance, detail = (
        cv2.resize(values, grid, interpolation=cv2.INTER_AREA) for values in (small, edges)
    )
    return tuple(map(int, luminance.ravel())), tuple(map(int, detail.ravel()))


def laplacian_response(gray: Gray) -> Response:
    """Returns the 3x3 Laplacian."""
    return np.asarray(cv2.Laplacian(gray, cv2.CV_16S), np.int16)


def count_levels(gray: Gray) -> Histogram:
    """Counts the pixels at each grey level."""
    return np.asarray(cv2.calcHist([gray], [0], None, [256], [0, 256]), np.int64).ravel()


def laplacian_variance(response: Response) -> float:
    """Returns the variance of the Laplacian in grey levels squared (Pech-Pacheco et al. 2000)."""
    return float(cv2.meanStdDev(response)[1][0, 0] ** 2)


def noise_level(gray: Gray) -> float | None:
    """Estimates the standard deviation of additive white noise.

    Immerkaer (1996), "Fast noise variance estimation", Computer Vision and Image Understanding
    64(2): the mean absolute response of the difference of two Laplacians, which ignores
    constant and linear brightness, scaled for a normal distribution. Fine texture and sharp edges
    count as noise; noise that JPEG or scaling has smoothed counts less.

    Returns:
        Grey levels, 0.0 and up; None for a picture smaller than 3 x 3 pixels.
    """
    if min(gray.shape) < 3:
        return None
    answer = noise_response(gray)
    # the norm of the kernel is 6
    return float(math.sqrt(math.pi / 2) * cv2.norm(answer, cv2.NORM_L1) / answer.size / 6)


def exposure_score(levels: Histogram) -> float:
    """Averages the share of unclipped pixels and the histogram's entropy divided by its maximum.

    Returns:
        0.0 to 1.0. Source: the earlier system's rule-based score.
    """
    histogram = levels / levels.sum()
    present = histogram[histogram > 0]
    entropy = -float((present * np.log(present)).sum()) / math.log(256)
    clipped = float(histogram[0] + histogram[255])
    return _clip(0.5 * (1 - clipped) + 0.5 * entropy)


def contrast_score(levels: Histogram, full_scale: float) -> float:
    """Divides the standard deviation by the mean and by `full_scale`, and clips the result.

    Returns:
        0.0 for a black picture.
    """
    mean = _mean_level(levels)
    if mean == 0:
        return 0.0
    variance = float(levels @ (np.arange(256) - mean) ** 2 / levels.sum())
    return _clip(math.sqrt(variance) / mean / full_scale)


def colourfulness(pixels: RgbImage) -> float:
    """Computes the colourfulness M3 of Hasler and Suesstrunk (2003), section 7, in grey levels.

    Returns:
        0.0 for a grey picture; more than 100 for an extremely colourful one.
    """
    red, green, blue = cv2.split(pixels)
    red_green, red_blue, green_blue = (
        cv2.norm(*pair, cv2.NORM_L2SQR) for pair in ((red, green), (red, blue), (green, blue))
    )
    # mean squares of red - green and of 2 x (yellow - blue) = red + green - 2 x blue
    squares = np.array([red_green, 2 * (red_blue + green_blue) - red_green]) / red.size
    mean_red, mean_green, mean_blue = (cv2.mean(plane)[0] for plane in (red, green, blue))
    means = np.array([mean_red - mean_green, mean_red + mean_green - 2 * mean_blue])
    deviations = np.sqrt(np.maximum(squares - means**2, 0)) / (1, 2)
    return math.hypot(*deviations) + 0.3 * math.hypot(*(means / (1, 2)))


def heuristic_aesthetic(
    pixels: RgbImage,
    response: Response,
    levels: Histogram,
    colour: float,
    focus: float,
) -> float:
    """Estimates a mean AVA vote from six hand-crafted features, without learning from votes.

    Focus (0 to 1) is measured in the sharpest region (a sharp subject in front of a soft background
    is not a fault), contrast is the width of the middle 98 percent of the luminance, light is how
    close the mean luminance is to middle grey, colour is the colourfulness up to "moderately
    colourful", compactness is how small the frame is that contains 81 percent of the edges, and
    simplicity is how few hues there are. The last two and contrast follow Ke, Tang and Jing (2006),
    "The Design of High-Level Features for Photo Quality Assessment", sections 4.1 to 4.3.

    Returns:
        2.0 to 8.0, on AVA's scale of 1 to 10.
    """
    parts = {
        "focus": focus,
        "contrast": _tonal_width(levels),
        "light": 1.0 - abs(_mean_level(levels) - 118.0) / 137.0,
        "colour": _clip(colour / 45.0),
        "compactness": 1.0 - _edge_frame_area(response),
        "simplicity": 1.0 - _hue_count(pixels) / 20.0,
    }
    total = sum(HEURISTIC_WEIGHTS[name] * _clip(value) for name, value in parts.items())
    return HEURISTIC_LOW + (HEURISTIC_HIGH - HEURISTIC_LOW) * total


def _mean_level(levels: Histogram) -> float:
    return float(levels @ np.arange(256) / levels.sum())


def _tonal_width(levels: Histogram) -> float:
    low, high = (percentile(levels, share) for share in (0.01, 0.99))
    return (high - low) / 255.0


def percentile(levels: Histogram, share: float) -> float:
    """Computes NumPy's `percentile` of the pixels, interpolated between the nearest levels."""
    place = share * (int(levels.sum()) - 1)
    rank = math.floor(place)
    low, high = np.searchsorted(levels.cumsum(), [rank, math.ceil(place)], side="right")
    return float(low + (high - low) * (place - rank))


def _edge_frame_area(response: Response) -> float:
    """Measures the area of the central frame that holds 90 percent of the edges in each direction.

    Returns:
        0.0 to 1.0.
    """
    edges = np.abs(response)
    total = int(cv2.norm(response, cv2.NORM_L1))
    if total == 0:
        return 1.0
    area = 1.0
    for axis in (0, 1):
        # 32 bits hold the sum of a canonical image's row exactly
        sums = cv2.reduce(edges, axis, cv2.REDUCE_SUM, dtype=cv2.CV_32F)
        mass = np.cumsum(sums, dtype=np.float64) / total
        first, last = np.searchsorted(mass, (0.05, 0.95))
        area *= (last - first + 1) / len(mass)
    return float(area)


def _hue_count(pixels: RgbImage) -> int:
    """Counts how many of 20 hues have more than a twentieth of the most frequent hue's pixels."""
    hsv = cv2.cvtColor(pixels, cv2.COLOR_RGB2HSV)
    coloured = cv2.inRange(hsv, (0, 52, 39), (255, 255, 241))
    degrees = cv2.calcHist([hsv], [0], coloured, [180], [0, 180])  # in steps of 2 degrees
    histogram = degrees.reshape(20, 9).sum(axis=1)
    return int((histogram > 0.05 * histogram.max()).sum()) if histogram.max() > 0 else 0


def _clip(value: float) -> float:
    return min(1.0, max(0.0, value))
