"""Finds the overlaps of pairs of photos from their thumbnails, and caches them."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import io
from collections import OrderedDict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from orchestrator import features as codec
from orchestrator.domain.overlap import Overlap, Side
from orchestrator.ports import FeatureCache
from orchestrator.runs.stored_features import READ_COUNT, Key, thumbnail_key

if TYPE_CHECKING:
    from orchestrator.runs.measure_overlap import Picture

OVERLAP_ROLE, OVERLAP_VERSION = "overlap", "1"
"""Cache role, and the part of its key to change whenever the measurement changes."""
KEPT_COUNT = 256
"""Maximum number of pictures kept with their features, 0.5 MB each."""

DigestPair = tuple[str, str]


class Overlaps:
    """Measures overlaps of photos whose thumbnails are in the cache.

    Args:
        cache: Thumbnails, and overlaps that were measured earlier.
    """

    def __init__(self, cache: FeatureCache) -> None:
        self._cache = cache
        self._kept: OrderedDict[str, Picture | None] = OrderedDict()

    def measure(self, pairs: Sequence[DigestPair]) -> list[Overlap | None]:
        """Finds the overlap of each pair of content digests; None if there is none."""
        found: list[Overlap | None] = []
        for start in range(0, len(pairs), READ_COUNT):
            found += self._measure_part(pairs[start : start + READ_COUNT])
        return found

    def _measure_part(self, pairs: Sequence[DigestPair]) -> list[Overlap | None]:
        keys = {pair: _key(pair) for pair in pairs}
        known = self._cache.get(list(keys.values()))
        fresh: dict[Key, bytes] = {}
        for pair, key in keys.items():
            if key not in known and key not in fresh:
                overlap = self._compare(*sorted(pair))
                fresh[key] = codec.pack_json(dataclasses.asdict(overlap) if overlap else None)
        self._cache.put(fresh)
        return [_read({**known, **fresh}[keys[pair]], pair) for pair in pairs]

    def _compare(self, first: str, second: str) -> Overlap | None:
        # imported here, because OpenCV takes a while to load, and most albums need none of it
        from orchestrator.runs.measure_overlap import measure_overlap

        one, other = self._picture(first), self._picture(second)
        if one is None or other is None or first == second:
            return None
        return measure_overlap(one, other)

    def _picture(self, digest: str) -> Picture | None:
        """Returns a photo's thumbnail with its features; None if there is no readable thumbnail."""
        from orchestrator.runs.measure_overlap import describe

        if digest in self._kept:
            self._kept.move_to_end(digest)
            return self._kept[digest]
        key = thumbnail_key(digest)
        content = self._cache.get([key]).get(key, b"")
        picture = None
        with contextlib.suppress(OSError), Image.open(io.BytesIO(content)) as opened:
            picture = describe(np.asarray(opened.convert("RGB")))
        self._kept[digest] = picture
        if len(self._kept) > KEPT_COUNT:
            self._kept.popitem(last=False)
        return picture


def _key(pair: DigestPair) -> Key:
    joint = hashlib.sha256("".join(sorted(pair)).encode()).hexdigest()
    return joint, OVERLAP_ROLE, OVERLAP_VERSION


def _read(payload: bytes, pair: DigestPair) -> Overlap | None:
    """Returns the overlap in the order of the pair; it is stored in the order of the digests."""
    stored: dict[str, Any] | None = codec.unpack_json(payload)
    if stored is None:
        return None
    sides = {name: Side(**stored[name]) for name in ("first", "second")}
    overlap = Overlap(**{**stored, **sides})
    return overlap if pair[0] <= pair[1] else overlap.swap()
