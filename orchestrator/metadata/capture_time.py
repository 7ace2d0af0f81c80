"""Parses capture times in the forms that programs write, and chooses one of a photo's times."""

from __future__ import annotations

import dataclasses
import datetime
import re
from collections.abc import Sequence

from orchestrator.domain.photo import CaptureTime

_SEPARATOR = r"[:;/.\-\s]\s?"
_DATE = rf"(\d{{4}}){_SEPARATOR}(\d{{1,2}}){_SEPARATOR}(\d{{1,2}})"
_TIME = (
    r"(\d{1,2})(?P<colon>[:;/.\-\s])\s?(\d{1,2})(?:(?P=colon)\s?(\d{1,2})(?:[.,](\d+))?)?"
    r"\s*([aApP][mM])?\s*(Z|[+-]\d\d:?\d\d)?"
)
_SEPARATED = re.compile(rf"\s*{_DATE}(?:[T,\s]\s*{_TIME})?")
"""EXIF and XMP, and programs' variants of them: other separators, blanks in place of zeros."""
_COMPACT = re.compile(
    r"\s*(\d{4})(\d\d)(\d\d)(?:[T\s]?(\d\d)()(\d\d)(?:(\d\d)(?:[.,](\d+))?)?()(Z|[+-]\d\d:?\d\d)?)?"
)
"""IPTC and the basic form of ISO 8601."""
_MAX_FRACTION_DIGITS = 9
_OFFSET = re.compile(r"\s*([+-])(\d\d):?(\d\d)")
_MAX_OFFSET_MINUTES = 15 * 60
"""More than the 14 hours of Kiribati."""
_OFFSET_STEP_MINUTES, _MAX_DRIFT_MINUTES = 15, 5
"""Offsets of time zones are multiples of the first value; a GPS fix may be older than the shot by
up to the second. The two together are a heuristic."""


def parse_time(text: str, source: str, *, fraction: str = "", offset: str = "") -> CaptureTime:
    """Parses a date with or without a time of day.

    Args:
        text: For example "2024:05:01 10:00:00", "2024: 5: 1 10:00: 0" or
            "2024-05-01T10:00:00.5+02:00".
        source: Where it was found.
        fraction: Digits after the second, if they are stated elsewhere.
        offset: Offset from UTC, if it is stated elsewhere.

    Returns:
        The time; without values if the text is not a time, or is one that does not exist, such as
        the "0000:00:00 00:00:00" of cameras whose clock was never set.
    """
    match = _SEPARATED.match(text) or _COMPACT.match(text)
    if match is None:
        return CaptureTime()
    year, month, day, hour, _, minute, second, own_fraction, half, own_offset = match.groups()
    try:
        date = datetime.date(int(year), int(month), int(day))
        if hour is None:
            return CaptureTime(date.isoformat(), "", source)
        hours = int(hour) if not half else int(hour) % 12 + 12 * (half.lower() == "pm")
        time = datetime.time(hours, int(minute), int(second or 0))
    except ValueError:
        return CaptureTime()
    digits = (own_fraction or fraction.strip())[:_MAX_FRACTION_DIGITS]
    local = f"{date.isoformat()}T{time.isoformat()}"
    return CaptureTime(
        f"{local}.{digits}" if digits.isdecimal() and digits.isascii() else local,
        parse_offset(own_offset or offset),
        source,
    )


def parse_offset(text: str) -> str:
    """Parses an offset from UTC; returns it in the form "+02:00"; empty if it is not an offset."""
    if text.strip() == "Z":
        return "+00:00"
    match = _OFFSET.match(text)
    if match is None:
        return ""
    minutes = 60 * int(match[2]) + int(match[3])
    is_valid = minutes < _MAX_OFFSET_MINUTES and int(match[3]) < 60
    return f"{match[1]}{match[2]}:{match[3]}" if is_valid else ""


def derive_offset(local: str, utc: str) -> str:
    """Derives the offset from UTC from local time and GPS time; empty if they do not match.

    Args:
        local: ISO 8601 without zone.
        utc: The same instant in UTC, or a few minutes earlier, in the same format.
    """
    if "T" not in local:
        return ""
    try:
        difference = datetime.datetime.fromisoformat(local) - datetime.datetime.fromisoformat(utc)
    except ValueError:
        return ""
    exact = difference.total_seconds() / 60
    minutes = _OFFSET_STEP_MINUTES * round(exact / _OFFSET_STEP_MINUTES)
    if abs(exact - minutes) > _MAX_DRIFT_MINUTES or abs(minutes) >= _MAX_OFFSET_MINUTES:
        return ""
    sign = "-" if minutes < 0 else "+"
    return f"{sign}{abs(minutes) // 60:02}:{abs(minutes) % 60:02}"


def choose_time(candidates: Sequence[CaptureTime]) -> CaptureTime:
    """Chooses the first known time; if that is only a date, the first time of day on that date.

    Args:
        candidates: Times that sources state, the most reliable source first; unknown ones are
            skipped.
    """
    known = [candidate for candidate in candidates if candidate.local]
    if not known:
        return CaptureTime()
    same_day = [candidate for candidate in known if candidate.date == known[0].date]
    return next((found for found in same_day if found.has_time_of_day), known[0])


def with_offset(time: CaptureTime, offset: str) -> CaptureTime:
    """Adds an offset to a time of day that has none."""
    if time.utc_offset or not time.has_time_of_day:
        return time
    return dataclasses.replace(time, utc_offset=offset)
