"""Reads the metadata of files and sidecars, and combines what is known about a photo."""

from __future__ import annotations

import dataclasses
import datetime
import email.utils
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from lxml import etree

from orchestrator.domain.photo import CameraFacts, CaptureTime, OwnerMark
from orchestrator.metadata.blocks import ORIENTATION, Blocks, contains_video, find_blocks
from orchestrator.metadata.capture_time import (
    choose_time,
    derive_offset,
    parse_time,
    with_offset,
)
from orchestrator.metadata.exif_facts import (
    camera_facts,
    camera_name,
    capture_times,
    clean_text,
    exif_rating,
    gps_time,
)
from orchestrator.metadata.file_names import time_in_name
from orchestrator.metadata.xmp_packet import find_rdf, get_items, get_property, parse_xmp
from services.common.errors import InvalidArgumentError

METADATA_VERSION = "4"
"""Part of the cache key: raise it whenever `read_metadata` returns different results."""

IN_FILE = "the file"
"""Source of a mark stored in the photo itself."""
_XMP_TIMES = (
    *("exif:DateTimeOriginal", "photoshop:DateCreated"),
    *("exif:DateTimeDigitized", "xmp:CreateDate"),
)
"""The times of XMP, the most reliable first, as the Metadata Working Group ranks them."""
_ORIENTATIONS = tuple("12345678")
_IPTC_DATE, _IPTC_TIME = 55, 60
_PICKS = {
    "xmpDM:pick": {"1": "picked", "-1": "rejected"},
    "digiKam:PickLabel": {"3": "picked", "1": "rejected"},
}
"""Flags of Lightroom and digiKam."""
_DARKTABLE_LABELS = {"0": "Red", "1": "Yellow", "2": "Green", "3": "Blue", "4": "Purple"}
_MIN_RATING, _MAX_RATING = -1, 5
_MOTION_PHOTO = ("MotionPhoto", "MicroVideo")
"""Flags of motion photos, since 2019 and before; Samsung also writes the first."""


@dataclass(frozen=True, slots=True)
class FileMetadata:
    """The metadata in a file or a sidecar.

    Attributes:
        capture_times: Known times, the most reliable first.
        camera: Make, model and serial number of the camera; empty if unknown.
        camera_facts: Facts about the shot.
        owner_mark: The owner's mark, without a source.
    """

    capture_times: tuple[CaptureTime, ...] = ()
    camera: str = ""
    camera_facts: CameraFacts = field(default_factory=CameraFacts)
    owner_mark: OwnerMark = field(default_factory=OwnerMark)


def read_metadata(content: bytes) -> FileMetadata:
    """Reads the metadata of an image file, which may be damaged; decodes no pixels.

    Args:
        content: The whole file.
    """
    blocks = find_blocks(content)
    times = capture_times(blocks)
    facts = camera_facts(blocks)
    mark = OwnerMark()
    if blocks.xmp and (rdf := _parse_embedded(blocks.xmp)) is not None:
        times += _xmp_times(rdf)
        mark = _owner_mark(rdf)
        facts = dataclasses.replace(
            facts,
            lens=facts.lens or clean_text(get_property(rdf, "aux:Lens")),
            burst_id=facts.burst_id or clean_text(get_property(rdf, "GCamera:BurstID")),
            has_video=_is_motion_photo(rdf) and contains_video(content),
        )
    facts = dataclasses.replace(facts, has_video=facts.has_video or blocks.has_video)
    if mark.rating is None:
        mark = dataclasses.replace(mark, rating=_rating(exif_rating(blocks)))
    times += [_iptc_time(blocks), _png_time(blocks), _quicktime_time(blocks)]
    utc = gps_time(blocks.gps)
    known = tuple(with_offset(time, derive_offset(time.local, utc)) for time in times if time.local)
    return FileMetadata(known, camera_name(blocks), facts, mark)


