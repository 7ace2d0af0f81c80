"""Reading metadata from image files and sidecars."""

from __future__ import annotations

import dataclasses
import io
import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from orchestrator import features as codec
from orchestrator.domain.photo import CameraFacts, OwnerMark
from orchestrator.metadata.reader import (
    FileMetadata,
    assemble_facts,
    metadata_from_json,
    metadata_to_json,
    needs_companions,
    read_metadata,
    read_orientation,
    read_sidecar,
)
from services.common.errors import InvalidArgumentError
from services.common.imaging.decode import register_formats
from tests.exif_blocks import (
    ASCII,
    LONG,
    RATIONAL,
    SHORT,
    SRATIONAL,
    UNDEFINED,
    Tags,
    directory,
    exif_block,
)
from tests.raw_files import dng
from tests.unit.values import TO_STORED

TAKEN: Tags = {0x9003: (ASCII, "2024:05:01 10:00:00")}
XMP = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/">'
    '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description rdf:about="" xmlns:xmp="http://ns.adobe.com/xap/1.0/"'
    ' xmlns:exif="http://ns.adobe.com/exif/1.0/"'
    ' xmlns:photoshop="http://ns.adobe.com/photoshop/1.0/"'
    ' xmlns:xmpDM="http://ns.adobe.com/xmp/1.0/DynamicMedia/"'
    ' xmlns:digiKam="http://www.digikam.org/ns/1.0/"'
    ' xmlns:darktable="http://darktable.sf.net/"'
    ' xmlns:GCamera="http://ns.google.com/photos/1.0/camera/"'
    ' xmlns:bestshot="https://bestshot.invalid/xmp/1.0/"{}>{}</rdf:Description></rdf:RDF>'
    "</x:xmpmeta>"
)


def xmp(*, inner: str = "", **properties: str) -> bytes:
    """Returns a packet; "xmp_Rating" stands for xmp:Rating."""
    written = "".join(f' {key.replace("_", ":")}="{value}"' for key, value in properties.items())
    return XMP.format(written, inner).encode()


def encoded(image_format: str = "JPEG", exif: bytes = b"", **options: Any) -> bytes:
    register_formats()
    if exif:
        options["exif"] = b"Exif\0\0" + exif if image_format == "JPEG" else exif
    target = io.BytesIO()
    Image.new("RGB", (64, 48), "green").save(target, image_format, **options)
    return target.getvalue()


def facts(content: bytes, path: str = "a.jpg", **sidecars: bytes) -> dict[str, Any]:
    read = {f"{name}.xmp": read_sidecar(text, f"{name}.xmp") for name, text in sidecars.items()}
    return assemble_facts(path, read_metadata(content), read)


def time_of(content: bytes, path: str = "a.jpg") -> tuple[str, str, str]:
    found = facts(content, path)
    return found["capture_time"], found["capture_utc_offset"], found["capture_time_source"]


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP", "HEIF", "AVIF"])
def test_exif_and_xmp_are_found_in_every_format(image_format: str) -> None:
    with_exif = encoded(image_format, exif_block({0x010F: (ASCII, "Maker")}, TAKEN))
    expected = ("2024-05-01T10:00:00", "", "EXIF DateTimeOriginal")
    assert time_of(with_exif) == expected
    assert facts(with_exif)["camera_facts"].make == "Maker"
    packet = xmp(exif_DateTimeOriginal="2024-05-01T10:00:00.5+02:00")
    options: dict[str, Any] = {"xmp": packet}
    if image_format == "PNG":
        text = PngInfo()
        text.add_itxt("XML:com.adobe.xmp", packet.decode())
        options = {"pnginfo": text}
    expected = ("2024-05-01T10:00:00.5", "+02:00", "XMP exif:DateTimeOriginal")
    assert time_of(encoded(image_format, **options)) == expected


