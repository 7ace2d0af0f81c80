"""Finds the metadata blocks of image files: EXIF, XMP and IPTC."""

from __future__ import annotations

import io
import re
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from PIL import Image

from orchestrator.metadata.tiff_directory import EMPTY, ByteOrder, Directory, byte_order, read_tiff
from services.common.imaging.decode import FORMATS, register_formats
from services.common.imaging.raw import is_raw

ORIENTATION = 0x0112
_EXIF_POINTER, _GPS_POINTER, _MAKER_NOTE = 0x8769, 0x8825, 0x927C
_XMP_TAG, _IPTC_TAG = 0x02BC, 0x83BB
_PHOTOSHOP_IPTC, _PHOTOSHOP_EXIF, _PHOTOSHOP_XMP = 1028, 1058, 1060
"""Ids of Photoshop's image resources in PSD and JPEG files."""
_EXIF_HEADER = b"Exif\0\0"
_TIFF_LIKE = (b"II*\0", b"MM\0*", b"IIRO", b"IIRS", b"MMOR")
"""Magic numbers of TIFF files, and of RAW files that differ from TIFF only in the magic number."""
_PANASONIC_RAW = b"IIU\0"
_XMP_START, _XMP_END = b"<x:xmpmeta", b"</x:xmpmeta>"
_CANON_BOXES = (b"CMT1", b"CMT2", b"CMT3", b"CMT4")
"""Boxes of a CR3 file: the first directory, the Exif directory, the maker note, and GPS."""
_BOX_FILES = (b"ftyp", b"jP  ")
"""Bytes 4 to 7 of HEIF, AVIF and CR3 files, and of JPEG 2000 files."""
_EXIF_UUID = b"JpgTiffExif->JP2"
_XMP_UUID = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")
_SEARCH_BYTES = 2**22
"""How much of a RAW file that is not a TIFF is searched: its metadata precedes the sensor data."""
_IROT = re.compile(rb"\0\0\0\x09irot(.)", re.DOTALL)
_IMIR = re.compile(rb"\0\0\0\x09imir(.)", re.DOTALL)
_BY_QUARTER_TURNS = {None: (1, 8, 3, 6), 0: (4, 5, 2, 7), 1: (2, 7, 4, 5)}
"""EXIF orientations for 0 to 3 counterclockwise quarter turns, by the mirroring that follows: none,
top to bottom (0) or left to right (1)."""
_SECONDS_TO_1970 = 2082844800
"""Seconds from 1904, the epoch of QuickTime, to 1970."""


@dataclass(frozen=True)
class MakerNote:
    """The manufacturer's own part of the EXIF.

    Attributes:
        block: The block that contains it; its offsets may be relative to the start of the block.
        place: Where in `block` it begins.
        order: Byte order of the EXIF.
    """

    block: bytes = b""
    place: int = 0
    order: ByteOrder = "<"


@dataclass(frozen=True)
class Blocks:
    """The metadata blocks of a file; missing ones are empty.

    Attributes:
        image: First directory of the EXIF.
        exif: The Exif directory, with the capture settings.
        gps: The GPS directory.
        maker_note: The maker note.
        xmp: The XMP packet.
        iptc: Values of IPTC record 2, by data set number.
        quicktime_seconds: Creation time in a QuickTime container, in seconds from 1970.
        png_time: Creation time in a PNG text chunk.
        has_video: Whether a Samsung trailer or a HEIF box contains a video.
        container_orientation: How a HEIF or AVIF turns its stored picture, as an EXIF orientation;
            None if its parts contradict each other; 0 for other formats.
    """

    image: Directory = EMPTY
    exif: Directory = EMPTY
    gps: Directory = EMPTY
    maker_note: MakerNote = MakerNote()
    xmp: bytes = b""
    iptc: Mapping[int, bytes] = field(default_factory=dict)
    quicktime_seconds: int | None = None
    png_time: str = ""
    has_video: bool = False
    container_orientation: int | None = 0


def find_blocks(content: bytes) -> Blocks:
    """Finds the metadata of an image file, which may be damaged; decodes no pixels.

    Args:
        content: The whole file.
    """
    try:
        if content.startswith(_TIFF_LIKE):
            return _exif_blocks(content)
        return _raw_blocks(content) if is_raw(content) else _picture_blocks(content)
    except Exception:  # Pillow may raise any exception on damaged data
        return Blocks()


