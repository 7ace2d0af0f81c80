"""Finds damage that decoders silently ignore: they fill in missing data and report success."""

from __future__ import annotations

import re
import struct

_SOI, _EOI, _SOS, _FIRST_RESTART = 0xD8, 0xD9, 0xDA, 0xD0
_MARKER_OF_INTEREST = re.compile(rb"\xff[\xd0-\xda]")
_BOX_HEADER_BYTES = 8


def find_damage(content: bytes, image_format: str) -> str:
    """Looks for lost data in a file that could be decoded.

    Args:
        content: The whole file.
        image_format: Pillow's name for the format; only JPEG, MPO, HEIF and AVIF are checked.

    Returns:
        A description of the damage; empty if none was found.
    """
    if image_format in ("JPEG", "MPO"):
        return _jpeg_damage(content)
    if image_format in ("HEIF", "AVIF"):
        return _box_damage(content)
    return ""


def _jpeg_damage(content: bytes) -> str:
    """Finds a gap in the restart markers, which repeatedly count from 0 to 7 in each scan.

    Source: ITU-T T.81, B.2.1. Finds nothing in a JPEG without restart markers.
    """
    scan = _first_scan(content)
    expected = 0
    for match in _MARKER_OF_INTEREST.finditer(content, scan):
        marker = match.group()[1]
        if marker in (_EOI, _SOI):
            break
        if marker == _SOS:
            expected = 0
        elif marker == _FIRST_RESTART + expected % 8:
            expected += 1
        else:
            return f"image data is missing at byte {match.start()}: part of the picture is wrong"
    return ""


def _first_scan(content: bytes) -> int:
    """Returns the offset of the first compressed data, past the header and any thumbnail in it."""
    return _first_scan_header(content)[1]


def scan_component_count(content: bytes) -> int:
    """Counts the components in a JPEG's first scan; 0 if its header cannot be parsed."""
    start, end = _first_scan_header(content)
    return content[start + 4] if start + 4 < min(end, len(content)) else 0


def _first_scan_header(content: bytes) -> tuple[int, int]:
    """Finds where the first scan's header starts and ends."""
    start = offset = 2
    while offset + 4 <= len(content) and content[offset] == 0xFF:
        marker, (length,) = content[offset + 1], struct.unpack_from(">H", content, offset + 2)
        start, offset = offset, offset + 2 + length
        if marker == _SOS:
            return start, offset
    return offset, offset


def _box_damage(content: bytes) -> str:
    """Finds a box that is longer than the file (ISO/IEC 14496-12, section 4.2)."""
    offset = 0
    while offset + _BOX_HEADER_BYTES <= len(content):
        (size,) = struct.unpack_from(">I", content, offset)
        if size == 1 and offset + 16 <= len(content):
            (size,) = struct.unpack_from(">Q", content, offset + 8)
        if size < _BOX_HEADER_BYTES:  # 0: up to the end of the file
            return ""
        offset += size
    missing = offset - len(content)
    return f"the file is truncated: {missing} bytes are missing at the end" if missing > 0 else ""
