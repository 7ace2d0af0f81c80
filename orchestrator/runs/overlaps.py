"""Compares pairs of photos by local features of their thumbnails, and caches the results."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import io
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
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
COMMON_ROLE, COMMON_VERSION = "common_features", "1"
"""Cache roles, and versions to increase whenever the measurement changes."""
KEPT_COUNT = 256
"""Maximum number of pictures kept with their features, 0.5 MB each."""
_one_thread = threading.Lock()
"""Held while BLAS is limited to one thread; overlapping limits would not restore the number."""

DigestPair = tuple[str, str]


class Overlaps:
    """Measures overlaps of photos whose thumbnails are in the cache.

    Args:
        cache: Thumbnails, and overlaps that were measured earlier.
    """

    def __init__(self, cache: FeatureCache) -> None:
        self._cache = cache
        self._kept: OrderedDict[str, Future[Picture | None]] = OrderedDict()
        self._lock = threading.Lock()

    def measure(self, pairs: Sequence[DigestPair]) -> list[Overlap | None]:
        """Finds the overlap of each pair of content digests; None if there is none."""
        stored = self._find(pairs, OVERLAP_ROLE, OVERLAP_VERSION, self._measure)
        return [_read(payload, pair) for payload, pair in zip(stored, pairs, strict=True)]

    def count_features(self, pairs: Sequence[DigestPair]) -> list[int | None]:
        """Counts the common features of each pair of content digests.

        None if the count says nothing, because one photo has few features or no thumbnail.
        """
        stored = self._find(pairs, COMMON_ROLE, COMMON_VERSION, self._count)
        return [codec.unpack_json(payload) for payload in stored]

    def find_counts(self, pairs: Sequence[DigestPair]) -> list[int | None]:
        """Like `count_features`, but None for pairs that no run has compared."""
        keys = [_key(pair, COMMON_ROLE, COMMON_VERSION) for pair in pairs]
        known: dict[Key, bytes] = {}
        for start in range(0, len(keys), READ_COUNT):
            known.update(self._cache.get(keys[start : start + READ_COUNT]))
        return [codec.unpack_json(known[key]) if key in known else None for key in keys]

    def _find(
        self,
        pairs: Sequence[DigestPair],
        role: str,
        version: str,
        compute: Callable[[str, str], object],
    ) -> list[bytes]:
        """Returns what is stored for each pair, after computing and storing what is missing."""
        found: list[bytes] = []
        for start in range(0, len(pairs), READ_COUNT):
            part = pairs[start : start + READ_COUNT]
            keys = [_key(pair, role, version) for pair in part]
            known = self._cache.get(keys)
            missing = {key: pair for pair, key in zip(part, keys, strict=True) if key not in known}
            fresh = _compute(missing, compute)
            self._cache.put(fresh)
            found += [known[key] if key in known else fresh[key] for key in keys]
        return found

    def _measure(self, first: str, second: str) -> dict[str, Any] | None:
        # imported here, because OpenCV takes a while to load, and most albums do not need it
        from orchestrator.runs.measure_overlap import measure_overlap

        one, other = self._picture(first), self._picture(second)
        if one is None or other is None or first == second:
            return None
        overlap = measure_overlap(one, other)
        return dataclasses.asdict(overlap) if overlap else None

    def _count(self, first: str, second: str) -> int | None:
        from orchestrator.runs.measure_overlap import count_common_features

        one, other = self._picture(first), self._picture(second)
        if one is None or other is None or first == second:
            return None
        return count_common_features(one, other)

    def _picture(self, digest: str) -> Picture | None:
        """Returns a photo's thumbnail with its features; None if there is no readable thumbnail."""
        with self._lock:
            known = self._kept.get(digest)
            found = self._kept[digest] = known or Future()
            self._kept.move_to_end(digest)
            if len(self._kept) > KEPT_COUNT:
                self._kept.popitem(last=False)
        if known is None:
            try:
                found.set_result(self._describe(digest))
            except BaseException as error:
                found.set_exception(error)
                with self._lock:
                    self._kept.pop(digest, None)
        return found.result()

    def _describe(self, digest: str) -> Picture | None:
        from orchestrator.runs.measure_overlap import describe

        key = thumbnail_key(digest)
        content = self._cache.get([key]).get(key, b"")
        with contextlib.suppress(OSError), Image.open(io.BytesIO(content)) as opened:
            return describe(np.asarray(opened.convert("RGB")))
        return None


def _compute(
    missing: Mapping[Key, DigestPair], compute: Callable[[str, str], object]
) -> dict[Key, bytes]:
    if not missing:
        return {}
    # imported here, because most albums need neither
    import cv2
    from threadpoolctl import threadpool_limits

    # one thread per pair: within a pair, threads take longer than they save
    cv2.setNumThreads(1)
    with _one_thread, threadpool_limits(1, "blas"), ThreadPoolExecutor(os.cpu_count()) as threads:
        answers = threads.map(lambda pair: compute(*sorted(pair)), missing.values())
        return {key: codec.pack_json(one) for key, one in zip(missing, answers, strict=True)}


def _key(pair: DigestPair, role: str, version: str) -> Key:
    joint = hashlib.sha256("".join(sorted(pair)).encode()).hexdigest()
    return joint, role, version


def _read(payload: bytes, pair: DigestPair) -> Overlap | None:
    """Returns the overlap in the order of the pair; it is stored in the order of the digests."""
    stored: dict[str, Any] | None = codec.unpack_json(payload)
    if stored is None:
        return None
    sides = {name: Side(**stored[name]) for name in ("first", "second")}
    overlap = Overlap(**{**stored, **sides})
    return overlap if pair[0] <= pair[1] else overlap.swap()
