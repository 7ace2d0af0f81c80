"""Judging anew on stored scores: under changed settings, or after a decision of the user's."""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from orchestrator import features as codec
from orchestrator.config import PipelineSettings
from orchestrator.domain.photo import Decision
from orchestrator.pipeline import cached_comparisons, cluster, judge, stack_embeddings, wanted_pairs
from orchestrator.ports import Embedding, FeatureCache
from orchestrator.results import ImageFilter, ImageRecord, Run, summarize, utc_now
from orchestrator.run_config import recorded_config, stored_calibration, stored_settings
from orchestrator.storage.run_store import SqlRunStore


@dataclass(frozen=True)
class Reselection:
    """What new settings give on stored scores."""

    run: Run
    gained_paths: list[str]
    lost_paths: list[str]
    missing_comparison_count: int


def reselect(
    store: SqlRunStore,
    cache: FeatureCache,
    run: Run,
    overrides: dict[str, Any],
    *,
    validate_only: bool,
) -> Reselection:
    """Clusters and selects anew under changed settings; stores a new run unless `validate_only`."""
    began = utc_now()
    settings = stored_settings(run, overrides)
    calibration = stored_calibration(run)
    before = store.images(run.id)
    readable = [record for record in before if record.is_readable]
    embeddings = stack_embeddings(_embeddings(cache, run, readable))
    labels = cluster(embeddings, readable, settings.cluster_scenes.parameters(calibration))
    clustered = [
        dataclasses.replace(record, cluster_id=int(label))
        for record, label in zip(readable, labels, strict=True)
    ]
    decisions = store.decisions(run.album_id)
    judged, missing_count = _judge(cache, run, settings, clustered, embeddings, decisions)
    broken = [record for record in before if not record.is_readable]
    records = sorted([*judged, *broken], key=lambda record: record.path)
    new_run = dataclasses.replace(
        run,
        id="" if validate_only else uuid.uuid4().hex,
        config=recorded_config(settings, calibration),
        revision=0,
        stages=(),
        create_time=began,
        start_time=began,
        end_time=utc_now(),
        summary=summarize(records, len(records), (utc_now() - began).total_seconds()),
        source_run_id=run.id,
        decisions={digest: decision.value for digest, decision in decisions.items()},
    )
    if not validate_only:
        store.save_results(new_run, records)
    selected_before = {record.path for record in before if record.is_selected}
    selected = {record.path for record in records if record.is_selected}
    return Reselection(
        run=new_run,
        gained_paths=sorted(selected - selected_before),
        lost_paths=sorted(selected_before - selected),
        missing_comparison_count=missing_count,
    )


def heed_decision(
    store: SqlRunStore, cache: FeatureCache, run: Run, content_digest: str
) -> list[ImageRecord]:
    """Judges the moment of a photo anew after a decision about it; returns what has changed."""
    before = [record for record in store.clusters_of(run.id, content_digest) if record.is_readable]
    if not before:
        return []
    settings = stored_settings(run)
    embeddings = stack_embeddings(_embeddings(cache, run, before))
    decisions = store.decisions(run.album_id)
    judged, _ = _judge(cache, run, settings, before, embeddings, decisions)
    changed = [new for new, old in zip(judged, before, strict=True) if new != old]
    store.replace_images(run.id, changed)
    run = run.changed(decisions=_recorded(run, before, decisions))
    if run.summary is not None:
        eyes_threshold = settings.select_best.person_penalties.eyes_threshold
        count = store.count_by_filter(run.id, eyes_threshold)[ImageFilter.SELECTED]
        run = run.changed(summary=dataclasses.replace(run.summary, selected_count=count))
    store.save_run(run)
    return changed


def _recorded(
    run: Run, judged: list[ImageRecord], decisions: Mapping[str, Decision]
) -> dict[str, str]:
    """A run's decisions after some of its photos were judged anew."""
    digests = {record.content_digest for record in judged}
    others = {digest: value for digest, value in run.decisions.items() if digest not in digests}
    return {**others, **{digest: decisions[digest].value for digest in digests & decisions.keys()}}


def _judge(
    cache: FeatureCache,
    run: Run,
    settings: PipelineSettings,
    clustered: list[ImageRecord],
    embeddings: NDArray[np.float32],
    decisions: Mapping[str, Decision],
) -> tuple[list[ImageRecord], int]:
    """Judges with the stored comparisons; also says how many comparisons are missing."""
    pairs = wanted_pairs(clustered, settings, decisions)
    digests = {record.path: record.content_digest for record in clustered}
    siamese_digest = run.models.get("siamese", {}).get("digest", "")
    comparisons = cached_comparisons(cache, pairs, digests, siamese_digest)
    judged = judge(clustered, embeddings, settings, comparisons, decisions)
    return judged, len(pairs) - len(comparisons)


def _embeddings(cache: FeatureCache, run: Run, records: list[ImageRecord]) -> list[Embedding]:
    model_digest = run.models["embedding"]["digest"]
    vectors: list[Embedding] = []
    for start in range(0, len(records), 500):
        part = records[start : start + 500]
        keys = [(record.content_digest, "embedding", model_digest) for record in part]
        found = cache.get(keys)
        vectors.extend(codec.unpack_embedding(found[key]) for key in keys)
    return vectors
