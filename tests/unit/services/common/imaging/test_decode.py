from __future__ import annotations

import contextlib
import io
import re
import struct
import sys
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageCms
from PIL.PngImagePlugin import PngInfo

from services.common.errors import InvalidImageError
from services.common.imaging.damage import find_damage
from services.common.imaging.decode import (
    CANONICAL_LONG_SIDE_PX,
    decode,
    encode_thumbnail,
    fit_long_side,
)
from tests.conftest import draw_picture, png_bomb
from tests.raw_files import dng
from tests.unit.values import TO_STORED

MAX_PIXELS = 250_000_000
Picture = Callable[..., NDArray[np.uint8]]


def encoded(pixels: NDArray[np.uint8], image_format: str = "PNG", **options: object) -> bytes:
    target = io.BytesIO()
    Image.fromarray(pixels).save(target, image_format, **options)
    return target.getvalue()


@pytest.mark.parametrize("image_format", ["PNG", "BMP", "TIFF", "GIF"])
def test_lossless_formats_are_read_by_their_magic_bytes(
    image_format: str, picture: Picture
) -> None:
    pixels = (picture() // 52) * 51
    image = decode(encoded(pixels, image_format), max_pixels=MAX_PIXELS)
    assert image.format == image_format
    assert np.abs(image.pixels.astype(int) - pixels).mean() < (4 if image_format == "GIF" else 1e-9)


@pytest.mark.parametrize("image_format", ["JPEG", "WEBP", "HEIF", "AVIF", "JPEG2000"])
def test_lossy_formats_are_read(image_format: str, picture: Picture) -> None:
    pixels = picture()
    decode(encoded(pixels), max_pixels=MAX_PIXELS)  # registers the formats
    image = decode(encoded(pixels, image_format, quality=95), max_pixels=MAX_PIXELS)
    assert image.format == image_format
    assert np.abs(image.pixels.astype(int) - pixels).mean() < 12


def photoshop(pixels: NDArray[np.uint8], *, version: int = 1, bits: int = 8) -> bytes:
    """Builds an uncompressed Photoshop document with one flat layer (Adobe's format, 2019)."""
    height, width = pixels.shape[:2]
    head = struct.pack(">4sH6xHIIHH", b"8BPS", version, 3, height, width, bits, 3)
    return head + bytes(12) + bytes(2) + pixels.transpose(2, 0, 1).tobytes()


def test_the_merged_picture_of_a_photoshop_document_is_read(picture: Picture) -> None:
    image = decode(photoshop(picture()), max_pixels=MAX_PIXELS)
    assert image.format == "PSD"
    assert (image.pixels == picture()).all()
    with pytest.raises(InvalidImageError, match="damaged"):
        decode(photoshop(picture())[:-5000], max_pixels=MAX_PIXELS)


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (b"\xff\x0a" + bytes(100), "JPEG XL"),
        (b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(100), "JPEG XL"),
        (photoshop(draw_picture(), version=2), "large Photoshop documents"),
        (photoshop(draw_picture(), bits=16), "this kind of Photoshop document"),
        (b"gimp xcf v011" + bytes(100), "GIMP documents"),
        (b"v/1\x01" + bytes(100), "OpenEXR"),
        (b"P6 1 1 255 abc", "Netpbm"),
        (b"\0\0\x01\0\x01\0" + bytes(100), "icons"),
        (b"<?xml version='1.0'?><svg xmlns='http://www.w3.org/2000/svg'/>", "SVG"),
    ],
)
def test_known_but_unsupported_formats_are_named(content: bytes, name: str) -> None:
    with pytest.raises(InvalidImageError, match=f"^not supported: {name}"):
        decode(content, max_pixels=MAX_PIXELS)


SCAN_HEADER = bytes.fromhex("ffda000c03010002110311003f00")
"""Start of a JPEG's compressed data, without any of the picture."""


