"""Prints the table in README.md that shows how well real files of each format are read.

`python -m tests.accuracy.formats FOLDER...` reads every picture below the folders, compares the
size of the upright picture with exiftool and its pixels with ImageMagick, and lists the files that
differ. A RAW file is compared with the largest preview that exiftool finds in it. Both programs
must be installed.
"""

from __future__ import annotations

import io
import json
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

from services.common.errors import InvalidImageError
from services.common.imaging.decode import CanonicalImage, decode
from services.common.suffixes import PHOTO_SUFFIXES, RAW_SUFFIXES

MAX_PIXELS = 10**9
PATCHES = 16
"""Pixels are compared by their means in 16 x 16 patches, which scaling barely changes."""
LARGE = 16
"""Out of 255; a file that differs by more is listed."""
PREVIEWS = ("JpgFromRaw", "PreviewImage", "OtherImage", "JpgFromRaw2", "ThumbnailImage")
ORIENTATIONS = (
    *("Undefined", "TopLeft", "TopRight", "BottomRight", "BottomLeft"),
    *("LeftTop", "RightTop", "RightBottom", "LeftBottom"),
)
"""ImageMagick's names for EXIF orientations 0 to 8."""
SWAPPED = (5, 6, 7, 8)
SRGB = "sRGB"
TIMEOUT_S = 60


@dataclass(frozen=True)
class Tried:
    """One file.

    Attributes:
        kind: Format according to exiftool.
        camera: Make and model; empty if unknown.
        error: Why it could not be read; empty if it could.
        is_turned: Whether its orientation is other than 1.
        has_profile: Whether it has a colour profile whose name does not include sRGB.
        is_marked: Whether it was read and marked as damaged.
        is_size_same: Whether exiftool reports the same size; None if it reports none.
        difference: Largest difference of a patch, out of 255; None if it was not compared.
    """

    path: Path
    kind: str
    camera: str
    error: str
    is_turned: bool
    has_profile: bool
    is_marked: bool
    is_size_same: bool | None
    difference: float | None