def read_orientation(content: bytes) -> int | None:
    """Reads how the stored picture of an image file is turned, as an EXIF orientation, 1 to 8.

    In a HEIF or AVIF, the container decides; in other formats, the EXIF or XMP.

    Args:
        content: The whole file.

    Returns:
        None for a HEIF whose container and EXIF contradict each other.
    """
    blocks = find_blocks(content)
    if blocks.container_orientation != 0:
        return blocks.container_orientation
    value = blocks.image.number(ORIENTATION)
    text = "" if value is None else str(int(value))
    if not text and blocks.xmp and (rdf := _parse_embedded(blocks.xmp)) is not None:
        text = get_property(rdf, "tiff:Orientation")
    return int(text) if text in _ORIENTATIONS else 1


def read_sidecar(content: bytes, path: str) -> FileMetadata:
    """Reads an XMP sidecar.

    Args:
        content: The sidecar.
        path: Its path, for the sources.

    Raises:
        InvalidArgumentError: The content is not XMP.
    """
    rdf = find_rdf(parse_xmp(content))
    times = [
        dataclasses.replace(time, source=f"{path} {time.source.removeprefix('XMP ')}")
        for time in _xmp_times(rdf)
        if time.local
    ]
    return FileMetadata(tuple(times), owner_mark=_owner_mark(rdf))


def needs_companions(embedded: FileMetadata, sidecars: Mapping[str, FileMetadata]) -> bool:
    """Whether a photo lacks a camera, or a time of day, that its RAW file may state."""
    times = [time for metadata in (embedded, *sidecars.values()) for time in metadata.capture_times]
    return not embedded.camera or not choose_time(times).has_time_of_day


def assemble_facts(
    path: str,
    embedded: FileMetadata,
    sidecars: Mapping[str, FileMetadata],
    companions: Mapping[str, FileMetadata] = MappingProxyType({}),
) -> dict[str, Any]:
    """Combines what is known about a photo, as fields of `ImageRecord`.

    The capture time comes from the first of these that has one: the file, a sidecar, a companion,
    the file's name. Camera and camera facts come from the first companion with a camera if the file
    names none. Rating and pick come from the first sidecar that has either of them, otherwise from
    the file; so does the label.

    Args:
        path: Path of the photo.
        embedded: What the file states.
        sidecars: What its sidecars state, by path, in order of precedence.
        companions: What its RAW files state, by path.
    """
    stated = [embedded, *sidecars.values()]
    times = [time for metadata in stated for time in metadata.capture_times]
    times += [
        dataclasses.replace(time, source=f"{name} {time.source}")
        for name, metadata in companions.items()
        for time in metadata.capture_times
    ]
    with_camera = [one for one in (embedded, *companions.values()) if one.camera] or [embedded]
    shot = dataclasses.replace(
        with_camera[0].camera_facts,
        has_gps=embedded.camera_facts.has_gps,
        has_video=embedded.camera_facts.has_video,
    )
    chosen = choose_time([*times, time_in_name(path.rpartition("/")[2])])
    return {
        "capture_time": chosen.local,
        "capture_time_source": chosen.source,
        "capture_utc_offset": chosen.utc_offset,
        "camera": with_camera[0].camera,
        "camera_facts": shot,
        "owner_mark": _merge_marks(
            {name: found.owner_mark for name, found in sidecars.items()}
            | {IN_FILE: embedded.owner_mark}
        ),
    }


def metadata_to_json(metadata: FileMetadata) -> dict[str, Any]:
    """Converts the metadata to JSON data, with fields keyed by name."""
    return dataclasses.asdict(metadata)


def metadata_from_json(data: Mapping[str, Any]) -> FileMetadata:
    """Inverse of `metadata_to_json`."""
    return FileMetadata(
        tuple(CaptureTime(**time) for time in data["capture_times"]),
        data["camera"],
        CameraFacts(**data["camera_facts"]),
        OwnerMark(**data["owner_mark"]),
    )


