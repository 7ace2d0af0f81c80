"""Times in the forms that programs write in tags and file names."""

from __future__ import annotations

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.domain.moments.capture_time import capture_seconds
from orchestrator.domain.photo import CaptureTime
from orchestrator.metadata.capture_time import choose_time, derive_offset, parse_offset, parse_time
from orchestrator.metadata.file_names import time_in_name


@pytest.mark.parametrize(
    ("text", "local", "offset"),
    [
        ("2024:05:01 10:00:00", "2024-05-01T10:00:00", ""),
        ("2024: 5: 1 10:00: 0", "2024-05-01T10:00:00", ""),
        ("2024-05-01 10:00:00", "2024-05-01T10:00:00", ""),
        ("2024/05/01 10:00:00", "2024-05-01T10:00:00", ""),
        ("2024.05.01 10.00.00", "2024-05-01T10:00:00", ""),
        ("2024:05:01 10-00-00", "2024-05-01T10:00:00", ""),
        ("2024;05;01 10;00;00", "2024-05-01T10:00:00", ""),
        ("2024-05-01T10:00:00.25+02:00", "2024-05-01T10:00:00.25", "+02:00"),
        ("2024-05-01T10:00:00Z", "2024-05-01T10:00:00", "+00:00"),
        ("2024-05-01T10:00-0330", "2024-05-01T10:00:00", "-03:30"),
        ("2024:05:01 10:00:00 PM", "2024-05-01T22:00:00", ""),
        ("20240501 100000+0200", "2024-05-01T10:00:00", "+02:00"),
        ("20240501T100000", "2024-05-01T10:00:00", ""),
        ("2024-05-01", "2024-05-01", ""),
        ("20240501", "2024-05-01", ""),
        ("2024:05:01   :  :  ", "2024-05-01", ""),
        ("2024-05", "", ""),
        ("0000:00:00 00:00:00", "", ""),
        ("9999:99:99 99:99:99", "", ""),
        ("2024:02:30 10:00:00", "", ""),
        ("2024:05:01 24:00:00", "", ""),
        ("    :  :     :  :  ", "", ""),
        ("yesterday", "", ""),
        ("", "", ""),
    ],
)
def test_times_are_read_as_programs_write_them(text: str, local: str, offset: str) -> None:
    found = parse_time(text, "tag")
    assert found == (CaptureTime(local, offset, "tag") if local else CaptureTime())


@given(st.datetimes(datetime.datetime(1900, 1, 1)), st.text(max_size=3))
def test_any_exif_time_is_read_with_its_fraction(time: datetime.datetime, fraction: str) -> None:
    found = parse_time(f"{time:%Y:%m:%d %H:%M:%S}", "tag", fraction=fraction)
    whole, _, digits = found.local.partition(".")
    assert whole == f"{time:%Y-%m-%dT%H:%M:%S}"
    assert digits in ("", fraction.strip())
    assert capture_seconds(found.local) >= capture_seconds(whole)


@given(st.text())
def test_no_text_breaks_the_readers(text: str) -> None:
    for found in (parse_time(text, "tag", offset=text, fraction=text), time_in_name(text)):
        assert found.local == "" or datetime.datetime.fromisoformat(found.local)
        assert len(found.local) <= 30
    assert len(parse_offset(text)) in (0, 6)


