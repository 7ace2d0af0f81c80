from __future__ import annotations

import math
from collections.abc import Callable

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from services.quality.config import IQA_CONSTANTS
from services.quality.model import (
    QualityModel,
    colourfulness,
    contrast_score,
    count_levels,
    exposure_score,
    laplacian_response,
    laplacian_variance,
    noise_level,
    percentile,
)

Picture = Callable[..., NDArray[np.uint8]]

MODEL = QualityModel(IQA_CONSTANTS)


def test_iqa_is_the_weighted_sum_of_its_parts(picture: Picture) -> None:
    found = MODEL.score(picture())
    assert found.iqa_score == pytest.approx(
        0.40 * found.sharpness
        + 0.30 * found.exposure
        + 0.20 * found.colourfulness
        + 0.10 * found.contrast
    )


def test_laplacian_variance_of_a_known_picture() -> None:
    gray = np.zeros((3, 3), np.uint8)
    gray[1, 1] = 1
    response = np.array([[0, 2, 0], [2, -4, 2], [0, 2, 0]])  # borders mirrored without the edge
    assert laplacian_variance(laplacian_response(gray)) == pytest.approx(response.var())


def test_exposure_is_half_unclipped_share_and_half_entropy() -> None:
    every_grey = np.arange(256, dtype=np.uint8).reshape(16, 16)
    assert exposure_score(count_levels(every_grey)) == pytest.approx(0.5 * (1 - 2 / 256) + 0.5)
    assert exposure_score(count_levels(np.zeros((4, 4), np.uint8))) == 0.0
    halves = np.repeat([[100], [200]], 4, axis=1).astype(np.uint8)
    assert exposure_score(count_levels(halves)) == pytest.approx(
        0.5 + 0.5 * math.log(2) / math.log(256)
    )


def test_contrast_is_deviation_over_mean() -> None:
    gray = np.array([[50, 150]], np.uint8)
    assert contrast_score(count_levels(gray), 0.8) == pytest.approx(0.5 / 0.8)
    assert contrast_score(count_levels(np.zeros((2, 2), np.uint8)), 0.8) == 0.0


def test_colourfulness_follows_hasler_and_suesstrunk() -> None:
    assert colourfulness(np.full((4, 4, 3), 77, np.uint8)) == 0.0
    red = np.zeros((4, 4, 3), np.uint8)
    red[..., 0] = 200
    assert colourfulness(red) == pytest.approx(0.3 * math.hypot(200, 100))


def test_blur_darkness_and_noise_lower_the_right_scores(picture: Picture) -> None:
    sharp = picture(width=800, height=600)
    blurred = np.asarray(cv2.GaussianBlur(sharp, (0, 0), 4), np.uint8)
    dark = (sharp * 0.1).astype(np.uint8)
    good, soft, black = MODEL.score(sharp), MODEL.score(blurred), MODEL.score(dark)
    assert soft.sharpness < 0.3 * good.sharpness
    assert soft.iqa_score < good.iqa_score
    assert soft.ava_score < good.ava_score
    assert black.exposure < good.exposure
    assert black.ava_score < good.ava_score


@given(
    hnp.arrays(
        np.uint8,
        st.tuples(st.integers(1, 24), st.integers(1, 24), st.just(3)),
        elements=st.integers(0, 255),
    )
)
def test_every_score_is_in_its_range_for_any_picture(pixels: NDArray[np.uint8]) -> None:
    found = MODEL.score(pixels)
    for value in (
        found.iqa_score,
        found.sharpness,
        found.exposure,
        found.contrast,
        found.colourfulness,
    ):
        assert 0.0 <= value <= 1.0
    assert 1.0 <= found.ava_score <= 10.0
    assert found.laplacian_variance >= 0.0


@pytest.mark.parametrize("sigma", [2.0, 5.0, 10.0, 20.0])
def test_the_noise_level_is_the_standard_deviation_of_added_noise(sigma: float) -> None:
    rows, columns = np.mgrid[:400, :600]
    ramp = 60 + 0.1 * rows + 0.1 * columns
    noise = np.random.default_rng(7).normal(0, sigma, ramp.shape)
    noisy = np.clip(np.round(ramp + noise), 0, 255).astype(np.uint8)
    assert noise_level(noisy) == pytest.approx(sigma, rel=0.03)


def test_a_flat_picture_and_a_ramp_have_no_noise() -> None:
    assert noise_level(np.full((40, 60), 128, np.uint8)) == 0.0
    assert noise_level(np.tile(np.arange(60, dtype=np.uint8), (40, 1))) == 0.0


def test_a_picture_too_small_for_the_kernel_has_no_noise_level() -> None:
    assert noise_level(np.zeros((2, 60), np.uint8)) is None
    assert noise_level(np.zeros((3, 3), np.uint8)) == 0.0


@given(hnp.arrays(np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, max_side=40)), st.floats(0, 1))
def test_percentiles_of_the_histogram_equal_those_of_the_pixels(
    gray: NDArray[np.uint8], share: float
) -> None:
    wanted = np.percentile(gray, 100 * share)
    assert percentile(count_levels(gray), share) == pytest.approx(wanted, abs=1e-6)


def test_copies_of_any_size_have_the_same_signature(picture: Picture) -> None:
    original = picture(width=1024, height=768)
    copy = np.asarray(cv2.resize(original, (400, 300), interpolation=cv2.INTER_AREA), np.uint8)
    whole, small = MODEL.score(original), MODEL.score(copy)
    assert len(whole.luminance_grid) == len(whole.detail_grid) == 256
    assert np.abs(np.subtract(whole.luminance_grid, small.luminance_grid)).max() <= 2


def test_a_copy_does_not_get_sharper_when_shrunk(picture: Picture) -> None:
    original = cv2.GaussianBlur(picture(width=1024, height=768), (0, 0), 1.0)
    copy = np.asarray(cv2.resize(original, (400, 300), interpolation=cv2.INTER_AREA), np.uint8)
    assert MODEL.score(copy).sharpness <= MODEL.score(np.asarray(original)).sharpness + 0.02
