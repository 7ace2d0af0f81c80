"""Builds a `Selection` from photo records, and adds its verdicts to them."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from orchestrator.config import PipelineSettings
from orchestrator.domain.alteration import Alteration
from orchestrator.domain.copies import find_families
from orchestrator.domain.decisions import Correction, correct_moments
from orchestrator.domain.moments.capture_time import Captures, capture_seconds
from orchestrator.domain.moments.clocks import ClockOffset, align_clocks, describe_offsets
from orchestrator.domain.moments.metric import to_cosine_distance
from orchestrator.domain.moments.parameters import NOISE, ClusterParameters
from orchestrator.domain.overlap import Overlap
from orchestrator.domain.people.persons import Persons, list_persons
from orchestrator.domain.photo import Candidate, ContentClass, Decision, FileFacts
from orchestrator.domain.scoring import face_faults
from orchestrator.domain.selection.selection import Selection
from orchestrator.domain.selection.verdict import Comparisons, Verdict
from orchestrator.domain.sets import WITHOUT_SETS, SetParameters, SetPlace
from orchestrator.domain.stability import NO_REFERENCE, Reference, keep_moments
from orchestrator.domain.verdict_sentences import describe_damage, explain
from orchestrator.domain.versions import VersionPhoto, find_versions, pairs_to_check
from orchestrator.ports import Embedding, Miniature
from orchestrator.records import ImageRecord

logger = logging.getLogger(__name__)

PAGES = (ContentClass.DOCUMENT, ContentClass.SCREENSHOT)
"""Kinds of pictures whose embeddings hardly distinguish them."""


@dataclass(frozen=True, slots=True, eq=False)
class Moments:
    """How a run groups its photos.

    Attributes:
        labels: int64, (n,), NOISE for single shots.
        places: The place of each photo in a set; None for photos that are not in a set.
        alterations: How each version was derived from another photo; None for other photos.
    """

    labels: NDArray[np.int64]
    places: Sequence[SetPlace | None]
    alterations: Sequence[Alteration | None]


MeasureOverlaps = Callable[[Sequence[tuple[str, str]]], Sequence[Overlap | None]]
"""Finds the overlap of each pair of content digests."""


def measure_nothing(pairs: Sequence[tuple[str, str]]) -> Sequence[Overlap | None]:
    """Returns no overlaps."""
    return [None] * len(pairs)


CountFeatures = Callable[[Sequence[tuple[str, str]]], Sequence[int | None]]
"""Counts the common features of each pair of content digests; None if the count says nothing."""


def find_moments(
    embeddings: Embedding,
    miniatures: Miniature,
    records: Sequence[ImageRecord],
    parameters: ClusterParameters,
    sets: SetParameters,
    note: Callable[[str], object] = logger.warning,
    measure: MeasureOverlaps = measure_nothing,
    count_features: CountFeatures | None = None,
) -> Moments:
    """Clusters photos with `cluster_scenes`, then corrects moments by time, structure and overlaps.

    Args:
        embeddings: float32, (n, d), row i for record i.
        miniatures: float32, (n, 32, 32), row i for record i; NaN where there is none.
        records: Readable photos, ordered by path.
        parameters: The clustering parameters in force.
        sets: The settings for sets in force.
        note: Receives notes about the run; see `cluster_scenes`.
        measure: Finds overlaps, for versions and panoramas.
        count_features: Counts common features, which change the distances of doubtful pairs (see
            `view_term`). None = they are not used.
    """
    if not records:
        return Moments(np.empty(0, np.intp), [], [])
    # imported here, because a command that clusters nothing should not wait a second for them
    from orchestrator.domain.moments.clustering import cluster_scenes
    from orchestrator.domain.moments.frame_sets import (
        Frames,
        find_sets,
        join_pairs,
        join_sets,
        places_in_sets,
    )
    from orchestrator.domain.moments.labels import labels_of
    from orchestrator.domain.moments.look_alikes import dark_frames, split_look_alikes
    from orchestrator.domain.moments.structure import Structures
    from orchestrator.domain.moments.time_evidence import with_time_evidence

    captures = captures_of(records)
    aligned, offsets = aligned_captures(captures, embeddings, parameters)
    for sentence in describe_offsets(offsets):
        note(sentence)
    digests = [record.content_digest for record in records]
    count_rows = None if count_features is None else _by_rows(count_features, digests)
    labels = cluster_scenes(embeddings, parameters, aligned, note, count_rows)
    if parameters.capture_time.enabled:
        time = parameters.capture_time
        labels = with_time_evidence(labels, embeddings, captures, time, parameters.metric)
    structures = Structures.of(miniatures)
    alterations: Sequence[Alteration | None] = [None] * len(records)
    if parameters.compare_structure:
        is_page = np.array([record.content_class in PAGES for record in records], np.bool_)
        is_doubtful = dark_frames(miniatures) | is_page
        labels = split_look_alikes(labels, is_doubtful, miniatures, structures)
        alterations = _find_alterations(records, embeddings, miniatures, measure)
        labels = labels_of(join_pairs(labels, family_pairs(records, alterations)))
    if sets == WITHOUT_SETS:
        return Moments(labels, [None] * len(records), alterations)
    folders = [record.path.rpartition("/")[0] for record in records]
    shapes = [(record.width_px, record.height_px) for record in records]
    facts = [record.camera_facts for record in records]

    def measure_rows(pairs: Sequence[tuple[int, int]]) -> Sequence[Overlap | None]:
        return _measure(records, pairs, measure)

    frames = Frames(folders, shapes, captures, structures, facts, measure_rows)
    found = find_sets(frames, sets)
    joined = labels_of(join_sets(labels, found))
    return Moments(joined, places_in_sets(len(records), found), alterations)


def keep_earlier_moments(
    moments: Moments, records: Sequence[ImageRecord], reference: Reference
) -> Moments:
    """Restores the moments of an earlier run, except those whose photos have changed."""
    digests = [record.content_digest for record in records]
    labels = keep_moments(moments.labels, digests, reference.moments)
    return dataclasses.replace(moments, labels=labels)


def _by_rows(
    count_features: CountFeatures, digests: Sequence[str]
) -> Callable[[Sequence[tuple[int, int]]], Sequence[int | None]]:
    """Returns a function that counts the common features of pairs of rows."""
    return lambda pairs: count_features([(digests[one], digests[other]) for one, other in pairs])


def _find_alterations(
    records: Sequence[ImageRecord],
    embeddings: Embedding,
    miniatures: Miniature,
    measure: MeasureOverlaps,
) -> list[Alteration | None]:
    """Finds how photos were derived from others."""
    photos = [VersionPhoto(record.path, file_facts(record)) for record in records]
    first, second = pairs_to_check([photo.file for photo in photos], embeddings, miniatures)
    pairs = list(zip(first.tolist(), second.tolist(), strict=True))
    return find_versions(photos, pairs, _measure(records, pairs, measure))


def _measure(
    records: Sequence[ImageRecord], pairs: Sequence[tuple[int, int]], measure: MeasureOverlaps
) -> Sequence[Overlap | None]:
    """Finds the overlap of the records in each pair of rows."""
    digests = [record.content_digest for record in records]
    return measure([(digests[one], digests[other]) for one, other in pairs])


def family_pairs(
    records: Sequence[ImageRecord], alterations: Sequence[Alteration | None]
) -> list[tuple[int, int]]:
    """Pairs the rows of copies or versions of one picture with the first of them."""
    rows = {record.path: row for row, record in enumerate(records)}
    photos = [
        dataclasses.replace(
            _candidate(dataclasses.replace(record, cluster_id=NOISE)), alteration=alteration
        )
        for record, alteration in zip(records, alterations, strict=True)
        if record.quality is not None
    ]
    families = find_families(photos)
    return [(rows[family[0].path], rows[other.path]) for family in families for other in family[1:]]


def captures_of(records: Sequence[ImageRecord]) -> Captures:
    """Returns when, and with which camera, photos were taken."""
    seconds = np.array([capture_seconds(record.capture_time) for record in records])
    return Captures(seconds, [record.camera for record in records])


def aligned_captures(
    captures: Captures, embeddings: Embedding, parameters: ClusterParameters
) -> tuple[Captures, list[ClockOffset]]:
    """Returns captures with the clocks of different cameras adjusted, where offsets are known."""
    if parameters.capture_time.weight == 0.0:
        return captures, []
    epsilon = parameters.cluster_selection_epsilon
    return align_clocks(embeddings, captures, to_cosine_distance(epsilon, parameters.metric))


def assign_moments(
    records: Sequence[ImageRecord],
    moments: Moments,
    corrections: Sequence[Correction],
) -> list[ImageRecord]:
    """Assigns photos to the moments that the algorithm found, as corrected by the user.

    Args:
        records: Readable photos, ordered by path.
        moments: The moments found by the algorithm.
        corrections: The user's corrections, in order.
    """
    digests = [record.content_digest for record in records]
    final = correct_moments(moments.labels, digests, corrections)
    return [
        dataclasses.replace(
            record,
            machine_cluster_id=int(machine),
            cluster_id=int(label),
            set_kind=place.kind.value if place else "",
            set_id=place.number if place else None,
            set_place=place.place if place else None,
            set_size=place.size if place else None,
            altered_from_path=alteration.original if alteration else "",
            alterations=alteration.edits if alteration else (),
        )
        for record, machine, label, place, alteration in zip(
            records, moments.labels, final, moments.places, moments.alterations, strict=True
        )
    ]


def build_selection(
    records: Sequence[ImageRecord],
    embeddings: Embedding,
    settings: PipelineSettings,
    decisions: Mapping[str, Decision],
    reference: Reference = NO_REFERENCE,
    persons: Persons = MappingProxyType({}),
) -> Selection:
    """Builds the selection from the photos in a run.

    Args:
        records: Readable photos in their moments.
        embeddings: float32, (n, d), row i for record i.
        settings: The settings in force.
        decisions: Photos that the user keeps or rejects, by content digest.
        reference: The earlier run whose picks are kept unless a better photo is found.
        persons: The persons in the photos, by id.
    """
    return Selection(
        [_candidate(record) for record in records],
        embeddings,
        settings.filter_quality,
        settings.select_best,
        decisions,
        settings.keep_sets,
        reference.picks,
        persons,
    )


def add_verdicts(
    records: Sequence[ImageRecord], selection: Selection, comparisons: Comparisons
) -> list[ImageRecord]:
    """Completes records with their verdicts and the sentences that explain them.

    Args:
        records: The records that the selection was built from, in the same order.
        selection: The selection over these records.
        comparisons: Results for its `pairs_to_compare`.
    """
    return select_photos(records, selection, comparisons)[0]


def select_photos(
    records: Sequence[ImageRecord], selection: Selection, comparisons: Comparisons
) -> tuple[list[ImageRecord], list[str]]:
    """Like `add_verdicts`; also returns the ids of persons whom the goal could not include."""
    verdicts = selection.verdicts(comparisons)
    completed = [
        _add_verdict(record, verdict, reason, selection)
        for record, verdict, reason in zip(
            records, verdicts, explain(selection, verdicts), strict=True
        )
    ]
    return completed, selection.find_missing(verdicts)


def _candidate(record: ImageRecord) -> Candidate:
    if record.quality is None or record.cluster_id is None:
        raise ValueError(f"{record.path} is neither scored nor clustered")
    return Candidate(
        record.path,
        record.content_digest,
        record.quality,
        record.faces,
        record.cluster_id,
        file_facts(record),
        ContentClass(record.content_class or ContentClass.PHOTO),
        record.owner_mark,
        record.frame_set,
        record.alteration,
        record.person_ids,
    )


def file_facts(record: ImageRecord) -> FileFacts:
    """Returns what a record knows about its file.

    A capture time counts only if the camera wrote it, because a copy may take a different one from
    its name or from an edit.
    """
    is_original = "DateTimeOriginal" in record.capture_time_source
    return FileFacts(
        record.width_px,
        record.height_px,
        record.size_bytes,
        record.capture_time if is_original else "",
        bool(record.camera),
        bool(record.damage),
        bool(record.version_of_path),
    )


def _add_verdict(
    record: ImageRecord, verdict: Verdict, reason: str, selection: Selection
) -> ImageRecord:
    worst, penalties = verdict.worst, selection.parameters.person_penalties
    found = verdict.brought_in
    people = (found.person_id, *found.other_ids) if found else ()
    return dataclasses.replace(
        record,
        pose_score=worst.pose_score if worst else None,
        eyes_score=worst.eyes_score if worst else None,
        smile_score=worst.smile_score if worst else None,
        person_penalty=verdict.person_penalty,
        face_faults=face_faults(worst, penalties),
        composite_score=verdict.composite_score,
        is_selected=verdict.is_selected,
        reason_code=verdict.reason.value,
        reason=f"{reason} {describe_damage(record.damage)}" if record.damage else reason,
        lost_to_path=verdict.lost_to or "",
        judged_faces=verdict.judged,
        brought_in_for=tuple(list_persons([one], selection.persons) for one in people),
    )
