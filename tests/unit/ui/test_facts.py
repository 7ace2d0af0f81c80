"""The facts about a photo that the page shows."""

from __future__ import annotations

import pytest
from bestshot.orchestrator.v1 import orchestrator_pb2 as pb

from ui.facts import fact_lines


def test_all_known_facts_are_shown() -> None:
    image = pb.ImageResult(
        capture_time="2024-05-01T10:00:00.12",
        capture_utc_offset="+02:00",
        capture_time_source="EXIF DateTimeOriginal",
        camera_facts=pb.CameraFacts(
            make="Canon",
            model="Canon EOS R5",
            lens="RF50mm F1.8 STM",
            is_flash_fired=True,
            has_gps=True,
            has_video=True,
            drive_mode="continuous",
            bracket_mode="exposure",
            sequence_number=2,
        ),
        exposure_caption="1/200 s, f/2.8, ISO 800, 50 mm",
        width_px=6000,
        height_px=4000,
        megapixels=24.0,
        size_bytes=8_123_456,
        owner_mark=pb.OwnerMark(rating=-1, label="Rot", source="a.xmp"),
    )
    assert fact_lines(image) == [
        "2024-05-01 10:00:00.12 +02:00 (EXIF DateTimeOriginal)",
        "Canon EOS R5, RF50mm F1.8 STM",
        "1/200 s, f/2.8, ISO 800, 50 mm, flash",
        "exposure bracket, burst, shot 2",
        "6000 x 4000 (24.0 MP), 8.1 MB, with a short video, GPS position",
        "rated -1, labelled Rot in a.xmp",
    ]
    assert fact_lines(image, is_brief=True)[0] == "2024-05-01 10:00:00.12 +02:00"


def test_unknown_facts_are_left_out() -> None:
    assert fact_lines(pb.ImageResult(size_bytes=50_000)) == ["50 kB"]
    day = pb.ImageResult(capture_time="2024-05-01", capture_time_source="file name")
    assert fact_lines(day, is_brief=True)[0] == "2024-05-01 (file name)"


@pytest.mark.parametrize(
    ("make", "model", "shown"),
    [
        ("NIKON CORPORATION", "NIKON D200", "NIKON D200"),
        ("Google", "Pixel 8", "Google Pixel 8"),
        ("", "D200", "D200"),
        ("Apple", "", "Apple"),
    ],
)
def test_a_cameras_brand_is_shown_once(make: str, model: str, shown: str) -> None:
    image = pb.ImageResult(camera_facts=pb.CameraFacts(make=make, model=model))
    assert fact_lines(image)[0] == shown