def test_tiff_and_raw_files_are_read_too() -> None:
    tiff = encoded("TIFF", tiffinfo={700: xmp(xmp_CreateDate="2024-05-01T10:00:00")})
    assert time_of(tiff) == ("2024-05-01T10:00:00", "", "XMP xmp:CreateDate")
    found = facts(dng(np.zeros((48, 64, 3), np.uint8)))
    assert found["capture_time"] == "2026-05-17T10:00:00"
    assert found["camera"] == "Bestshot Test Camera 1"


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP", "TIFF", "HEIF", "AVIF"])
def test_the_orientation_is_read(image_format: str) -> None:
    assert read_orientation(encoded(image_format)) == 1
    turned, target = Image.Exif(), io.BytesIO()
    turned[0x0112] = 6
    Image.new("RGB", (64, 48)).save(target, image_format, exif=turned)
    # this HEIF is not turned, although its EXIF says so
    assert read_orientation(target.getvalue()) == (None if image_format == "HEIF" else 6)


@pytest.mark.parametrize("orientation", TO_STORED)
def test_the_container_of_a_heif_turns_its_picture(orientation: int) -> None:
    upright = Image.new("RGB", (64, 48))
    upright.paste("white", (0, 0, 24, 16))
    method = TO_STORED[orientation]
    stored = upright if method is None else upright.transpose(method)
    turned, target = Image.Exif(), io.BytesIO()
    turned[0x0112] = orientation
    stored.info["exif"] = turned.tobytes()
    stored.save(target, "HEIF", quality=-1)
    with Image.open(target) as shown:
        assert shown.convert("L").point(lambda value: 255 * (value > 127)).getbbox() == (
            0,
            0,
            24,
            16,
        )
    assert read_orientation(target.getvalue()) == orientation


def test_the_orientation_of_raw_files_and_of_xmp_is_read() -> None:
    assert read_orientation(dng(np.zeros((48, 64, 3), np.uint8), orientation=8)) == 8
    packet = XMP.format(' xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="3"', "")
    assert read_orientation(encoded(xmp=packet.encode())) == 3
    assert read_orientation(b"no picture") == 1


