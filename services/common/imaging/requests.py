"""Converts pictures in requests to pixels, in the same way for every model service."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from bestshot.image.v1 import image_pb2
from google.protobuf.message import Message

from services.common.errors import InvalidArgumentError, InvalidImageError
from services.common.imaging import decode as imaging
from services.common.imaging.memory_budget import MemoryBudget


@dataclass(frozen=True)
class DecodeLimits:
    """Limits on decoding encoded pictures.

    Attributes:
        max_pixels: Maximum number of pixels in a file.
        budget: Memory for all decodes in this process.
    """

    max_pixels: int
    budget: MemoryBudget


def check_batch(items: Sequence[Message], field: str, max_batch_count: int) -> None:
    """Refuses an empty or oversized batch.

    Raises:
        InvalidArgumentError: Names `field`, the count and the limit.
    """
    if not items:
        raise InvalidArgumentError(field, "must contain at least one item")
    if len(items) > max_batch_count:
        raise InvalidArgumentError(
            field, f"has {len(items)} items; the limit is {max_batch_count} (max_batch_count)"
        )


def read_image(
    image: image_pb2.Image, *, long_side_px: int, limits: DecodeLimits
) -> imaging.RgbImage:
    """Takes the pixels, or decodes the file, and scales to the size that the model requires.

    Args:
        image: Image of a request.
        long_side_px: Longest side that the model requires; 0 = the whole canonical image.
        limits: Limits for an encoded file.

    Returns:
        uint8, (height, width, 3), canonical.

    Raises:
        InvalidImageError: There is no payload, its sizes do not match, or it cannot be decoded.
    """
    match image.WhichOneof("payload"):
        case "pixels":
            pixels = _raw_pixels(image.pixels)
        case "encoded":
            pixels = imaging.decode(
                image.encoded, max_pixels=limits.max_pixels, budget=limits.budget
            ).pixels
        case _:
            raise InvalidImageError("the image has no payload: set `pixels` or `encoded`")
    return imaging.fit_long_side(pixels, long_side_px)


def _raw_pixels(pixels: image_pb2.Pixels) -> imaging.RgbImage:
    width, height, rgb = pixels.width_px, pixels.height_px, pixels.rgb  # each access is a copy
    if width < 1 or height < 1 or len(rgb) != 3 * width * height:
        raise InvalidImageError(
            f"pixels.rgb has {len(rgb)} bytes, but {width} x {height} RGB needs "
            f"{3 * max(width, 0) * max(height, 0)}"
        )
    if max(width, height) > imaging.CANONICAL_LONG_SIDE_PX:
        raise InvalidImageError(
            f"pixels of {width} x {height} are not canonical: the long side must be at most "
            f"{imaging.CANONICAL_LONG_SIDE_PX} px"
        )
    return np.frombuffer(rgb, np.uint8).reshape(height, width, 3)
