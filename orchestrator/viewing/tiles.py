"""Cuts pictures into tiles, so that a viewer at 100% loads only the part that it shows.

All tiles of a picture are in one file: its number of columns and rows, where each tile ends, and
then the tiles as JPEGs, row by row.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import IO

from services.common.errors import NotFoundError
from services.common.imaging.decode import RgbImage, encode_thumbnail

TILE_PX = 512
_QUALITY = 90
_SHAPE = struct.Struct("<II")
_END = struct.Struct("<Q")


@dataclass(frozen=True)
class Tile:
    """The position of a tile in a picture, from 0 at the top left."""

    column: int
    row: int

    def is_in(self, width_px: int, height_px: int) -> bool:
        """Whether a picture of this size has the tile."""
        return 0 <= self.column * TILE_PX < width_px and 0 <= self.row * TILE_PX < height_px


def pack_tiles(pixels: RgbImage) -> bytes:
    """Encodes all tiles of a picture.

    Args:
        pixels: uint8, (height, width, 3).
    """
    height, width = pixels.shape[:2]
    columns, rows = -(-width // TILE_PX), -(-height // TILE_PX)
    tiles = [
        encode_thumbnail(
            pixels[top : top + TILE_PX, left : left + TILE_PX], TILE_PX, quality=_QUALITY
        )
        for top in range(0, height, TILE_PX)
        for left in range(0, width, TILE_PX)
    ]
    end, ends = _SHAPE.size + _END.size * len(tiles), []
    for tile in tiles:
        end += len(tile)
        ends.append(_END.pack(end))
    return b"".join([_SHAPE.pack(columns, rows), *ends, *tiles])


def read_tile(packed: IO[bytes], tile: Tile) -> bytes:
    """Reads one tile of an opened file.

    Raises:
        NotFoundError: The file has no such tile.
    """
    columns, rows = _SHAPE.unpack(packed.read(_SHAPE.size))
    if not (0 <= tile.column < columns and 0 <= tile.row < rows):
        raise NotFoundError("tile", f"column {tile.column}, row {tile.row}")
    number = tile.row * columns + tile.column
    first = _SHAPE.size + _END.size * columns * rows
    packed.seek(_SHAPE.size + _END.size * max(0, number - 1))
    ends = packed.read(_END.size * (1 if number == 0 else 2))
    start = _END.unpack_from(ends)[0] if number else first
    stop = _END.unpack(ends[-_END.size :])[0]
    packed.seek(start)
    return packed.read(stop - start)
