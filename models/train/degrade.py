"""Degradations of photos, each with a strength from 0 (barely visible) to 1 (strong).

Lengths are shares of the long side, so a degradation looks the same at every size.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

RgbImage = NDArray[np.uint8]


def _between(low: float, high: float, strength: float) -> float:
    return low + (high - low) * strength


def defocus(image: RgbImage, strength: float, rng: np.random.Generator) -> RgbImage:
    """Blurs with a disk of 0.3 to 1.2 percent of the long side."""
    radius = max(1.0, _between(0.003, 0.012, strength) * max(image.shape))
    reach = math.ceil(radius)
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    disk = np.clip(radius + 0.5 - np.hypot(x, y), 0, 1).astype(np.float32)
    return _filter(image, disk)


def motion_blur(image: RgbImage, strength: float, rng: np.random.Generator) -> RgbImage:
    """Smears along a random line of 1 to 4 percent of the long side."""
    length = max(3.0, _between(0.01, 0.04, strength) * max(image.shape))
    reach = math.ceil(length / 2)
    kernel = np.zeros((2 * reach + 1, 2 * reach + 1), np.float32)
    angle = rng.uniform(0, math.pi)
    dx, dy = math.cos(angle) * length / 2, math.sin(angle) * length / 2
    ends = [(round(reach + s * dx), round(reach + s * dy)) for s in (-1, 1)]
    cv2.line(kernel, ends[0], ends[1], 1.0, 1, cv2.LINE_AA)
    return _filter(image, kernel)


def noise(image: RgbImage, strength: float, rng: np.random.Generator) -> RgbImage:
    """Adds Gaussian noise of 15 to 50 grey levels, as from a small sensor in the dark."""
    sigma = _between(15, 50, strength)
    grain = rng.standard_normal(image.shape, np.float32) * np.float32(sigma)
    if rng.uniform() < 0.5:  # denoised by the camera: coarser grain
        grain = cv2.GaussianBlur(grain, (0, 0), 1.0) * 2.0
    return np.clip(image + grain, 0, 255).astype(np.uint8)


def noise_sharpened(image: RgbImage, strength: float, rng: np.random.Generator) -> RgbImage:
    """Adds Gaussian noise of 6 to 24 grey levels and sharpens it with the picture."""
    sigma = _between(6, 24, strength)
    grainy = image + rng.standard_normal(image.shape, np.float32) * np.float32(sigma)
    soft = cv2.GaussianBlur(grainy, (0, 0), rng.uniform(0.8, 2.0))
    sharpened = grainy + np.float32(rng.uniform(1.0, 2.0)) * (grainy - soft)
    return np.clip(sharpened, 0, 255).astype(np.uint8)


def exposure(image: RgbImage, strength: float, rng: np.random.Generator) -> RgbImage:
    """Changes the exposure by 1 to 2.8 stops, up or down, in linear light."""
    stops = _between(1.0, 2.8, strength) * (1 if rng.uniform() < 0.5 else -1)
    linear = (np.arange(256) / 255.0) ** 2.2 * 2.0**stops
    table = np.round(255 * np.clip(linear, 0, 1) ** (1 / 2.2)).astype(np.uint8)
    return table[image]


def jpeg(image: RgbImage, strength: float, rng: np.random.Generator) -> RgbImage:
    """Recompresses at JPEG quality 18 to 4."""
    quality = round(_between(18, 4, strength))
    _, encoded = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.ascontiguousarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR)[..., ::-1])


def tilt(image: RgbImage, strength: float, rng: np.random.Generator) -> RgbImage:
    """Rotates by 5 to 15 degrees; fills the corners, or zooms until they are out of the frame."""
    angle = _between(5, 15, strength) * (1 if rng.uniform() < 0.5 else -1)
    height, width = image.shape[:2]
    radians = math.radians(abs(angle))
    zoom = 1.0
    if rng.uniform() < 0.5:
        ratio = max(width / height, height / width)
        zoom = math.cos(radians) + ratio * math.sin(radians)
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), angle, zoom)
    border = cv2.BORDER_REFLECT if rng.uniform() < 0.5 else cv2.BORDER_CONSTANT
    return cv2.warpAffine(image, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=border)


def resized(image: RgbImage, strength: float, rng: np.random.Generator) -> RgbImage:
    """Shrinks to 40 to 12 percent of each side, and enlarges to the former size."""
    share = _between(0.40, 0.12, strength)
    height, width = (max(1, round(share * side)) for side in image.shape[:2])
    small = np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
    return _enlarge(small, image, rng)


def digital_zoom(image: RgbImage, strength: float, rng: np.random.Generator) -> RgbImage:
    """Cuts out a part with 40 to 15 percent of each side, and enlarges it to the former size.

    It has fewer true pixels. A crop that keeps its resolution is not worse for certain, so it is
    not among the degradations.
    """
    share = _between(0.40, 0.15, strength)
    height, width = (max(1, round(share * side)) for side in image.shape[:2])
    top = round(rng.uniform() * (image.shape[0] - height))
    left = round(rng.uniform() * (image.shape[1] - width))
    return _enlarge(image[top : top + height, left : left + width], image, rng)


def _enlarge(small: RgbImage, like: RgbImage, rng: np.random.Generator) -> RgbImage:
    method = cv2.INTER_LINEAR if rng.uniform() < 0.5 else cv2.INTER_CUBIC
    size = (like.shape[1], like.shape[0])
    return np.asarray(cv2.resize(small, size, interpolation=method), np.uint8)


def _filter(image: RgbImage, kernel: NDArray[np.float32]) -> RgbImage:
    blurred = cv2.filter2D(image, -1, kernel / kernel.sum(), borderType=cv2.BORDER_REFLECT)
    return np.asarray(blurred, np.uint8)


DEGRADATIONS: dict[str, Callable[[RgbImage, float, np.random.Generator], RgbImage]] = {
    "defocus": defocus,
    "motion_blur": motion_blur,
    "noise": noise,
    "exposure": exposure,
    "jpeg": jpeg,
    "tilt": tilt,
    "noise_sharpened": noise_sharpened,
    "resized": resized,
    "digital_zoom": digital_zoom,
}
