"""Reads the tags of a TIFF, and of RAW formats with the same structure."""

from __future__ import annotations

import io

from PIL import TiffImagePlugin

Tags = TiffImagePlugin.ImageFileDirectory_v2
TIFF_MAGICS = (b"II*\0", b"MM\0*")


def read_tags(content: bytes, offset: int | None = None) -> Tags:
    """Reads one directory of tags.

    May raise any exception on hostile data. So may looking up a tag, because that decodes it.

    Args:
        content: The file, or its beginning.
        offset: Start of the directory; None = the first one.
    """
    tags = Tags(content[:8])
    opened = io.BytesIO(content)
    opened.seek(tags.next if offset is None else offset)
    tags.load(opened)
    return tags
