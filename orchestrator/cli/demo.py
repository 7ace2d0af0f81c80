"""Makes a small album of real pictures that ship with scikit-learn, with variants of each."""

from __future__ import annotations

import contextlib
import importlib.util
import io
from collections.abc import Callable
from pathlib import Path

from PIL import Image, ImageEnhance, ImageFilter

SOURCES = ("china.jpg", "flower.jpg")


def _shift(image: Image.Image) -> Image.Image:
    width, height = image.size
    return image.crop((width // 16, height // 20, width, height))


def _tilt(image: Image.Image) -> Image.Image:
    width, height = image.size
    inner = (width // 20, height // 20, width - width // 20, height - height // 20)
    return image.rotate(2, Image.Resampling.BICUBIC).crop(inner)


VARIANTS: dict[str, tuple[Callable[[Image.Image], Image.Image], int]] = {
    "1-sharp": (lambda image: image, 92),
    "2-shifted": (_shift, 92),
    "3-blurred": (lambda image: image.filter(ImageFilter.GaussianBlur(4)), 92),
    "4-dark": (lambda image: ImageEnhance.Brightness(image).enhance(0.35), 92),
    "5-recompressed": (lambda image: image, 12),
    "6-tilted": (_tilt, 92),
}
"""The change applied to each picture, and the JPEG quality."""


def make_album(folder: Path) -> int:
    """Writes the album; returns the number of photos."""
    folder.mkdir(parents=True, exist_ok=True)
    package = importlib.util.find_spec("sklearn")  # importing it would take two seconds
    if package is None or package.origin is None:
        raise ModuleNotFoundError("scikit-learn is not installed")
    pictures = Path(package.origin).parent / "datasets" / "images"
    for source in SOURCES:
        with (pictures / source).open("rb") as opened:
            image = Image.open(opened).convert("RGB")
        for name, (change, quality) in VARIANTS.items():
            picture = io.BytesIO()
            change(image).save(picture, "JPEG", quality=quality)
            # Leave an existing file alone: it may be the user's own, or a link.
            place = folder / f"{Path(source).stem}-{name}.jpg"
            with contextlib.suppress(FileExistsError), place.open("xb") as target:
                target.write(picture.getbuffer())
    return len(SOURCES) * len(VARIANTS)
