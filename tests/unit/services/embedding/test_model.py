"""The joined embedding, with networks so small that their output is known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from services.common.config.layers import Settings
from services.common.errors import ConfigError
from services.common.inference.onnx import OrtSession, SessionOptions
from services.common.inference.registry import (
    LocalModel,
    ModelEntry,
    Preprocessing,
    Role,
    entry_in,
    read_registry,
    resolve,
    with_parts,
)
from services.common.inference.tensor import to_tensor
from services.embedding.model import JOINING, EmbeddingModel, Joining, Network, load_networks
from tests.conftest import ROOT, draw_picture

FloatArray = NDArray[np.float32]
GRAPH = ROOT / "models" / "builtin" / "scene-embedding.onnx"
SMALL = Preprocessing(
    side_px=4, resample="box", layout="nchw", mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0)
)
CENTRED = SMALL.model_copy(update={"side_px": 2, "mean": (127.0, 127.0, 127.0)})


@dataclass
class Means:
    """A graph whose output is the mean of each channel."""

    takes_batches: bool = True
    batch_counts: list[int] = field(default_factory=list)
    providers = ("CPUExecutionProvider",)
    missing_providers = ()
    input_names = ("pixels",)
    output_names = ("means",)

    def run(self, inputs: Mapping[str, FloatArray]) -> list[FloatArray]:
        self.batch_counts.append(len(inputs["pixels"]))
        return [inputs["pixels"].mean((2, 3))]


def pictures(count: int) -> list[NDArray[np.uint8]]:
    return [draw_picture(seed, 64, 48) for seed in range(count)]


def cosine(first: FloatArray, second: FloatArray) -> float:
    return float(first @ second)


def test_the_cosine_of_joined_vectors_is_the_weighted_mean_of_the_networks() -> None:
    first, second = pictures(2)
    networks = [Network(Means(), SMALL, 0.7), Network(Means(), CENTRED, 0.3)]
    joined = EmbeddingModel(networks)
    alone = [EmbeddingModel([Network(Means(), one.preprocessing, 1.0)]) for one in networks]
    cosines = [cosine(one.embed(first), one.embed(second)) for one in alone]
    assert cosines[0] != pytest.approx(cosines[1], abs=0.01)
    got = cosine(joined.embed(first), joined.embed(second))
    assert got == pytest.approx(0.7 * cosines[0] + 0.3 * cosines[1], abs=1e-6)
    assert np.linalg.norm(joined.embed(first)) == pytest.approx(1.0, abs=1e-6)
    assert joined.embed(first).dtype == np.float32


def test_a_batch_takes_one_inference_per_network() -> None:
    sessions = Means(), Means(takes_batches=False)
    model = EmbeddingModel([Network(one, SMALL, 0.5) for one in sessions])
    found = model.embed_batch([model.prepare(picture) for picture in pictures(3)])
    assert sessions[0].batch_counts == [3]
    assert sessions[1].batch_counts == [1, 1, 1]
    for picture, vector in zip(pictures(3), found, strict=True):
        np.testing.assert_allclose(vector, model.embed(picture), atol=1e-6)


def test_the_builtin_embedding_is_the_normalised_output_of_its_graph() -> None:
    local = resolve(ROOT / "configs", ROOT, Role.EMBEDDING, "builtin-scene-embedding")
    session = OrtSession(GRAPH, SessionOptions())
    model = EmbeddingModel(load_networks(local, lambda path: OrtSession(path, SessionOptions())))
    (picture,) = pictures(1)
    (rows,) = session.run({"pixels": to_tensor(picture, local.preprocessing)})
    wanted = rows[0].astype(np.float64)
    wanted /= np.linalg.norm(wanted)
    np.testing.assert_array_equal(model.embed(picture), wanted.astype(np.float32))


class Elsewhere(Settings):
    """Constants with a different share."""

    image_features_share: float = 0.6


def local_model(tmp_path: Path) -> LocalModel:
    """Returns the joined model, as if its features network had been pulled."""
    registry = read_registry(ROOT / "configs").models
    parts = {
        role: LocalModel(name, registry[name], {"graph": tmp_path / name}, {"graph": name})
        for role, name in registry["standard-scene-embedding"].parts.items()
    }
    entry = registry["standard-scene-embedding"]
    return LocalModel("standard-scene-embedding", entry, {}, {}, parts)


def test_the_parts_are_loaded_with_their_own_preprocessing_and_share(tmp_path: Path) -> None:
    model = local_model(tmp_path)
    paths: list[Path] = []

    def load(path: Path) -> Means:
        paths.append(path)
        return Means()

    networks = load_networks(model, load)
    assert [path.name for path in paths] == ["efficientnet-lite0", "builtin-scene-embedding"]
    assert [network.preprocessing.side_px for network in networks] == [224, 128]
    assert [network.share for network in networks] == pytest.approx([0.7, 0.3])


def test_the_digest_covers_both_parts_and_the_share(tmp_path: Path) -> None:
    model = local_model(tmp_path)
    digests = {model.digest(JOINING), model.digest(), model.digest(Elsewhere())}
    assert model.digest(JOINING) == local_model(tmp_path).digest(Joining())
    for role in model.parts:
        changed = local_model(tmp_path)
        changed.parts[role].file_digests["graph"] = "another file"
        digests.add(changed.digest(JOINING))
        entry = changed.parts[role].entry
        changed.parts[role].file_digests["graph"] = changed.parts[role].model_id
        other = entry.model_copy(update={"preprocessing": SMALL})
        changed.parts[role] = LocalModel(
            changed.parts[role].model_id, other, {}, dict(changed.parts[role].file_digests)
        )
        digests.add(changed.digest(JOINING))
    assert len(digests) == 7


def test_a_missing_or_unused_part_is_refused() -> None:
    entry = read_registry(ROOT / "configs").models["standard-scene-embedding"]
    whole = entry.model_dump(mode="json")
    for parts, role in (
        ({"embedding": "builtin-scene-embedding"}, "embedding"),
        ({**whole["parts"], "head_pose": "fsa-net"}, "embedding"),
        (whole["parts"], "quality"),
    ):
        with pytest.raises(ValueError, match=r"models (are composed of|have no parts)"):
            ModelEntry.model_validate({**whole, "role": role, "parts": parts})


@pytest.mark.parametrize("part", ["fsa-net", "standard-scene-embedding", "builtin-scene-embeding"])
def test_a_part_with_the_wrong_role_or_its_own_parts_is_refused(part: str) -> None:
    models = dict(read_registry(ROOT / "configs").models)
    entry = entry_in(models, ROOT / "configs", "standard-scene-embedding")
    parts = {**entry.parts, Role.EMBEDDING: part}
    models["standard-scene-embedding"] = entry.model_copy(update={"parts": parts})
    with pytest.raises(ConfigError, match="standard-scene-embedding has no embedding") as caught:
        with_parts(models, "standard-scene-embedding")
    assert "builtin-scene-embedding" in caught.value.message


def test_a_network_without_preprocessing_is_refused(tmp_path: Path) -> None:
    model = local_model(tmp_path)
    features = model.parts[Role.IMAGE_FEATURES]
    entry = features.entry.model_copy(update={"preprocessing": None})
    model.parts[Role.IMAGE_FEATURES] = LocalModel(features.model_id, entry, features.paths, {})
    with pytest.raises(ConfigError, match="efficientnet-lite0 has no preprocessing"):
        load_networks(model, lambda path: Means())
