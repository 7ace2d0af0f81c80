"""Constants of the quality service."""

from __future__ import annotations

from services.common.config.layers import Settings


class IqaConstants(Settings):
    """Constants of the technical score.

    Attributes:
        sharpness_weight: Share of sharpness. Source of the four weights and of the scales: the
            earlier system's rule-based score, which chose the undegraded picture of a pair in 68.4
            percent of 1,350 pairs.
        exposure_weight: Share of exposure.
        colourfulness_weight: Share of colourfulness.
        contrast_weight: Share of contrast.
        colourfulness_full_scale: Hasler-Suesstrunk colourfulness that counts as 1.0; their scale
            describes 82 as "highly colourful" and 109 as "extremely colourful".
        contrast_full_scale: Ratio of standard deviation to mean that counts as 1.0.
    """

    sharpness_weight: float
    exposure_weight: float
    colourfulness_weight: float
    contrast_weight: float
    colourfulness_full_scale: float
    contrast_full_scale: float


IQA_CONSTANTS = IqaConstants(
    sharpness_weight=0.40,
    exposure_weight=0.30,
    colourfulness_weight=0.20,
    contrast_weight=0.10,
    colourfulness_full_scale=100.0,
    contrast_full_scale=0.8,
)
"""These are not settings, because `min_iqa_score`, `min_sharpness` and the composite's weights were
chosen for scores with these values, and would have a different meaning with other values."""