def _parse_embedded(packet: bytes) -> etree._Element | None:
    try:
        return find_rdf(parse_xmp(packet, is_damaged=True))
    except InvalidArgumentError:  # a damaged packet does not make the picture unreadable
        return None


def _is_motion_photo(rdf: etree._Element) -> bool:
    return any(get_property(rdf, f"GCamera:{name}") == "1" for name in _MOTION_PHOTO)


def _xmp_times(rdf: etree._Element) -> list[CaptureTime]:
    return [parse_time(get_property(rdf, key), f"XMP {key}") for key in _XMP_TIMES]


def _iptc_time(blocks: Blocks) -> CaptureTime:
    date, time = (
        blocks.iptc.get(number, b"").decode("ascii", "replace").strip()
        for number in (_IPTC_DATE, _IPTC_TIME)
    )
    stated = parse_time(f"{date} {time}", "IPTC DateCreated, TimeCreated")
    return stated if stated.has_time_of_day else parse_time(date, "IPTC DateCreated")


def _png_time(blocks: Blocks) -> CaptureTime:
    """Reads the time in a PNG's text; the standard requires e-mail format (RFC 1123)."""
    try:
        text = email.utils.parsedate_to_datetime(blocks.png_time).isoformat()
    except (ValueError, IndexError, TypeError, OverflowError):
        text = blocks.png_time
    return parse_time(text, "PNG Creation Time")


def _quicktime_time(blocks: Blocks) -> CaptureTime:
    """Returns the creation time of QuickTime, which is UTC."""
    if blocks.quicktime_seconds is None:
        return CaptureTime()
    try:
        time = datetime.datetime.fromtimestamp(blocks.quicktime_seconds, datetime.UTC)
    except (ValueError, OverflowError, OSError):
        return CaptureTime()
    return parse_time(time.isoformat(), "QuickTime CreateDate")


def _owner_mark(rdf: etree._Element) -> OwnerMark:
    """Reads the owner's mark; values that bestshot wrote itself are left out."""
    picks = [flags.get(get_property(rdf, key), "") for key, flags in _PICKS.items()]
    return OwnerMark(
        rating=_rating(_foreign_property(rdf, "xmp:Rating")),
        pick=next(filter(None, picks), ""),
        label=clean_text(_foreign_property(rdf, "xmp:Label")) or _darktable_label(rdf),
    )


def _foreign_property(rdf: etree._Element, key: str) -> str:
    """Returns a property; empty if bestshot wrote it, and its own property has the same value."""
    value = get_property(rdf, key)
    return "" if value == get_property(rdf, f"bestshot:{key.partition(':')[2]}") else value


def _darktable_label(rdf: etree._Element) -> str:
    """Returns the first of darktable's labels, of which a photo may have several."""
    numbers = get_items(rdf, "darktable:colorlabels")
    names = [_DARKTABLE_LABELS.get(number, "") for number in numbers]
    return next(filter(None, names), "")


def _rating(text: str) -> int | None:
    """Reads a rating in stars, or -1; None if there is none, which some programs write as 0."""
    try:
        value = float(text)
    except ValueError:
        return None
    if not math.isfinite(value) or not _MIN_RATING <= value <= _MAX_RATING:
        return None
    return int(value) or None


def _merge_marks(marks: Mapping[str, OwnerMark]) -> OwnerMark:
    """Takes rating and pick from the first source with either, and the first label."""
    verdicts = [
        (name, mark) for name, mark in marks.items() if mark.rating is not None or mark.pick
    ]
    labels = [(name, mark) for name, mark in marks.items() if mark.label]
    source, verdict = verdicts[0] if verdicts else ("", OwnerMark())
    label_source, labelled = labels[0] if labels else ("", OwnerMark())
    return OwnerMark(verdict.rating, verdict.pick, labelled.label, source or label_source)
