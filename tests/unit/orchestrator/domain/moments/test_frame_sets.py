from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from orchestrator.config import PipelineConfig, resolve_auto
from orchestrator.domain.moments.capture_time import Captures
from orchestrator.domain.moments.frame_sets import (
    Frames,
    FrameSet,
    exposure_brackets,
    find_sets,
    join_sets,
    panoramas,
    places_in_sets,
)
from orchestrator.domain.moments.labels import labels_of
from orchestrator.domain.moments.look_alikes import dark_frames, split_look_alikes
from orchestrator.domain.moments.structure import Structures
from orchestrator.domain.overlap import Overlap, Side
from orchestrator.domain.photo import CameraFacts, ContentClass
from orchestrator.domain.sets import WITHOUT_SETS, SetKind, SetParameters
from orchestrator.records import ImageRecord
from orchestrator.runs.selection import find_moments
from tests.conftest import ROOT

Miniatures = NDArray[np.float32]


def view(seed: int) -> NDArray[np.float64]:
    """Draws the light from each part of a scene, over six stops: (32, 32), middle 0.2."""
    rng = np.random.default_rng(seed)
    coarse = rng.normal(size=(8, 8)).repeat(4, axis=0).repeat(4, axis=1)
    stops = coarse + 0.5 * rng.normal(size=(32, 32))
    return np.asarray(0.2 * 2.0 ** (stops - stops.mean()), np.float64)


def expose(light: NDArray[np.float64], stops: float) -> NDArray[np.float32]:
    """Converts light to 8-bit levels as a camera with the gamma of sRGB does, with clipping."""
    levels = 255.0 * np.clip(light * 2.0**stops, 0.0, 1.0) ** (1 / 2.2)
    noisy = levels + np.random.default_rng(int(abs(stops) * 10)).normal(scale=0.05, size=(32, 32))
    return np.clip(noisy, 0.0, 255.0).astype(np.float32)


def frames(
    miniatures: Sequence[NDArray[np.float32]],
    seconds: Sequence[float] | None = None,
    cameras: Sequence[str] | None = None,
    folders: Sequence[str] | None = None,
    facts: Sequence[CameraFacts] | None = None,
) -> Frames:
    count = len(miniatures)
    captures = Captures(np.array(seconds or [math.nan] * count), cameras or ["camera"] * count)
    structures = Structures.of(np.stack(miniatures))
    return Frames(
        folders or [""] * count,
        [(6000, 4000)] * count,
        captures,
        structures,
        facts or [CameraFacts()] * count,
    )


def rows_of(found: Sequence[FrameSet]) -> list[tuple[int, ...]]:
    return [one.rows for one in found]


@given(st.integers(0, 10**6), st.floats(-3, 3), st.floats(-3, 3))
def test_frames_of_one_view_correlate_at_any_exposure(
    seed: int, first: float, second: float
) -> None:
    light = view(seed)
    structures = Structures.of(np.stack([expose(light, first), expose(light, second)]))
    one, other = np.array([0]), np.array([1])
    assert structures.correlations(one, other)[0] > 0.8
    if abs(second - first) > 0.5:
        brighter = structures.brightening(one, other)[0]
        assert np.sign(brighter) == np.sign(second - first)


@given(st.integers(0, 10**6), st.floats(-6, 3), st.floats(-6, 3))
def test_frames_of_different_views_do_not_correlate(seed: int, first: float, second: float) -> None:
    pair = np.stack([expose(view(seed), first), expose(view(seed + 1), second)])
    assert not Structures.of(pair).correlations(np.array([0]), np.array([1]))[0] > 0.5


def test_black_burnt_out_and_unknown_frames_do_not_correlate() -> None:
    light = view(1)
    unknown = np.full((32, 32), np.nan, np.float32)
    black, white = np.zeros((32, 32), np.float32), np.full((32, 32), 255, np.float32)
    structures = Structures.of(np.stack([expose(light, 0), black, white, unknown]))
    first, second = np.zeros(3, np.intp), np.arange(1, 4)
    assert np.isnan(structures.correlations(first, second)).all()
    assert np.isnan(structures.brightening(first, second)).all()


def test_a_photo_with_a_blurred_and_a_dark_copy_is_not_a_series() -> None:
    sharp, dark = expose(view(1), 0), expose(view(1), -2)
    blurred = np.asarray(gaussian_filter(sharp, 0.7), np.float32)
    assert exposure_brackets(frames([sharp, blurred, dark])) == []
    assert exposure_brackets(frames([sharp, dark])) == []