def stored(upright: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    method = TO_STORED[orientation]
    image = Image.fromarray(upright)
    return np.asarray(image if method is None else image.transpose(method))


def quarters() -> NDArray[np.uint8]:
    """Returns a 4:3 picture that looks different in each orientation, and survives compression."""
    colours = np.array([[[200, 40, 40], [40, 200, 40]], [[40, 40, 200], [220, 220, 220]]], np.uint8)
    return colours.repeat(120, axis=0).repeat(160, axis=1)


def mean_difference(pixels: NDArray[np.uint8], expected: NDArray[np.uint8]) -> float:
    assert pixels.shape == expected.shape
    return float(np.abs(pixels.astype(int) - expected).mean())


def xmp_with_orientation(orientation: int) -> bytes:
    return (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF '
        'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description '
        f'xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="{orientation}"/>'
        "</rdf:RDF></x:xmpmeta>"
    ).encode()


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("tagged_by", ["EXIF", "XMP", "EXIF and XMP"])
@pytest.mark.parametrize(
    ("image_format", "options"),
    [
        ("JPEG", {"quality": 90}),
        ("PNG", {}),
        ("WEBP", {"quality": 90}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("HEIF", {"quality": 90}),
        ("AVIF", {"quality": 90, "speed": 10}),
    ],
    ids=["JPEG", "PNG", "WEBP", "TIFF", "TIFF with LZW", "HEIF", "AVIF"],
)
def test_pictures_are_upright_in_every_orientation(
    image_format: str, options: dict[str, Any], tagged_by: str, orientation: int
) -> None:
    upright = quarters()
    if "EXIF" in tagged_by:
        exif = Image.Exif()
        exif[0x0112] = orientation
        options = {**options, "exif": exif.tobytes()}
    if "XMP" in tagged_by:
        xmp = xmp_with_orientation(orientation)
        if image_format == "PNG":
            text = PngInfo()
            text.add_itxt("XML:com.adobe.xmp", xmp.decode())
            options = {**options, "pnginfo": text}
        elif image_format == "TIFF" and "EXIF" not in tagged_by:
            options = {**options, "tiffinfo": {700: xmp}}
        else:
            options = {**options, "xmp": xmp}
    decode(encoded(upright), max_pixels=MAX_PIXELS)  # registers the formats
    content = encoded(stored(upright, orientation), image_format, **options)
    if image_format == "AVIF" and tagged_by == "XMP":  # a file without irot is not rotated
        upright = stored(upright, orientation)
    image = decode(content, max_pixels=MAX_PIXELS)
    assert (image.source_width_px, image.source_height_px) == upright.shape[1::-1]
    assert mean_difference(image.pixels, upright) < 6


def test_the_long_side_is_at_most_1024_and_the_source_size_is_returned(picture: Picture) -> None:
    image = decode(encoded(picture(width=3000, height=1000), "JPEG"), max_pixels=MAX_PIXELS)
    assert image.pixels.shape == (341, CANONICAL_LONG_SIDE_PX, 3)
    assert (image.source_width_px, image.source_height_px) == (3000, 1000)


def test_a_scaled_jpeg_decode_gives_nearly_the_same_pixels_as_a_full_one(picture: Picture) -> None:
    pixels = picture(width=2400, height=1600)
    scaled = decode(encoded(pixels, "JPEG", quality=95), max_pixels=MAX_PIXELS).pixels
    full = fit_long_side(pixels, CANONICAL_LONG_SIDE_PX)
    assert np.abs(scaled.astype(int) - full).mean() < 6


def test_transparency_is_flattened_on_white() -> None:
    rgba = np.zeros((20, 20, 4), np.uint8)
    assert (decode(encoded(rgba), max_pixels=MAX_PIXELS).pixels == 255).all()


def test_16_bit_grey_keeps_its_tones() -> None:
    ramp = np.linspace(0, 65535, 256).astype(np.uint16).reshape(16, 16)
    image = decode(encoded(ramp, "TIFF"), max_pixels=MAX_PIXELS)
    assert np.abs(image.pixels[..., 0].ravel().astype(int) - np.arange(256)).max() <= 1


def float_tiff(pixels: NDArray[np.float32], orientation: int = 1, **options: Any) -> bytes:
    target = io.BytesIO()
    tag = (274, "H", 1, orientation)
    tifffile.imwrite(target, pixels, photometric="rgb", extratags=[tag], **options)
    return target.getvalue()


@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_float_tiff_is_upright_and_looks_like_its_rgb(
    orientation: int, compression: str | None, picture: Picture
) -> None:
    upright = picture()
    values = stored(upright, orientation).astype(np.float32) / 255
    content = float_tiff(values, orientation, compression=compression)
    found = decode(content, max_pixels=MAX_PIXELS)
    assert found.format == "TIFF"
    assert (found.source_width_px, found.source_height_px) == (320, 240)
    assert mean_difference(found.pixels, upright) < 0.5
    with pytest.raises(InvalidImageError, match="exceed the limit"):
        decode(content, max_pixels=1000)
    with pytest.raises(InvalidImageError):
        decode(content[: len(content) // 2], max_pixels=MAX_PIXELS)


@pytest.mark.parametrize("bands", [1, 3])
def test_floats_above_one_are_highlights(bands: int, picture: Picture) -> None:
    values = picture().astype(np.float32) / 255
    values[:10], values[10:20] = 4.0, np.inf
    values[20:30] = np.nan
    content = float_tiff(values) if bands == 3 else encoded(values[..., 1], "TIFF")
    found = decode(content, max_pixels=MAX_PIXELS).pixels
    assert (found[:20] == 255).all()
    assert not found[20:30].any()
    expected = picture() if bands == 3 else picture()[..., 1:2].repeat(3, axis=2)
    assert mean_difference(found[30:], expected[30:]) < 0.5


def icc_profile(name: str, gamma: float) -> bytes:
    """Returns a matrix profile with the primaries of sRGB (ICC.1:2010, D50) and a plain gamma."""
    described = name.encode("ascii") + b"\0"
    curve = b"curv" + struct.pack(">4xIH2x", 1, round(gamma * 256))
    tags = {
        b"desc": b"desc" + struct.pack(">4xI", len(described)) + described + bytes(78),
        b"cprt": b"text\0\0\0\0none\0",
        **dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve),
    }
    for tag, values in {
        b"wtpt": (0.9642, 1.0, 0.8249),
        b"rXYZ": (0.4361, 0.2225, 0.0139),
        b"gXYZ": (0.3851, 0.7169, 0.0971),
        b"bXYZ": (0.1431, 0.0606, 0.7141),
    }.items():
        tags[tag] = b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(v * 65536) for v in values))
    data, table = b"", struct.pack(">I", len(tags))
    for tag, content in tags.items():
        table += tag + struct.pack(">II", 128 + 4 + 12 * len(tags) + len(data), len(content))
        data += content + bytes(-len(content) % 4)
    size = 128 + len(table) + len(data)
    head = struct.pack(">I4sI4s4s4s", size, b"lcms", 0x02400000, b"mntr", b"RGB ", b"XYZ ")
    head = head + bytes(12) + b"acsp" + bytes(28) + struct.pack(">3i", 63190, 65536, 54061)
    return head.ljust(128, b"\0") + table + data


@pytest.mark.parametrize("name", ["Linear sRGB", "Linear Rec709"])
@pytest.mark.parametrize("image_format", ["PNG", "JPEG", "TIFF"])
def test_a_profile_is_applied_regardless_of_its_name(
    image_format: str, name: str, picture: Picture
) -> None:
    expected = (picture() // 52) * 51
    linear = np.where(
        expected / 255 <= 0.04045, expected / 255 / 12.92, ((expected / 255 + 0.055) / 1.055) ** 2.4
    )
    tagged = (linear * 255).round().astype(np.uint8)
    content = encoded(tagged, image_format, icc_profile=icc_profile(name, 1.0), quality=100)
    found = decode(content, max_pixels=MAX_PIXELS).pixels
    reference = decode(encoded(expected, image_format, quality=100), max_pixels=MAX_PIXELS).pixels
    assert mean_difference(found, reference) < 4
    assert mean_difference(tagged, expected) > 30


def test_a_profile_that_is_srgb_or_broken_changes_no_pixels(picture: Picture) -> None:
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for profile in (srgb, b"no profile at all", icc_profile("sRGB", 2.2)[:200]):
        tagged = encoded(picture(), "PNG", icc_profile=profile)
        assert (decode(tagged, max_pixels=MAX_PIXELS).pixels == picture()).all()


def as_xyb_like(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Swaps and inverts channels, as a stand-in for XYB, which no available encoder writes."""
    return np.stack([pixels[..., 2], 255 - pixels[..., 0], pixels[..., 1]], axis=-1)


def xyb_like_profile(steps: int = 17) -> bytes:
    """Builds a profile that describes `as_xyb_like` only by a table (A2B0), as in XYB JPEGs."""
    levels = np.linspace(0, 255, steps).round().astype(np.uint8)
    first, second, third = np.meshgrid(levels, levels, levels, indexing="ij")
    srgb = np.stack([255 - second, third, first], axis=-1).reshape(steps, -1, 3)
    lab = ImageCms.createProfile("LAB")
    transform = ImageCms.buildTransform(ImageCms.createProfile("sRGB"), lab, "RGB", "LAB")
    applied = ImageCms.applyTransform(Image.fromarray(srgb), transform)
    assert applied is not None
    table = np.frombuffer(applied.tobytes(), np.uint8).reshape(-1, 3).copy()
    table[:, 1:] ^= 128  # Pillow's a and b are signed, those of a profile begin at 0
    identity = struct.pack(">9i", *(65536 * (n % 4 == 0) for n in range(9)))
    lut = b"mft1" + bytes(4) + bytes([3, 3, steps, 0]) + identity
    lut += bytes(range(256)) * 3 + table.tobytes() + bytes(range(256)) * 3
    text = b"XYB-like"
    name = b"desc" + bytes(4) + struct.pack(">I", len(text) + 1) + text + bytes(80)
    white = b"XYZ " + bytes(4) + struct.pack(">3i", 63190, 65536, 54061)
    directory, data = b"", b""
    for tag, block in ((b"desc", name), (b"wtpt", white), (b"A2B0", lut)):
        directory += tag + struct.pack(">2I", 128 + 4 + 3 * 12 + len(data), len(block))
        data += block + bytes(-len(block) % 4)
    body = struct.pack(">I", 3) + directory + data
    header = struct.pack(">I4sI4s4s4s", 128 + len(body), b"", 0x02400000, b"scnr", b"RGB ", b"Lab ")
    header += struct.pack(">6H4s", 2024, 1, 1, 0, 0, 0, b"acsp") + bytes(28)
    header += struct.pack(">3i", 63190, 65536, 54061)
    return header.ljust(128, b"\0") + body


def test_a_profile_that_is_only_a_table_is_applied(picture: Picture) -> None:
    pixels = picture()
    stored_pixels = as_xyb_like(pixels)
    content = encoded(stored_pixels, "JPEG", quality=98, icc_profile=xyb_like_profile())
    found = decode(content, max_pixels=MAX_PIXELS).pixels
    assert mean_difference(found, pixels) < 4
    assert mean_difference(found, stored_pixels) > 30


def test_the_colours_of_a_palette_follow_the_profile(picture: Picture) -> None:
    image = Image.fromarray(picture()).quantize(32)
    profile = icc_profile("Linear", 1.0)
    contents = []
    for one in (image, image.convert("RGB")):
        target = io.BytesIO()
        one.save(target, "PNG", icc_profile=profile)
        contents.append(target.getvalue())
    palette, coloured = (decode(content, max_pixels=MAX_PIXELS).pixels for content in contents)
    assert (palette == coloured).all()
    assert mean_difference(palette, np.asarray(image.convert("RGB"))) > 20


def test_lab_and_cmyk_and_float_tiffs_look_like_their_rgb(picture: Picture) -> None:
    pixels = picture()
    image = Image.fromarray(pixels)
    to_lab = ImageCms.buildTransform(
        ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB"
    )
    lab = ImageCms.applyTransform(image, to_lab)
    assert lab is not None
    grey = np.asarray(image.convert("L"))
    for stored_image, expected, limit in (
        (lab, pixels, 2.0),
        (image.convert("CMYK"), pixels, 0.5),
        (Image.fromarray(grey.astype(np.float32) / 255), grey[..., None].repeat(3, axis=2), 0.5),
    ):
        target = io.BytesIO()
        stored_image.save(target, "TIFF")
        found = decode(target.getvalue(), max_pixels=MAX_PIXELS).pixels
        assert mean_difference(found, expected) < limit
    hole = grey.astype(np.float32) / 255
    hole[:10] = np.nan
    found = decode(encoded(hole, "TIFF"), max_pixels=MAX_PIXELS).pixels
    assert not found[:10].any()
    assert mean_difference(found[10:, :, 0], grey[10:]) < 0.5


def srgb_light(pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    level = pixels / 255
    return np.where(level <= 0.04045, level / 12.92, ((level + 0.055) / 1.055) ** 2.4)


def as_pq_2020(pixels: NDArray[np.uint8], white_nits: float = 203) -> NDArray[np.uint8]:
    """Converts a picture to PQ (SMPTE ST 2084) with the primaries of BT.2020."""
    to_2020 = [[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]]
    power = (srgb_light(pixels) @ np.array(to_2020).T * white_nits / 10_000) ** (1305 / 8192)
    level = ((107 / 128 + 2413 / 128 * power) / (1 + 2392 / 128 * power)) ** (2523 / 32)
    return (level * 255).round().astype(np.uint8)


@pytest.mark.parametrize("white_nits", [100, 203, 800])
def test_hdr_pictures_look_like_their_sdr_version(white_nits: float, picture: Picture) -> None:
    pixels = (picture() // 2) + 20
    content = encoded(as_pq_2020(pixels, white_nits), "AVIF", quality=95, subsampling="4:4:4")
    assert b"colrnclx\0\x01\0\x0d" in content
    tagged = content.replace(b"colrnclx\0\x01\0\x0d", b"colrnclx\0\x09\0\x10")
    flat = decode(content, max_pixels=MAX_PIXELS).pixels
    found = decode(tagged, max_pixels=MAX_PIXELS).pixels
    # Up to the knee of the tone mapping, light is only scaled.
    expected = np.clip(srgb_light(pixels) * white_nits / 203, 0, 1)
    kept = expected.max(axis=-1) <= 0.4
    assert kept.mean() > 0.05
    missed = np.abs(srgb_light(found) - expected)[kept].mean()
    assert missed < 0.02
    assert np.abs(srgb_light(flat) - expected)[kept].mean() > 3 * missed
    assert found.max() < 255


def test_the_reference_white_is_the_same_in_pq_and_hlg() -> None:
    found = []
    for level, transfer in ((0.58, b"\x10"), (0.75, b"\x12")):  # of 203 nits, by ITU-R BT.2408
        grey = encoded(np.full((64, 64, 3), round(level * 255), np.uint8), "AVIF", quality=95)
        tagged = grey.replace(b"colrnclx\0\x01\0\x0d", b"colrnclx\0\x09\0" + transfer)
        found.append(decode(tagged, max_pixels=MAX_PIXELS).pixels.mean())
    assert abs(found[0] - found[1]) < 4
    assert 220 < found[0] < 245


def test_display_p3_without_a_profile_is_converted(picture: Picture) -> None:
    content = encoded(picture(), "AVIF", quality=95, subsampling="4:4:4")
    tagged = content.replace(b"colrnclx\0\x01\0\x0d", b"colrnclx\0\x0c\0\x0d")
    plain = decode(content, max_pixels=MAX_PIXELS).pixels.astype(int)
    wide = decode(tagged, max_pixels=MAX_PIXELS).pixels.astype(int)
    assert np.ptp(wide, axis=-1).mean() > np.ptp(plain, axis=-1).mean() + 5
    grey = encoded(np.full((64, 64, 3), 120, np.uint8), "AVIF", quality=95)
    grey = grey.replace(b"colrnclx\0\x01\0\x0d", b"colrnclx\0\x0c\0\x0d")
    assert np.abs(decode(grey, max_pixels=MAX_PIXELS).pixels.astype(int) - 120).max() <= 3


def with_cicp(png: bytes, primaries: int, transfer: int) -> bytes:
    """Adds a cICP chunk right after the header of a PNG."""
    chunk = b"cICP" + bytes([primaries, transfer, 0, 1])
    return png[:33] + struct.pack(">I", 4) + chunk + struct.pack(">I", zlib.crc32(chunk)) + png[33:]


def test_code_points_of_a_png_count_instead_of_its_profile(picture: Picture) -> None:
    pixels = as_pq_2020((picture() // 2) + 20)
    linear = ImageCms.ImageCmsProfile(ImageCms.createProfile("XYZ")).tobytes()
    png, avif = (encoded(pixels, name, quality=100) for name in ("PNG", "AVIF"))
    with_profile = encoded(pixels, "PNG", icc_profile=linear)
    expected = decode(
        avif.replace(b"colrnclx\0\x01\0\x0d", b"colrnclx\0\x09\0\x10"), max_pixels=MAX_PIXELS
    ).pixels
    for content in (png, with_profile):
        found = decode(with_cicp(content, 9, 16), max_pixels=MAX_PIXELS).pixels
        assert mean_difference(found, expected) < 6
    assert mean_difference(decode(png, max_pixels=MAX_PIXELS).pixels, expected) > 12
    plain = decode(with_cicp(with_profile, 1, 13), max_pixels=MAX_PIXELS).pixels
    assert (plain == pixels).all()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "empty"),
        (b"just some text", "not an image of a known format"),
        (b"%PDF-1.7 and so on", "not an image of a known format"),
        (encoded(draw_picture(), "JPEG")[:500], "damaged"),  # ends within the header
        (encoded(draw_picture(), "JPEG").partition(b"\xff\xda")[0] + SCAN_HEADER, "damaged"),
        (encoded(draw_picture(), "PNG")[:2000], "damaged"),
    ],
)
def test_content_that_is_not_a_whole_picture_is_refused_with_the_reason(
    content: bytes, message: str
) -> None:
    with pytest.raises(InvalidImageError, match=message):
        decode(content, max_pixels=MAX_PIXELS)


def test_missing_data_in_the_middle_of_a_jpeg_is_reported(picture: Picture) -> None:
    whole = encoded(picture(), "JPEG", quality=90, restart_marker_rows=1)
    assert decode(whole, max_pixels=MAX_PIXELS).damage == ""
    markers = [match.start() for match in re.finditer(rb"\xff[\xd0-\xd7]", whole)]
    torn = whole[: markers[4]] + whole[markers[6] :]
    found = decode(torn, max_pixels=MAX_PIXELS)
    assert "image data is missing at byte" in found.damage
    assert found.pixels.shape == (240, 320, 3)


@pytest.mark.parametrize("options", [{}, {"progressive": True}], ids=["baseline", "progressive"])
@pytest.mark.parametrize(
    ("cut", "orientation"), [(-2, 1), (-20, 1), (-2, 6), (0.5, 1), (0.5, 8)], ids=str
)
def test_a_jpeg_that_ends_early_is_partially_read(
    cut: float, orientation: int, options: dict[str, Any], picture: Picture
) -> None:
    upright = picture()
    exif = Image.Exif()
    exif[0x0112] = orientation
    whole = encoded(stored(upright, orientation), "JPEG", quality=90, exif=exif, **options)
    expected = decode(whole, max_pixels=MAX_PIXELS)
    assert expected.damage == ""
    end = len(whole) + int(cut) if cut < 0 else int(len(whole) * cut)
    found = decode(whole[:end], max_pixels=MAX_PIXELS)
    assert found.damage == "the file ends early, so the end of the picture may be missing"
    assert (found.source_width_px, found.source_height_px) == (320, 240)
    if cut == -2:
        assert (found.pixels == expected.pixels).all()
    elif options or cut < 0:  # a progressive JPEG has the whole picture, coarsely
        assert mean_difference(found.pixels, expected.pixels) < 12
    else:
        first = (slice(100),) if orientation == 1 else (slice(None), slice(130))
        assert (found.pixels[first] == expected.pixels[first]).all()


@pytest.mark.parametrize("image_format", ["GIF", "WEBP", "PNG"])
def test_an_animation_is_decoded_at_its_first_frame_with_content(
    image_format: str, picture: Picture
) -> None:
    black = Image.new("RGB", (320, 240))
    frames = [Image.fromarray(picture(seed)) for seed in range(2)]

    def animation(*images: Image.Image) -> bytes:
        target = io.BytesIO()
        options = {"lossless": True} if image_format == "WEBP" else {}
        images[0].save(
            target, image_format, save_all=True, append_images=images[1:], duration=50, **options
        )
        return target.getvalue()

    found = decode(animation(black, black, *frames), max_pixels=MAX_PIXELS)
    assert mean_difference(found.pixels, np.asarray(frames[0])) < 12
    assert found.damage == ""
    found = decode(animation(*frames, black), max_pixels=MAX_PIXELS)
    assert mean_difference(found.pixels, np.asarray(frames[0])) < 12
    assert not decode(
        animation(black, Image.new("RGB", (320, 240), 3)), max_pixels=MAX_PIXELS
    ).pixels.any()


def test_a_truncated_heif_is_reported(picture: Picture) -> None:
    decode(encoded(picture()), max_pixels=MAX_PIXELS)  # registers the formats
    whole = encoded(picture(), "HEIF", quality=80)
    assert find_damage(whole, "HEIF") == ""
    assert "5 bytes are missing" in find_damage(whole[:-5], "HEIF")


@pytest.mark.parametrize(
    "magic", [b"II*\0", b"MM\0*", b"\xff\xd8", b"\x89PNG\r\n\x1a\n", b"GIF89a"]
)
@given(st.binary(max_size=40))
def test_anything_after_a_magic_number_is_an_image_or_an_error(magic: bytes, rest: bytes) -> None:
    with contextlib.suppress(InvalidImageError), warnings.catch_warnings(action="ignore"):
        decode(magic + rest, max_pixels=10**6)


@given(st.binary(max_size=200), st.sampled_from(["JPEG", "HEIF", "AVIF", "PNG"]))
def test_looking_for_damage_never_fails(content: bytes, image_format: str) -> None:
    assert isinstance(find_damage(content, image_format), str)


def test_a_decompression_bomb_is_refused_by_its_header() -> None:
    with pytest.raises(InvalidImageError, match="30000 x 30000 pixels exceed the limit"):
        decode(png_bomb(), max_pixels=MAX_PIXELS)


@given(st.integers(1, 300), st.integers(1, 300), st.integers(1, 200))
def test_fit_long_side_keeps_the_aspect_ratio(width: int, height: int, side: int) -> None:
    fitted = fit_long_side(np.zeros((height, width, 3), np.uint8), side)
    new_height, new_width = fitted.shape[:2]
    assert max(new_height, new_width) == min(side, max(width, height))
    scale = max(new_height, new_width) / max(width, height)
    assert abs(new_height - max(1, height * scale)) <= 0.5 + 1e-9
    assert abs(new_width - max(1, width * scale)) <= 0.5 + 1e-9


def test_thumbnails_are_small_jpegs(picture: Picture, tmp_path: Path) -> None:
    image = Image.open(io.BytesIO(encode_thumbnail(picture(width=900, height=600), 320)))
    assert (image.format, image.size) == ("JPEG", (320, 213))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("has_preview", [True, False], ids=["preview", "developed"])
def test_a_raw_file_is_upright_in_every_orientation(has_preview: bool, orientation: int) -> None:
    upright = quarters()
    content = dng(stored(upright, orientation), orientation=orientation, has_preview=has_preview)
    found = decode(content, max_pixels=10**6)
    assert found.format == "RAW"
    if has_preview:
        assert (found.source_width_px, found.source_height_px) == (320, 240)
        assert mean_difference(found.pixels, upright) < 6
    else:  # half the size, and grey, because the test camera's sensor has only one colour
        assert found.pixels.shape == (120, 160, 3)
        corners = found.pixels[[30, 30, 90, 90], [40, 120, 40, 120]].astype(int).sum(axis=1)
        assert corners.argsort()[2:].tolist() in ([1, 3], [3, 1])


def test_a_truncated_raw_file_or_a_missing_reader_is_reported(
    picture: Callable[..., NDArray[np.uint8]], monkeypatch: pytest.MonkeyPatch
) -> None:
    content = dng(picture(3, 320, 240))
    with pytest.raises(InvalidImageError, match="RAW"):
        decode(b"FUJIFILMCCD-RAW" + b"\0" * 500, max_pixels=10**6)
    monkeypatch.setitem(sys.modules, "rawpy", None)
    with pytest.raises(InvalidImageError, match=r"install 'bestshot\[raw\]'"):
        decode(content, max_pixels=10**6)


def test_a_dng_whose_pictures_are_beyond_its_end_is_unreadable(picture: Picture) -> None:
    whole = dng(picture(3, 320, 240), metadata_first=True)
    assert decode(whole, max_pixels=10**6).damage == ""
    with pytest.raises(InvalidImageError, match=r"truncated: \d+ bytes are missing"):
        decode(whole[:1000], max_pixels=10**6)
    without_preview = dng(picture(3, 320, 240), metadata_first=True, has_preview=False)
    with pytest.raises(InvalidImageError, match="truncated: 153000 bytes are missing"):
        decode(without_preview[:-153_000], max_pixels=10**6)


def test_a_raw_file_is_recognized_by_its_sensor_data(picture: Picture) -> None:
    content = dng(picture(3, 320, 240), has_preview=False)
    without_version = content.replace(b"\x12\xc6", b"\xff\xc5", 1)  # like a PEF or ERF
    assert decode(without_version, max_pixels=10**6).format == "RAW"
    with pytest.raises(InvalidImageError, match="the RAW file cannot be read"):
        decode(b"II\x1a\0\0\0HEAPCCDR" + bytes(200), max_pixels=10**6)  # Canon's CRW


def test_a_plain_tiff_is_not_a_raw_file(picture: Callable[..., NDArray[np.uint8]]) -> None:
    target = io.BytesIO()
    Image.fromarray(picture(1)).save(target, "TIFF")
    assert decode(target.getvalue(), max_pixels=10**6).format == "TIFF"


@pytest.mark.parametrize("name", ["GIF", "PNG"])
def test_an_animation_cut_anywhere_is_read_or_refused(name: str) -> None:
    """Pillow raises IndexError and struct.error while it looks for the second frame of a GIF."""
    target = io.BytesIO()
    first, second = (Image.fromarray(draw_picture(seed, 16, 12)) for seed in range(2))
    first.save(target, name, save_all=True, append_images=[second])
    content = target.getvalue()
    is_read = False
    for end in range(1, len(content) + 1):
        try:
            decode(content[:end], max_pixels=MAX_PIXELS)
        except InvalidImageError:
            assert not is_read, "a readable prefix must stay readable with more of the file"
        else:
            is_read = True
    assert is_read