@pytest.mark.parametrize(
    ("name", "local", "offset"),
    [
        ("PXL_20240501_100000123.jpg", "2024-05-01T10:00:00.123", "+00:00"),
        ("PXL_20240501_100000123.MP.jpg", "2024-05-01T10:00:00.123", "+00:00"),
        ("IMG_20240501_100000.jpg", "2024-05-01T10:00:00", ""),
        ("IMG_20240501_100000_HDR.jpg", "2024-05-01T10:00:00", ""),
        ("MVIMG_20240501_100000.jpg", "2024-05-01T10:00:00", ""),
        ("20240501_100000(1).jpg", "2024-05-01T10:00:00", ""),
        ("20240501_100000_002.jpg", "2024-05-01T10:00:00", ""),
        ("00100dPORTRAIT_00100_BURST20240501100000123_COVER.jpg", "2024-05-01T10:00:00.123", ""),
        ("Screenshot_20240501-100000.png", "2024-05-01T10:00:00", ""),
        ("Screenshot_20240501_100000_com.example.png", "2024-05-01T10:00:00", ""),
        ("Screenshot_2024-05-01-10-00-00-123.png", "2024-05-01T10:00:00.123", ""),
        ("Screenshot 2024-05-01 at 10.00.00.png", "2024-05-01T10:00:00", ""),
        ("Screenshot 2024-05-01 at 9.41.00\u202fPM.png", "2024-05-01T21:41:00", ""),
        ("Screenshot from 2024-05-01 10-00-00.png", "2024-05-01T10:00:00", ""),
        ("signal-2024-05-01-100000.jpeg", "2024-05-01T10:00:00", ""),
        ("signal-2024-05-01-10-00-00-123.jpg", "2024-05-01T10:00:00.123", ""),
        ("2024-05-01 10.00.00.jpg", "2024-05-01T10:00:00", ""),
        ("photo_2024-05-01_10-00-00.jpg", "2024-05-01T10:00:00", ""),
        ("WhatsApp Image 2024-05-01 at 10.00.00.jpeg", "2024-05-01T10:00:00", ""),
        ("WIN_20240501_10_00_00_Pro.jpg", "2024-05-01T10:00:00", ""),
        ("IMG-20240501-WA0003.jpg", "2024-05-01", ""),
        ("Screenshot_20240501.png", "2024-05-01", ""),
        ("IMG_20240501_299999.jpg", "2024-05-01", ""),
        ("IMG_20240501_1000.jpg", "2024-05-01", ""),
        ("IMG_20240230_100000.jpg", "", ""),
        ("DSC_20019931.jpg", "", ""),
        ("IMG_1234.jpg", "", ""),
        ("120240501100000.jpg", "", ""),
        ("FB_IMG_1714557600000.jpg", "", ""),
        ("DSC00012.ARW", "", ""),
    ],
)
def test_times_are_read_from_file_names(name: str, local: str, offset: str) -> None:
    found = time_in_name(name)
    assert (found.local, found.utc_offset) == (local, offset)
    assert found.source == ("file name" if local else "")


@pytest.mark.parametrize(
    ("local", "utc", "offset"),
    [
        ("2024-05-01T10:00:00", "2024-05-01T08:00:00", "+02:00"),
        ("2024-05-01T10:00:00", "2024-05-01T07:58:10", "+02:00"),  # an older fix
        ("2024-05-01T22:30:00", "2024-05-02T04:00:00", "-05:30"),
        ("2024-05-01T10:00:00", "2024-05-01T10:00:01", "+00:00"),
        ("2024-05-01T10:00:00", "2024-05-01T07:52:30", ""),  # too old to be sure
        ("2024-05-01T10:00:00", "2024-04-20T08:00:00", ""),
        ("2024-05-01", "2024-05-01T08:00:00", ""),
        ("2024-05-01T10:00:00", "", ""),
    ],
)
def test_the_offset_is_derived_from_the_gps_time(local: str, utc: str, offset: str) -> None:
    assert derive_offset(local, utc) == offset


def test_a_date_is_completed_only_by_a_later_source_with_the_same_day() -> None:
    day = CaptureTime("2024-05-01", "", "IPTC")
    same = CaptureTime("2024-05-01T10:00:00", "", "file name")
    other = CaptureTime("2025-01-01T10:00:00", "", "file name")
    assert choose_time([CaptureTime(), day, same]) == same
    assert choose_time([day, other]) == day
    assert choose_time([other, same]) == other
    assert choose_time([]) == CaptureTime()
