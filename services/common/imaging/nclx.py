"""Converts colours that code points describe (nclx in AVIF and HEIF, cICP in PNG) to sRGB.

Code points: ITU-T H.273. HDR pictures (PQ, HLG) are tone-mapped for a display without HDR.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Convert = Callable[[NDArray[np.uint8]], NDArray[np.uint8]]
"""Takes and returns uint8, (height, width, 3)."""

_BOX = b"colrnclx"
_BT2020, _DISPLAY_P3, _PQ, _HLG = 9, 12, 16, 18
_TO_BT709 = {
    _BT2020: np.array(
        [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]],
        np.float32,
    ),
    _DISPLAY_P3: np.array(
        [[1.2249, -0.2247, 0.0], [-0.0420, 1.0419, 0.0], [-0.0196, -0.0786, 1.0979]], np.float32
    ),
}
"""Linear RGB to linear sRGB; sources: ITU-R BT.2087, and the primaries of SMPTE EG 432-1."""
_LUMA_2020 = np.array([0.2627, 0.6780, 0.0593], np.float32)
_KNEE = 0.5
_WHITE_NITS, _PEAK_NITS = 203.0, 1000.0
"""Reference white of HDR (ITU-R BT.2408), and the peak of the display that HDR is graded for."""


def find_conversion(image: Image.Image, content: bytes) -> Convert | None:
    """Returns the conversion to sRGB that a picture's code points require; None if there is none.

    Args:
        image: Opened.
        content: Its file.
    """
    primaries, transfer = _read_code_points(image, content)
    if transfer not in (_PQ, _HLG) and primaries not in _TO_BT709:
        return None
    return lambda pixels: _convert(pixels, primaries, transfer)


def overrides_profile(image: Image.Image, content: bytes) -> bool:
    """Whether code points take precedence over a profile, as in PNG (third edition, 4.3)."""
    return image.format == "PNG" and bool(_find_cicp(content))


def _read_code_points(image: Image.Image, content: bytes) -> tuple[int, int]:
    """Returns the colour primaries and transfer characteristics; zeros if unknown."""
    if image.format == "HEIF":
        found = image.info.get("nclx_profile") or {}
        return (
            int(found.get("color_primaries", 0)),
            int(found.get("transfer_characteristics", 0)),
        )
    if image.format == "PNG":
        cicp = _find_cicp(content)
        return (cicp[0], cicp[1]) if cicp else (0, 0)
    place = content.find(_BOX) if image.format == "AVIF" else -1
    if place < 0 or place + 12 > len(content):
        return 0, 0
    # The first one belongs to the main picture; a gain map may have its own.
    primaries, transfer = struct.unpack_from(">HH", content, place + len(_BOX))
    return primaries, transfer


def _find_cicp(content: bytes) -> bytes:
    """Finds the content of a PNG's cICP chunk, which precedes the pixels; empty if none."""
    place = 8
    while place + 12 <= len(content):
        size, name = struct.unpack_from(">I4s", content, place)
        if name == b"cICP" and size == 4:
            return content[place + 8 : place + 12]
        if name == b"IDAT":
            break
        place += 12 + size
    return b""


def _convert(pixels: NDArray[np.uint8], primaries: int, transfer: int) -> NDArray[np.uint8]:
    light = _decode_levels(transfer)[pixels]
    if transfer == _HLG:  # the system gamma for a display of 1000 nits; source: ITU-R BT.2100
        luminance = (light @ _LUMA_2020)[..., None]
        light = light * np.maximum(luminance, 1e-6) ** 0.2 * np.float32(_PEAK_NITS / _WHITE_NITS)
    if primaries in _TO_BT709:
        light = np.maximum(light @ _TO_BT709[primaries].T, 0)
    if transfer in (_PQ, _HLG):
        light = _tone_map(light)
    return _encode_srgb(light)


def _decode_levels(transfer: int) -> NDArray[np.float32]:
    """Decodes the 256 levels to light: 1 is white, above 1 is brighter; for HLG, scene light."""
    level = np.arange(256) / 255
    if transfer == _PQ:  # source: SMPTE ST 2084
        root = level ** (32 / 2523)
        share = (np.maximum(root - 107 / 128, 0) / (2413 / 128 - 2392 / 128 * root)) ** (
            8192 / 1305
        )
        return (share * 10_000 / _WHITE_NITS).astype(np.float32)
    if transfer == _HLG:  # source: ITU-R BT.2100
        bright = (np.exp((level - 0.55991073) / 0.17883277) + 0.28466892) / 12
        return np.where(level <= 0.5, level**2 / 3, bright).astype(np.float32)
    dark, bright = level / 12.92, ((level + 0.055) / 1.055) ** 2.4
    return np.where(level <= 0.04045, dark, bright).astype(np.float32)


def _tone_map(light: NDArray[np.float32]) -> NDArray[np.float32]:
    """Compresses light to 0..1 and keeps the hue: linear up to the knee, then increasingly flat."""
    brightest = np.maximum(light.max(axis=-1, keepdims=True), 1e-6)
    shoulder = _KNEE + (1 - _KNEE) * (1 - np.exp((_KNEE - brightest) / (1 - _KNEE)))
    mapped: NDArray[np.float32] = light * np.where(brightest <= _KNEE, 1, shoulder / brightest)
    return mapped


def _encode_srgb(light: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Applies the sRGB transfer function; source: IEC 61966-2-1."""
    light = np.clip(light, 0, 1)
    encoded = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    return (encoded * 255 + 0.5).astype(np.uint8)
