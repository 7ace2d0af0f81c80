"""Clustering without a matrix gives hdbscan's labels on embeddings of real photos."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from bestshot.image.v1 import image_pb2
from numpy.typing import NDArray

from orchestrator.domain.moments.distances import Rows
from orchestrator.domain.moments.hdbscan_steps import select_clusters
from orchestrator.domain.moments.spanning_tree import spanning_tree
from services.common.errors import InvalidImageError
from services.common.imaging.decode import decode, fit_long_side
from tests.benchmarks.models_here import model_here
from tests.unit.orchestrator.domain.moments.test_clustering import PLAIN
from tests.unit.orchestrator.domain.moments.test_spanning_tree import assert_same, hdbscan_labels


@pytest.fixture(scope="module")
def embeddings(real_photos: Callable[[str], Path]) -> NDArray[np.float32]:
    """Embeddings of all readable real photos, from the built-in model."""
    embed, long_side_px = model_here("embedding")
    found = []
    for name in ("album", "trip", "faces", "portraits"):
        for path in sorted(real_photos(name).iterdir()):
            try:
                pixels = decode(path.read_bytes(), max_pixels=10**9).pixels
            except InvalidImageError:  # the labels
                continue
            small = np.ascontiguousarray(fit_long_side(pixels, long_side_px))
            message = image_pb2.Pixels(
                width_px=small.shape[1], height_px=small.shape[0], rgb=small.tobytes()
            )
            found.append(embed(image_pb2.Image(pixels=message)))
    return np.stack(found)


@pytest.mark.parametrize("tile_count", [16, 50, 4096])
def test_labels_equal_those_of_hdbscan(embeddings: NDArray[np.float32], tile_count: int) -> None:
    assert len(embeddings) > 90
    for min_samples, epsilon, method, size in product(
        (1, 2, 3, 5), (0.0, 0.2, 0.32), ("eom", "leaf"), (2, 3, 5)
    ):
        wanted = replace(
            PLAIN,
            min_samples=min_samples,
            cluster_selection_epsilon=epsilon,
            cluster_selection_method=method,
            min_cluster_size=size,
        )
        tree = spanning_tree(Rows(embeddings, tile_count), min_samples)
        ours = select_clusters(tree, wanted)
        assert_same(ours, hdbscan_labels(embeddings, wanted))
