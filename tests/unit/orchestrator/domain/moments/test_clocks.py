from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from orchestrator.config import PipelineConfig, resolve_auto
from orchestrator.domain.moments.capture_time import Captures
from orchestrator.domain.moments.clocks import align_clocks, describe_offsets
from orchestrator.records import ImageRecord
from orchestrator.runs.selection import find_moments
from tests.conftest import ROOT

HOUR = 3600.0


def album(
    offsets: list[float], *, noise: float = 10.0, pause: float = HOUR
) -> tuple[NDArray[np.float32], Captures]:
    """Returns a photo by each of two cameras per occasion, at the second camera's offsets."""
    rng = np.random.default_rng(1)
    scenes = np.eye(len(offsets) + 1, dtype=np.float32)[: len(offsets)]
    times = pause * np.arange(len(offsets))
    late = times + np.array(offsets) + rng.uniform(-noise, noise, len(offsets))
    cameras = ["a"] * len(offsets) + ["b"] * len(offsets)
    seconds = np.concatenate([times, late])
    # one more photo makes `a` the camera with most photos
    vectors = np.vstack([scenes, scenes, np.eye(len(offsets) + 1, dtype=np.float32)[-1:]])
    return vectors, Captures(np.append(seconds, 0.0), [*cameras, "a"])


@pytest.mark.parametrize("ahead", [5400.0, -11 * 365 * 24 * HOUR, 0.0])
def test_a_clock_is_set_by_photos_that_look_alike(ahead: float) -> None:
    vectors, captures = album([ahead] * 5)
    aligned, (offset,) = align_clocks(vectors, captures, 0.25)
    assert offset.seconds == pytest.approx(ahead, abs=10)
    assert (offset.camera, offset.reference, offset.pair_count) == ("b", "a", 5)
    assert np.abs(aligned.seconds[:5] - aligned.seconds[5:10]).max() <= 20
    assert set(aligned.cameras) == {"a"}


def test_a_few_look_alikes_from_other_times_do_not_matter() -> None:
    _, (offset,) = align_clocks(*album([600.0, 600.0, 600.0, 9 * HOUR, -40 * HOUR]), 0.25)
    assert offset.seconds == pytest.approx(600, abs=10)
    assert offset.pair_count == 3


@pytest.mark.parametrize(
    ("vectors", "captures"),
    [
        album([600.0, 9 * HOUR, -40 * HOUR, 600.0, 50 * HOUR]),  # no agreement
        album([600.0] * 2),  # two occasions
        album([600.0] * 5, pause=60.0),  # one occasion
        album([600.0] * 5, noise=HOUR),
    ],
)
def test_clocks_that_no_occasions_agree_on_are_not_compared(
    vectors: NDArray[np.float32], captures: Captures
) -> None:
    aligned, offsets = align_clocks(vectors, captures, 0.25)
    assert offsets == []
    assert list(aligned.cameras) == list(captures.cameras)
    assert np.array_equal(aligned.seconds, captures.seconds)


def test_unknown_cameras_and_times_are_left_alone() -> None:
    unknown = Captures(np.array([np.nan, 1.0]), ["a", ""])
    assert align_clocks(np.eye(2, dtype=np.float32), unknown, 0.25)[1] == []


def test_a_run_notes_the_offset() -> None:
    vectors, captures = album([5400.0] * 5)
    start = np.datetime64("2026-05-01T00:00:00")
    records = [
        ImageRecord(
            f"{row}",
            f"{row}",
            1,
            camera=camera,
            capture_time=str(start + np.timedelta64(int(second), "s")),
        )
        for row, (camera, second) in enumerate(zip(captures.cameras, captures.seconds, strict=True))
    ]
    settings = PipelineConfig(ROOT / "configs", "builtin").load()
    notes: list[str] = []
    unknown = np.full((len(records), 32, 32), np.nan, np.float32)
    parameters = resolve_auto(settings.cluster_scenes, (0.32, 0.256))
    find_moments(vectors, unknown, records, parameters, settings.keep_sets, notes.append)
    assert notes == describe_offsets(align_clocks(vectors, captures, 0.256)[1])
    assert "b's clock was assumed to be 90.0 minutes ahead of a's" in notes[0].replace(
        "89.9", "90.0"
    )
