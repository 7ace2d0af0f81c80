"""Face models combined from the parts of `standard` and `lite`, on real photos."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from services.common.imaging.decode import decode
from services.common.inference.onnx import OrtSession, SessionOptions
from services.common.inference.registry import LocalModel, Role, resolve
from services.face.__main__ import NETWORKS
from services.face.model import Face
from services.face.network_model import NetworkFaceModel
from tests.accuracy.conftest import pull_real_models
from tests.conftest import ROOT

MODELS = {"standard": "standard-face", "lite": "published-face"}
ARGUMENTS = {
    Role.FACE_DETECTOR: "detector",
    Role.FACE_LANDMARKS: "landmarks",
    Role.HEAD_POSE: "pose",
    Role.EYE_STATE: "eyes",
    Role.EXPRESSION: "expression",
}

Parts = dict[str, dict[Role, Any]]


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Parts:
    """The loaded networks of both profiles, by role."""
    base = tmp_path_factory.mktemp("parts")
    for profile in MODELS:
        changes = {"BESTSHOT_MODELS_DIR": str(base / "models")}
        pull_real_models(profile, base / "data", changes)
    found = {}
    for profile, model_id in MODELS.items():
        model = resolve(ROOT / "configs", base / "models", Role.FACE, model_id)
        found[profile] = {role: load(role, part) for role, part in model.parts.items()}
    return found


def load(role: Role, part: LocalModel) -> Any:
    options = SessionOptions(intra_op_threads=1)
    sessions = [OrtSession(path, options) for path in part.paths.values()]
    return NETWORKS[role][part.entry.network or ""](*sessions)


@pytest.mark.parametrize("swapped", [None, *ARGUMENTS])
@pytest.mark.parametrize(("base", "other"), [("standard", "lite"), ("lite", "standard")])
def test_each_part_can_be_replaced_with_the_other_profiles_part(
    parts: Parts,
    real_photos: Callable[[str], Path],
    base: str,
    other: str,
    swapped: Role | None,
) -> None:
    chosen = dict(parts[base])
    if swapped is not None:
        chosen[swapped] = parts[other][swapped]
    model = NetworkFaceModel(**{ARGUMENTS[role]: part for role, part in chosen.items()})

    def find(name: str) -> Face:
        content = (real_photos("portraits") / name).read_bytes()
        (face,) = model.analyze([decode(content, max_pixels=10**9).pixels])[0]
        return face

    assert find("pose_left_face.jpeg").yaw_degrees < -40
    assert find("pose_right_face.png").yaw_degrees > 40
    assert find("reaction_close_eyes.jpeg").eyes_score < 0.5
    neutral, laughing = find("stock-emotions-a-1.jpg"), find("stock-emotions-a-6.jpg")
    assert neutral.eyes_score > 0.5
    assert neutral.smile_score < 0.5 < laughing.smile_score


def test_a_tilted_photo_has_the_same_face(parts: Parts, real_photos: Callable[[str], Path]) -> None:
    model = NetworkFaceModel(**{ARGUMENTS[role]: part for role, part in parts["standard"].items()})
    content = (real_photos("portraits") / "stock-emotions-a-3.jpg").read_bytes()
    pixels = decode(content, max_pixels=10**9).pixels
    upright, lying = (
        model.analyze([np.ascontiguousarray(picture)])[0][0]
        for picture in (pixels, np.rot90(pixels))
    )
    assert abs(lying.roll_degrees - upright.roll_degrees + 90) < 15
    assert lying.eyes_score == pytest.approx(upright.eyes_score, abs=0.2)