def test_frames_that_state_one_exposure_are_not_a_series() -> None:
    series = [expose(view(1), stops) for stops in (-2, 0, 2)]
    same = CameraFacts(exposure_time_seconds=0.01, f_number=4.0, iso=100)
    assert exposure_brackets(frames(series, facts=[same] * 3)) == []
    times = [replace(same, exposure_time_seconds=0.01 * 4.0**step) for step in (-1, 0, 1)]
    assert len(exposure_brackets(frames(series, facts=times))) == 1


def test_series_are_found_from_burnt_out_to_nearly_black() -> None:
    series = [expose(view(seed), stops) for seed in (1, 2) for stops in range(-6, 4)]
    found = exposure_brackets(frames(series))
    assert rows_of(found) == [tuple(range(10)), tuple(range(10, 20))]
    assert {one.kind for one in found} == {SetKind.EXPOSURE_BRACKET}


@given(st.integers(0, 10**6), st.permutations([-4.0, -2.0, 0.0, 2.0]))
def test_a_series_is_ordered_from_dark_to_bright(seed: int, stops: list[float]) -> None:
    found = exposure_brackets(frames([expose(view(seed), one) for one in stops]))
    assert rows_of(found) == [tuple(np.argsort(stops).tolist())]


def test_shots_with_the_same_exposure_are_not_a_series() -> None:
    assert exposure_brackets(frames([expose(view(1), stops) for stops in (0, 0, 0.1)])) == []


def test_a_series_has_one_folder_camera_and_minute() -> None:
    series = [expose(view(1), stops) for stops in (-1, 0, 1)]
    assert rows_of(exposure_brackets(frames(series))) == [(0, 1, 2)]
    assert rows_of(exposure_brackets(frames(series, seconds=[0, 30, 59]))) == [(0, 1, 2)]
    assert exposure_brackets(frames(series, seconds=[0, 30, 91])) == []
    assert exposure_brackets(frames(series, cameras=["a", "a", "b"])) == []
    assert exposure_brackets(frames(series, folders=["a", "a", "b"])) == []


def test_a_series_is_found_by_time_if_the_names_are_far_apart() -> None:
    between = [expose(view(seed), 0) for seed in range(10, 30)]
    dark, middle, bright = (expose(view(1), stops) for stops in (-1, 0, 1))
    pictures = [dark, *between, middle, bright]
    seconds = [0.0, *(1000.0 * number for number in range(1, 21)), 1.0, 2.0]
    assert rows_of(exposure_brackets(frames(pictures, seconds))) == [(0, 21, 22)]


@given(
    st.lists(st.integers(-1, 4), min_size=1, max_size=20),
    st.lists(st.sets(st.integers(0, 19), min_size=2, max_size=5), max_size=3),
)
def test_sets_are_joined_and_nothing_is_split(labels: list[int], sets: list[set[int]]) -> None:
    count = len(labels)
    kept = [tuple(sorted(row for row in one if row < count)) for one in sets]
    known = [FrameSet(SetKind.EXPOSURE_BRACKET, rows) for rows in kept if len(rows) > 1]
    found = labels_of(join_sets(np.array(labels), known))
    for one in known:
        assert len({int(found[row]) for row in one.rows}) == 1
        assert found[one.rows[0]] >= 0
    for label in set(labels) - {-1}:
        members = [row for row in range(count) if labels[row] == label]
        assert len({int(found[row]) for row in members}) == 1
    if not known:
        assert [label >= 0 for label in found] == [
            label >= 0 and labels.count(label) > 1 for label in labels
        ]


def test_places_count_from_one() -> None:
    found = places_in_sets(4, [FrameSet(SetKind.EXPOSURE_BRACKET, (2, 0))])
    assert [(place.place, place.size) if place else None for place in found] == [
        (2, 2),
        None,
        (1, 2),
        None,
    ]


def split(
    pictures: Sequence[NDArray[np.float32]],
    labels: Sequence[int],
    is_doubtful: NDArray[np.bool_] | None = None,
) -> list[int]:
    miniatures = np.stack(pictures)
    if is_doubtful is None:
        is_doubtful = dark_frames(miniatures)
    structures = Structures.of(miniatures)
    return split_look_alikes(np.array(labels), is_doubtful, miniatures, structures).tolist()


def test_dark_frames_of_different_views_are_split() -> None:
    dark = [expose(view(seed), -8) for seed in (1, 1, 2, 3)]
    assert max(picture.mean() for picture in dark) < 16
    assert split(dark, [0] * 4) == [0, 0, -1, -1]


def test_a_dark_frame_stays_with_a_light_one_of_its_view() -> None:
    pictures = [expose(view(1), -8), expose(view(1), 0), expose(view(2), -8)]
    assert split(pictures, [0] * 3) == [0, 0, -1]


