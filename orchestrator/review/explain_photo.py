"""Explains why a photo was or was not picked, from its run's stored results."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from orchestrator.config import resolve_auto
from orchestrator.domain.decisions import Correction
from orchestrator.domain.explanation import (
    Explanation,
    explanation_lines,
    grouping_of,
    matches_of,
    neighbours_of,
    penalties_of,
    terms_of,
)
from orchestrator.domain.moments.clocks import describe_offsets
from orchestrator.domain.moments.parameters import ClusterParameters
from orchestrator.domain.moments.view_term import ViewTerm, doubtful_distances, view_term
from orchestrator.domain.owner_marks import describe_mark, owner_decision
from orchestrator.domain.photo import Decision
from orchestrator.domain.verdict_sentences import correction_texts, describe_judged, grouping_text
from orchestrator.ports import Embedding, FeatureCache
from orchestrator.records import ImageRecord, Run, check_completed, moments_of
from orchestrator.runs.overlaps import Overlaps
from orchestrator.runs.recorded_settings import (
    read_calibration,
    read_corrections,
    read_settings,
)
from orchestrator.runs.reference import read_reference
from orchestrator.runs.selection import aligned_captures, build_selection, captures_of
from orchestrator.runs.stored_features import read_embeddings
from orchestrator.runs.who_is_where import read_persons
from orchestrator.storage.run_store import SqlRunStore
from services.common.errors import FailedPreconditionError

NEIGHBOUR_COUNT = 5
VIEWED_COUNT = 64
"""Number of most similar photos whose common features count in a photo's explanation."""


def explain_photo(store: SqlRunStore, cache: FeatureCache, run: Run, path: str) -> Explanation:
    """Collects the numbers behind a photo's result by selecting from its moment again.

    Raises:
        FailedPreconditionError: The run is not completed, or the photo could not be read.
        NotFoundError: The run has no such photo.
    """
    check_completed(run, "explained")
    record = store.image(run.id, path)
    if not record.is_readable:
        raise FailedPreconditionError(f"{path} could not be read: {record.error}")
    settings = read_settings(run)
    parameters = settings.select_best
    records = [found for found in store.images(run.id) if found.is_readable]
    paths = [found.path for found in records]
    index = paths.index(path)
    embeddings = read_embeddings(cache, run, records)
    moment = set(moments_of(records)[path])
    rows = [row for row, found in enumerate(records) if found.path in moment]
    comparisons = store.comparisons(run.id, path)
    decisions = {digest: Decision(value) for digest, value in run.decisions.items()}
    reference = read_reference(store, run, settings)
    persons = read_persons(run)
    selection = build_selection(records, embeddings, settings, decisions, reference, persons).take(
        rows
    )
    place = rows.index(index)
    candidate, verdict = selection.candidates[place], selection.verdicts(comparisons)[place]
    clustering = resolve_auto(settings.cluster_scenes, read_calibration(run))
    captures, offsets = aligned_captures(captures_of(records), embeddings, clustering)
    own = [offset for offset in offsets if offset.camera == record.camera]
    labels = _labels(_whole_moments(records))
    views = _read_views(cache, records, index, embeddings, clustering)
    grouping = grouping_of(index, paths, embeddings, labels, captures, clustering, views)
    found = Explanation(
        path=path,
        reason=record.reason,
        grouping_text=" ".join(
            [grouping_text(grouping), *describe_offsets(own), *_describe_split(record)]
        ),
        terms=terms_of(candidate, parameters),
        penalties=penalties_of(verdict, parameters),
        person_penalty=verdict.person_penalty,
        max_penalty=parameters.person_penalties.max_penalty,
        composite_score=verdict.composite_score,
        # an album-wide goal compares moments, but the selection above saw only this one
        lost_to_path=record.lost_to_path,
        similarity=verdict.similarity if verdict.reason.value == record.reason_code else None,
        rank=verdict.rank,
        moment_size=verdict.moment_size,
        points=verdict.points,
        tied_count=verdict.tied_count,
        tiebreaker_range=parameters.siamese.tiebreaker_range,
        matches=matches_of(path, comparisons),
        neighbours=neighbours_of(
            index,
            paths,
            embeddings,
            captures,
            _labels([found.cluster_id for found in records]),
            clustering,
            NEIGHBOUR_COUNT,
            views,
        ),
        grouping=grouping,
        judged_by=describe_judged(candidate, verdict.judged, persons),
        decisions=tuple(_decisions(run, record, records, read_corrections(run))),
    )
    return dataclasses.replace(found, lines=tuple(explanation_lines(found)))


def _read_views(
    cache: FeatureCache,
    records: Sequence[ImageRecord],
    index: int,
    embeddings: Embedding,
    parameters: ClusterParameters,
) -> ViewTerm | None:
    """Reads how many features the run counted in common among a photo and the most similar ones."""
    if doubtful_distances(parameters) is None:
        return None
    rows = np.sort(np.argsort(-(embeddings @ embeddings[index]), kind="stable")[:VIEWED_COUNT])
    first, second = np.triu_indices(len(rows), 1)
    digests = [record.content_digest for record in records]
    counts = Overlaps(cache)
    return view_term(
        len(records),
        rows[first],
        rows[second],
        parameters,
        lambda pairs: counts.find_counts([(digests[one], digests[other]) for one, other in pairs]),
    )


def _whole_moments(records: list[ImageRecord]) -> list[int | None]:
    """Returns the moments before they were split by persons, numbered arbitrarily."""
    free = len(records)  # no moment has this number or a larger one
    return [
        found.machine_cluster_id if found.whole_moment_id is None else free + found.whole_moment_id
        for found in records
    ]


def _describe_split(record: ImageRecord) -> list[str]:
    if not record.moment_people:
        return []
    return [
        f"The moment was split by who is in the photos; this part shows {record.moment_people}."
    ]


def _labels(values: list[int | None]) -> np.typing.NDArray[np.int64]:
    return np.array(values, np.int64)


def _decisions(
    run: Run, record: ImageRecord, records: list[ImageRecord], corrections: list[Correction]
) -> list[str]:
    """Describes the decisions on a photo and its moment that the run applies."""
    decision = run.decisions.get(record.content_digest)
    paths = {found.content_digest: found.path for found in reversed(records)}
    texts = correction_texts(record.content_digest, corrections, paths)
    own = [f"you {Decision(decision).past_tense} it"] if decision else []
    if decision and owner_decision(record.owner_mark) is not None:
        own = [f"{own[0]}, although {describe_mark(record.owner_mark)}"]
    return [*own, *texts]
