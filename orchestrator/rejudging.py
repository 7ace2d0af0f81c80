"""Judging anew on stored scores: under changed settings, or after a decision of the user's."""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from orchestrator import features as codec
from orchestrator.config import PipelineSettings
from orchestrator.domain.cluster_parameters import NOISE
from orchestrator.domain.decisions import corrections_in
from orchestrator.domain.photo import Decision
from orchestrator.pipeline import (
    cached_comparisons,
    cluster,
    grouped,
    judge,
    stack_embeddings,
    wanted_pairs,
)
from orchestrator.ports import Embedding, FeatureCache
from orchestrator.results import ImageRecord, Run, summarize, utc_now
from orchestrator.run_config import (
    recorded_config,
    recorded_corrections,
    stored_calibration,
    stored_settings,
)
from orchestrator.storage.decision_log import SqlDecisionLog
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
    log: SqlDecisionLog,
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
    embeddings = stored_embeddings(cache, run, readable)
    labels = cluster(embeddings, readable, settings.cluster_scenes.parameters(calibration))
    corrections = corrections_in(log.entries(run.album_id))
    clustered = grouped(readable, labels, corrections)
    decisions = log.decisions(run.album_id)
    judged, comparisons, missing_count = _judge(
        cache, run, settings, clustered, embeddings, decisions
    )
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
        corrections=recorded_corrections(corrections),
    )
    if not validate_only:
        store.save_results(new_run, records, comparisons)
    selected_before = {record.path for record in before if record.is_selected}
    selected = {record.path for record in records if record.is_selected}
    return Reselection(
        run=new_run,
        gained_paths=sorted(selected - selected_before),
        lost_paths=sorted(selected_before - selected),
        missing_comparison_count=missing_count,
    )


def heed_decisions(
    store: SqlRunStore,
    log: SqlDecisionLog,
    cache: FeatureCache,
    run: Run,
    content_digests: Sequence[str],
) -> list[ImageRecord]:
    """Judges the moments of photos anew after decisions about them; returns what has changed."""
    before = [record for record in store.clusters_of(run.id, content_digests) if record.is_readable]
    return _rejudge(store, log, cache, run, before, before)


def heed_corrections(
    store: SqlRunStore, log: SqlDecisionLog, cache: FeatureCache, run: Run
) -> list[ImageRecord]:
    """Groups a run's photos as the user's corrections want it, and judges moments that are others.

    Returns:
        What has changed of these moments. Clusters that are only numbered otherwise are left out.
    """
    corrections = corrections_in(log.entries(run.album_id))
    before = [record for record in store.images(run.id) if record.is_readable]
    labels = np.array([record.machine_cluster_id for record in before], np.int64)
    after = grouped(before, labels, corrections)
    run = run.changed(corrections=recorded_corrections(corrections))
    others = moments_of(before).items() ^ moments_of(after).items()
    changed = {path for path, _ in others}
    renumbered = [
        new
        for new, old in zip(after, before, strict=True)
        if new != old and new.path not in changed
    ]
    store.replace_images(run.id, renumbered)
    return _rejudge(
        store,
        log,
        cache,
        run,
        [record for record in before if record.path in changed],
        [record for record in after if record.path in changed],
    )


def moments_of(records: Sequence[ImageRecord]) -> dict[str, frozenset[str]]:
    """The paths of each photo's moment, by its path; a single shot's is itself."""
    clusters: dict[int, set[str]] = {}
    for record in records:
        if record.cluster_id is not None and record.cluster_id != NOISE:
            clusters.setdefault(record.cluster_id, set()).add(record.path)
    joint = {path: frozenset(members) for members in clusters.values() for path in members}
    return {record.path: joint.get(record.path, frozenset({record.path})) for record in records}


def _rejudge(
    store: SqlRunStore,
    log: SqlDecisionLog,
    cache: FeatureCache,
    run: Run,
    before: Sequence[ImageRecord],
    grouped_anew: list[ImageRecord],
) -> list[ImageRecord]:
    """Judges whole moments, stores and returns what is another thing than `before`."""
    changed: list[ImageRecord] = []
    if grouped_anew:
        settings = stored_settings(run)
        embeddings = stored_embeddings(cache, run, grouped_anew)
        decisions = log.decisions(run.album_id)
        judged, comparisons, _ = _judge(cache, run, settings, grouped_anew, embeddings, decisions)
        changed = [new for new, old in zip(judged, before, strict=True) if new != old]
        store.replace_images(run.id, changed)
        store.replace_comparisons(run.id, [record.path for record in grouped_anew], comparisons)
        run = run.changed(decisions=_recorded(run, grouped_anew, decisions))
    if run.summary is not None:
        run = run.changed(summary=dataclasses.replace(run.summary, **store.counts(run.id)))
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
) -> tuple[list[ImageRecord], dict[tuple[str, str], float], int]:
    """Judges with stored comparisons; also returns these, and how many are missing."""
    pairs = wanted_pairs(clustered, settings, decisions)
    digests = {record.path: record.content_digest for record in clustered}
    siamese_digest = run.models.get("siamese", {}).get("digest", "")
    comparisons = cached_comparisons(cache, pairs, digests, siamese_digest)
    judged = judge(clustered, embeddings, settings, comparisons, decisions)
    return judged, comparisons, len(pairs) - len(comparisons)


def stored_embeddings(
    cache: FeatureCache, run: Run, records: Sequence[ImageRecord]
) -> NDArray[np.float32]:
    """The embeddings of a run's photos: float32, (n, d), unit rows."""
    model_digest = run.models["embedding"]["digest"]
    vectors: list[Embedding] = []
    for start in range(0, len(records), 500):
        part = records[start : start + 500]
        keys = [(record.content_digest, "embedding", model_digest) for record in part]
        found = cache.get(keys)
        vectors.extend(codec.unpack_embedding(found[key]) for key in keys)
    return stack_embeddings(vectors)
