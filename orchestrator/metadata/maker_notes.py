"""Reads which shots belong to bursts and brackets from the maker notes of cameras.

Manufacturers do not document them; locations and values are from ExifTool's tables
(https://exiftool.org/TagNames/), under the tag names in the comments.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass

from orchestrator.metadata.blocks import MakerNote
from orchestrator.metadata.tiff_directory import Directory, byte_order, read_directory


@dataclass(frozen=True)
class Sequence:
    """What a camera says about a series of shots; fields as in `CameraFacts`."""

    burst_id: str = ""
    sequence_number: int | None = None
    drive_mode: str = ""
    bracket_mode: str = ""


_CANON_SINGLE, _CANON_CONTINUOUS = (0, 6, 9), (1, 3, 4, 5, 8, 10)
_CANON_BRACKETS: dict[int | None, str] = {
    0: "none",
    1: "exposure",
    2: "focus",
    3: "ISO",
    4: "white balance",
}
_SONY_MODES: dict[int | None, tuple[str, str]] = {
    0: ("single", "none"),
    2: ("continuous", "none"),
    5: ("", "exposure"),
    6: ("", "white balance"),
    8: ("", "other"),
}
_PANASONIC_MODES: dict[int | None, tuple[str, str]] = {
    0: ("single", "none"),
    **dict.fromkeys((1, 4, 17), ("continuous", "none")),
    2: ("", "exposure"),
    3: ("", "focus"),
    8: ("", "white balance"),
    18: ("", "aperture"),
}
_NIKON_CONTINUOUS, _NIKON_EXPOSURE, _NIKON_WHITE_BALANCE, _NIKON_LIGHTING = 1, 16, 64, 256
_FUJIFILM_BRACKETS: dict[int | None, str] = {0: "none", 1: "exposure"}
_NOT_APPLICABLE = 65535


def read_maker_note(note: MakerNote, make: str) -> Sequence:
    """Reads the known parts of a maker note; the result is empty for unsupported makers.

    Args:
        note: The maker note.
        make: Manufacturer according to EXIF.
    """
    start = note.block[note.place : note.place + 16]
    readers = [read for header, read in _READERS.items() if start.startswith(header)]
    if not readers and make.startswith("Canon") and start:
        readers = [_read_canon]  # has no header
    try:
        return readers[0](note) if readers else Sequence()
    except struct.error:  # cut off
        return Sequence()


def _read_apple(note: MakerNote) -> Sequence:
    order = byte_order(note.block[note.place + 12 :]) or ">"
    tags = read_directory(note.block, order, note.place + 14, note.place)
    return Sequence(burst_id=tags.text(0x000B))  # BurstUUID


def _read_canon(note: MakerNote) -> Sequence:
    tags = read_directory(note.block, note.order, note.place)
    settings, shot, file = (_shorts(tags, tag) for tag in (0x0001, 0x0004, 0x0093))
    drive = settings(5)  # ContinuousDrive
    bracketing = shot(16)  # AutoExposureBracketing: -1, or the number of the shot
    bracket = _CANON_BRACKETS.get(file(3), "")  # BracketMode
    if bracketing not in (None, 0):
        bracket = "exposure"
    elif bracketing == 0 and not bracket:
        bracket = "none"
    number = file(5) or (bracketing if bracketing in (1, 2, 3) else 0)  # BracketShotNumber
    return Sequence(
        sequence_number=(number if bracket not in ("", "none") else shot(9)) or None,
        drive_mode="single"
        if drive in _CANON_SINGLE
        else ("continuous" if drive in _CANON_CONTINUOUS else ""),
        bracket_mode=bracket,
    )


def _read_sony(note: MakerNote) -> Sequence:
    tags = read_directory(note.block, note.order, note.place + 12)
    drive, bracket = _SONY_MODES.get(_whole(tags, 0xB049), ("", ""))  # ReleaseMode
    number = _whole(tags, 0xB04A)  # SequenceNumber
    return Sequence("", None if number in (0, _NOT_APPLICABLE) else number, drive, bracket)


def _read_panasonic(note: MakerNote) -> Sequence:
    tags = read_directory(note.block, note.order, note.place + 12)
    drive, bracket = _PANASONIC_MODES.get(_whole(tags, 0x002A), ("", ""))  # BurstMode
    return Sequence("", _whole(tags, 0x002B) or None, drive, bracket)  # SequenceNumber


def _read_nikon(note: MakerNote) -> Sequence:
    base = note.place + 10
    order = byte_order(note.block[base:])
    if order is None:
        return Sequence()
    (offset,) = struct.unpack_from(f"{order}I", note.block, base + 4)
    tags = read_directory(note.block, order, base + offset, base)
    mode = _whole(tags, 0x0089)  # ShootingMode
    if mode is None:
        return Sequence()
    bracket = "none"
    if mode & _NIKON_EXPOSURE:
        bracket = "white balance" if mode & _NIKON_WHITE_BALANCE else "exposure"
        bracket = "other" if mode & _NIKON_LIGHTING else bracket
    return Sequence("", None, "continuous" if mode & _NIKON_CONTINUOUS else "single", bracket)


def _read_fujifilm(note: MakerNote) -> Sequence:
    (offset,) = struct.unpack_from("<I", note.block, note.place + 8)
    tags = read_directory(note.block, "<", note.place + offset, note.place)
    number = _whole(tags, 0x1101)  # SequenceNumber
    bracket = _FUJIFILM_BRACKETS.get(_whole(tags, 0x1100), "")  # AutoBracketing
    return Sequence("", number or None, "continuous" if number else "", bracket)


_READERS: dict[bytes, Callable[[MakerNote], Sequence]] = {
    b"Apple iOS\0": _read_apple,
    b"SONY ": _read_sony,
    b"Panasonic\0": _read_panasonic,
    b"Nikon\0\x02": _read_nikon,
    b"FUJIFILM": _read_fujifilm,
}


def _whole(tags: Directory, tag: int) -> int | None:
    number = tags.number(tag)
    return None if number is None else int(number)


def _shorts(tags: Directory, tag: int) -> Callable[[int], int | None]:
    """Makes a lookup of signed 16-bit numbers in one of Canon's arrays; None beyond its end.

    The first number is the array's size in bytes; the layout of arrays without it is unknown.
    """
    raw = tags.raw(tag)
    values = struct.unpack(f"{tags.order}{len(raw) // 2}h", raw[: len(raw) // 2 * 2])
    if not values or values[0] != len(raw):
        return lambda index: None
    return lambda index: values[index] if index < len(values) else None
