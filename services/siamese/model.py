"""The pairwise comparator: two pictures in, a probability out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from services.common.inference.onnx import ModelSession, run_items

Description = NDArray[np.float32]


class SiameseModel:
    """Runs the two halves of the comparator: one describes pictures, one compares descriptions.

    Args:
        describe: Graph from pixels to a description.
        compare: Graph from two descriptions to a probability.
    """

    def __init__(self, describe: ModelSession, compare: ModelSession) -> None:
        self._describe = describe
        self._compare = compare

    def describe(self, tensor: NDArray[np.float32]) -> Description:
        """Describes one prepared picture, float32 (1, 3, height, width), as (1, d)."""
        return self.describe_batch([tensor])[0]

    def describe_batch(self, tensors: Sequence[NDArray[np.float32]]) -> list[Description]:
        """Describes pictures, in one inference if the graph and the sizes allow it."""
        return run_items(self._describe, [{"pixels": tensor} for tensor in tensors])

    def compare(self, first: Description, second: Description) -> float:
        """Compares two described pictures.

        Returns:
            Probability that the first photo is better, 0.0 to 1.0; both orders are averaged, so the
            swapped pair gives one minus this.
        """
        return self.compare_batch([(first, second)])[0]

    def compare_batch(self, pairs: Sequence[tuple[Description, Description]]) -> list[float]:
        """Compares pairs, in one inference per order if the graph allows it."""
        forward = self._probabilities(pairs)
        backward = self._probabilities([(second, first) for first, second in pairs])
        return [0.5 * (one + 1.0 - other) for one, other in zip(forward, backward, strict=True)]

    def _probabilities(self, pairs: Sequence[tuple[Description, Description]]) -> list[float]:
        items = [{"first": first, "second": second} for first, second in pairs]
        return [float(probability[0]) for probability in run_items(self._compare, items)]
