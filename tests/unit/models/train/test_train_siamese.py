"""Retraining the comparator from the weights in its exported graphs."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from models.train.train_siamese import load_weights
from services.common.inference.onnx import OrtSession, SessionOptions
from services.siamese.model import SiameseModel
from tests.conftest import ROOT

pytestmark = pytest.mark.slow


def test_loaded_weights_give_the_outputs_of_the_graphs() -> None:
    folder = ROOT / "models" / "builtin"
    exported = SiameseModel(
        *(
            OrtSession(folder / f"siamese-{half}.onnx", SessionOptions())
            for half in ("describe", "compare")
        )
    )
    loaded = load_weights(folder).eval()
    rng = np.random.default_rng(1)
    for height, width in ((64, 96), (120, 80)):
        pair = rng.uniform(0, 255, (2, 1, 3, height, width)).astype(np.float32)
        pair[1] *= 0.4
        with torch.no_grad():
            got = float(loaded(*map(torch.from_numpy, pair)))
        expected = exported.compare(*(exported.describe(side) for side in pair))
        assert got == pytest.approx(expected, abs=1e-4)
