"""Reselection from stored scores: with changed settings, or after a user's decision."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from orchestrator.config import PipelineSettings, resolve_auto
from orchestrator.domain.decisions import (
    ANSWERS,
    CORRECTIONS,
    MARKS,
    DecisionEntry,
    UserDecisions,
    find_origins,
)
from orchestrator.domain.people.persons import Persons
from orchestrator.domain.selection.verdict import Comparisons, Pair
from orchestrator.domain.verdict_sentences import describe_everybody, describe_shortfall
from orchestrator.domain.wording import pluralize
from orchestrator.ports import Embedding, FeatureCache
from orchestrator.records import ImageRecord, Run, moments_of, summarize, utc_now
from orchestrator.runs.overlaps import Overlaps
from orchestrator.runs.recorded_settings import (
    read_calibration,
    read_same_person_similarity,
    read_settings,
    record_config,
    record_corrections,
)
from orchestrator.runs.reference import read_reference
from orchestrator.runs.selection import (
    Moments,
    assign_moments,
    build_selection,
    find_moments,
    keep_earlier_moments,
    select_photos,
)
from orchestrator.runs.stored_features import read_comparisons, read_embeddings, read_miniatures
from orchestrator.runs.who_is_where import (
    NOBODY,
    read_people,
    read_persons,
    record_people,
    split_moments,
    store_persons,
)
from orchestrator.storage.decision_log import SqlDecisionLog
from orchestrator.storage.people_store import SqlPeople
from orchestrator.storage.run_store import SqlRunStore
from services.common.errors import FailedPreconditionError


@dataclass(frozen=True)
class Stores:
    """The stores that reselection uses: runs, decisions, features, persons."""

    runs: SqlRunStore
    log: SqlDecisionLog
    cache: FeatureCache
    people: SqlPeople


@dataclass(frozen=True)
class RunUpdate:
    """Changes to a run.

    Attributes:
        changed: Photos whose result changed, ordered by path.
        missing_pairs: Pairs of paths that the selection needed to compare but could not, because no
            comparison is stored; these photos count as equally good.
    """

    changed: list[ImageRecord]
    missing_pairs: list[Pair]


@dataclass(frozen=True)
class Reselection:
    """The result of applying new settings to stored scores."""

    run: Run
    gained_paths: list[str]
    lost_paths: list[str]
    missing_comparison_count: int


def reselect(stores: Stores, run: Run, overrides: dict[str, Any], new_run_id: str) -> Reselection:
    """Clusters and selects again with changed settings, and stores the result as a new run.

    Args:
        stores: The stores of this orchestrator.
        run: The run with the scores.
        overrides: Settings that differ.
        new_run_id: Id of the new run; empty = nothing is stored.
    """
    began = utc_now()
    settings = read_settings(run, overrides)
    calibration = read_calibration(run)
    before = stores.runs.images(run.id)
    readable = [record for record in before if record.is_readable]
    embeddings = read_embeddings(stores.cache, run, readable)
    notes: list[str] = []
    parameters = resolve_auto(settings.cluster_scenes, calibration)
    miniatures = read_miniatures(stores.cache, readable)
    reference = read_reference(stores.runs, run, settings)
    overlaps = Overlaps(stores.cache)
    moments = find_moments(
        embeddings,
        miniatures,
        readable,
        parameters,
        settings.keep_sets,
        notes.append,
        overlaps.measure,
        overlaps.count_features,
    )
    moments = keep_earlier_moments(moments, readable, reference)
    decisions = UserDecisions.from_log(stores.log.entries(run.album_id))
    people = NOBODY
    if settings.people.enabled:
        notes.extend(_describe_unsearched(stores.people, readable, settings))
        people = read_people(stores.people, readable)
    readable, moments = split_moments(
        record_people(readable, people),
        moments,
        people.persons,
        is_enabled=settings.people.split_moments,
    )
    in_moments = assign_moments(readable, moments, decisions.corrections)
    found = _select(stores, run, settings, in_moments, embeddings, decisions, people.persons)
    goal, picks = settings.select_best.goal, [one for one in found.records if one.is_selected]
    notes.extend(describe_shortfall(goal, len(readable), len(picks)))
    shown = [record.person_ids for record in readable]
    notes.extend(describe_everybody(goal, shown, found.missing_people, people.persons))
    broken = [record for record in before if not record.is_readable]
    records = sorted([*found.records, *broken], key=lambda record: record.path)
    new_run = dataclasses.replace(
        run,
        id=new_run_id,
        config=record_config(settings, calibration, read_same_person_similarity(run)),
        revision=0,
        stages=(),
        create_time=began,
        start_time=began,
        end_time=utc_now(),
        summary=summarize(records, len(records), (utc_now() - began).total_seconds()),
        source_run_id=run.id,
        decisions={digest: decision.value for digest, decision in decisions.photos.items()},
        corrections=record_corrections(decisions.corrections),
        persons=store_persons(readable, people.persons),
        notes=tuple(notes),
    )
    known = stores.runs.find_run(new_run_id) if new_run_id else None
    if known is not None:  # stored by an earlier attempt of a repeated call
        new_run, records = known, stores.runs.images(known.id)
    elif new_run_id:
        stores.runs.save_results(new_run, records, found.comparisons)
    selected_before = {record.path for record in before if record.is_selected}
    selected = {record.path for record in records if record.is_selected}
    return Reselection(
        run=new_run,
        gained_paths=sorted(selected - selected_before),
        lost_paths=sorted(selected_before - selected),
        missing_comparison_count=len(found.missing_pairs),
    )


def _describe_unsearched(
    people: SqlPeople, records: Sequence[ImageRecord], settings: PipelineSettings
) -> tuple[str, ...]:
    """Writes a note if some photos were never searched for people.

    Raises:
        FailedPreconditionError: None of the photos was searched, and a setting needs people.
    """
    digests = {record.content_digest for record in records}
    missing = len(digests - people.find_searched())
    if not missing:
        return ()
    if missing == len(digests) and (use := settings.find_use_of_people()):
        raise FailedPreconditionError(
            f"{use} needs to know who is in the photos, but no run has searched them for people, "
            f"or the identity vectors were erased. Curate them again with people.enabled=true: "
            f"only the faces are computed again"
        )
    return (
        f"People are unknown in {pluralize(missing, 'photo')} of {len(digests)}, which no run with "
        f"people.enabled has searched.",
    )


def apply_entries(stores: Stores, run_id: str, entries: Sequence[DecisionEntry]) -> RunUpdate:
    """Applies entries in the album's log to a completed run.

    Selects again in the moments that the entries change or refer to, and stores the results, all or
    nothing. A moment that is only renumbered is stored but not reported as changed; a photo
    whose stars or label changed is reported although the run itself does not change.
    """
    with stores.runs.lock(run_id):
        run = stores.runs.run(run_id)
        log = stores.log.entries(run.album_id)
        decisions = UserDecisions.from_log(log)
        known = find_origins(log)
        # for an undo, the entry that it undoes
        originals = [known[entry.id][0] for entry in entries]
        marked = _digests_of(entry for entry in originals if entry.action in MARKS)
        originals = [entry for entry in originals if entry.action not in (*MARKS, *ANSWERS)]
        if not originals:
            return RunUpdate(_find_photos(stores, run, marked), [])
        digests = _digests_of(entry for entry in originals if entry.action not in CORRECTIONS)
        if _is_album_wide(run) or any(entry.action in CORRECTIONS for entry in originals):
            before = [record for record in stores.runs.images(run.id) if record.is_readable]
            labels = np.array([record.machine_cluster_id for record in before], np.int64)
            moments = Moments(
                labels,
                [record.frame_set for record in before],
                [record.alteration for record in before],
            )
            after = assign_moments(before, moments, decisions.corrections)
            run = run.revise(corrections=record_corrections(decisions.corrections))
        else:  # no moment changes, so there is no need to read the whole album
            before = after = _read_moments(stores, run, sorted(digests))
        update = _update(stores, run, before, after, digests, decisions)
        changed = {
            record.path: record for record in (*_find_photos(stores, run, marked), *update.changed)
        }
        return RunUpdate([changed[path] for path in sorted(changed)], update.missing_pairs)


def _digests_of(entries: Iterable[DecisionEntry]) -> set[str]:
    return {digest for entry in entries for digest in entry.content_digests}


def _find_photos(stores: Stores, run: Run, digests: Collection[str]) -> list[ImageRecord]:
    """Returns the results for photos with these contents, ordered by path."""
    found = stores.runs.clusters_of(run.id, sorted(digests)) if digests else []
    return [record for record in found if record.content_digest in digests]


def reselect_moments(stores: Stores, run_id: str, content_digests: Sequence[str]) -> RunUpdate:
    """Selects again in the moments of given photos of a completed run, and stores the result."""
    with stores.runs.lock(run_id):
        run = stores.runs.run(run_id)
        decisions = UserDecisions.from_log(stores.log.entries(run.album_id))
        records = _read_moments(stores, run, content_digests)
        return _update(stores, run, records, records, set(content_digests), decisions)


def _read_moments(stores: Stores, run: Run, content_digests: Sequence[str]) -> list[ImageRecord]:
    if _is_album_wide(run):
        found = stores.runs.images(run.id)
    else:
        found = stores.runs.clusters_of(run.id, content_digests)
    return [record for record in found if record.is_readable]


def _is_album_wide(run: Run) -> bool:
    """Whether a decision in one moment can change the picks in others."""
    return read_settings(run).select_best.goal.is_album_wide


def _update(
    stores: Stores,
    run: Run,
    before: Sequence[ImageRecord],
    after: Sequence[ImageRecord],
    content_digests: Collection[str],
    decisions: UserDecisions,
) -> RunUpdate:
    """Selects again in moments that differ or contain given photos, and stores the changes."""
    if _is_album_wide(run):
        affected = {record.path for record in after}
    else:
        affected = _find_affected(before, after, content_digests)
    chosen = [record for record in after if record.path in affected]
    embeddings = read_embeddings(stores.cache, run, chosen)
    settings, persons = read_settings(run), read_persons(run)
    found = _select(stores, run, settings, chosen, embeddings, decisions, persons)
    old = {record.path: record for record in before}
    renumbered = [
        record for record in after if record.path not in affected and record != old[record.path]
    ]
    changed = [record for record in found.records if record != old[record.path]]
    digests = {record.content_digest for record in chosen}
    others = {digest: value for digest, value in run.decisions.items() if digest not in digests}
    applied = {
        digest: decisions.photos[digest].value for digest in digests & decisions.photos.keys()
    }
    run = run.revise(decisions={**others, **applied})
    paths = [record.path for record in chosen]
    stores.runs.save_reselected(run, [*renumbered, *changed], paths, found.comparisons)
    return RunUpdate(changed, found.missing_pairs)


def _find_affected(
    before: Sequence[ImageRecord], after: Sequence[ImageRecord], content_digests: Collection[str]
) -> set[str]:
    """Finds the paths of all photos in moments that differ or contain given photos."""
    named = {record.path for record in after if record.content_digest in content_digests}
    old = moments_of(before)
    affected: set[str] = set()
    for path, moment in moments_of(after).items():
        # visit each moment once, not once for each photo: a crowd has thousands
        if path == moment[0] and (moment != old[path] or not named.isdisjoint(moment)):
            affected.update(moment)
    return affected


@dataclass(frozen=True)
class _Selected:
    records: list[ImageRecord]
    comparisons: Comparisons
    missing_pairs: list[Pair]
    missing_people: list[str]


def _select(
    stores: Stores,
    run: Run,
    settings: PipelineSettings,
    records: Sequence[ImageRecord],
    embeddings: Embedding,
    decisions: UserDecisions,
    persons: Persons,
) -> _Selected:
    """Selects using cached comparisons."""
    reference = read_reference(stores.runs, run, settings)
    selection = build_selection(records, embeddings, settings, decisions.photos, reference, persons)
    pairs = selection.pairs_to_compare()
    digests = {record.path: record.content_digest for record in records}
    comparisons = read_comparisons(stores.cache, run, pairs, digests)
    missing = [pair for pair in pairs if pair not in comparisons]
    selected, missing_people = select_photos(records, selection, comparisons)
    return _Selected(selected, comparisons, missing, missing_people)
