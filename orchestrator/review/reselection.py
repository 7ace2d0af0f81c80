"""Judging anew on stored scores: under changed settings, or after a decision of the user's."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from orchestrator import features as codec
from orchestrator.config import PipelineSettings, resolve_auto
from orchestrator.domain.decisions import corrections_in
from orchestrator.domain.photo import Decision
from orchestrator.ports import Embedding, FeatureCache
from orchestrator.records import ImageRecord, Run, moments_of, summarize, utc_now
from orchestrator.runs.pipeline import (
    cached_comparisons,
    cluster,
    grouped,
    judge,
    stack_embeddings,
    wanted_pairs,
)
from orchestrator.runs.recorded_settings import (
    recorded_config,
    recorded_corrections,
    stored_calibration,
    stored_settings,
)
from orchestrator.storage.decision_log import SqlDecisionLog
from orchestrator.storage.run_store import SqlRunStore


@dataclass(frozen=True)
class Stores:
    """What judging anew needs: runs, decisions, features."""

    runs: SqlRunStore
    log: SqlDecisionLog
    cache: FeatureCache


@dataclass(frozen=True)
class Rejudgement:
    """What became of some moments of a run.

    Attributes:
        changed: Photos that stand otherwise now.
        missing_pairs: Pairs of paths that were to be compared and never were; they counted as even.
    """

    changed: list[ImageRecord]
    missing_pairs: list[tuple[str, str]]


@dataclass(frozen=True)
class Reselection:
    """What new settings give on stored scores."""

    run: Run
    gained_paths: list[str]
    lost_paths: list[str]
    missing_comparison_count: int


def reselect(stores: Stores, run: Run, overrides: dict[str, Any], new_run_id: str) -> Reselection:
    """Clusters and selects again with changed settings, and stores the result as a new run.

    Args:
        stores: Of this orchestrator.
        run: Has the scores.
        overrides: Settings that differ.
        new_run_id: Id of the new run; empty = nothing is stored.
    """
    began = utc_now()
    settings = stored_settings(run, overrides)
    calibration = stored_calibration(run)
    before = stores.runs.images(run.id)
    readable = [record for record in before if record.is_readable]
    embeddings = stored_embeddings(stores.cache, run, readable)
    notes: list[str] = []
    parameters = resolve_auto(settings.cluster_scenes, calibration)
    labels = cluster(embeddings, readable, parameters, notes.append)
    corrections = corrections_in(stores.log.entries(run.album_id))
    clustered = grouped(readable, labels, corrections)
    decisions = stores.log.decisions(run.album_id)
    judged, comparisons, missing = _judge(
        stores.cache, run, settings, clustered, embeddings, decisions
    )
    broken = [record for record in before if not record.is_readable]
    records = sorted([*judged, *broken], key=lambda record: record.path)
    new_run = dataclasses.replace(
        run,
        id=new_run_id,
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
        notes=tuple(notes),
    )
    known = stores.runs.find_run(new_run_id) if new_run_id else None
    if known is not None:  # by an earlier attempt of a repeated call
        new_run, records = known, stores.runs.images(known.id)
    elif new_run_id:
        stores.runs.save_results(new_run, records, comparisons)
    selected_before = {record.path for record in before if record.is_selected}
    selected = {record.path for record in records if record.is_selected}
    return Reselection(
        run=new_run,
        gained_paths=sorted(selected - selected_before),
        lost_paths=sorted(selected_before - selected),
        missing_comparison_count=len(missing),
    )


def heed_decisions(stores: Stores, run: Run, content_digests: Sequence[str]) -> Rejudgement:
    """Judges the moments of photos anew after decisions about them."""
    found = stores.runs.clusters_of(run.id, content_digests)
    readable = [record for record in found if record.is_readable]
    return _rejudge(stores, run, readable, readable)


def heed_corrections(stores: Stores, run: Run) -> Rejudgement:
    """Groups a run's photos as the user's corrections want it, and judges moments that are others.

    Clusters that are only numbered otherwise are stored, and not told of.
    """
    corrections = corrections_in(stores.log.entries(run.album_id))
    before = [record for record in stores.runs.images(run.id) if record.is_readable]
    labels = np.array([record.machine_cluster_id for record in before], np.int64)
    after = grouped(before, labels, corrections)
    old_moments, new_moments = moments_of(before), moments_of(after)
    # compare a moment once, not once for each of its photos: a crowd has thousands
    is_other = {
        moment[0]: old_moments[moment[0]] != moment
        for first, moment in new_moments.items()
        if first == moment[0]
    }
    others = {path for path, moment in new_moments.items() if is_other[moment[0]]}
    renumbered = [
        new for new, old in zip(after, before, strict=True) if new != old and new.path not in others
    ]
    return _rejudge(
        stores,
        run.changed(corrections=recorded_corrections(corrections)),
        [record for record in before if record.path in others],
        [record for record in after if record.path in others],
        renumbered,
    )


def _rejudge(
    stores: Stores,
    run: Run,
    before: Sequence[ImageRecord],
    grouped_anew: list[ImageRecord],
    renumbered: Sequence[ImageRecord] = (),
) -> Rejudgement:
    """Judges whole moments, stores what is another thing than `before`, all or nothing."""
    if not grouped_anew:
        stores.runs.save_rejudged(run, renumbered, [], {})
        return Rejudgement([], [])
    decisions = stores.log.decisions(run.album_id)
    judged, comparisons, missing = _judge(
        stores.cache,
        run,
        stored_settings(run),
        grouped_anew,
        stored_embeddings(stores.cache, run, grouped_anew),
        decisions,
    )
    changed = [new for new, old in zip(judged, before, strict=True) if new != old]
    run = run.changed(decisions=_recorded(run, grouped_anew, decisions))
    paths = [record.path for record in grouped_anew]
    stores.runs.save_rejudged(run, [*renumbered, *changed], paths, comparisons)
    return Rejudgement(changed, missing)


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
) -> tuple[list[ImageRecord], dict[tuple[str, str], float], list[tuple[str, str]]]:
    """Judges with stored comparisons; also returns these, and the pairs that lack one."""
    pairs = wanted_pairs(clustered, settings, decisions)
    digests = {record.path: record.content_digest for record in clustered}
    siamese_digest = run.models.get("siamese", {}).get("digest", "")
    comparisons = cached_comparisons(cache, pairs, digests, siamese_digest)
    judged = judge(clustered, embeddings, settings, comparisons, decisions)
    return judged, comparisons, [pair for pair in pairs if pair not in comparisons]


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
