"""The calibration of an embedding: labelled albums, and choosing a value on a plateau."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from models.train import calibrate
from models.train.calibrate import Album, Scores, read_album, read_parameters
from services.common.imaging.decode import RgbImage
from tests.conftest import ROOT

pytestmark = pytest.mark.slow


def mean_colour(image: RgbImage) -> NDArray[np.float32]:
    return image.reshape(-1, 3).mean(0).astype(np.float32)


def test_a_labelled_album_has_groups_singles_and_no_ambiguous_photo(tmp_path: Path) -> None:
    for name, grey in (("a", 10), ("b", 50), ("c", 90), ("d", 130), ("e", 170)):
        Image.new("RGB", (40, 30), (grey, grey, grey)).save(tmp_path / f"{name}.png")
    (tmp_path / "groups.csv").write_text("file,group\na.png,gate\nc.png,gate\n")
    (tmp_path / "ambiguous.csv").write_text("file,why\nd.png,half of the gate\n")
    embeddings, labels = read_album(mean_colour, tmp_path)
    assert embeddings[:, 0].tolist() == [10, 50, 90, 170]
    assert labels == [0, 1, 0, 2]


def test_the_middle_of_the_values_equivalent_to_the_best_is_chosen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    best_of = {"simulated": 0.44, "labelled": 0.28}
    albums: dict[str, Album] = {
        name: (np.full((1, 1), index, np.float32), [0]) for index, name in enumerate(best_of)
    }

    def score(found: list[Album], _: object, distance: float, epsilon: float) -> Scores:
        name = list(best_of)[int(found[0][0][0, 0])]
        mean = 1 - abs(distance - best_of[name]) - abs(epsilon - 0.8 * distance)
        return np.array([mean - 0.02, mean + 0.02])

    monkeypatch.setattr(calibrate, "rand_indices", score)
    monkeypatch.setattr(calibrate, "draw_albums", lambda shots: [albums["simulated"]] * 2)
    shots = np.zeros((1, 1, 1, 1), np.float32)
    parameters = read_parameters(ROOT / "configs")
    assert parameters.min_cluster_size == 2
    assert calibrate.calibrate(shots, [], parameters)[0] == pytest.approx(0.44)
    distance, epsilon = calibrate.calibrate(shots, [albums["labelled"]] * 2, parameters)
    assert distance == pytest.approx(0.36)
    assert epsilon == pytest.approx(0.288)
