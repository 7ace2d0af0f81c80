"""The pairwise comparator: two pictures in, a probability out."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from services.common.onnx import ModelSession

Description = NDArray[np.float32]


class SiameseModel:
    """Runs the two halves of the comparator: describe each picture once, compare descriptions.

    Args:
        describe: Graph from pixels to a description.
        compare: Graph from two descriptions to a probability.
    """

    def __init__(self, describe: ModelSession, compare: ModelSession) -> None:
        self._describe = describe
        self._compare = compare

    def describe(self, tensor: NDArray[np.float32]) -> Description:
        """Describes one picture, float32 (1, 3, height, width), as prepared for it, as (1, d)."""
        (description,) = self._describe.run({"pixels": tensor})
        return description

    def compare(self, first: Description, second: Description) -> float:
        """Compares two described pictures.

        Returns:
            Probability that the first is the better photo, 0.0 to 1.0; both orders are averaged, so
            the swapped pair gives one minus this.
        """
        forward = self._probability(first, second)
        backward = self._probability(second, first)
        return 0.5 * (forward + 1.0 - backward)

    def _probability(self, first: Description, second: Description) -> float:
        (probability,) = self._compare.run({"first": first, "second": second})
        return float(probability[0])
