"""The degradations that the built-in comparator is trained on."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from models.train.degrade import DEGRADATIONS, RgbImage, digital_zoom, noise_sharpened, resized


@pytest.fixture(scope="module")
def picture() -> RgbImage:
    """Blurred noise, brighter to the right: detail everywhere."""
    grain = np.random.default_rng(1).uniform(0, 255, (120, 160, 3)).astype(np.float32)
    detail = 6.0 * (cv2.GaussianBlur(grain, (0, 0), 1.5) - 127.5)
    ramp = np.linspace(60, 190, 160, dtype=np.float32)[None, :, None]
    return np.clip(ramp + detail, 0, 255).astype(np.uint8)


def detail(image: RgbImage) -> float:
    return float(np.abs(cv2.Laplacian(image.astype(np.float32), cv2.CV_32F)).mean())


@pytest.mark.parametrize("name", DEGRADATIONS)
def test_a_degradation_keeps_the_size_and_grows_with_its_strength(
    name: str, picture: RgbImage
) -> None:
    light, same, gross = (
        DEGRADATIONS[name](picture, strength, np.random.default_rng(3))
        for strength in (0.0, 0.0, 1.0)
    )
    assert light.shape == gross.shape == picture.shape
    assert light.dtype == gross.dtype == np.uint8
    assert np.array_equal(light, same)
    change, more = (np.abs(image.astype(np.float32) - picture).mean() for image in (light, gross))
    assert 0 < change < more or name == "digital_zoom"  # which shows something else


def test_sharpened_noise_has_more_detail_than_the_picture(picture: RgbImage) -> None:
    light, gross = (noise_sharpened(picture, s, np.random.default_rng(3)) for s in (0.0, 1.0))
    assert detail(picture) < detail(light) < detail(gross)
    assert np.abs(gross.mean((0, 1)) - picture.mean((0, 1))).max() < 3


def test_fewer_true_pixels_have_less_detail(picture: RgbImage) -> None:
    for degrade in (resized, digital_zoom):
        light, gross = (degrade(picture, s, np.random.default_rng(3)) for s in (0.0, 1.0))
        assert detail(gross) < detail(light) < detail(picture)


def test_a_digital_zoom_shows_a_part_of_the_scene(picture: RgbImage) -> None:
    def slope(image: RgbImage) -> float:
        columns = image.mean((0, 2))
        return float(columns[-40:].mean() - columns[:40].mean())

    zoomed = digital_zoom(picture, 0.0, np.random.default_rng(3))
    assert slope(zoomed) < 0.6 * slope(picture)
    assert slope(resized(picture, 0.0, np.random.default_rng(3))) > 0.8 * slope(picture)
