"""Small RAW files (DNG 1.4) with an embedded preview, as cameras write them."""

from __future__ import annotations

import io
import struct
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

BYTE, ASCII, SHORT, LONG, RATIONAL, SRATIONAL = 1, 2, 3, 4, 5, 10
_FORMATS = {BYTE: "B", ASCII: "B", SHORT: "H", LONG: "I", RATIONAL: "II", SRATIONAL: "ii"}

Entry = tuple[int, int, Sequence[int]]
"""Tag, type, values (two numbers per rational)."""


def dng(
    preview: NDArray[np.uint8],
    *,
    orientation: int = 1,
    taken: str = "2026:05:17 10:00:00",
    has_preview: bool = True,
    metadata_first: bool = False,
) -> bytes:
    """Returns a DNG with `preview` (uint8, (height, width, 3)) in the sensor's orientation.

    The pictures come before the tags; with `metadata_first` they come after, as in phones' files.
    """
    height, width = preview.shape[:2]
    target = io.BytesIO()
    Image.fromarray(preview).save(target, "JPEG", quality=95)
    jpeg = target.getvalue()
    mosaic = (preview[:, :, 1].astype("<u2") << 4).tobytes()
    exif: list[Entry] = [(0x9003, ASCII, _text(taken))]
    sensor: list[Entry] = [
        (0x00FE, LONG, [0]),
        *_picture(width, height, 16, compression=1, photometric=32803, samples=1),
        (0x828D, SHORT, [2, 2]),
        (0x828E, BYTE, [0, 1, 1, 2]),
        (0xC61A, SHORT, [0]),
        (0xC61D, SHORT, [4095]),
    ]
    first: list[Entry] = [
        (0x00FE, LONG, [1]),
        *_picture(width, height, 8, compression=7, photometric=6, samples=3),
        (0x010F, ASCII, _text("Bestshot")),
        (0x0110, ASCII, _text("Test Camera 1")),
        (0x0112, SHORT, [orientation]),
        (0xC612, BYTE, [1, 4, 0, 0]),
        (0xC614, ASCII, _text("Bestshot Test Camera 1")),
        (0xC621, SRATIONAL, [v for n in (1, 0, 0, 0, 1, 0, 0, 0, 1) for v in (n, 1)]),
        (0xC628, RATIONAL, [1, 1, 1, 1, 1, 1]),
        (0xC65A, SHORT, [21]),
    ]
    if not has_preview:
        return _tiff([*sensor, *first[8:]], [mosaic], {}, {}, metadata_first)
    pictures = {0x014A: (sensor, [mosaic])}
    return _tiff(first, [jpeg], pictures, {0x8769: exif}, metadata_first)


def _picture(
    width: int, height: int, bits: int, *, compression: int, photometric: int, samples: int
) -> list[Entry]:
    return [
        (0x0100, LONG, [width]),
        (0x0101, LONG, [height]),
        (0x0102, SHORT, [bits] * samples),
        (0x0103, SHORT, [compression]),
        (0x0106, SHORT, [photometric]),
        (0x0115, SHORT, [samples]),
        (0x0116, LONG, [height]),
        (0x011C, SHORT, [1]),
    ]


def _text(value: str) -> list[int]:
    return [*value.encode(), 0]


def _tiff(
    entries: list[Entry],
    strips: list[bytes],
    pictures: dict[int, tuple[list[Entry], list[bytes]]],
    folders: dict[int, list[Entry]],
    metadata_first: bool,
) -> bytes:
    """Lays out a little-endian TIFF: the first directory, those that it references, the strips."""

    def lay_out(start: int | None) -> tuple[bytes, bytes]:
        content, data = bytearray(b"II*\0\0\0\0\0"), bytearray()
        pointers = [
            (tag, _folder(content, data, found, own, start))
            for tag, (found, own) in pictures.items()
        ]
        pointers += [
            (tag, _folder(content, data, found, [], start)) for tag, found in folders.items()
        ]
        whole = [*entries, *((tag, LONG, [place]) for tag, place in pointers)]
        struct.pack_into("<I", content, 4, _folder(content, data, whole, strips, start))
        return bytes(content), bytes(data)

    if not metadata_first:
        return lay_out(None)[0]
    size = len(lay_out(0)[0])
    return b"".join(lay_out(size))


def _folder(
    content: bytearray,
    data: bytearray,
    entries: list[Entry],
    strips: list[bytes],
    start: int | None,
) -> int:
    """Adds strips and a directory with them; returns the offset of the directory.

    The strips go into `content` or, if `start` is given, into `data`, which begins there.
    """
    whole = list(entries)
    if strips:
        places = []
        target = content if start is None else data
        for strip in strips:
            places.append(len(target) + (start or 0))
            target += strip + b"\0" * (len(strip) % 2)
        whole += [(0x0111, LONG, places), (0x0117, LONG, [len(strip) for strip in strips])]
    packed = []
    for tag, kind, values in sorted(whole):
        value = struct.pack("<" + _FORMATS[kind][0] * len(values), *values)
        count = len(values) // len(_FORMATS[kind])
        if len(value) > 4:
            place = len(content)
            content += value + b"\0" * (len(value) % 2)
            value = struct.pack("<I", place)
        packed.append(struct.pack("<HHI", tag, kind, count) + value.ljust(4, b"\0"))
    begin = len(content)
    content += struct.pack("<H", len(packed)) + b"".join(packed) + b"\0\0\0\0"
    return begin