def test_blank_frames_stay_together_and_other_frames_are_left_alone() -> None:
    black = np.zeros((32, 32), np.float32)
    assert split([black, black], [0, 0]) == [0, 0]
    light = [expose(view(seed), 0) for seed in range(3)]
    assert split(light, [0, 0, 0]) == [0, 0, 0]
    unknown = np.full((32, 32), np.nan, np.float32)
    assert split([unknown, unknown, black], [0, 0, -1]) == [0, 0, -1]


def test_doubtful_photos_of_any_kind_are_split_off_and_the_others_stay() -> None:
    pages = [expose(view(seed), 0) for seed in (1, 2, 3, 3, 4, 5)]
    doubtful = np.array([True, True, True, True, False, False])
    assert split(pages, [0] * 6, doubtful) == [-1, -1, 0, 0, 1, 1]


ALL = SetParameters(exposure_brackets="best", focus_stacks="best", panoramas="best", bursts="best")


def found_in(
    facts: Sequence[CameraFacts], seconds: Sequence[float] | None = None
) -> list[tuple[SetKind, tuple[int, ...]]]:
    """Finds sets among frames that have only the camera's tags in common."""
    pictures = [expose(view(seed), 0) for seed in range(len(facts))]
    found = find_sets(frames(pictures, seconds, facts=facts), ALL)
    return [(one.kind, one.rows) for one in found]


def test_a_bursts_identifier_makes_a_set() -> None:
    facts = [CameraFacts(burst_id=name) for name in ("x", "", "x", "y")]
    assert found_in(facts, [9, 1, 3, 4]) == [(SetKind.BURST, (2, 0))]


def test_a_bracket_marked_by_the_camera_ends_when_an_exposure_repeats() -> None:
    biases = [0.0, -1.0, 1.0, 0.0, -1.0, 1.0, 0.0]
    facts = [CameraFacts(exposure_mode="auto bracket", exposure_bias_ev=bias) for bias in biases]
    assert found_in(facts, [0, 1, 2, 3, 4, 5, 600]) == [
        (SetKind.EXPOSURE_BRACKET, (1, 0, 2)),
        (SetKind.EXPOSURE_BRACKET, (4, 3, 5)),
    ]
    assert found_in(facts) == []  # their times are unknown


def test_a_focus_stack_ends_at_a_pause() -> None:
    facts = [CameraFacts(bracket_mode="focus")] * 4
    assert found_in(facts, [0, 1, 2, 30]) == [(SetKind.FOCUS_STACK, (0, 1, 2))]


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["", "x", "y"]),
            st.sampled_from(["", "focus", "exposure"]),
            st.sampled_from([None, -1.0, 0.0, 1.0]),
            st.sampled_from([math.nan, 0.0, 1.0, 2.0, 100.0]),
        ),
        min_size=1,
        max_size=12,
    )
)
def test_a_photo_is_in_at_most_one_set(
    drawn: list[tuple[str, str, float | None, float]],
) -> None:
    facts = [
        CameraFacts(burst_id=burst, bracket_mode=mode, exposure_bias_ev=bias)
        for burst, mode, bias, _ in drawn
    ]
    found = found_in(facts, [seconds for *_, seconds in drawn])
    rows = [row for _, one in found for row in one]
    assert len(rows) == len(set(rows))
    assert all(len(one) > 1 for _, one in found)
    assert [min(one) for _, one in found] == sorted(min(one) for _, one in found)


def test_ignored_kinds_of_sets_are_not_searched_for() -> None:
    facts = [CameraFacts(burst_id="x", bracket_mode="focus")] * 2
    pictures = [expose(view(1), -1), expose(view(1), 1)]
    assert find_sets(frames(pictures, [0, 1], facts=facts), WITHOUT_SETS) == []


@pytest.mark.parametrize(("profile", "labels"), [("builtin", [0] * 3), ("reference", [-1] * 3)])
def test_a_run_joins_a_series_by_default(profile: str, labels: list[int]) -> None:
    """By their embeddings, the frames have nothing in common."""
    records = [ImageRecord(name, name, 1, width_px=3, height_px=2) for name in "abc"]
    settings = PipelineConfig(ROOT / "configs", "builtin").load(profile)
    found = find_moments(
        np.eye(3, dtype=np.float32),
        np.stack([expose(view(1), stops) for stops in (-3, 0, 3)]),
        records,
        resolve_auto(settings.cluster_scenes, (0.32, 0.256)),
        settings.keep_sets,
    )
    assert found.labels.tolist() == labels
    assert [place is not None for place in found.places] == [label >= 0 for label in labels]