def box(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", 8 + len(content)) + name + content


def test_the_directories_of_a_canon_raw_file_are_read() -> None:
    note = directory({0x0001: (SHORT, [12, 0, 0, 0, 0, 1])}, 8)
    content = box(b"ftyp", b"crx \0\0\0\1crx isom") + box(
        b"moov",
        box(b"CMT1", exif_block({0x010F: (ASCII, "Canon"), 0x0110: (ASCII, "EOS")}))
        + box(b"CMT2", exif_block(TAKEN))
        + box(b"CMT3", b"II*\0\x08\0\0\0" + note)
        + box(b"CMT4", exif_block({0x0002: (RATIONAL, [1, 1, 0, 1, 0, 1])})),
    )
    found = facts(content)
    assert found["capture_time"] == "2024-05-01T10:00:00"
    assert found["camera_facts"] == CameraFacts(
        make="Canon", model="EOS", has_gps=True, drive_mode="continuous"
    )


def test_the_exif_data_in_a_fujifilm_raw_file_is_read() -> None:
    preview = encoded(exif=exif_block({}, TAKEN))
    assert time_of(b"FUJIFILMCCD-RAW 0201" + bytes(100) + preview)[0] == "2024-05-01T10:00:00"


def iptc(**values: str) -> bytes:
    numbers = {"date": 55, "time": 60}
    data = b"".join(
        struct.pack(">BBBH", 0x1C, 2, numbers[name], len(value)) + value.encode()
        for name, value in values.items()
    )
    resource = b"8BIM\x04\x04\0\0" + struct.pack(">I", len(data)) + data + b"\0" * (len(data) % 2)
    segment = b"Photoshop 3.0\0" + resource
    jpeg = encoded()
    return jpeg[:2] + b"\xff\xed" + struct.pack(">H", len(segment) + 2) + segment + jpeg[2:]


def test_iptc_has_a_time_or_only_a_date() -> None:
    whole = iptc(date="20240501", time="100000+0200")
    assert time_of(whole) == ("2024-05-01T10:00:00", "+02:00", "IPTC DateCreated, TimeCreated")
    assert time_of(iptc(date="20240501")) == ("2024-05-01", "", "IPTC DateCreated")


def test_the_quicktime_time_is_used_if_there_is_no_other() -> None:
    seconds = 2082844800 + 1714557600  # 2024-05-01T10:00:00Z
    header = box(b"moov", box(b"mvhd", bytes(4) + struct.pack(">I", seconds) + bytes(8)))
    expected = ("2024-05-01T10:00:00", "+00:00", "QuickTime CreateDate")
    assert time_of(encoded("AVIF") + header) == expected
    with_exif = encoded("AVIF", exif_block({}, {0x9003: (ASCII, "2023:01:01 01:01:01")}))
    assert time_of(with_exif + header)[0] == "2023-01-01T01:01:01"


def test_sources_are_used_in_order_of_priority() -> None:
    digitized: Tags = {0x9004: (ASCII, "2024:05:02 10:00:00"), 0x9292: (ASCII, "25")}
    packet = xmp(xmp_CreateDate="2024-05-04T10:00:00", photoshop_DateCreated="2024-05-03T10:00:00")
    name = "IMG_20240506_100000.jpg"
    sidecar = {"b": xmp(exif_DateTimeOriginal="2024-05-05T10:00:00")}
    whole = facts(encoded(exif=exif_block({}, TAKEN | digitized), xmp=packet), name, **sidecar)
    assert whole["capture_time_source"] == "EXIF DateTimeOriginal"
    second = facts(encoded(exif=exif_block({}, digitized), xmp=packet), name, **sidecar)
    assert second["capture_time"] == "2024-05-02T10:00:00.25"
    assert second["capture_time_source"] == "EXIF DateTimeDigitized"
    third = facts(encoded(xmp=packet), name, **sidecar)
    assert third["capture_time_source"] == "XMP photoshop:DateCreated"
    fourth = facts(encoded(), name, **sidecar)
    assert fourth["capture_time_source"] == "b.xmp exif:DateTimeOriginal"
    assert time_of(encoded(), f"sub/{name}") == ("2024-05-06T10:00:00", "", "file name")


def test_the_time_of_a_change_is_not_a_capture_time() -> None:
    changed = exif_block({0x0132: (ASCII, "2024:05:01 10:00:00")}, {})
    packet = xmp(xmp_ModifyDate="2024-05-01T10:00:00", xmp_MetadataDate="2024-05-01T10:00:00")
    assert time_of(encoded(exif=changed, xmp=packet)) == ("", "", "")


@pytest.mark.parametrize(
    ("exif", "image", "offset"),
    [
        ({0x9011: (ASCII, "+02:00")}, {}, "+02:00"),
        ({0x9011: (ASCII, "   :  ")}, {}, "+03:00"),
        ({}, {}, "+03:00"),
        ({0x9010: (ASCII, "+05:45")}, {0x0132: (ASCII, "2024:05:01 10:00:00")}, "+05:45"),
        ({0x9010: (ASCII, "+05:45")}, {0x0132: (ASCII, "2025:05:01 10:00:00")}, "+03:00"),
    ],
    ids=["own", "blank", "GPS", "unchanged", "changed"],
)
def test_the_offset_comes_from_its_tag_or_the_gps(exif: Tags, image: Tags, offset: str) -> None:
    gps: Tags = {
        0x0007: (RATIONAL, [7, 1, 0, 1, 0, 1]),
        0x001D: (ASCII, "2024:05:01"),
    }
    found = time_of(encoded(exif=exif_block(image, TAKEN | exif, gps)))
    assert found == ("2024-05-01T10:00:00", offset, "EXIF DateTimeOriginal")


def test_the_offset_of_a_time_in_xmp_comes_from_the_gps() -> None:
    gps: Tags = {0x0007: (RATIONAL, [4, 1, 15, 1, 5, 1]), 0x001D: (ASCII, "2024:05:01")}
    packet = xmp(exif_DateTimeOriginal="2024-05-01T10:00:00")
    found = time_of(encoded(exif=exif_block({}, {}, gps), xmp=packet))
    assert found == ("2024-05-01T10:00:00", "+05:45", "XMP exif:DateTimeOriginal")


@pytest.mark.parametrize("order", ["<", ">"])
def test_camera_facts_are_read_in_both_byte_orders(order: str) -> None:
    image: Tags = {0x010F: (ASCII, "Canon"), 0x0110: (ASCII, "Canon EOS R5")}
    exif: Tags = {
        0x829A: (RATIONAL, [1, 200]),
        0x829D: (RATIONAL, [28, 10]),
        0x8827: (SHORT, [800]),
        0x9204: (SRATIONAL, [-2, 3]),
        0x9209: (SHORT, [0x0019]),
        0x920A: (RATIONAL, [50, 1]),
        0xA402: (SHORT, [2]),
        0xA405: (SHORT, [80]),
        0xA431: (ASCII, "0042"),
        0xA434: (ASCII, "RF50mm F1.8 STM"),
    }
    gps: Tags = {0x0002: (RATIONAL, [48, 1, 0, 1, 0, 1])}
    found = facts(encoded(exif=exif_block(image, exif, gps, order)))
    assert found["camera"] == "Canon EOS R5 0042"
    assert found["camera_facts"] == CameraFacts(
        make="Canon",
        model="Canon EOS R5",
        lens="RF50mm F1.8 STM",
        focal_length_mm=50.0,
        focal_length_35mm=80.0,
        exposure_time_seconds=1 / 200,
        f_number=2.8,
        iso=800,
        exposure_bias_ev=-2 / 3,
        exposure_mode="auto bracket",
        is_flash_fired=True,
        has_gps=True,
    )


def test_facts_have_fallbacks_and_omit_missing_values() -> None:
    exif: Tags = {
        0x829A: (RATIONAL, [1, 0]),
        0x8827: (SHORT, [65535]),
        0x8832: (LONG, [102400]),
        0x9201: (SRATIONAL, [8, 1]),
        0x9202: (RATIONAL, [4, 1]),
        0x9204: (SRATIONAL, [0, 0]),
        0x920A: (RATIONAL, [0, 1]),
        0xA432: (RATIONAL, [24, 1, 70, 1, 28, 10, 28, 10]),
    }
    assert facts(encoded(exif=exif_block({}, exif)))["camera_facts"] == CameraFacts(
        lens="24-70 mm f/2.8", exposure_time_seconds=1 / 256, f_number=4.0, iso=102400
    )


def canon(**numbers: tuple[int, int]) -> Tags:
    """Returns tags of Canon's maker note, each an array of numbers with one of them set."""
    tags: Tags = {}
    for name, (place, number) in numbers.items():
        tags[{"settings": 1, "shot": 4, "file": 0x93}[name]] = (
            SHORT,
            [40, *(number & 0xFFFF if at == place else 0 for at in range(1, 20))],
        )
    return tags


def sony(mode: int, number: int) -> Tags:
    return {0xB049: (SHORT, [mode]), 0xB04A: (SHORT, [number])}


@pytest.mark.parametrize(
    ("make", "header", "tags", "expected"),
    [
        ("Canon", b"", canon(settings=(5, 1)), {"drive_mode": "continuous"}),
        ("Canon", b"", canon(settings=(5, 0)), {"drive_mode": "single"}),
        ("Canon", b"", canon(shot=(16, -1)), {"bracket_mode": "exposure"}),
        ("Canon", b"", canon(shot=(16, 2)), {"bracket_mode": "exposure", "sequence_number": 2}),
        ("Canon", b"", canon(file=(3, 2)), {"bracket_mode": "focus"}),
        (
            "SONY",
            b"SONY DSC \0\0\0",
            sony(2, 3),
            {"drive_mode": "continuous", "sequence_number": 3},
        ),
        (
            "SONY",
            b"SONY DSC \0\0\0",
            sony(5, 1),
            {"bracket_mode": "exposure", "sequence_number": 1},
        ),
        (
            "Panasonic",
            b"Panasonic\0\0\0",
            {0x2A: (SHORT, [2]), 0x2B: (LONG, [3])},
            {"bracket_mode": "exposure", "sequence_number": 3},
        ),
    ],
)
def test_bursts_and_brackets_are_read_from_maker_notes(
    make: str, header: bytes, tags: Tags, expected: dict[str, Any]
) -> None:
    """Offsets in these maker notes are relative to the start of the EXIF block."""
    place = 8 + 2 + 12 + 4  # offset of the note's data, after the directory's only entry
    note = header + directory(tags, place + len(header))
    block = exif_block({0x010F: (ASCII, make)}, {0x927C: (UNDEFINED, note)})
    found = facts(encoded(exif=block))["camera_facts"]
    defaults = {"drive_mode": found.drive_mode, "bracket_mode": found.bracket_mode}
    assert found == CameraFacts(make=make, **{**defaults, **expected})


def test_burst_identifiers_of_apple_and_google_are_read() -> None:
    note = b"Apple iOS\0\0\1MM" + directory({0x000B: (ASCII, "1A2B-3C4D")}, 14, ">")
    block = exif_block({0x010F: (ASCII, "Apple")}, {0x927C: (UNDEFINED, note)})
    assert facts(encoded(exif=block))["camera_facts"].burst_id == "1A2B-3C4D"
    google = encoded(xmp=xmp(GCamera_BurstID="5e6f"))
    assert facts(google)["camera_facts"].burst_id == "5e6f"


def test_modes_of_nikon_and_fujifilm_are_read() -> None:
    tags = directory({0x0089: (SHORT, [1 | 16])}, 8)
    note = b"Nikon\0\2\x10\0\0II*\0\x08\0\0\0" + tags
    block = exif_block({0x010F: (ASCII, "NIKON")}, {0x927C: (UNDEFINED, note)})
    found = facts(encoded(exif=block))["camera_facts"]
    assert (found.drive_mode, found.bracket_mode) == ("continuous", "exposure")
    tags = directory({0x1100: (SHORT, [1]), 0x1101: (SHORT, [2])}, 12)
    note = b"FUJIFILM\x0c\0\0\0" + tags
    block = exif_block({0x010F: (ASCII, "FUJIFILM")}, {0x927C: (UNDEFINED, note)}, order=">")
    found = facts(encoded(exif=block))["camera_facts"]
    assert (found.sequence_number, found.bracket_mode) == (2, "exposure")


@given(st.data())
def test_no_damage_breaks_the_reader(data: st.DataObject) -> None:
    whole = WHOLE[data.draw(st.integers(0, len(WHOLE) - 1))]
    content = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 12))):
        content[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(content[: data.draw(st.integers(0, len(whole)))])
    metadata = read_metadata(cut)
    stored = codec.unpack_json(codec.pack_json(metadata_to_json(metadata)))
    assert metadata_from_json(stored) == metadata


WHOLE = [
    exif_block(
        {0x010F: (ASCII, "Canon"), 0x0110: (ASCII, "EOS")},
        {
            **TAKEN,
            0x829A: (RATIONAL, [1, 200]),
            0x927C: (UNDEFINED, directory(canon(settings=(5, 1)), 50)),
        },
        {0x0007: (RATIONAL, [7, 1, 0, 1, 0, 1])},
    ),
    encoded(exif=exif_block({}, TAKEN), xmp=xmp(xmp_Rating="-1", xmp_Label="Rot")),
    iptc(date="20240501", time="100000+0200"),
]


@pytest.mark.parametrize(
    ("packet", "mark"),
    [
        (xmp(xmp_Rating="-1"), OwnerMark(rating=-1)),
        (xmp(inner="<xmp:Rating>5</xmp:Rating>"), OwnerMark(rating=5)),
        (xmp(xmp_Rating="4.0", xmp_Label="Grün"), OwnerMark(rating=4, label="Grün")),
        (xmp(xmp_Rating="0"), OwnerMark()),
        (xmp(xmp_Rating="17"), OwnerMark()),
        (xmp(xmp_Rating="many"), OwnerMark()),
        (xmp(xmpDM_pick="-1"), OwnerMark(pick="rejected")),
        (xmp(xmpDM_pick="1", xmp_Rating="2"), OwnerMark(rating=2, pick="picked")),
        (xmp(digiKam_PickLabel="1"), OwnerMark(pick="rejected")),
        (xmp(digiKam_PickLabel="3"), OwnerMark(pick="picked")),
        (
            xmp(
                inner="<darktable:colorlabels><rdf:Seq><rdf:li>0</rdf:li><rdf:li>2</rdf:li>"
                "</rdf:Seq></darktable:colorlabels>"
            ),
            OwnerMark(label="Red"),
        ),
        # a mark that bestshot wrote is not the owner's
        (
            xmp(xmp_Rating="5", bestshot_Rating="5", xmp_Label="Green", bestshot_Label="Green"),
            OwnerMark(),
        ),
        (xmp(xmp_Rating="-1", bestshot_Rating="5"), OwnerMark(rating=-1)),
    ],
)
def test_the_owners_mark_is_read_from_sidecars_and_files(packet: bytes, mark: OwnerMark) -> None:
    named = dataclasses.replace(mark, source="p.xmp" if mark != OwnerMark() else "")
    assert facts(encoded(), p=packet)["owner_mark"] == named
    inside = dataclasses.replace(mark, source="the file" if mark != OwnerMark() else "")
    assert facts(encoded(xmp=packet))["owner_mark"] == inside


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_a_sidecar_may_have_any_encoding_of_xml(encoding: str) -> None:
    text = xmp(xmp_Rating="-1").decode()
    sidecar = f'<?xml version="1.0"?>{text}\n'.encode(encoding)
    assert read_sidecar(sidecar, "a.xmp").owner_mark.rating == -1


def test_a_rating_that_windows_wrote_to_the_exif_is_read() -> None:
    rated = encoded(exif=exif_block({0x4746: (SHORT, [4])}, {}))
    assert facts(rated)["owner_mark"] == OwnerMark(rating=4, source="the file")


def test_the_first_sidecar_with_a_mark_counts() -> None:
    embedded = encoded(xmp=xmp(xmp_Rating="5", xmp_Label="Rot"))
    first, second = xmp(xmp_Rating="0"), xmp(xmp_Rating="-1")
    found = facts(embedded, first=first, second=second)["owner_mark"]
    assert found == OwnerMark(rating=-1, label="Rot", source="second.xmp")
    found = facts(embedded, first=second, second=xmp(xmp_Rating="3"))["owner_mark"]
    assert found == OwnerMark(rating=-1, label="Rot", source="first.xmp")


def test_a_jpeg_takes_what_it_lacks_from_its_raw_file() -> None:
    raw = {"a.dng": read_metadata(dng(np.zeros((48, 64, 3), np.uint8)))}
    bare = read_metadata(encoded())
    assert needs_companions(bare, {})
    found = assemble_facts("IMG_20200101_120000.jpg", bare, {}, raw)
    assert found["capture_time"] == "2026-05-17T10:00:00"
    assert found["capture_time_source"] == "a.dng EXIF DateTimeOriginal"
    assert found["camera"] == "Bestshot Test Camera 1"
    assert found["camera_facts"].model == "Test Camera 1"

    own = read_metadata(encoded(exif=exif_block({0x010F: (ASCII, "Canon")}, TAKEN)))
    assert not needs_companions(own, {})
    found = assemble_facts("a.jpg", own, {}, raw)
    assert (found["camera"], found["capture_time"]) == ("Canon", "2024-05-01T10:00:00")
    sidecar = {"a.xmp": read_sidecar(xmp(xmp_CreateDate="2024-05-01T10:00:00"), "a.xmp")}
    assert needs_companions(bare, sidecar), "the camera is unknown"
    found = assemble_facts("a.jpg", bare, sidecar, raw)
    assert found["capture_time_source"] == "a.xmp xmp:CreateDate"


FILM = box(b"ftyp", b"mp42\0\0\0\0isom") + b"a film"


@pytest.mark.parametrize(
    ("content", "has_video"),
    [
        (encoded(xmp=xmp(GCamera_MotionPhoto="1")) + FILM, True),
        (encoded(xmp=xmp(GCamera_MicroVideo="1")) + FILM, True),
        (encoded("HEIF", xmp=xmp(GCamera_MotionPhoto="1")) + box(b"mpvd", FILM), True),
        (encoded("HEIF") + box(b"mpvd", FILM), True),
        (encoded() + FILM + b"MotionPhoto_Data" + b"SEFH" + b"SEFT", True),
        (encoded(xmp=xmp(GCamera_MotionPhoto="0")) + FILM, False),
        (encoded(xmp=xmp(GCamera_MotionPhoto="1")), False),  # an editor has removed the film
        (encoded("HEIF", xmp=xmp(GCamera_MotionPhoto="1")), False),
        (encoded() + b"SEFH" + b"SEFT", False),
    ],
)
def test_a_motion_photo_is_recognized_by_its_film(content: bytes, has_video: bool) -> None:
    assert facts(content)["camera_facts"].has_video == has_video


def test_a_canon_array_without_its_size_is_ignored() -> None:
    note = directory({0x0093: (SHORT, [0, 0, 0, 1, 0, 576])}, 26)
    block = exif_block({0x010F: (ASCII, "Canon")}, {0x927C: (UNDEFINED, note)})
    assert facts(encoded(exif=block))["camera_facts"] == CameraFacts(make="Canon")


def test_jpeg_2000_keeps_its_metadata_in_boxes() -> None:
    exif = encoded("JPEG2000") + box(b"uuid", b"JpgTiffExif->JP2" + exif_block({}, TAKEN))
    assert time_of(exif) == ("2024-05-01T10:00:00", "", "EXIF DateTimeOriginal")
    packet = bytes.fromhex("be7acfcb97a942e89c71999491e3afac") + xmp(xmp_Rating="-1")
    rated = encoded("JPEG2000") + box(b"uuid", packet)
    assert facts(rated)["owner_mark"] == OwnerMark(rating=-1, source="the file")


@pytest.mark.parametrize("text", ["Wed, 01 May 2024 10:00:00 +0200", "2024-05-01T10:00:00+02:00"])
def test_the_time_in_a_pngs_text_is_read(text: str) -> None:
    info = PngInfo()
    info.add_text("Creation Time", text)
    expected = ("2024-05-01T10:00:00", "+02:00", "PNG Creation Time")
    assert time_of(encoded("PNG", pnginfo=info)) == expected


def test_a_damaged_packet_in_a_photo_is_read_as_far_as_possible() -> None:
    torn = xmp(exif_DateTimeOriginal="2024-05-01T10:00:00") + b"<rest"
    assert time_of(encoded(xmp=torn))[0] == "2024-05-01T10:00:00"
    assert time_of(encoded(xmp=b"no XML"))[0] == ""


def test_a_sidecar_that_is_not_xmp_is_refused() -> None:
    for content in (b"no XML", b"<a/>", b"<!DOCTYPE a><a/>"):
        with pytest.raises(InvalidArgumentError):
            read_sidecar(content, "a.xmp")


def test_a_file_that_is_not_a_picture_has_no_metadata() -> None:
    for content in (b"", b"text", b"II*\0", b"\xff\xd8\xff"):
        assert read_metadata(content) == FileMetadata()
