"""Reads directories of tags, as in TIFF, EXIF and the maker notes of cameras.

Pillow reads EXIF too, but drops everything after the first damaged tag, and has no way to read
maker notes, whose offsets count from other positions.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from typing import Literal

ByteOrder = Literal["<", ">"]

_FORMATS = dict(enumerate(["B", "s", "H", "I", "II", "b", "s", "h", "i", "ii", "f", "d", "I"], 1))
"""Codes of `struct` by type of tag (TIFF 6.0, page 15); 5 and 10 are fractions."""
_SIZES = {kind: struct.calcsize(f"={code}") for kind, code in _FORMATS.items()}
_RATIONAL, _SIGNED_RATIONAL = 5, 10
_ENTRY_BYTES = 12
_MAX_NUMBERS = 4096
"""Limit for one tag. The longest one that we read, Canon's settings, has a few hundred."""


@dataclass(frozen=True)
class Directory:
    """The tags of one directory; damaged ones are missing.

    Attributes:
        block: The data that its offsets refer to.
        order: Byte order.
        base: The position in `block` that offsets count from.
        entries: Type, count and place in `block` of each tag's data.
    """

    block: bytes
    order: ByteOrder
    base: int
    entries: dict[int, tuple[int, int, int]]

    def numbers(self, tag: int) -> tuple[float, ...]:
        """Returns a numeric tag's values, NaN for a division by zero; empty if no such tag."""
        kind, count, place = self.entries.get(tag, (2, 0, 0))
        code = _FORMATS[kind]
        if code == "s":
            return ()
        found = struct.unpack_from(
            f"{self.order}{code * min(count, _MAX_NUMBERS)}", self.block, place
        )
        if kind not in (_RATIONAL, _SIGNED_RATIONAL):
            return found
        return tuple(
            above / below if below else math.nan
            for above, below in zip(found[::2], found[1::2], strict=True)
        )

    def number(self, tag: int) -> float | None:
        """Returns the first value of a numeric tag; None if there is none."""
        found = self.numbers(tag)
        return found[0] if found and math.isfinite(found[0]) else None

    def text(self, tag: int) -> str:
        """Returns a text up to its first zero byte; empty if there is none."""
        raw = self.raw(tag).split(b"\0", 1)[0]
        return raw.decode("utf-8", "replace").strip()

    def raw(self, tag: int) -> bytes:
        """Returns the bytes of a tag; empty if there is none."""
        kind, count, place = self.entries.get(tag, (2, 0, 0))
        return self.block[place : place + count * _SIZES[kind]]

    def place(self, tag: int) -> int | None:
        """Returns where in `block` the data of a tag begin; None if there is none."""
        return self.entries[tag][2] if tag in self.entries else None

    def subdirectory(self, tag: int) -> Directory:
        """Returns the directory that a tag points to; empty if there is none."""
        offset = self.number(tag)
        if offset is None:
            return Directory(self.block, self.order, self.base, {})
        return read_directory(self.block, self.order, self.base + int(offset), self.base)


EMPTY = Directory(b"", "<", 0, {})


def read_tiff(block: bytes) -> Directory:
    """Reads the first directory of a TIFF, or of a file that is built like one; may be empty."""
    order = byte_order(block)
    if order is None or len(block) < 8:
        return EMPTY
    (offset,) = struct.unpack_from(f"{order}I", block, 4)
    return read_directory(block, order, offset)


def byte_order(block: bytes) -> ByteOrder | None:
    """Finds the byte order from the first two bytes; None if they are not those of a TIFF."""
    return {b"II": "<", b"MM": ">"}.get(block[:2])  # type: ignore[return-value]


def read_directory(block: bytes, order: ByteOrder, offset: int, base: int = 0) -> Directory:
    """Reads a directory; tags that are damaged or reach beyond the block are left out.

    Args:
        block: The data that the offsets refer to.
        order: Byte order.
        offset: Where in `block` the directory begins.
        base: The position in `block` that the offsets of its tags count from.
    """
    entries: dict[int, tuple[int, int, int]] = {}
    if 0 <= offset <= len(block) - 2:
        (count,) = struct.unpack_from(f"{order}H", block, offset)
        for number in range(count):
            place = offset + 2 + number * _ENTRY_BYTES
            if place + _ENTRY_BYTES > len(block):
                break
            tag, kind, length, pointer = struct.unpack_from(f"{order}HHII", block, place)
            if kind not in _SIZES:
                continue
            size = length * _SIZES[kind]
            start = place + 8 if size <= 4 else base + pointer
            if start + size <= len(block):
                entries.setdefault(tag, (kind, length, start))
    return Directory(block, order, base, entries)
