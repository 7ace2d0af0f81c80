"""Reads capture times and camera facts from EXIF (CIPA DC-008)."""

from __future__ import annotations

import math

from orchestrator.domain.photo import CameraFacts, CaptureTime
from orchestrator.metadata.blocks import Blocks
from orchestrator.metadata.capture_time import parse_time
from orchestrator.metadata.maker_notes import read_maker_note
from orchestrator.metadata.tiff_directory import Directory

_MAKE, _MODEL, _MODIFY_DATE, _RATING = 0x010F, 0x0110, 0x0132, 0x4746
_EXPOSURE_TIME, _F_NUMBER, _SHUTTER_SPEED, _APERTURE = 0x829A, 0x829D, 0x9201, 0x9202
_ISO, _SENSITIVITY_INDICES = 0x8827, (0x8832, 0x8831)
_MAX_SHORT_ISO = 65535
"""Value that a camera writes if its ISO does not fit; the ISO is then in another tag."""
_DATE_TIME_ORIGINAL, _DATE_TIME_DIGITIZED = 0x9003, 0x9004
_TIMES = (
    ("EXIF DateTimeOriginal", _DATE_TIME_ORIGINAL, 0x9291, 0x9011),
    ("EXIF DateTimeDigitized", _DATE_TIME_DIGITIZED, 0x9292, 0x9012),
)
"""Source and tag of a time, with the tags for its fraction of a second and its offset from UTC."""
_OFFSET_TIME = 0x9010
_EXPOSURE_BIAS, _FLASH, _FOCAL_LENGTH = 0x9204, 0x9209, 0x920A
_EXPOSURE_MODE, _FOCAL_LENGTH_35MM = 0xA402, 0xA405
_BODY_SERIAL_NUMBER, _LENS_SPECIFICATION, _LENS_MODEL = 0xA431, 0xA432, 0xA434
_EXPOSURE_MODES: dict[float | None, str] = {0: "auto", 1: "manual", 2: "auto bracket"}
_GPS_LATITUDE, _GPS_TIME, _GPS_DATE = 0x0002, 0x0007, 0x001D
_MAX_APEX = 30
"""30 is an exposure of a nanosecond, and -30 one of 34 years."""
_MAX_TEXT = 200


def capture_times(blocks: Blocks) -> list[CaptureTime]:
    """Returns the times in the EXIF data, the most reliable first; unknown ones have no values.

    The offset from UTC comes from the time's own tag; otherwise from the tag for the last change,
    if the file has not changed since the photo was taken.
    """
    changed = blocks.image.text(_MODIFY_DATE)
    found = []
    for source, tag, fraction_tag, offset_tag in _TIMES:
        text = blocks.exif.text(tag) or blocks.image.text(tag)
        offset = blocks.exif.text(offset_tag)
        if not offset and text == changed:
            offset = blocks.exif.text(_OFFSET_TIME)
        fraction = blocks.exif.text(fraction_tag)
        found.append(parse_time(text, source, fraction=fraction, offset=offset))
    return found


def camera_name(blocks: Blocks) -> str:
    """Returns make, model and serial number, which distinguish cameras; empty if unknown."""
    make, model = blocks.image.text(_MAKE), blocks.image.text(_MODEL)
    name = model if model.startswith(make) else f"{make} {model}"
    return clean_text(f"{name} {blocks.exif.text(_BODY_SERIAL_NUMBER)}")


def camera_facts(blocks: Blocks) -> CameraFacts:
    """Reads the facts about the shot from the EXIF and the maker note."""
    exif = blocks.exif
    make = clean_text(blocks.image.text(_MAKE))
    sequence = read_maker_note(blocks.maker_note, make)
    flash = exif.number(_FLASH)
    return CameraFacts(
        make=make,
        model=clean_text(blocks.image.text(_MODEL)),
        lens=_lens(exif),
        focal_length_mm=_positive(exif.number(_FOCAL_LENGTH)),
        focal_length_35mm=_positive(exif.number(_FOCAL_LENGTH_35MM)),
        exposure_time_seconds=_exposure_time(exif),
        f_number=_f_number(exif),
        iso=_iso(exif),
        exposure_bias_ev=exif.number(_EXPOSURE_BIAS),
        exposure_mode=_EXPOSURE_MODES.get(exif.number(_EXPOSURE_MODE), ""),
        is_flash_fired=None if flash is None else bool(int(flash) & 1),
        has_gps=any(math.isfinite(part) for part in blocks.gps.numbers(_GPS_LATITUDE)),
        burst_id=clean_text(sequence.burst_id),
        sequence_number=_count(sequence.sequence_number),
        drive_mode=sequence.drive_mode,
        bracket_mode=sequence.bracket_mode,
    )


def exif_rating(blocks: Blocks) -> str:
    """Returns the rating that Windows writes to EXIF; empty if there is none."""
    rating = blocks.image.number(_RATING)
    return "" if rating is None else str(int(rating))


def gps_time(gps: Directory) -> str:
    """Returns the GPS time, which is UTC, in ISO 8601; empty if unknown."""
    parts = gps.numbers(_GPS_TIME)
    if len(parts) != 3 or not all(map(math.isfinite, parts)):
        return ""
    hour, minute, second = (int(part) for part in parts)
    return parse_time(f"{gps.text(_GPS_DATE)} {hour:02}:{minute:02}:{second:02}", "").local


def _exposure_time(exif: Directory) -> float | None:
    if (stated := _positive(exif.number(_EXPOSURE_TIME))) is not None:
        return stated
    speed = _apex(exif, _SHUTTER_SPEED)
    return None if speed is None else 2.0**-speed


def _f_number(exif: Directory) -> float | None:
    if (stated := _positive(exif.number(_F_NUMBER))) is not None:
        return stated
    aperture = _apex(exif, _APERTURE)
    return None if aperture is None else 2.0 ** (aperture / 2)


def _apex(exif: Directory, tag: int) -> float | None:
    """Reads a base-2 logarithm; None if there is none, in which case scanners write 0."""
    value = exif.number(tag)
    return value if value and abs(value) <= _MAX_APEX else None


def _iso(exif: Directory) -> int | None:
    stated = _positive(exif.number(_ISO))
    if stated is None or stated >= _MAX_SHORT_ISO:
        larger = [_positive(exif.number(tag)) for tag in _SENSITIVITY_INDICES]
        stated = next((value for value in larger if value is not None), stated)
    return None if stated is None else _count(int(stated))


def _count(value: int | None) -> int | None:
    """Returns a count if it is above 0 and fits into 32 bits; otherwise None."""
    return value if value is not None and 0 < value < 2**31 else None


def _lens(exif: Directory) -> str:
    """Returns the lens model, otherwise its focal lengths and apertures: "24-70 mm f/2.8"."""
    if name := clean_text(exif.text(_LENS_MODEL)):
        return name
    numbers = exif.numbers(_LENS_SPECIFICATION)
    if len(numbers) != 4 or _positive(numbers[0]) is None:
        return ""
    lengths = f"{_range(numbers[:2])} mm"
    return lengths if _positive(numbers[2]) is None else f"{lengths} f/{_range(numbers[2:])}"


def _range(limits: tuple[float, ...]) -> str:
    return "-".join(dict.fromkeys(f"{limit:g}" for limit in limits if _positive(limit) is not None))


def _positive(value: float | None) -> float | None:
    return float(value) if value is not None and math.isfinite(value) and value > 0 else None


def clean_text(text: str) -> str:
    """Returns one line of printable words."""
    return " ".join(word for word in text.split() if word.isprintable())[:_MAX_TEXT]
