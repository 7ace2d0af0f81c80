"""Capture time as soft evidence: what it adds to two photos' cosine distance (see `distances`).

Two photos from one camera are closer if they were taken seconds apart, and farther if hours apart.
The term grows with the logarithm of the time between them, from -1 to 2.5 times a weight:

    weight * clip(log10((1 s + time between them) / 30 s), -1, 2.5)

It is 0 at half a minute, lowest up to 2 seconds (a burst), and highest at 2.6 hours and beyond. For
other pairs it is 0, because the clocks of two cameras need not agree (`clocks` finds how much they
differ).

Pauses between shots range from fractions of a second to days; using their logarithm to separate
events comes from Platt, Czerwinski and Field, PhotoTOC (2003). Unlike a limit on the time, an added
term does not overrule the content of the photos. The constants are rounded values from six labelled
albums, on which the moments hardly change if the constants are varied by half.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from orchestrator.domain.moments.capture_time import Captures

NEUTRAL_SECONDS = 30.0
"""Time between two photos at which the term is 0."""
LOWEST, HIGHEST = -1.0, 2.5
"""Range of the term, as multiples of the weight."""
FAR_SECONDS = NEUTRAL_SECONDS * 10**HIGHEST - 1.0
"""Time from which the term is highest: 2.6 hours."""

_ROWS_AT_A_TIME = 128
"""Rows of a tile that are computed at a time: they need about 2 MiB, which fits in the cache."""
_DENSE_SHARE = 1 / 16
"""Minimum share of near pairs at which it is faster to compute all pairs."""

Indices = NDArray[np.intp]
Doubles = NDArray[np.float64]
Singles = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class TimeTerm:
    """What capture time adds to the cosine distances between photos.

    Attributes:
        seconds: float64, (n,), NaN where the time or the camera is unknown.
        cameras: (n,), a number for each camera.
        weight: Cosine distance per power of ten in time.
    """

    seconds: Doubles
    cameras: Indices
    weight: float

    def take(self, rows: Indices) -> TimeTerm:
        """Returns the term of some photos, in the given order."""
        return TimeTerm(self.seconds[rows], self.cameras[rows], self.weight)

    @property
    def tolerance(self) -> float:
        """Bound on the error of `lower`: single precision, and a logarithm accurate to 4 ulps."""
        return self.weight * 2.0**-19 + 2.0**-23

    def order(self) -> Indices:
        """Orders photos by camera, then time, so that shots of one moment are close together."""
        return np.lexsort((self.seconds, self.cameras))

    def of_pairs(self, first: Indices, second: Indices) -> Doubles:
        """Returns the term of pairs of photos; the two arrays are broadcast."""
        apart = np.abs(self.seconds[first] - self.seconds[second])
        is_known = ~np.isnan(apart) & (self.cameras[first] == self.cameras[second])
        powers = np.log10((1.0 + np.where(is_known, apart, 0.0)) / NEUTRAL_SECONDS)
        return np.where(is_known, self.weight * np.clip(powers, LOWEST, HIGHEST), 0.0)

    def lower(self, similarity: Singles, rows: slice, columns: slice) -> None:
        """Lowers similarities by the term, in place; none is above 1 afterwards.

        Args:
            similarity: float32, cosine similarities between two blocks of photos.
            rows: The first block.
            columns: The second block.
        """
        if not np.isin(self.cameras[rows], self.cameras[columns]).any():
            return
        for start in range(rows.start, rows.stop, _ROWS_AT_A_TIME):
            part = slice(start, min(start + _ROWS_AT_A_TIME, rows.stop))
            self._lower(similarity[start - rows.start :][: part.stop - start], part, columns)

    def _lower(self, similarity: Singles, rows: slice, columns: slice) -> None:
        highest = np.float32(self.weight * HIGHEST)
        if self._are_all_far(rows, columns):
            similarity -= highest
            return
        is_same = self.cameras[rows, np.newaxis] == self.cameras[columns]
        apart = np.abs(self.seconds[rows, np.newaxis] - self.seconds[columns])
        is_near = is_same & (apart < FAR_SECONDS)
        if np.count_nonzero(is_near) > _DENSE_SHARE * is_near.size:
            term = self._terms(apart)
            np.subtract(similarity, term, out=similarity, where=is_same & ~np.isnan(term))
        else:
            is_far = is_same & (apart >= FAR_SECONDS)
            np.subtract(similarity, highest, out=similarity, where=is_far)
            place = np.nonzero(is_near)
            similarity[place] -= self._terms(apart[place])
        np.minimum(similarity, np.float32(1.0), out=similarity)

    def _are_all_far(self, rows: slice, columns: slice) -> bool:
        """Whether one camera took all photos, and one block hours before the other."""
        cameras, others = self.cameras[rows], self.cameras[columns]
        if (cameras != cameras[0]).any() or (others != cameras[0]).any():
            return False
        one, other = self.seconds[rows], self.seconds[columns]
        pause = max(one.min() - other.max(), other.min() - one.max())
        return bool(pause >= FAR_SECONDS)  # False for NaN

    def _terms(self, apart: Doubles) -> Singles:
        """Computes the term from the seconds between two photos, in single precision."""
        found = apart.astype(np.float32)
        found += np.float32(1.0)
        found /= np.float32(NEUTRAL_SECONDS)
        np.log(found, out=found)  # log10 has no vector instructions in NumPy
        found *= np.float32(1.0 / math.log(10.0))
        np.clip(found, np.float32(LOWEST), np.float32(HIGHEST), out=found)
        found *= np.float32(self.weight)
        return found


def time_term(captures: Captures | None, weight: float) -> TimeTerm | None:
    """Returns the term for photos; None if it is 0 for all pairs."""
    if captures is None or weight == 0.0:
        return None
    _, cameras = np.unique(np.array(captures.cameras, np.str_), return_inverse=True)
    is_known = np.array([bool(camera) for camera in captures.cameras], np.bool_)
    seconds = np.where(is_known, captures.seconds, np.nan)
    known = cameras[~np.isnan(seconds)]
    if len(np.unique(known)) == len(known):
        return None
    return TimeTerm(seconds, np.asarray(cameras, np.intp), weight)
