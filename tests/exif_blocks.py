"""EXIF blocks as cameras write them, with maker notes."""

from __future__ import annotations

import struct
from collections.abc import Sequence

SHORT, LONG, ASCII, UNDEFINED, RATIONAL, SRATIONAL = 3, 4, 2, 7, 5, 10
_EXIF_POINTER, _GPS_POINTER = 0x8769, 0x8825
_HEADER_BYTES = 8

Value = str | bytes | Sequence[int]
Tags = dict[int, tuple[int, Value]]
"""Type and value by tag; fractions as two numbers each."""


def exif_block(
    image: Tags | None = None, exif: Tags | None = None, gps: Tags | None = None, order: str = "<"
) -> bytes:
    """Returns a TIFF structure without pictures."""
    image, parts, place = dict(image or {}), b"", _HEADER_BYTES
    for pointer, tags in ((_EXIF_POINTER, exif), (_GPS_POINTER, gps)):
        if tags is not None:
            image[pointer] = (LONG, [place])
            parts += directory(tags, place, order)
            place = _HEADER_BYTES + len(parts)
    mark = b"II*\0" if order == "<" else b"MM\0*"
    return mark + struct.pack(f"{order}I", place) + parts + directory(image, place, order)


def directory(tags: Tags, place: int, order: str = "<") -> bytes:
    """Returns a directory of tags at `place`: offsets count from that many bytes before it."""
    entries, data = b"", b""
    start = place + 2 + 12 * len(tags) + 4
    for tag, (kind, value) in sorted(tags.items()):
        count, raw = _encode(kind, value, order)
        if len(raw) > 4:
            inline = struct.pack(f"{order}I", start + len(data))
            data += raw
        else:
            inline = raw.ljust(4, b"\0")
        entries += struct.pack(f"{order}HHI", tag, kind, count) + inline
    return struct.pack(f"{order}H", len(tags)) + entries + bytes(4) + data


def _encode(kind: int, value: Value, order: str) -> tuple[int, bytes]:
    if isinstance(value, str):
        value = value.encode() + b"\0"
    if isinstance(value, bytes):
        return len(value), value
    code = {SHORT: "H", LONG: "I", RATIONAL: "I", SRATIONAL: "i"}[kind]
    raw = struct.pack(f"{order}{len(value)}{code}", *value)
    return len(value) // (2 if kind in (RATIONAL, SRATIONAL) else 1), raw
