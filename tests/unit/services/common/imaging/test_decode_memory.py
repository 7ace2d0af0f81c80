"""The memory for decoding is limited, and working in stripes gives the same pixels."""

from __future__ import annotations

import io
import re
import struct
import subprocess
import sys
import threading
import zlib
from pathlib import Path

import numpy as np
import pillow_heif
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from services.common.errors import InvalidImageError
from services.common.imaging.decode import decode
from services.common.imaging.memory_budget import MemoryBudget
from tests.conftest import ROOT

pytestmark = pytest.mark.slow

MAX_PIXELS = 250_000_000


def encoded(image: Image.Image, image_format: str, **options: object) -> bytes:
    target = io.BytesIO()
    image.save(target, image_format, **options)
    return target.getvalue()


def grey_16(side: int) -> Image.Image:
    return Image.fromarray(np.zeros((side, side), np.uint16))


def test_the_error_for_a_decode_above_the_budget_states_the_memory() -> None:
    content = encoded(grey_16(2000), "PNG")
    with pytest.raises(InvalidImageError) as caught:
        decode(content, max_pixels=MAX_PIXELS, budget=MemoryBudget(10 * 10**6))
    assert re.search(
        r"2000 x 2000 pixels .* up to \d\d MB of memory, more than the limit of 10 MB "
        r"\(max_decode_mb\)",
        caught.value.message,
    )
    assert decode(content, max_pixels=MAX_PIXELS, budget=MemoryBudget(10**9)).pixels.any() == 0


def test_the_pixels_of_a_png_are_not_touched_before_its_size_is_checked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    content = encoded(grey_16(200), "PNG")
    loads: list[tuple[int, int]] = []
    load = Image.Image.load
    monkeypatch.setattr(Image.Image, "load", lambda image: loads.append(image.size) or load(image))
    with pytest.raises(InvalidImageError, match="exceed the limit of 100 pixels"):
        decode(content, max_pixels=100)
    with pytest.raises(InvalidImageError, match="max_decode_mb"):
        decode(content, max_pixels=MAX_PIXELS, budget=MemoryBudget(1))
    assert loads == []


def test_large_decodes_wait_for_each_other_and_are_not_overtaken() -> None:
    budget = MemoryBudget(100)
    finished: list[str] = []

    def work(name: str, count: int) -> None:
        with budget.reserve(count):
            finished.append(name)

    with budget.reserve(60):
        large = threading.Thread(target=work, args=("large", 90))
        large.start()
        while not budget.waiting_count:
            pass
        small = threading.Thread(target=work, args=("small", 30))
        small.start()
        while budget.waiting_count < 2:
            pass
        assert finished == []
    large.join()
    small.join()
    assert finished == ["large", "small"]
    with pytest.raises(ValueError, match="exceed"), budget.reserve(101):
        pass
    with budget.reserve(100):  # the whole budget has been returned
        pass


@settings(max_examples=150)
@given(counts=st.lists(st.integers(0, 100), min_size=1, max_size=8))
def test_a_budget_is_never_exceeded_and_always_returned(counts: list[int]) -> None:
    budget, lock, held, most = MemoryBudget(100), threading.Lock(), [0], [0]

    def work(count: int) -> None:
        with budget.reserve(count):
            with lock:
                held[0] += count
                most[0] = max(most[0], held[0])
            with lock:
                held[0] -= count

    threads = [threading.Thread(target=work, args=(count,)) for count in counts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most[0] <= 100
    with budget.reserve(100):
        pass


TURNED = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def noise(seed: int, width: int, height: int, bands: int) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, bands), dtype=np.uint8)


def drawn(kind: str, pixels: NDArray[np.uint8]) -> tuple[Image.Image, Image.Image]:
    """Returns a picture in a mode that PNG can store, and the same picture as 8-bit sRGB."""
    rgb = Image.fromarray(pixels[..., :3])
    match kind:
        case "grey of 16 bits":
            values = pixels[..., 0].astype(np.uint16) * 256 + pixels[..., 1]
            whole = np.clip(values.astype(np.float64) / 257.0 + 0.5, 0, 255).astype(np.uint8)
            return Image.fromarray(values), Image.fromarray(whole).convert("RGB")
        case "palette":
            image = rgb.quantize(16, dither=Image.Dither.NONE)
            return image, image.convert("RGB")
        case "alpha":
            rgba = Image.fromarray(pixels)
            white = Image.new("RGBA", rgba.size, "white")
            white.alpha_composite(rgba)
            return rgba, white.convert("RGB")
        case _:
            return rgb, rgb


@settings(max_examples=8)
@given(
    kind=st.sampled_from(["grey of 16 bits", "palette", "alpha", "colour"]),
    size=st.sampled_from([(1200, 1000), (900, 1300), (11, 1200), (1200, 11)]),
    orientation=st.sampled_from(sorted(TURNED)),
)
def test_working_in_stripes_gives_the_same_pixels(
    kind: str, size: tuple[int, int], orientation: int
) -> None:
    image, whole = drawn(kind, noise(orientation, *size, 4))
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = encoded(image, "PNG", exif=exif, compress_level=0)
    turn = TURNED[orientation]
    upright = whole if turn is None else whole.transpose(turn)
    scale = 1024 / max(size)
    fitted = upright.resize(
        (max(1, round(upright.width * scale)), max(1, round(upright.height * scale))),
        Image.Resampling.BOX,
    )
    assert (decode(content, max_pixels=MAX_PIXELS).pixels == np.asarray(fitted)).all()


