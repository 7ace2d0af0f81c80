"""Turns screenshots from the browser tests into the README's pictures: smaller, as JPEG."""

from __future__ import annotations

from PIL import Image

from tests.browser.conftest import SCREENSHOTS
from tests.conftest import ROOT

NAMES = ("results", "detail", "what-if", "metrics")
SIZE = (1200, 750)

for name in NAMES:
    picture = Image.open(SCREENSHOTS / f"{name}.png").convert("RGB")
    small = picture.resize(SIZE, Image.Resampling.LANCZOS)
    small.save(ROOT / "ui" / "screenshots" / f"{name}.jpg", quality=82, optimize=True)