def _picture_blocks(content: bytes) -> Blocks:
    """Finds the metadata of a file that Pillow can open."""
    register_formats()
    info: dict[Any, Any] = {}
    resources: dict[int, bytes] = {}
    container_orientation: int | None = 0
    with Image.open(io.BytesIO(content), formats=FORMATS) as image:
        info.update(image.info)
        resources.update(info.get("photoshop", {}))
        if image.format == "HEIF":
            container_orientation = _heif_orientation(content, info.get("original_orientation"))
        elif image.format == "AVIF":
            container_orientation = image.getexif().get(ORIENTATION, 1)  # from irot and imir
        if image.format == "PSD":
            resources.update({number: data for number, _, data in image.resources})  # type: ignore[attr-defined]
    boxes = {
        (name, box[: len(_EXIF_UUID)] if name == b"uuid" else b""): box
        for name, box in _iterate_boxes(content)
    }
    exif = _first(
        _as_bytes(info.get("exif")),
        _png_profile(info, "exif"),
        resources.get(_PHOTOSHOP_EXIF, b""),
        boxes.get((b"uuid", _EXIF_UUID), b"")[len(_EXIF_UUID) :],
    )
    xmp = _first(
        _as_bytes(info.get("xmp")),
        _png_profile(info, "xmp"),
        resources.get(_PHOTOSHOP_XMP, b""),
        boxes.get((b"uuid", _XMP_UUID), b"")[len(_XMP_UUID) :],
    )
    iptc = _first(resources.get(_PHOTOSHOP_IPTC, b""), _png_profile(info, "iptc"))
    return _exif_blocks(
        exif.removeprefix(_EXIF_HEADER),
        xmp=xmp,
        iptc=iptc,
        quicktime_seconds=_quicktime_seconds(boxes.get((b"moov", b""), b"")),
        png_time=str(info.get("Creation Time", "")),
        has_video=(b"mpvd", b"") in boxes or _has_samsung_video(content),
        container_orientation=container_orientation,
    )


def _heif_orientation(content: bytes, exif_orientation: int | None) -> int | None:
    """Finds how a HEIF rotates or mirrors its stored picture; None if that is unclear.

    Its `irot` and `imir` decide. Its EXIF should have no effect, but some programs use it, so the
    result is unclear if the EXIF disagrees.
    """
    head = content[:_SEARCH_BYTES]
    turns = {match[1][0] & 3 for match in _IROT.finditer(head)} or {0}
    mirrored: set[int | None] = {match[1][0] & 1 for match in _IMIR.finditer(head)} or {None}
    if len(turns) > 1 or len(mirrored) > 1:
        return None
    orientation = _BY_QUARTER_TURNS[mirrored.pop()][turns.pop()]
    return orientation if exif_orientation in (None, 1, orientation) else None


def _raw_blocks(content: bytes) -> Blocks:
    """Finds the metadata of a RAW file that is not a TIFF."""
    xmp = b""
    start = content.find(_XMP_START, 0, _SEARCH_BYTES)
    if start >= 0:
        end = content.find(_XMP_END, start, start + _SEARCH_BYTES)
        xmp = content[start : end + len(_XMP_END)] if end > 0 else b""
    if content[4:8] == b"ftyp":
        return _canon_blocks(content, xmp)
    # Fujifilm, Panasonic and Sigma embed a JPEG with the whole EXIF; Minolta embeds a TIFF
    for header in (_EXIF_HEADER, b"\0TTW"):
        start = content.find(header, 0, _SEARCH_BYTES)
        if start >= 0:
            skipped = len(_EXIF_HEADER) if header == _EXIF_HEADER else 8
            return _exif_blocks(content[start + skipped :][:_SEARCH_BYTES], xmp=xmp)
    if content.startswith(_PANASONIC_RAW):
        return _exif_blocks(content, xmp=xmp)
    return Blocks(xmp=xmp)


