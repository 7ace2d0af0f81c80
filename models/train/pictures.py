"""Collects the real pictures that the built-in networks are trained on.

All of them ship with software packages: Python packages of the `train` extra, and Debian packages
that `fetch` downloads and unpacks into a folder (nothing is installed). No picture is copied into
this repository.

    python -P -m models.train.pictures FOLDER      # needs apt-get and dpkg-deb, about 600 MB
"""

from __future__ import annotations

import argparse
import io
import re
import subprocess
import sysconfig
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

DEBIAN_PACKAGES = (
    "gcompris-qt-data",
    "tuxpaint-stamps-default",
    "opencv-doc",
    "plasma-workspace-wallpapers",
    "gnome-backgrounds",
    "mate-backgrounds",
    "ukui-wallpapers",
    "lxqt-themes",
    "lomiri-wallpapers-16.04",
    "lomiri-wallpapers-20.04",
)
PYTHON_PICTURES = ("sklearn/datasets/images", "skimage/data", "matplotlib/mpl-data/sample_data")
PHOTO_FOLDERS = (
    "usr/share/backgrounds",
    "usr/share/wallpapers",
    "usr/share/lomiri-wallpapers",
    "usr/share/lxqt/wallpapers",
    "usr/share/doc/opencv-doc/examples/data",
    "carved",
)
STAMP_FOLDER = "usr/share/tuxpaint/stamps"
STAMPS_LEFT_OUT = ("symbols", "cartoon", "flags", "roadsigns")
PICTURE_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp"}
MIN_SIDE_PX = 160
SAME_LOOK_GREYS = 8.0
"""Two pictures whose mean difference is at most this, out of 255, count as the same."""

_EMBEDDED_PICTURE = re.compile(rb"\xff\xd8\xff[\xe0\xe1\xdb]|RIFF....WEBP|\x89PNG\r\n", re.DOTALL)


@dataclass(frozen=True)
class Pictures:
    """Real pictures to train on: whole photos, and cut-out objects with an alpha channel."""

    photos: list[Path]
    cutouts: list[Path]


def fetch(folder: Path) -> None:
    """Downloads the Debian packages into `folder` and unpacks them there."""
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run(["apt-get", "download", *DEBIAN_PACKAGES], cwd=folder, check=True)
    for package in sorted(folder.glob("*.deb")):
        subprocess.run(["dpkg-deb", "-x", str(package), str(folder)], check=True)
    _carve_qt_resources(folder / "usr/share/gcompris-qt/rcc", folder / "carved")


def find(folder: Path | None) -> Pictures:
    """Lists the pictures in the installed Python packages and a fetched `folder`, sorted."""
    site = Path(sysconfig.get_paths()["purelib"])
    photos = [path for part in PYTHON_PICTURES for path in _pictures_below(site / part)]
    cutouts: list[Path] = []
    if folder is not None:
        for part in PHOTO_FOLDERS:
            for path in _pictures_below(folder / part):
                (cutouts if _has_transparency(path) else photos).append(path)
        for path in _pictures_below(folder / STAMP_FOLDER):
            if not any(word in path.parts for word in STAMPS_LEFT_OUT) and _has_transparency(path):
                cutouts.append(path)
    return Pictures(photos=photos, cutouts=cutouts)


def group_by_subject(paths: Sequence[Path]) -> list[list[Path]]:
    """Groups renditions of one wallpaper, which share a folder; other files stay single."""
    subjects: dict[Path, list[Path]] = {}
    for path in paths:
        key = path.parent if "contents" in path.parts else path
        subjects.setdefault(key, []).append(path)
    return [subjects[key] for key in sorted(subjects)]


def drop_duplicates(paths: Sequence[Path]) -> list[Path]:
    """Drops pictures that look like an earlier one when both are shrunk to 16 x 16 grey pixels."""
    kept: list[Path] = []
    looks: list[NDArray[np.float32]] = []
    for path in paths:
        with Image.open(path) as image:
            small = image.convert("L").resize((16, 16), Image.Resampling.BOX)
        look = np.asarray(small, np.float32)
        if all(np.abs(look - other).mean() > SAME_LOOK_GREYS for other in looks):
            kept.append(path)
            looks.append(look)
    return kept


def _pictures_below(folder: Path) -> list[Path]:
    return [
        path
        for path in sorted(folder.rglob("*"))
        if path.suffix.lower() in PICTURE_SUFFIXES and path.is_file() and _is_large_enough(path)
    ]


def _is_large_enough(path: Path) -> bool:
    try:
        with Image.open(path) as image:
            return min(image.size) >= MIN_SIDE_PX
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError):
        return False


def _has_transparency(path: Path) -> bool:
    with Image.open(path) as image:
        if "A" not in image.getbands():
            return False
        low, _ = image.getchannel("A").getextrema()
        return bool(low == 0)


def _carve_qt_resources(source: Path, target: Path) -> None:
    """Extracts the pictures embedded in Qt resource files into separate files."""
    target.mkdir(exist_ok=True)
    for resource in sorted(source.glob("*.rcc")):
        content = resource.read_bytes()
        for match in _EMBEDDED_PICTURE.finditer(content):
            try:
                image = Image.open(io.BytesIO(content[match.start() :]))
                if min(image.size) >= MIN_SIDE_PX:
                    image.convert("RGBA" if "A" in image.getbands() else "RGB").save(
                        target / f"{resource.stem}-{match.start()}.png"
                    )
            except (OSError, SyntaxError, ValueError):
                continue


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    fetch(folder)
    pictures = find(folder)
    print(f"{len(pictures.photos)} photos, {len(pictures.cutouts)} cut-outs")


if __name__ == "__main__":
    main()
