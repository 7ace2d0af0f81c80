"""Measures the overlap of two pictures by local features of their thumbnails; a heuristic.

Features are found by SIFT (Lowe 2004), compared as RootSIFT (Arandjelovic and Zisserman 2012), and
the plane homography between them is fitted by MAGSAC++ (Barath et al. 2020). Mirroring a picture
permutes the values of a SIFT descriptor, so features need not be found again in the mirror image.

Two views of a scene with depth share no plane, but they do share an epipolar geometry; the features
that fit it are counted to decide whether two photos show the same place.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from orchestrator.domain.overlap import Overlap, Side
from services.common.imaging.decode import RgbImage

FEATURE_COUNT = 300
MATCH_RATIO = 0.8
"""Maximum ratio of the nearest feature's distance to the next one's for a match (Lowe 2004)."""
MIN_MATCHES = 12
FIT_PX = 3.0
"""Maximum distance of a match that fits the homography, in pixels of the thumbnail."""
WINDOW_PX = 5.0
"""Standard deviation of the window in which fine structure is compared."""
TEXTURE_VARIANCE = 36.0
"""Minimum variance of the 8-bit levels in a window for a comparison to be meaningful."""
MIN_JOINT_SHARE = 0.05
EPIPOLAR_PX = 2.0
"""Maximum distance of a match from the epipolar line, in pixels of the thumbnail."""
MIN_GEOMETRY = 8
"""Minimum number of matches for an epipolar geometry; seven matches always fit one."""

Doubles = NDArray[np.float64]
Singles = NDArray[np.float32]
Grey = NDArray[np.uint8]

_BINS = np.arange(128).reshape(4, 4, 8)
MIRRORED = _BINS[::-1, :, -np.arange(8) % 8].reshape(128)
"""Order of a SIFT descriptor's values after mirroring the picture."""


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """A picture and its features.

    Attributes:
        grey: (height, width).
        colours: float32, (height, width, 2), Cr and Cb, 0 for grey.
        places: (n, 2), x and y of the features.
        descriptors: (n, 128), unit rows.
    """

    grey: Grey
    colours: Singles
    places: Singles
    descriptors: Singles


def describe(pixels: RgbImage) -> Picture:
    """Finds the features of a picture."""
    converted = cv2.cvtColor(pixels, cv2.COLOR_RGB2YCrCb)
    grey = np.ascontiguousarray(converted[:, :, 0])
    colours = converted[:, :, 1:].astype(np.float32) - np.float32(128.0)
    # without precise upscaling, places are half a pixel off, and mirroring does not undo that
    sift = cv2.SIFT.create(nfeatures=FEATURE_COUNT, enable_precise_upscale=True)
    found, descriptors = sift.detectAndCompute(grey, None)
    if descriptors is None or len(found) == 0:
        return Picture(grey, colours, np.empty((0, 2), np.float32), np.empty((0, 128), np.float32))
    places = np.array([point.pt for point in found], np.float32)
    sums = np.maximum(descriptors.sum(axis=1, keepdims=True), 1.0)
    return Picture(grey, colours, places, np.sqrt(descriptors / sums).astype(np.float32))


def measure_overlap(first: Picture, second: Picture) -> Overlap | None:
    """Compares two pictures; None if they have no plane in common."""
    plain = _matches(first.descriptors, second.descriptors)
    mirrored = _matches(first.descriptors[:, MIRRORED], second.descriptors)
    is_mirrored = len(mirrored) > len(plain)
    matches = mirrored if is_mirrored else plain
    if len(matches) < MIN_MATCHES:
        return None
    one = _mirror(first) if is_mirrored else first
    found, fits = cv2.findHomography(
        second.places[matches[:, 1]],
        one.places[matches[:, 0]],
        cv2.USAC_MAGSAC,
        FIT_PX,
        maxIters=2000,
        confidence=0.995,
    )
    count = int(fits.sum()) if fits is not None else 0
    if found is None or count < MIN_MATCHES:
        return None
    return _measure(one, second, np.asarray(found, np.float64), count, is_mirrored=is_mirrored)


def count_common_features(first: Picture, second: Picture) -> int | None:
    """Counts the features that are each other's nearest and fit one epipolar geometry.

    None if there are few, and one picture has few features to share, because it is plain, blurred
    or out of focus.
    """
    count = _count_fitting(first, second)
    if count < MIN_MATCHES and min(len(first.places), len(second.places)) < FEATURE_COUNT:
        return None
    return count


