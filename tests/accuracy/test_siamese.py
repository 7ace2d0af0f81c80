"""The built-in comparator on real pictures that it was not trained on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from services.common.imaging.decode import decode, fit_long_side
from services.common.inference.onnx import OrtSession, SessionOptions
from services.common.inference.registry import Role, resolve
from services.common.inference.tensor import to_full_tensor
from services.siamese.model import SiameseModel
from tests.accuracy.conftest import Figures
from tests.conftest import ROOT

Rgb = NDArray[np.uint8]

INPUT_SIDE_PX = 512


def defocus(image: Rgb) -> Rgb:
    return np.asarray(cv2.GaussianBlur(image, (0, 0), 0.006 * max(image.shape)), np.uint8)


def shake(image: Rgb) -> Rgb:
    length = max(5, round(0.03 * max(image.shape)))
    kernel = np.full((1, length), 1 / length, np.float32)
    return np.asarray(cv2.filter2D(image, -1, kernel), np.uint8)


def grain(image: Rgb) -> Rgb:
    rng = np.random.default_rng(1)
    return np.clip(image + rng.normal(0, 40, image.shape), 0, 255).astype(np.uint8)


def too_dark(image: Rgb) -> Rgb:
    return (image * 0.3).astype(np.uint8)


def too_bright(image: Rgb) -> Rgb:
    return np.clip(image * 2.2 + 20, 0, 255).astype(np.uint8)


def crushed(image: Rgb) -> Rgb:
    _, data = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 6])
    return np.ascontiguousarray(cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1])


def tilted(image: Rgb) -> Rgb:
    height, width = image.shape[:2]
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), 12, 1.0)
    return np.asarray(cv2.warpAffine(image, turn, (width, height)), np.uint8)


DEGRADATIONS = (defocus, shake, grain, too_dark, too_bright, crushed, tilted)


def _cropped(left: float, top: float, right: float, bottom: float) -> Callable[[Rgb], Rgb]:
    """Crops shares of the width and height from each side."""

    def crop(image: Rgb) -> Rgb:
        height, width = image.shape[:2]
        rows = slice(round(top * height), round((1 - bottom) * height))
        columns = slice(round(left * width), round((1 - right) * width))
        return np.ascontiguousarray(image[rows, columns])

    return crop


def _jpeg(quality: int) -> Callable[[Rgb], Rgb]:
    def compress(image: Rgb) -> Rgb:
        _, data = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
        return np.ascontiguousarray(cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1])

    return compress


def _blurred(share: float) -> Callable[[Rgb], Rgb]:
    return lambda image: np.asarray(
        cv2.GaussianBlur(image, (0, 0), share * max(image.shape)), np.uint8
    )


def _exposed(gain: float) -> Callable[[Rgb], Rgb]:
    return lambda image: np.clip(image * gain, 0, 255).astype(np.uint8)


EARLIER_KINDS: dict[str, list[Callable[[Rgb], Rgb]]] = {
    "JPEG": [_jpeg(quality) for quality in (40, 25, 15, 10, 5)],
    "blur": [_blurred(share) for share in (0.002, 0.004, 0.008, 0.016)],
    "exposure": [_exposed(gain) for gain in (0.5, 1.8)],
    "crop edge": [_cropped(*sides) for sides in np.eye(4) * 0.25],
    "crop corner": [
        _cropped(*sides)
        for sides in ((0.3, 0.3, 0, 0), (0, 0.3, 0.3, 0), (0.3, 0, 0, 0.3), (0, 0, 0.3, 0.3))
    ],
    "crop centre": [_cropped(share, share, share, share) for share in (0.05, 0.1, 0.15, 0.25)],
    "crop aspect": [
        _cropped(*sides)
        for sides in ((0.1, 0, 0.1, 0), (0, 0.1, 0, 0.1), (0.2, 0, 0.2, 0), (0, 0.2, 0, 0.2))
    ],
}
"""Kinds of pairs in the earlier system's benchmark, 27 per picture; its strengths are unknown."""


