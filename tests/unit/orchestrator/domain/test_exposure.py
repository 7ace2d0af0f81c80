"""Exposures are shown as cameras and photo programs show them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from orchestrator.domain.exposure import exposure_caption
from orchestrator.domain.photo import CameraFacts

USUAL = CameraFacts(exposure_time_seconds=1 / 200, f_number=2.8, iso=800, focal_length_mm=50.0)


@pytest.mark.parametrize(
    ("facts", "caption"),
    [
        (USUAL, "1/200 s, f/2.8, ISO 800, 50 mm"),
        (replace(USUAL, exposure_bias_ev=-2 / 3), "1/200 s, f/2.8, ISO 800, 50 mm, -0.7 EV"),
        (replace(USUAL, exposure_bias_ev=0.0), "1/200 s, f/2.8, ISO 800, 50 mm"),
        (CameraFacts(exposure_time_seconds=0.5, f_number=11.0), "0.5 s, f/11"),
        (CameraFacts(exposure_time_seconds=30.0, focal_length_mm=3.99), "30 s, 4 mm"),
        (CameraFacts(exposure_time_seconds=0.0011273957), "1/887 s"),
        (CameraFacts(make="Maker"), ""),
    ],
)
def test_the_exposure_is_described_in_one_line(facts: CameraFacts, caption: str) -> None:
    assert exposure_caption(facts) == caption