def _count_fitting(first: Picture, second: Picture) -> int:
    matches = _matches(first.descriptors, second.descriptors)
    back = second.descriptors[matches[:, 1]] @ first.descriptors.T
    if len(back):
        matches = matches[back.argmax(axis=1) == matches[:, 0]]
    if len(matches) < MIN_GEOMETRY:
        return 0
    places = first.places[matches[:, 0]], second.places[matches[:, 1]]
    try:
        _, fits = cv2.findFundamentalMat(
            *places, cv2.USAC_MAGSAC, EPIPOLAR_PX, confidence=0.999, maxIters=2000
        )
    except cv2.error:  # raised if no sample of the matches gives a geometry
        return 0
    return 0 if fits is None else int(fits.sum())


def _mirror(picture: Picture) -> Picture:
    places = picture.places.copy()
    places[:, 0] = picture.grey.shape[1] - 1 - places[:, 0]
    grey = np.ascontiguousarray(picture.grey[:, ::-1])
    colours = np.ascontiguousarray(picture.colours[:, ::-1])
    return Picture(grey, colours, places, picture.descriptors)


def _matches(first: Singles, second: Singles) -> NDArray[np.intp]:
    """Finds pairs of features that clearly match, (m, 2), using each second feature once."""
    if len(first) < MIN_MATCHES or len(second) < MIN_MATCHES:
        return np.empty((0, 2), np.intp)
    similarity = first @ second.T
    own, best = np.arange(len(first)), similarity.argmax(axis=1)
    near = 2.0 - 2.0 * similarity[own, best]
    similarity[own, best] = -1.0
    is_clear = near < MATCH_RATIO**2 * (2.0 - 2.0 * similarity.max(axis=1))
    rows = np.flatnonzero(is_clear)
    rows = rows[np.argsort(near[rows], kind="stable")]
    once = np.unique(best[rows], return_index=True)[1]
    return np.stack([rows[once], best[rows][once]], axis=1)


def _measure(
    first: Picture, second: Picture, homography: Doubles, count: int, *, is_mirrored: bool
) -> Overlap | None:
    """Aligns the second picture with the first; `homography` maps its points to the first."""
    corners = _map(homography, _corners(second.grey))
    if corners is None or (back := _inverse(homography)) is None:
        return None
    others = _map(back, _corners(first.grey))
    lengths = _length(corners, second.grey, first.grey)
    if others is None or not 0.05 < lengths < 20.0:
        return None
    if lengths > 1.0:  # align the finer picture with the coarser one
        found = _measure_laid(second, first, back, others)
        laid = None if found is None else (found[0], found[2], found[1])
    else:
        laid = _measure_laid(first, second, homography, corners)
    if laid is None:
        return None
    comparison, mine, theirs = laid
    return Overlap(
        match_count=count,
        is_mirrored=is_mirrored,
        turn_degrees=_turn(corners),
        bend=_bend(corners, second.grey) / max(first.grey.shape),
        agreement=comparison.agreement,
        lowest=comparison.lowest,
        colour_shift=comparison.colour_shift,
        first=_side(mine, corners, first.grey, _length(others, first.grey, second.grey)),
        second=_side(theirs, others, second.grey, lengths),
    )


@dataclass(frozen=True, slots=True)
class _Comparison:
    agreement: float
    lowest: float
    colour_shift: float


@dataclass(frozen=True, slots=True)
class _Part:
    share: float
    spread: float
    chroma: float


def _measure_laid(
    coarse: Picture, fine: Picture, homography: Doubles, corners: Doubles
) -> tuple[_Comparison, _Part, _Part] | None:
    """Compares the common part; returns the comparison, and the parts of both pictures."""
    size = coarse.grey.shape[1], coarse.grey.shape[0]
    softened = _soften(fine, 1.0 / _length(corners, fine.grey, coarse.grey))
    joint = cv2.warpPerspective(np.full(fine.grey.shape, 255, np.uint8), homography, size) == 255
    if joint.mean() < MIN_JOINT_SHARE:
        return None
    laid = cv2.warpPerspective(softened.grey, homography, size)
    colours = cv2.warpPerspective(softened.colours, homography, size)
    structure = _correlate(coarse.grey, laid, joint)
    if structure is None:
        return None
    shift = _relative(coarse.colours, coarse.grey, joint) - _relative(colours, laid, joint)
    inverse = np.linalg.inv(homography)
    size_fine = fine.grey.shape[1], fine.grey.shape[0]
    theirs = cv2.warpPerspective(np.full(coarse.grey.shape, 255, np.uint8), inverse, size_fine)
    comparison = _Comparison(*structure, float(np.hypot(shift[:, 0], shift[:, 1]).mean()))
    return comparison, _part(coarse, joint, joint), _part(fine, theirs == 255, theirs == 255)


