"""Reads times in the names that cameras, phones and messengers give to files."""

from __future__ import annotations

import re

from orchestrator.domain.photo import CaptureTime
from orchestrator.metadata.capture_time import parse_time

SOURCE = "file name"
_DATE = r"(?P<date>(?:19[89]\d|20\d\d)(?P<dash>[-._]?)(?:0[1-9]|1[0-2])(?P=dash)(?:[0-2]\d|3[01]))"
_TIME = (
    r"(?P<hour>[0-2]\d|\d(?=[.:]))(?P<colon>[-._:]?)(?P<minute>[0-5]\d)(?P=colon)"
    r"(?P<second>[0-5]\d)(?:[-.]?(?P<fraction>\d{3}))?(?:\s?(?P<half>[AaPp][Mm]))?"
)
_BETWEEN = r"(?:[-_ T.]|,? at |_at_)?"
_STAMP = re.compile(rf"(?<!\d){_DATE}(?:{_BETWEEN}{_TIME}(?!\d)|(?!\d))")
"""For example PXL_20240501_100000123, IMG-20240501-WA0003, signal-2024-05-01-100000,
"2024-05-01 10.00.00", "Screenshot 2024-05-01 at 10.00.00 AM", BURST20240501100000123."""
_UTC_PREFIX = "PXL_"
"""Google's camera uses UTC in file names; all others use local time."""


def time_in_name(name: str) -> CaptureTime:
    """Reads the time in a file's name: only a date if the name has no time of day.

    Args:
        name: Name of the file, without folders.

    Returns:
        The time; without values if the name has none.
    """
    for match in _STAMP.finditer(name):
        day = "".join(filter(str.isdecimal, match["date"]))
        date = f"{day[:4]}-{day[4:6]}-{day[6:]}"
        time = CaptureTime()
        if match["hour"]:
            time = parse_time(
                f"{date} {match['hour']}:{match['minute']}:{match['second']}{match['half'] or ''}",
                SOURCE,
                fraction=match["fraction"] or "",
                offset="+00:00" if name.startswith(_UTC_PREFIX) else "",
            )
        if (found := time if time.local else parse_time(date, SOURCE)).local:
            return found
    return CaptureTime()