def main() -> None:
    """Prints the table and the files that differ."""
    folders = [Path(name) for name in sys.argv[1:]]
    files = [
        path
        for folder in folders
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix.lower() in PHOTO_SUFFIXES
    ]
    with tempfile.TemporaryDirectory() as temporary:
        profile = Path(temporary, "srgb.icc")
        profile.write_bytes(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
        tried = [_try(path, facts, profile) for path, facts in _with_facts(files)]
    for line in table(tried):
        print(line)
    for one in tried:
        if one.error or one.is_size_same is False or (one.difference or 0) > LARGE:
            shown = "" if one.difference is None else f" differs by {one.difference:.0f}"
            size = " has a different size" if one.is_size_same is False else ""
            print(f"{one.kind} {one.path}:{shown}{size} {one.error}")


def table(tried: Sequence[Tried]) -> Iterator[str]:
    """Yields the rows of the table, by format."""
    yield (
        "| format | files, cameras | read | turned | other colours | marked as damaged "
        "| size as in exiftool | compared | within 16 of 255 | largest difference |"
    )
    yield "|---|---|---|---|---|---|---|---|---|---|"
    by_kind = defaultdict(list)
    for one in tried:
        by_kind[one.kind].append(one)
    for kind, found in sorted(by_kind.items()):
        read = [one for one in found if not one.error]
        sized = [one for one in read if one.is_size_same is not None]
        differences = [one.difference for one in read if one.difference is not None]
        cells = (
            kind,
            f"{len(found)}, {len({one.camera for one in found} - {''})}",
            len(read),
            sum(one.is_turned for one in read),
            sum(one.has_profile for one in read),
            sum(one.is_marked for one in read),
            f"{sum(bool(one.is_size_same) for one in sized)} of {len(sized)}",
            len(differences),
            sum(difference <= LARGE for difference in differences),
            f"{max(differences):.0f}" if differences else "",
        )
        yield f"| {' | '.join(map(str, cells))} |"


def _with_facts(files: Sequence[Path]) -> Iterator[tuple[Path, dict[str, Any]]]:
    names = ("FileType", "Make", "Model", "Orientation#", "ImageWidth", "ImageHeight")
    tags = [f"-{name}" for name in (*names, "ICC_Profile:ProfileDescription", *PREVIEWS)]
    command = ["exiftool", "-json", "-q", *tags, "-@", "-"]
    listed = "\n".join(map(str, files))
    answer = subprocess.run(command, input=listed, capture_output=True, text=True, check=False)
    for facts in json.loads(answer.stdout or "[]"):
        yield Path(facts["SourceFile"]), facts


def _try(path: Path, facts: dict[str, Any], profile: Path) -> Tried:
    orientation = facts.get("Orientation", 1)
    orientation = orientation if orientation in range(1, 9) else 1
    try:
        found, error = decode(path.read_bytes(), max_pixels=MAX_PIXELS), ""
    except InvalidImageError as problem:
        found, error = None, problem.message
    described = str(facts.get("ProfileDescription", SRGB))
    make, model = (str(facts.get(name, "")).strip() for name in ("Make", "Model"))
    is_raw = path.suffix.lower() in RAW_SUFFIXES
    other = _other_reader(path, facts, orientation, profile, found) if found else None
    return Tried(
        path=path,
        kind=str(facts.get("FileType", "unknown")),
        camera=f"{make} {model}".strip(),
        error=error,
        is_turned=orientation != 1,
        has_profile=SRGB not in described,
        is_marked=bool(found and found.damage),
        is_size_same=None if is_raw or not found else _is_size_same(found, facts, orientation),
        difference=_difference(found.pixels, other) if found and other is not None else None,
    )


def _is_size_same(found: CanonicalImage, facts: dict[str, Any], orientation: int) -> bool | None:
    if "ImageWidth" not in facts:
        return None
    stated = (facts["ImageWidth"], facts["ImageHeight"])
    upright = stated[::-1] if orientation in SWAPPED else stated
    return (found.source_width_px, found.source_height_px) == upright


def _other_reader(
    path: Path, facts: dict[str, Any], orientation: int, profile: Path, found: CanonicalImage
) -> NDArray[np.uint8] | None:
    """Returns the picture as ImageMagick reads it, at the same size; None if it cannot."""
    source, orient = f"{path}[0]", []
    content = None
    if path.suffix.lower() in RAW_SUFFIXES:
        content = _largest_preview(path, facts)
        source, orient = "jpeg:-", ["-orient", ORIENTATIONS[orientation]]
        if content is None:
            return None
    height, width = found.pixels.shape[:2]
    command = [
        *("convert", source, *orient, "-auto-orient", "-profile", str(profile)),
        *("-background", "white", "-alpha", "remove", "-filter", "box"),
        *("-resize", f"{width}x{height}!", "-depth", "8", "-type", "TrueColor", "ppm:-"),
    ]
    try:
        done = subprocess.run(
            command, input=content, capture_output=True, check=False, timeout=TIMEOUT_S
        )
        return np.asarray(Image.open(io.BytesIO(done.stdout)).convert("RGB"))
    except (OSError, subprocess.TimeoutExpired):
        return None


def _largest_preview(path: Path, facts: dict[str, Any]) -> bytes | None:
    previews = []
    for name in PREVIEWS:
        if name in facts:
            command = ["exiftool", "-b", f"-{name}", str(path)]
            previews.append(subprocess.run(command, capture_output=True, check=False).stdout)
    return max(previews, key=len, default=None)


def _difference(ours: NDArray[np.uint8], theirs: NDArray[np.uint8]) -> float | None:
    if ours.shape != theirs.shape:
        return None
    first, second = (_patches(pixels) for pixels in (ours, theirs))
    return float(np.abs(first - second).max())


def _patches(pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    side = (PATCHES, PATCHES)
    return np.asarray(Image.fromarray(pixels).resize(side, Image.Resampling.BOX), np.float64)


if __name__ == "__main__":
    main()
