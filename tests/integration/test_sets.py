"""An exposure bracket from files to results."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conftest import draw_pairs
from tests.integration.command import Curated, bestshot, curate

STOPS = (-5, -2, 1)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Curated:
    """A series of one view, and two pairs of photos of other views."""
    base = tmp_path_factory.mktemp("sets")
    photos = draw_pairs(base / "photos", 4, 480, 360)
    rng = np.random.default_rng(5)
    parts = Image.fromarray(rng.uniform(0.0, 1.0, (9, 12)).astype(np.float32))
    light = np.asarray(parts.resize((480, 360), Image.Resampling.BICUBIC)).clip(0.01, 1) ** 2.2
    for stops in STOPS:
        grey = 255 * np.clip(light * 2.0**stops, 0, 1) ** (1 / 2.2)
        Image.fromarray(grey.round().astype(np.uint8)).save(photos / f"series{stops:+}.png")
    return curate(photos, base / "out", base / "data")


def test_a_series_is_one_moment_and_has_one_pick(done: Curated) -> None:
    series = {path: row for path, row in done.rows.items() if row["Set_Kind"]}
    assert sorted(series) == sorted(f"series{stops:+}.png" for stops in STOPS)
    for place, stops in enumerate(STOPS, start=1):
        row = series[f"series{stops:+}.png"]
        assert (row["Set_Kind"], row["Set"], row["Set_Place"]) == (
            "exposure_bracket",
            "0",
            str(place),
        )
    assert len({row["Cluster"] for row in series.values()}) == 1
    assert sum(row["Status"] == "selected" for row in series.values()) == 1
    assert "IN_SET" in {row["Reason_Code"] for row in series.values()}


def test_a_series_is_reproduced_from_stored_data(done: Curated, tmp_path: Path) -> None:
    found = bestshot(["reproduce"], data=done.data)
    assert found.code == 0, found.text
    assert "identical in every field" in found.text


def test_a_number_of_photos_is_picked_from_the_whole_album(done: Curated, tmp_path: Path) -> None:
    made = bestshot(["reselect", "--count", "1"], data=done.data)
    assert made.code == 0, made.text
    assert "1 selected" in made.text
    exported = bestshot(["export", "--out", str(tmp_path / "again")], data=done.data)
    assert exported.code == 0, exported.text
    with (tmp_path / "again" / "image_metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    picked = [row for row in rows if row["Status"] == "selected"]
    left_out = [row for row in rows if row["Reason_Code"] == "BEYOND_GOAL"]
    assert len(picked) == 1
    assert all("of the 1 photo requested" in row["Reason"] for row in picked)
    assert left_out
    assert all("1 photo requested" in row["Reason"] for row in left_out)
    explained = bestshot(["explain", left_out[0]["Path"]], data=done.data)
    assert left_out[0]["Reason"] in " ".join(explained.text.split())
    refused = bestshot(["reselect", "--count", "3", "--share", "10%"], data=done.data)
    assert "--count and --share cannot be combined" in refused.text