def png_16(side: int, bands: int) -> bytes:
    """Returns a black PNG of 16 bits per colour, which Pillow cannot write."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        checksum = zlib.crc32(kind + data)
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum)

    header = struct.pack(">IIBBBBB", side, side, 16, {3: 2, 4: 6}[bands], 0, 0, 0)
    rows = zlib.compress(bytes(side * (1 + 2 * bands * side)), 1)
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def tiff_16(side: int) -> bytes:
    """Returns a black TIFF of 16 bits per colour, uncompressed, in one strip."""
    short, long = 3, 4
    size = 6 * side * side
    tags = [
        *((256, long, 1, side), (257, long, 1, side), (258, short, 3, 122), (259, short, 1, 1)),
        *((262, short, 1, 2), (273, long, 1, 128), (277, short, 1, 3), (278, long, 1, side)),
        (279, long, 1, size),
    ]
    directory = b"".join(struct.pack("<HHII", *tag) for tag in tags)
    head = b"II*\0" + struct.pack("<IH", 8, len(tags)) + directory + bytes(4)
    return head + struct.pack("<HHH", 16, 16, 16) + bytes(size)


MEASURE = """
import pathlib, re, sys
from services.common.errors import InvalidImageError
from services.common.imaging.decode import decode
from services.common.imaging.memory_budget import MemoryBudget

def kilobytes(name):
    return int(re.search(name + r":\\s+(\\d+)", pathlib.Path("/proc/self/status").read_text())[1])

for path in map(pathlib.Path, sys.argv[1:]):
    content = path.read_bytes()
    try:
        decode(content, max_pixels=10**9, budget=MemoryBudget(1))
    except InvalidImageError as error:
        announced = int(re.search(r"up to (\\d+) MB", error.message)[1])
    pathlib.Path("/proc/self/clear_refs").write_text("5")  # resets the peak
    before = kilobytes("VmRSS")
    decode(content, max_pixels=10**9, budget=MemoryBudget(announced * 10**6))
    print(path.name, announced, (kilobytes("VmHWM") - before) * 1024 // 10**6)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="peaks are read from /proc")
def test_no_decode_takes_more_memory_than_estimated(tmp_path: Path) -> None:
    pillow_heif.register_heif_opener()
    side = 4500  # large enough that an error of a pixel exceeds OVERHEAD_BYTES
    grey = Image.new("L", (side, side))
    coloured = Image.new("RGB", (side, side))
    gradient = Image.linear_gradient("L").resize((side, side))
    fast = {"compress_level": 1}
    deflate = {"compression": "tiff_adobe_deflate"}
    bombs: dict[str, tuple[Image.Image, str, dict[str, object]]] = {
        "grey-16.png": (grey_16(side), "PNG", fast),
        "palette.png": (grey.convert("P"), "PNG", {**fast, "transparency": b"\x80" * 200}),
        "alpha.png": (coloured.convert("RGBA"), "PNG", fast),
        "float.tiff": (grey.convert("F"), "TIFF", deflate),
        "integer.tiff": (grey.convert("I"), "TIFF", {**deflate, "strip_size": 2**30}),
        "turned.tiff": (coloured, "TIFF", {**deflate, "tiffinfo": {274: 6}}),
        "progressive.jpg": (coloured, "JPEG", {"progressive": True, "subsampling": 0}),
        "palette.gif": (grey.convert("P"), "GIF", {"transparency": 0}),
        "black-first.gif": (
            grey.convert("P"),
            "GIF",
            {"save_all": True, "append_images": [gradient], "disposal": 2},
        ),
        "plain.webp": (coloured, "WEBP", {"method": 0, "quality": 1}),
        "alpha.jp2": (gradient.convert("RGBA").resize((3000, 3000)), "JPEG2000", {}),
        "plain.bmp": (grey, "BMP", {}),
        "plain.jpg": (coloured, "JPEG", {"subsampling": 0}),
        "plain.heic": (coloured, "HEIF", {"quality": 1, "enc_params": {"preset": "ultrafast"}}),
        "plain.avif": (coloured, "AVIF", {"quality": 1, "speed": 10}),
    }
    for name, (image, image_format, options) in bombs.items():
        image.save(tmp_path / name, image_format, **options)
    tifffile.imwrite(
        tmp_path / "floats.tiff", np.zeros((side, side, 3), np.float32), photometric="rgb"
    )
    for name, bands in (("colour-16.png", 3), ("alpha-16.png", 4)):
        (tmp_path / name).write_bytes(png_16(side, bands))
    (tmp_path / "colour-16.tiff").write_bytes(tiff_16(side))
    names = [*bombs, "floats.tiff", "colour-16.png", "alpha-16.png", "colour-16.tiff"]
    finished = subprocess.run(
        [sys.executable, "-c", MEASURE, *(str(tmp_path / name) for name in names)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    measured = dict(
        (name, (int(announced), int(peak)))
        for name, announced, peak in map(str.split, finished.stdout.splitlines())
    )
    assert sorted(measured) == sorted(names)
    assert {name: pair for name, pair in measured.items() if pair[1] > pair[0]} == {}