@pytest.mark.parametrize("kind", [ContentClass.DOCUMENT, ContentClass.SCREENSHOT])
def test_a_run_separates_pages_and_groups_copies_of_one_page(kind: ContentClass) -> None:
    """By their embeddings, all of them are the same."""
    records = [
        ImageRecord(name, name, 1, width_px=3, height_px=2, content_class=kind.value)
        for name in "abc"
    ]
    settings = PipelineConfig(ROOT / "configs", "builtin").load()
    vectors = np.tile(np.eye(1, 2, dtype=np.float32), (3, 1))
    pages = np.stack([expose(view(seed), 0) for seed in (1, 2, 1)])
    clustering = resolve_auto(settings.cluster_scenes, (0.32, 0.256))
    found = find_moments(vectors, pages, records, clustering, settings.keep_sets)
    assert found.labels.tolist() == [0, -1, 0]
    photos = [replace(record, content_class="photo") for record in records]
    alike = find_moments(vectors, pages, photos, clustering, settings.keep_sets)
    assert alike.labels.tolist() == [0, 0, 0]


def test_an_album_without_readable_photos_has_no_moments() -> None:
    settings = PipelineConfig(ROOT / "configs", "builtin").load()
    found = find_moments(
        np.empty((0, 0), np.float32),
        np.empty((0, 32, 32), np.float32),
        [],
        resolve_auto(settings.cluster_scenes, (0.32, 0.256)),
        settings.keep_sets,
    )
    assert found.labels.tolist() == []
    assert found.places == []


MANUAL = CameraFacts(focal_length_mm=35.0, exposure_time_seconds=0.01, f_number=8.0, iso=100)


def turn(x: float, y: float = 0.0, share: float = 0.5, **changes: Any) -> Overlap:
    """Returns the overlap of two frames; the second lies to the right by x, and below by y."""
    side = Side(share=share, x=x, y=y, spread=50.0, chroma=20.0, length=1.0)
    plain = Overlap(
        match_count=50,
        is_mirrored=False,
        turn_degrees=1.0,
        bend=0.02,
        agreement=0.8,
        lowest=0.3,
        colour_shift=1.0,
        first=side,
        second=replace(side, x=-x, y=-y),
    )
    return replace(plain, **changes)


def panoramas_in(
    overlaps: Sequence[Overlap | None],
    *,
    seconds: Sequence[float] | None = None,
    facts: Sequence[CameraFacts] | None = None,
) -> list[tuple[int, ...]]:
    """Finds panoramas among photos, each of which follows the one before with an overlap."""
    count = len(overlaps) + 1
    pictures = [expose(view(seed), 0) for seed in range(count)]
    plain = frames(pictures, seconds or range(count), facts=facts or [MANUAL] * count)

    def measure(pairs: Sequence[tuple[int, int]]) -> list[Overlap | None]:
        return [overlaps[one] for one, _ in pairs]

    return rows_of(panoramas(replace(plain, measure=measure)))


def test_frames_that_show_more_on_one_side_are_a_panorama() -> None:
    assert panoramas_in([turn(0.5), turn(0.4), turn(0.6)]) == [(0, 1, 2, 3)]
    assert panoramas_in([turn(0, -0.5), turn(0.1, -0.5)]) == [(0, 1, 2)]
    two = [turn(0.5), turn(0.5), None, turn(-0.5), turn(-0.5)]
    assert panoramas_in(two) == [(0, 1, 2), (3, 4, 5)]


@pytest.mark.parametrize(
    "overlap",
    [
        None,
        turn(-0.5),  # back to where the first frame was
        turn(0.1, share=0.9),  # the same scene again
        turn(0.5, agreement=0.1),  # another place along the street
        turn(0.5, turn_degrees=90.0),
        turn(0.5, is_mirrored=True),
    ],
)
def test_other_shots_are_not_a_panorama(overlap: Overlap | None) -> None:
    assert panoramas_in([turn(0.5), overlap]) == []


def test_a_panorama_is_taken_in_seconds_with_the_same_settings() -> None:
    sweep = [turn(0.5), turn(0.5)]
    assert panoramas_in(sweep, seconds=[0, 10, 20]) == [(0, 1, 2)]
    assert panoramas_in(sweep, seconds=[0, 10, 30]) == []
    zoomed = replace(MANUAL, focal_length_mm=50.0)
    assert panoramas_in(sweep, facts=[MANUAL, MANUAL, zoomed]) == []
    assert panoramas_in(sweep, facts=[CameraFacts()] * 3) == []


def test_frames_of_one_view_are_not_even_measured() -> None:
    def refuse(pairs: Sequence[tuple[int, int]]) -> list[Overlap | None]:
        assert not pairs
        return []

    still = frames([expose(view(1), 0)] * 4, range(4), facts=[MANUAL] * 4)
    assert panoramas(replace(still, measure=refuse)) == []
