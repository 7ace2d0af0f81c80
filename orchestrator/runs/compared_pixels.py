"""Small renditions of decoded photos, kept for comparisons so that none is decoded twice."""

from __future__ import annotations

import threading
from collections import OrderedDict

from services.common.imaging.decode import RgbImage

MAX_KEPT_BYTES = 256 * 2**20
"""About 450 photos of 512 x 384 pixels; older ones are decoded again when needed."""


class Renditions:
    """A store of pixels by content digest, bounded by bytes; thread-safe."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._kept: OrderedDict[str, RgbImage] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def get(self, digest: str) -> RgbImage | None:
        """Returns a rendition, if it is still cached."""
        with self._lock:
            return self._kept.get(digest)

    def keep(self, digest: str, pixels: RgbImage) -> RgbImage:
        """Keeps and returns a rendition; drops the oldest ones over the limit."""
        with self._lock:
            if digest not in self._kept:
                self._kept[digest] = pixels
                self._bytes += pixels.nbytes
                while self._bytes > self._max_bytes:
                    _, oldest = self._kept.popitem(last=False)
                    self._bytes -= oldest.nbytes
        return pixels
