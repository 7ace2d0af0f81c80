from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np
import pytest
import yaml

from orchestrator.config import PipelineConfig
from orchestrator.domain.photo import Decision
from orchestrator.records import ImageRecord, Run, RunState, utc_now
from orchestrator.review.evaluation import Counts, DecidedMoments, count_agreement
from orchestrator.review.tuning import (
    CANDIDATES,
    Proposal,
    overrides_of,
    proposal_lines,
    proposal_yaml,
    propose,
)
from orchestrator.runs.recorded_settings import record_config
from orchestrator.runs.selection import build_selection
from services.common.config.layers import Layer
from tests.conftest import ROOT
from tests.unit.values import quality

pytestmark = pytest.mark.slow

MOMENTS, SHOTS = 16, 3


def stored_run() -> Run:
    settings = PipelineConfig(ROOT / "configs", "builtin").load()
    return Run(
        id="r",
        album_id="a",
        state=RunState.COMPLETED,
        profile="builtin",
        config=record_config(settings, (0.4, 0.3)),
        models={},
        versions={},
        create_time=utc_now(),
    )


def decided(keeps: Callable[[ImageRecord, list[ImageRecord]], bool]) -> DecidedMoments:
    """Returns moments of three dissimilar shots each, with decisions that follow a user's taste."""
    rng = random.Random(5)
    records, decisions = [], {}
    for moment in range(MOMENTS):
        shots = [
            ImageRecord(
                f"{moment}-{shot}",
                f"digest {moment}-{shot}",
                1,
                quality=quality(
                    iqa_score=rng.uniform(0.35, 1.0),
                    ava_score=rng.uniform(4, 8),
                    focus_score=1.0,
                ),
                cluster_id=moment,
            )
            for shot in range(SHOTS)
        ]
        for record in shots:
            wish = Decision.KEEP if keeps(record, shots) else Decision.REJECT
            decisions[record.content_digest] = wish
        records += shots
    vectors = np.eye(len(records), dtype=np.float32)
    settings = PipelineConfig(ROOT / "configs", "builtin").load()
    return DecidedMoments(records, build_selection(records, vectors, settings, {}), {}, decisions)


def iqa(record: ImageRecord) -> float:
    assert record.quality is not None
    return record.quality.iqa_score


def best_by_iqa(record: ImageRecord, shots: list[ImageRecord]) -> bool:
    return record is max(shots, key=iqa)


@pytest.fixture(scope="module")
def by_iqa() -> Proposal:
    """The proposal for a user who keeps the shot with the best technical score in a moment."""
    return propose(decided(best_by_iqa), stored_run())


def test_a_taste_is_found_and_holds_for_held_out_decisions(
    by_iqa: Proposal,
) -> None:
    found = by_iqa
    total = MOMENTS * SHOTS
    assert found.fit_before.total == found.held_out.total == total
    assert found.is_better
    assert found.held_out.agreement > found.fit_before.agreement + 0.15
    assert found.fit_after.agreed >= found.held_out.agreed
    assert found.after["select_best.quality_weights.iqa"] > 0.3
    assert found.after["select_best.max_images_per_cluster"] == 1
    text = "\n".join(proposal_lines(found))
    assert "select_best.max_images_per_cluster: 2 -> 1" in text
    assert "nothing has been changed" in text


def test_random_decisions_are_not_mistaken_for_taste() -> None:
    rng = random.Random(1)
    found = propose(decided(lambda record, shots: rng.random() < 0.5), stored_run())
    assert found.fit_after.agreed >= found.fit_before.agreed
    assert not found.is_better or found.held_out.agreement < 0.65


def test_settings_that_already_agree_are_not_changed() -> None:
    def as_now(record: ImageRecord, shots: list[ImageRecord]) -> bool:
        def composite(one: ImageRecord) -> float:
            assert one.quality is not None
            return 0.3 * one.quality.iqa_score + 0.7 * (one.quality.ava_score - 1) / 9

        ranked = sorted(shots, key=composite, reverse=True)
        return record is ranked[0] or (record is ranked[1] and composite(record) >= 0.4)

    found = propose(decided(as_now), stored_run())
    assert found.after == {}
    assert not found.is_better
    assert "nothing to propose" in "\n".join(proposal_lines(found))


def test_a_proposal_is_a_config_file(by_iqa: Proposal) -> None:
    found = by_iqa
    layer = Layer("proposal", yaml.safe_load(proposal_yaml(found)))
    settings = PipelineConfig(ROOT / "configs", "builtin", [layer]).load()
    weights = settings.select_best.quality_weights
    assert weights.iqa == found.after["select_best.quality_weights.iqa"]
    assert weights.iqa + weights.ava == pytest.approx(1.0)


@pytest.mark.parametrize("key", CANDIDATES)
def test_every_tried_value_is_valid(key: str) -> None:
    for value in CANDIDATES[key]:
        layer = Layer("trial", overrides_of({key: value}))
        PipelineConfig(ROOT / "configs", "builtin", [layer]).load()


def test_counts() -> None:
    decisions = {"a": Decision.KEEP, "b": Decision.KEEP, "c": Decision.REJECT}
    found = count_agreement(
        [("a", True), ("b", False), ("c", True), ("undecided", True)], decisions
    )
    assert found == Counts(kept_selected=1, kept_missed=1, rejected_selected=1)
    assert (found.agreement, found.precision, found.recall) == (1 / 3, 0.5, 0.5)
    assert Counts(rejected_left=1).precision is None
    assert Counts(rejected_left=1).recall is None
