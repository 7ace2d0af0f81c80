"""Settings and constants of the quality service."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from services.common.config.layers import Settings
from services.common.config.sections import OnnxServiceSettings

Positive = Annotated[float, Field(gt=0)]
Weight = Annotated[float, Field(ge=0, le=1)]


class IqaConstants(Settings):
    """Constants of the technical score.

    Attributes:
        sharpness_weight: Share of sharpness. Source of the four weights and of the scales: the
            earlier system's rule-based score, which chose the undegraded picture of a pair in 68.4
            percent of 1,350 pairs.
        exposure_weight: Share of exposure.
        colourfulness_weight: Share of colourfulness.
        contrast_weight: Share of contrast.
        laplacian_full_scale: Laplacian variance that counts as fully sharp (sharpness 1.0) on the
            canonical image, in grey levels squared.
        colourfulness_full_scale: Hasler-Suesstrunk colourfulness that counts as 1.0; their scale
            calls 82 "highly colourful" and 109 "extremely colourful".
        contrast_full_scale: Ratio of standard deviation and mean that counts as 1.0.
    """

    sharpness_weight: Weight
    exposure_weight: Weight
    colourfulness_weight: Weight
    contrast_weight: Weight
    laplacian_full_scale: Positive
    colourfulness_full_scale: Positive
    contrast_full_scale: Positive

    @model_validator(mode="after")
    def _weights_sum_to_one(self) -> IqaConstants:
        total = (
            self.sharpness_weight
            + self.exposure_weight
            + self.colourfulness_weight
            + self.contrast_weight
        )
        if abs(total - 1.0) > 1e-9:
            raise ValueError(f"the four weights must sum to 1, they sum to {total:g}")
        return self


class QualitySettings(OnnxServiceSettings):
    """Section `quality` of services.yaml."""

    iqa: IqaConstants
