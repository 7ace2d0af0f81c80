from __future__ import annotations

import io
import os
import threading
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pytest
from PIL import Image, ImageFilter, ImageOps
from threadpoolctl import threadpool_info, threadpool_limits

from orchestrator.domain.alteration import Edit
from orchestrator.domain.photo import FileFacts
from orchestrator.domain.versions import VersionPhoto, edits_of
from orchestrator.runs import measure_overlap
from orchestrator.runs.overlaps import Overlaps
from orchestrator.runs.stored_features import Key, thumbnail_key
from services.common.imaging.decode import RgbImage


class Cache:
    """A feature cache in memory."""

    def __init__(self) -> None:
        self.entries: dict[Key, bytes] = {}

    def get(self, keys: Sequence[Key]) -> dict[Key, bytes]:
        return {key: self.entries[key] for key in keys if key in self.entries}

    def put(self, entries: Mapping[Key, bytes]) -> None:
        self.entries.update(entries)

    def add(self, name: str, picture: Image.Image) -> VersionPhoto:
        small = picture.copy()
        small.thumbnail((320, 320))
        target = io.BytesIO()
        small.save(target, "JPEG", quality=85)
        self.put({thumbnail_key(name): target.getvalue()})
        return VersionPhoto(name, FileFacts(*picture.size, 10**6))


def draw(seed: int) -> Image.Image:
    """Returns a coloured picture with parts of many sizes."""
    rng = np.random.default_rng(seed)
    layers = [
        Image.fromarray(rng.integers(0, 256, (3 * side, 4 * side, 3), np.uint8)).resize(
            (960, 720), Image.Resampling.BICUBIC
        )
        for side in (3, 10, 30)
    ]
    return Image.fromarray(np.mean(layers, axis=0).astype(np.uint8)).filter(
        ImageFilter.GaussianBlur(2)
    )


@pytest.fixture(scope="module")
def scene() -> Image.Image:
    return draw(1)


def tint(picture: Image.Image) -> Image.Image:
    return ImageOps.colorize(picture.convert("L"), "#302010", "#ffe8c0")


@pytest.mark.parametrize(
    ("edit", "edits"),
    [
        (ImageOps.mirror, {Edit.MIRRORED}),
        (lambda one: one.rotate(90, expand=True), {Edit.TURNED}),
        (lambda one: one.convert("L").convert("RGB"), {Edit.BLACK_AND_WHITE}),
        (tint, {Edit.FILTERED}),
        (lambda one: one.crop((200, 150, 780, 585)), {Edit.CROPPED}),
        (lambda one: ImageOps.expand(one, 60, "white"), {Edit.FRAMED}),
        (
            lambda one: ImageOps.mirror(one.convert("L").convert("RGB").crop((100, 80, 860, 650))),
            {Edit.MIRRORED, Edit.BLACK_AND_WHITE, Edit.CROPPED},
        ),
        (lambda one: one.resize((480, 360)), set()),
        (lambda one: draw(2), None),
    ],
)
def test_versions_are_recognized_from_thumbnails(
    scene: Image.Image, edit: Callable[[Image.Image], Image.Image], edits: set[Edit] | None
) -> None:
    cache = Cache()
    version, original = cache.add("version", edit(scene)), cache.add("original", scene)
    (overlap,) = Overlaps(cache).measure([("version", "original")])
    found = None if overlap is None else edits_of(version, original, overlap)
    assert (None if found is None else set(found)) == edits


def test_overlaps_are_measured_once_and_read_in_either_order(scene: Image.Image) -> None:
    cache = Cache()
    cache.add("a", scene)
    cache.add("b", scene.crop((200, 150, 780, 585)))
    (measured,) = Overlaps(cache).measure([("b", "a")])
    del cache.entries[thumbnail_key("a")]
    assert measured is not None
    assert Overlaps(cache).measure([("a", "b"), ("b", "a")]) == [measured.swap(), measured]


def test_photos_without_thumbnails_have_nothing_in_common() -> None:
    assert Overlaps(Cache()).measure([("a", "b"), ("a", "a")]) == [None, None]


def test_the_next_frame_of_a_panorama_lies_beside(scene: Image.Image) -> None:
    cache = Cache()
    cache.add("left", scene.crop((0, 0, 600, 450)))
    cache.add("right", scene.crop((300, 20, 900, 470)))
    (overlap,) = Overlaps(cache).measure([("left", "right")])
    assert overlap is not None
    assert overlap.first.x == pytest.approx(0.5, abs=0.02)
    assert overlap.first.share == pytest.approx(0.48, abs=0.03)
    assert overlap.second.x == pytest.approx(-0.5, abs=0.02)


def test_common_features_tell_the_same_place_from_another(scene: Image.Image) -> None:
    cache = Cache()
    cache.add("a", scene)
    cache.add("b", scene.crop((100, 60, 960, 720)))
    cache.add("other", draw(2))
    cache.add("plain", Image.new("RGB", (960, 720), "grey"))
    overlaps = Overlaps(cache)
    pairs = [("a", "b"), ("a", "other"), ("a", "plain"), ("a", "missing")]
    same, other, plain, missing = overlaps.count_features(pairs)
    assert same is not None
    assert same >= 50
    assert other is not None
    assert other < 12
    assert plain is None
    assert missing is None
    assert overlaps.find_counts([*pairs, ("b", "other")]) == [same, other, None, None, None]


def blas_threads() -> set[int]:
    return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}


def test_pictures_are_compared_with_one_blas_thread(
    scene: Image.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache, seen = Cache(), set()
    cache.add("a", scene)
    cache.add("b", scene.rotate(5))
    monkeypatch.setattr(
        measure_overlap, "count_common_features", lambda *_: seen.update(blas_threads())
    )
    with threadpool_limits(2, "blas"):
        before = blas_threads()
        Overlaps(cache).count_features([("a", "b")])
        assert blas_threads() == before
    assert seen == {1}


def test_photos_are_described_once_and_two_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    cache, described = Cache(), []
    for number, name in enumerate("abcd"):
        cache.add(name, Image.new("RGB", (320, 240 - number)))
    both = threading.Barrier(2, timeout=60)

    def describe(pixels: RgbImage) -> measure_overlap.Picture:
        described.append(pixels.shape)
        both.wait()
        return found(pixels)

    found = measure_overlap.describe
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    monkeypatch.setattr(measure_overlap, "describe", describe)
    Overlaps(cache).count_features([("a", "b"), ("c", "d"), ("a", "c"), ("b", "d")])
    assert sorted(described) == [(height, 320, 3) for height in (237, 238, 239, 240)]
