"""Decides which sidecars of a photo count, and in which order."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePosixPath

SIDECAR_LIMIT_BYTES = 16_000_000
"""Maximum size of a sidecar that is read."""
_SUFFIX = ".xmp"


def order_sidecars(path: str, companion_paths: Sequence[str]) -> list[str]:
    """Lists the sidecars of a photo, the one that takes precedence first.

    The whole name of the photo (`a.jpg.xmp`: darktable, digiKam) comes before its stem (`a.xmp`:
    Adobe's programs, Capture One), because the latter may also belong to a RAW file, and both come
    before the sidecars of the photo's companions (`a.dng.xmp`); ties are ordered by path.

    Args:
        path: The photo.
        companion_paths: Files that go with it; those that are not XMP sidecars are left out.
    """
    photo = PurePosixPath(path)
    ranks = {str(photo): 0, str(photo.with_suffix("")): 1}
    sidecars = [other for other in companion_paths if other.lower().endswith(_SUFFIX)]
    return sorted(sidecars, key=lambda other: (ranks.get(other[: -len(_SUFFIX)], 2), other))