def add_figures(figures: Figures, title: str, right: dict[str, list[bool]]) -> float:
    """Records the share of correctly ranked pairs, by kind and overall; returns the latter."""
    every = [hit for hits in right.values() for hit in hits]
    for kind, hits in {f"{title}, all {len(every)}": every, **right}.items():
        what = kind if kind.startswith(title) else f"  {kind.replace('_', ' ')}, {len(hits)}"
        figures[what] = {"builtin": f"{np.mean(hits):.3f}"}
    return float(np.mean(every))


@pytest.fixture(scope="module")
def model() -> SiameseModel:
    local = resolve(ROOT / "configs", ROOT, Role.SIAMESE, "builtin-siamese")
    describe, compare = (
        OrtSession(local.paths[part], SessionOptions()) for part in ("describe", "compare")
    )
    return SiameseModel(describe, compare)


def test_the_undegraded_photo_is_preferred(
    model: SiameseModel, figures: Figures, real_photos: Callable[[str], Path]
) -> None:
    right: dict[str, list[bool]] = {function.__name__: [] for function in DEGRADATIONS}
    for folder in ("album", "trip"):
        for path in sorted(real_photos(folder).glob("*.jpg")):
            if path.name.startswith(("176_HONOR-7X_F", "176_HONOR-7X_M", "thompson")):
                continue  # already blurred; 150 pixels wide
            picture = decode(path.read_bytes(), max_pixels=10**9).pixels
            whole = model.describe(to_full_tensor(fit_long_side(picture, INPUT_SIDE_PX)))
            for degrade in DEGRADATIONS:
                worse = to_full_tensor(fit_long_side(degrade(picture), INPUT_SIDE_PX))
                probability = model.compare(whole, model.describe(worse))
                right[degrade.__name__].append(probability > 0.5)
    assert add_figures(figures, "pairs of a photo and its degraded copy", right) >= 0.95


def test_the_sharp_photo_of_a_real_triplet_is_preferred(
    model: SiameseModel, real_photos: Callable[[str], Path]
) -> None:
    sharp, defocused, shaken = (
        model.describe(
            to_full_tensor(
                fit_long_side(
                    decode(
                        (real_photos("trip") / f"176_HONOR-7X_{kind}.jpg").read_bytes(),
                        max_pixels=10**9,
                    ).pixels,
                    INPUT_SIDE_PX,
                )
            )
        )
        for kind in "SFM"
    )
    assert model.compare(sharp, defocused) > 0.5
    assert model.compare(sharp, shaken) > 0.5


def test_the_pairs_of_the_earlier_benchmark(
    model: SiameseModel, figures: Figures, real_photos: Callable[[str], Path]
) -> None:
    """This comparator does not count a crop as worse, so only the other kinds have a threshold."""
    paths = [
        path
        for folder in ("album", "trip")
        for path in sorted(real_photos(folder).glob("*.jpg"))
        if not path.name.startswith(("176_HONOR-7X_F", "176_HONOR-7X_M", "thompson"))
    ][:50]
    right: dict[str, list[bool]] = {kind: [] for kind in EARLIER_KINDS}
    for path in paths:
        picture = decode(path.read_bytes(), max_pixels=10**9).pixels
        whole = model.describe(to_full_tensor(fit_long_side(picture, INPUT_SIDE_PX)))
        for kind, variants in EARLIER_KINDS.items():
            for change in variants:
                changed = to_full_tensor(fit_long_side(change(picture), INPUT_SIDE_PX))
                right[kind].append(model.compare(whole, model.describe(changed)) > 0.5)
    add_figures(figures, "pairs as in the earlier benchmark", right)
    seen = [hit for kind, hits in right.items() if "crop" not in kind for hit in hits]
    assert np.mean(seen) >= 0.90
