from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from services.quality.focus import Gray, flat_noise, focus_scale, measure_focus

BLURRED = 0.2
"""As `min_sharpness`."""


@pytest.fixture(scope="module")
def scene() -> Gray:
    """Grey rectangles and discs of all sizes and contrasts: sharp edges in all directions."""
    random = np.random.default_rng(3)
    canvas = np.full((480, 640), 120, np.uint8)
    for _ in range(120):
        x, y, size = (int(value) for value in random.integers((0, 0, 6), (640, 480, 60)))
        level = int(random.integers(20, 236))
        if random.random() < 0.5:
            cv2.circle(canvas, (x, y), size, level, -1, cv2.LINE_AA)
        else:
            cv2.rectangle(canvas, (x, y), (x + size, y + size // 2), level, -1)
    return canvas


def focus(gray: Gray) -> float:
    return focus_scale(measure_focus(gray)[1])


def blur(gray: Gray, sigma: float) -> Gray:
    return np.asarray(cv2.GaussianBlur(gray, (0, 0), sigma), np.uint8)


def shake(gray: Gray, pixels: int) -> Gray:
    return np.asarray(cv2.blur(gray, (pixels, 1)), np.uint8)


def add_grain(gray: Gray, sigma: float) -> Gray:
    grain = np.random.default_rng(5).normal(0, sigma, gray.shape)
    return np.clip(gray + grain, 0, 255).astype(np.uint8)


def test_a_sharp_scene_is_in_focus_at_any_contrast(scene: Gray) -> None:
    assert focus(scene) > 0.8
    fog = (200 + 0.2 * scene).astype(np.uint8)
    night = (0.2 * scene).astype(np.uint8)
    assert focus(fog) == pytest.approx(focus(scene), abs=0.2)
    assert focus(night) == pytest.approx(focus(scene), abs=0.2)


def test_blur_and_shake_lower_focus_in_fog_too(scene: Gray) -> None:
    values = [focus(blur(scene, sigma)) for sigma in (1.0, 2.0, 3.0)]
    assert values == sorted(values, reverse=True)
    assert values[1] < BLURRED
    assert focus((200 + 0.2 * blur(scene, 3.0)).astype(np.uint8)) < BLURRED
    assert focus(shake(scene, 16)) < BLURRED


def test_a_sharp_subject_on_a_plain_or_soft_background_is_in_focus(scene: Gray) -> None:
    plain = np.full((600, 900), 200, np.uint8)
    plain[260:330, 400:490] = scene[100:170, 200:290]
    assert focus(plain) > 3 * BLURRED
    soft = np.asarray(cv2.resize(blur(scene, 8.0), (900, 600)), np.uint8)
    soft[200:400, 300:600] = scene[100:300, 200:500]
    assert focus(soft) > 3 * BLURRED


def test_grain_does_not_make_up_for_blur(scene: Gray) -> None:
    assert focus(add_grain(scene, 12.0)) <= focus(scene)
    assert focus(add_grain(blur(scene, 3.0), 8.0)) < BLURRED


def test_nothing_is_in_focus_without_edges() -> None:
    assert measure_focus(np.full((40, 60), 9, np.uint8)) == (0.0, 0.0)
    assert measure_focus(np.full((2, 60), 9, np.uint8)) == (0.0, 0.0)
    lens_cap = np.clip(add_grain(np.full((300, 400), 4, np.uint8), 2.0), 0, 255).astype(np.uint8)
    assert focus(lens_cap) == 0.0


def test_noise_is_measured_where_a_picture_is_flat(scene: Gray) -> None:
    assert flat_noise(scene) < 0.5
    assert flat_noise(add_grain(scene, 6.0)) == pytest.approx(6.0, rel=0.25)


@given(hnp.arrays(np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, max_side=40)))
def test_focus_is_in_its_range_for_any_picture(gray: NDArray[np.uint8]) -> None:
    whole, sharpest = measure_focus(gray)
    assert 0.0 <= whole <= sharpest <= 1.0
