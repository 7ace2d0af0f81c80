"""Compares photos by where they are light and dark, regardless of exposure.

A change of exposure multiplies the light of all parts by one factor, so the differences between the
logarithms of neighbouring parts stay the same. Parts that are blown out or black in either photo
are left out. Two frames of one view correlate in these differences even if one is nearly black; two
different views do not, even if both are nearly black and their embeddings are alike.

The camera's tone curve is not undone: it affects the differences in the same way across the whole
picture, which hardly lowers their correlation.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BLACK, WHITE = 1.5, 250.0
"""8-bit levels; the levels of parts outside this range are noise (black) or clipped (burnt out)."""
MIN_DIFFERENCES = 60
"""Minimum number of the 1,984 differences that must be known in both photos to compare them."""
_PAIRS_AT_A_TIME = 2048

Indices = NDArray[np.intp]
Doubles = NDArray[np.float64]
Singles = NDArray[np.float32]
Miniatures = NDArray[np.float32]
"""float32, (n, 32, 32), mean luma of the parts, 0 to 255; NaN for photos without one."""


@dataclass(frozen=True, slots=True, eq=False)
class Structures:
    """Levels of photos' parts, and the differences by which photos are compared.

    Attributes:
        differences: float32, (n, d), between the natural logarithms of neighbouring parts; 0 where
            unknown.
        is_known: (n, d), whether both parts are neither black nor burnt out.
        levels: float32, (n, parts), the natural logarithm of each part's level.
        is_lit: (n, parts), whether each part is neither black nor burnt out.
    """

    differences: Singles
    is_known: NDArray[np.bool_]
    levels: Singles
    is_lit: NDArray[np.bool_]

    @staticmethod
    def of(miniatures: Miniatures) -> Structures:
        """Computes the structures of photos."""
        count = len(miniatures)
        is_lit = (miniatures > BLACK) & (miniatures < WHITE)  # False for NaN
        levels = np.log(np.where(is_lit, miniatures, 1.0)).astype(np.float32)
        across, down = np.diff(levels, axis=2), np.diff(levels, axis=1)
        known_across = is_lit[:, :, 1:] & is_lit[:, :, :-1]
        known_down = is_lit[:, 1:] & is_lit[:, :-1]
        differences = np.concatenate([across.reshape(count, -1), down.reshape(count, -1)], axis=1)
        is_known = np.concatenate(
            [known_across.reshape(count, -1), known_down.reshape(count, -1)], axis=1
        )
        return Structures(
            np.where(is_known, differences, np.float32(0.0)),
            is_known,
            levels.reshape(count, -1),
            is_lit.reshape(count, -1),
        )

    def correlations(self, first: Indices, second: Indices) -> Doubles:
        """Measures how alike the structures of pairs are: -1 to 1, NaN if too little is known."""
        found = np.empty(len(first), np.float64)
        for start in range(0, len(first), _PAIRS_AT_A_TIME):
            part = slice(start, start + _PAIRS_AT_A_TIME)
            found[part] = self._correlate(first[part], second[part])
        return found

    def _correlate(self, first: Indices, second: Indices) -> Doubles:
        one, other = self.differences[first], self.differences[second]
        is_joint = self.is_known[first] & self.is_known[second]
        product = np.einsum("ij,ij->i", one, other)  # 0 where one is not known
        power = np.einsum("ij,ij->i", np.square(one), is_joint, dtype=np.float64)
        power *= np.einsum("ij,ij->i", np.square(other), is_joint, dtype=np.float64)
        with np.errstate(invalid="ignore", divide="ignore"):
            found = product / np.sqrt(power)
        return np.where(is_joint.sum(axis=1) >= MIN_DIFFERENCES, found, np.nan)

    def brightening(self, first: Indices, second: Indices) -> Doubles:
        """Finds how much brighter the second photo of each pair is.

        Returns:
            Median difference of the natural logarithm of 8-bit levels, over the parts that are
            neither black nor burnt out in both; NaN if there are none.
        """
        found = np.full(len(first), np.nan)
        for place, (one, other) in enumerate(zip(first.tolist(), second.tolist(), strict=True)):
            is_joint = self.is_lit[one] & self.is_lit[other]
            if is_joint.any():
                found[place] = np.median(self.levels[other][is_joint] - self.levels[one][is_joint])
        return found
