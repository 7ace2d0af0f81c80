"""Applying decisions to a stored run gives the same result as a new selection."""

from __future__ import annotations

import random

import numpy as np
import pytest
from prometheus_client import CollectorRegistry
from sqlalchemy import Engine

from orchestrator import features as codec
from orchestrator.config import PipelineConfig, resolve_auto
from orchestrator.domain.decisions import DecisionAction, DecisionEntry
from orchestrator.metrics import RunMetrics
from orchestrator.records import Album, ImageRecord, Run, RunState, summarize, utc_now
from orchestrator.review.decision_entries import add_decisions
from orchestrator.review.reselection import Stores, reselect
from orchestrator.runs.recorded_settings import record_config
from orchestrator.runs.selection import (
    add_verdicts,
    assign_moments,
    build_selection,
    find_moments,
)
from orchestrator.storage.decision_log import SqlDecisionLog
from orchestrator.storage.feature_cache import SqlFeatureCache
from orchestrator.storage.people_store import SqlPeople
from orchestrator.storage.run_store import SqlRunStore
from tests.conftest import ROOT
from tests.unit.values import entry, quality

CALIBRATION = (0.4, 0.3)
MOMENTS, SHOTS = 4, 3
DIGESTS = [f"{moment}{shot}" for moment in range(MOMENTS) for shot in range(SHOTS)]


@pytest.fixture
def stores(engine: Engine) -> Stores:
    cache = SqlFeatureCache(engine, RunMetrics(CollectorRegistry()))
    return Stores(SqlRunStore(engine), SqlDecisionLog(engine), cache, SqlPeople(engine))


@pytest.fixture
def run(stores: Stores) -> Run:
    """A completed run with moments of three shots each."""
    rng = random.Random(3)
    settings = PipelineConfig(ROOT / "configs", "builtin").load()
    vectors = np.repeat(np.eye(MOMENTS, 16, dtype=np.float32), SHOTS, axis=0)
    vectors += np.random.default_rng(3).normal(scale=0.05, size=vectors.shape)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    photos = [
        ImageRecord(f"{digest}.jpg", digest, 1, quality=quality(ava_score=rng.uniform(4, 8)))
        for digest in DIGESTS
    ]
    parameters = resolve_auto(settings.cluster_scenes, CALIBRATION)
    miniatures = np.full((len(photos), 32, 32), np.nan, np.float32)
    found = find_moments(vectors, miniatures, photos, parameters, settings.keep_sets)
    assert set(found.labels) == set(range(MOMENTS))
    in_moments = assign_moments(photos, found, ())
    records = add_verdicts(in_moments, build_selection(in_moments, vectors, settings, {}), {})
    made = Run(
        id="r",
        album_id="a",
        state=RunState.COMPLETED,
        profile="builtin",
        config=record_config(settings, CALIBRATION),
        models={"embedding": {"digest": "m"}},
        versions={},
        create_time=utc_now(),
        summary=summarize(records, 0, 1.0),
    )
    stores.runs.add_album(Album("a", "a", "/a", utc_now()))
    stores.runs.save_results(made, records)
    stores.cache.put(
        {
            (digest, codec.EMBEDDING_ROLE, "m"): codec.pack_embedding(vector)
            for digest, vector in zip(DIGESTS, vectors, strict=True)
        }
    )
    return made


def decide(stores: Stores, *entries: DecisionEntry) -> list[str]:
    """Adds entries, and returns the paths of photos whose result changed."""
    _, update = add_decisions(stores, "a", entries, stores.runs.run("r"))
    return [record.path for record in update.changed]


STEPS = [
    [entry("1", DecisionAction.REJECT, "00", "01")],
    [entry("2", DecisionAction.KEEP, "12")],
    [entry("3", DecisionAction.MERGE, "00", "12")],
    [entry("4", DecisionAction.SPLIT, "20"), entry("5", DecisionAction.KEEP, "31")],
    [entry("6", DecisionAction.MOVE, "21", target="30")],
    [entry("7", DecisionAction.UNDO, undone_id="3")],
    [entry("8", DecisionAction.UNDO, undone_id="1"), entry("9", DecisionAction.CLEAR, "12")],
    [entry("10", DecisionAction.RATE, "00", stars=2), entry("11", DecisionAction.REJECT, "20")],
    [entry("12", DecisionAction.LABEL, "30", "31", label="red")],
    [entry("13", DecisionAction.UNDO, undone_id="12")],
]


def test_a_run_equals_a_new_selection_with_the_same_decisions(stores: Stores, run: Run) -> None:
    for number, entries in enumerate(STEPS):
        before = stores.runs.images("r")
        changed = decide(stores, *entries)
        after = stores.runs.images("r")
        assert changed
        assert set(changed) <= {
            new.path for new, old in zip(after, before, strict=True) if new != old
        }
        made = reselect(stores, run, {}, f"new-{number}").run
        assert stores.runs.images(made.id) == after
        stored = stores.runs.run("r")
        assert (stored.decisions, stored.corrections) == (made.decisions, made.corrections)
        assert stored.summary is not None
        assert made.summary is not None
        assert stored.summary.selected_count == made.summary.selected_count


def test_a_repeated_entry_changes_nothing(stores: Stores, run: Run) -> None:
    assert decide(stores, *STEPS[0])
    assert decide(stores, *STEPS[0]) == []


def test_a_moment_with_only_a_new_number_is_not_reported(stores: Stores, run: Run) -> None:
    changed = decide(stores, entry("1", DecisionAction.SPLIT, "00", "01", "02"))
    assert changed == []
    changed = decide(stores, entry("2", DecisionAction.MERGE, "00", "10"))
    assert {path[0] for path in changed} <= {"0", "1"}
    numbers = {record.path[0]: record.cluster_id for record in stores.runs.images("r")}
    assert numbers == {"0": 0, "1": 0, "2": 1, "3": 2}
