"""Non-finite numbers are recognized anywhere, and never sent, cached or stored."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from google.rpc import status_pb2
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry
from sqlalchemy import Engine

from orchestrator.features import pack_embedding, pack_json, quality_to_json
from orchestrator.metrics import RunMetrics
from orchestrator.records import RunState
from orchestrator.storage.database import insert
from orchestrator.storage.feature_cache import SqlFeatureCache
from orchestrator.storage.run_store import SqlRunStore
from orchestrator.storage.tables import comparisons, features
from services.common.errors import NonFiniteError
from services.common.finite import check_finite, non_finite_place
from services.common.imaging.decode import CANONICAL_VERSION
from services.common.inference.batching import Batching, DynamicBatcher
from services.common.inference.onnx import OrtSession, SessionOptions
from services.common.process.metrics import Metrics
from services.common.rpc.status import from_status
from tests.conftest import ROOT
from tests.unit.orchestrator.storage.test_storage import album, run
from tests.unit.values import face, quality

BAD = [math.nan, math.inf, -math.inf]
BUILTIN = ROOT / "models" / "builtin"


@dataclass(frozen=True)
class Answer:
    score: float
    parts: tuple[Any, ...] = ()


finite = st.floats(allow_nan=False, allow_infinity=False)
values = st.recursive(
    st.one_of(finite, st.integers(), st.text(), st.none(), st.binary(max_size=8)),
    lambda parts: st.one_of(
        st.lists(parts, max_size=3),
        st.dictionaries(st.text(max_size=3), parts, max_size=3),
        st.builds(Answer, finite, st.lists(parts, max_size=2).map(tuple)),
    ),
    max_leaves=8,
)


@given(values, st.sampled_from(BAD))
def test_a_non_finite_number_is_found_anywhere(value: object, bad: float) -> None:
    assert non_finite_place(value) is None
    for spoiled in ([value, bad], {"a": (value, bad)}, Answer(0.5, (value, np.float32(bad)))):
        assert non_finite_place(spoiled) is not None
    with pytest.raises(NonFiniteError, match=r"the model .*not finite \(parts\[1\]\)"):
        check_finite(Answer(1.0, (value, np.array([0.0, bad]))), "the model")


@pytest.mark.parametrize("preferred_batch_count", [1, 4])
async def test_a_non_finite_result_becomes_an_error_for_its_item(
    preferred_batch_count: int,
) -> None:
    def infer(items: list[float]) -> Sequence[Answer]:
        return [Answer(item) for item in items]

    limits = Batching(preferred_batch_count, 0.0, 100, 1, Metrics())
    batcher = DynamicBatcher[float, float, Answer](lambda item: item, infer, limits)
    got = await batcher.map([0.5, math.nan, 0.25, math.inf])
    await batcher.close()
    assert got[::2] == [Answer(0.5), Answer(0.25)]
    for failed in got[1::2]:
        assert isinstance(failed, status_pb2.Status)
        error = from_status(failed)
        assert isinstance(error, NonFiniteError)
        assert error.message == "the model returned a number that is not finite (score)"


@pytest.mark.parametrize("size", [(32, 32), (384, 512)])
def test_the_builtin_graphs_return_finite_numbers_for_flat_pictures(size: tuple[int, int]) -> None:
    describe = OrtSession(BUILTIN / "siamese-describe.onnx", SessionOptions())
    compare = OrtSession(BUILTIN / "siamese-compare.onnx", SessionOptions())
    embed = OrtSession(BUILTIN / "scene-embedding.onnx", SessionOptions())
    rng = np.random.default_rng(0)
    for level in (*range(0, 40, 4), *range(40, 256, 30)):
        flat = np.full((1, 3, *size), level, np.float32)
        for pixels in (flat, np.clip(flat + rng.integers(-1, 2, flat.shape), 0, 255)):
            pixels = pixels.astype(np.float32)
            (described,) = describe.run({"pixels": pixels})
            assert np.isfinite(described).all(), level
            (probability,) = compare.run({"first": described, "second": described})
            assert np.isfinite(probability).all(), level
    for level in range(0, 256, 15):
        (vector,) = embed.run({"pixels": np.full((1, 3, 128, 128), level, np.float32)})
        assert np.isfinite(vector).all(), level
        assert np.linalg.norm(vector) > 0, level


PAYLOADS = {
    "embedding": (np.array([0.6, math.nan], "<f4").tobytes(), pack_embedding(np.ones(2, "f4"))),
    "quality": (b'{"ava_score":Infinity,"iqa_score":0.5}', pack_json({"ava_score": 5.0})),
    "face": (b'[{"yaw_degrees":-Infinity}]', pack_json([{"yaw_degrees": 1.0}])),
    "siamese": (b"NaN", pack_json(0.5)),
}


@pytest.mark.parametrize("role", PAYLOADS)
def test_a_poisoned_cache_recovers(role: str, engine: Engine) -> None:
    poisoned, sound = PAYLOADS[role]
    cache = SqlFeatureCache(engine, RunMetrics(CollectorRegistry()))
    key, other = ("a" * 64, role, "m"), ("b" * 64, role, "m")
    with pytest.raises(NonFiniteError, match=f"{role} scores of the photo aaa"):
        cache.put({key: poisoned, other: sound})
    assert cache.get([key, other]) == {}
    with engine.begin() as connection:  # as version 0.1.0 did
        row = dict(zip(("content_digest", "role", "model_digest"), key, strict=True))
        stored = {**row, "canonical_version": CANONICAL_VERSION, "payload": poisoned}
        connection.execute(insert(connection, features), [stored])
    assert cache.get([key]) == {}
    cache.put({key: sound})
    assert cache.get([key]) == {key: sound}


def test_words_like_nan_are_not_numbers(engine: Engine) -> None:
    cache = SqlFeatureCache(engine, RunMetrics(CollectorRegistry()))
    entries = {
        ("a" * 64, "facts", "-"): pack_json({"camera": "Infinity NaN 3"}),
        ("a" * 64, "thumbnail", "-"): b"\xff\xd8NaN",
    }
    cache.put(entries)
    assert cache.get(list(entries)) == entries


@pytest.mark.parametrize("bad", BAD)
def test_a_non_finite_score_is_never_stored(bad: float, engine: Engine) -> None:
    store = SqlRunStore(engine)
    store.add_album(album())
    store.save_run(run(state=RunState.COMPLETED))
    row = {"run_id": "r", "first_path": "a", "second_path": "b", "first_better_probability": bad}
    with engine.begin() as connection, pytest.raises(NonFiniteError):
        connection.execute(insert(connection, comparisons), [row])
    with pytest.raises(NonFiniteError, match="ava_score"):
        pack_json(quality_to_json(quality(ava_score=bad)))
    with pytest.raises(NonFiniteError, match="yaw_degrees"):
        check_finite((face(), face(yaw_degrees=bad)), "the face service")