def _canon_blocks(content: bytes, xmp: bytes) -> Blocks:
    """Finds the metadata of a CR3, which has a TIFF for each directory."""
    found: list[bytes] = []
    for name in _CANON_BOXES:
        start = content.find(name, 0, _SEARCH_BYTES)
        size = struct.unpack_from(">I", content, start - 4)[0] - 8 if start >= 4 else 0
        found.append(content[start + 4 :][: max(0, size)] if start >= 4 else b"")
    note = found[2]
    return Blocks(
        image=read_tiff(found[0]),
        exif=read_tiff(found[1]),
        gps=read_tiff(found[3]),
        maker_note=MakerNote(note, 8, byte_order(note) or "<"),
        xmp=xmp,
        quicktime_seconds=next(
            (_quicktime_seconds(box) for name, box in _iterate_boxes(content) if name == b"moov"),
            None,
        ),
    )


def _exif_blocks(
    tiff: bytes,
    *,
    xmp: bytes = b"",
    iptc: bytes = b"",
    quicktime_seconds: int | None = None,
    png_time: str = "",
    has_video: bool = False,
    container_orientation: int | None = 0,
) -> Blocks:
    image = read_tiff(tiff)
    exif = image.subdirectory(_EXIF_POINTER)
    place = exif.place(_MAKER_NOTE)
    return Blocks(
        image=image,
        exif=exif,
        gps=image.subdirectory(_GPS_POINTER),
        maker_note=MakerNote() if place is None else MakerNote(tiff, place, exif.order),
        xmp=xmp or image.raw(_XMP_TAG),
        iptc=_parse_iptc(iptc or image.raw(_IPTC_TAG)),
        quicktime_seconds=quicktime_seconds,
        png_time=png_time,
        has_video=has_video,
        container_orientation=container_orientation,
    )


def contains_video(content: bytes) -> bool:
    """Whether an MP4 file follows the picture; programs that remove the video may keep its XMP."""
    return content.find(b"ftyp", 16) > 0  # a HEIF has an `ftyp` at offset 4


def _has_samsung_video(content: bytes) -> bool:
    """Whether Samsung's trailer, which older models write without any XMP, lists a video."""
    return content.endswith(b"SEFT") and b"MotionPhoto_Data" in content


def _parse_iptc(data: bytes) -> dict[int, bytes]:
    """Returns the first value of each data set of record 2 (IPTC-IIM 4.2, section 1.5)."""
    found: dict[int, bytes] = {}
    place = 0
    while place + 5 <= len(data) and data[place] == 0x1C:
        record, number, size = struct.unpack_from(">BBH", data, place + 1)
        if size & 0x8000:  # an extended data set; dates and times never use one
            break
        if record == 2:
            found.setdefault(number, data[place + 5 : place + 5 + size])
        place += 5 + size
    return found


def _iterate_boxes(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yields the name and content of each outermost box that we use (ISO 14496-12)."""
    place = 0
    while content[4:8] in _BOX_FILES and place + 16 <= len(content):
        size, name = struct.unpack_from(">I4s", content, place)
        if size == 1:  # the size follows, in 64 bits
            (size,) = struct.unpack_from(">Q", content, place + 8)
        if size < 8:  # 0: up to the end of the file
            return
        if name in (b"moov", b"uuid"):
            yield name, content[place + 8 : place + size]
        elif name == b"mpvd":
            yield name, b""
        place += size


def _quicktime_seconds(movie: bytes) -> int | None:
    """Returns the creation time in the header of a movie."""
    place = movie.find(b"mvhd")
    if place < 0 or place + 16 > len(movie):
        return None
    is_wide = movie[place + 4] == 1
    (seconds,) = struct.unpack_from(">Q" if is_wide else ">I", movie, place + 8)
    return int(seconds) - _SECONDS_TO_1970 if seconds else None


def _png_profile(info: Mapping[Any, Any], name: str) -> bytes:
    """Returns a block that ImageMagick writes to a PNG as text; empty if there is none."""
    text = info.get(f"Raw profile type {name}")
    try:
        return bytes.fromhex("".join(str(text).split("\n")[3:])) if text else b""
    except ValueError:
        return b""


def _first(*blocks: bytes) -> bytes:
    """Returns the first block that is not empty."""
    return next(filter(None, blocks), b"")


def _as_bytes(value: object) -> bytes:
    return value if isinstance(value, bytes) else b""