def _part(picture: Picture, joint: NDArray[np.bool_], coloured: NDArray[np.bool_]) -> _Part:
    rest = cv2.erode((~joint).astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    chroma = np.hypot(picture.colours[:, :, 0], picture.colours[:, :, 1])
    return _Part(
        share=float(joint.mean()),
        spread=float(picture.grey[rest].std()) if rest.any() else 0.0,
        chroma=float(chroma[coloured].mean()) if coloured.any() else 0.0,
    )


def _side(part: _Part, corners: Doubles, grey: Grey, length: float) -> Side:
    height, width = grey.shape
    x, y = corners.mean(axis=0)
    return Side(
        share=part.share,
        x=float(x) / width - 0.5,
        y=float(y) / height - 0.5,
        spread=part.spread,
        chroma=part.chroma,
        length=length,
    )


def _soften(picture: Picture, shrinking: float) -> Picture:
    """Removes the detail that is lost when a picture is shrunk by a factor."""
    if shrinking < 1.1:
        return picture
    sigma = 0.5 * math.sqrt(shrinking**2 - 1.0)
    grey = cv2.GaussianBlur(picture.grey, (0, 0), sigma)
    return Picture(grey, picture.colours, picture.places, picture.descriptors)


def _correlate(first: Grey, second: Grey, joint: NDArray[np.bool_]) -> tuple[float, float] | None:
    """Correlates textured windows; None if there are hardly any."""
    mask = joint.astype(np.float32)
    one, other = first.astype(np.float32) * mask, second.astype(np.float32) * mask

    def average(values: Singles) -> Singles:
        return np.asarray(cv2.GaussianBlur(values, (0, 0), WINDOW_PX), np.float32)

    weight = average(mask) + np.float32(1e-6)
    means = average(one) / weight, average(other) / weight
    variances = [
        average(part * part) / weight - mean * mean
        for part, mean in zip((one, other), means, strict=True)
    ]
    covariance = average(one * other) / weight - means[0] * means[1]
    inside = cv2.erode(joint.astype(np.uint8), np.ones((9, 9), np.uint8)) > 0
    textured = inside & (np.maximum(*variances) >= TEXTURE_VARIANCE)
    if np.count_nonzero(textured) < 100:
        return None
    power = np.sqrt(np.maximum(variances[0], 1.0) * np.maximum(variances[1], 1.0))
    agreement, lowest = np.percentile((covariance / power)[textured], (20, 5))
    return float(agreement), float(lowest)


def _relative(colours: Singles, grey: Grey, joint: NDArray[np.bool_]) -> Singles:
    """Scales colours to a mean brightness of 128."""
    mean = max(float(grey[joint].mean()), 32.0)
    blurred = cv2.GaussianBlur(colours, (0, 0), 3.0)
    return np.asarray(blurred[joint] * (128.0 / mean), np.float32)


def _corners(grey: Grey) -> Doubles:
    height, width = grey.shape
    return np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float64)


def _inverse(homography: Doubles) -> Doubles | None:
    try:
        return np.asarray(np.linalg.inv(homography), np.float64)
    except np.linalg.LinAlgError:
        return None


def _map(homography: Doubles, places: Doubles) -> Doubles | None:
    """Maps a rectangle; None if the result is not a convex quadrilateral."""
    found = np.column_stack([places, np.ones(len(places))]) @ homography.T
    if not np.isfinite(found).all() or (found[:, 2] * found[0, 2] <= 1e-9).any():
        return None
    found = found[:, :2] / found[:, 2:]
    sides = np.roll(found, -1, axis=0) - found
    following = np.roll(sides, -1, axis=0)
    turns = sides[:, 0] * following[:, 1] - sides[:, 1] * following[:, 0]
    return np.asarray(found, np.float64) if (turns > 0).all() else None


def _length(corners: Doubles, of: Grey, among: Grey) -> float:
    """Measures the long side of an aligned picture, relative to the other one's long side."""
    x, y = corners.T
    area = 0.5 * abs(float(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))))
    scale = math.sqrt(area / (of.shape[0] * of.shape[1]))
    return float(scale * max(of.shape) / max(among.shape))


def _turn(corners: Doubles) -> float:
    across = corners[1] + corners[2] - corners[0] - corners[3]
    return abs(math.degrees(math.atan2(float(across[1]), float(across[0]))))


def _bend(corners: Doubles, grey: Grey) -> float:
    """Measures how far, in px, the corners are from the best shift, rotation and scaling."""
    source = _corners(grey) @ np.array([1.0, 1.0j])
    target = corners @ np.array([1.0, 1.0j])
    source, target = source - source.mean(), target - target.mean()
    factor = np.vdot(source, target) / np.vdot(source, source)
    return float(np.abs(target - factor * source).max())
