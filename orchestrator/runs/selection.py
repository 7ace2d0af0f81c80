"""Builds a `Selection` from photo records, and adds its verdicts to them."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from orchestrator.config import PipelineSettings
from orchestrator.domain.decisions import Correction, correct_moments
from orchestrator.domain.moments.capture_time import Captures, capture_seconds
from orchestrator.domain.moments.parameters import ClusterParameters
from orchestrator.domain.photo import Candidate, ContentClass, Decision, FileFacts
from orchestrator.domain.scoring import PersonPenalties, face_faults
from orchestrator.domain.selection import Comparisons, Selection, Verdict
from orchestrator.domain.verdict_sentences import describe_damage, explain
from orchestrator.ports import Embedding
from orchestrator.records import ImageRecord

logger = logging.getLogger(__name__)


def find_moments(
    embeddings: Embedding,
    records: Sequence[ImageRecord],
    parameters: ClusterParameters,
    note: Callable[[str], object] = logger.warning,
) -> NDArray[np.int64]:
    """Clusters photos with `cluster_scenes`, then by limits on time if these are enabled.

    Args:
        embeddings: float32, (n, d), row i for record i.
        records: Readable photos.
        parameters: In force.
        note: Receives notes about the run; see `cluster_scenes`.

    Returns:
        int64, (n,), NOISE for single shots.
    """
    # these libraries take a second to load, which a command that clusters nothing should not pay
    from orchestrator.domain.moments.clustering import cluster_scenes
    from orchestrator.domain.moments.time_evidence import with_time_evidence

    captures = captures_of(records)
    labels = cluster_scenes(embeddings, parameters, captures, note)
    if not parameters.capture_time.enabled:
        return labels
    return with_time_evidence(
        labels, embeddings, captures, parameters.capture_time, parameters.metric
    )


def captures_of(records: Sequence[ImageRecord]) -> Captures:
    """When and with which camera photos were taken."""
    seconds = np.array([capture_seconds(record.capture_time) for record in records])
    return Captures(seconds, [record.camera for record in records])


def assign_moments(
    records: Sequence[ImageRecord],
    labels: NDArray[np.int64],
    corrections: Sequence[Correction],
) -> list[ImageRecord]:
    """Puts photos into the moments that the algorithm found and the user corrected.

    Args:
        records: Readable photos, ordered by path.
        labels: int64, (n,), assigned by the algorithm.
        corrections: The user's corrections, in order.
    """
    digests = [record.content_digest for record in records]
    final = correct_moments(labels, digests, corrections)
    return [
        dataclasses.replace(record, machine_cluster_id=int(machine), cluster_id=int(label))
        for record, machine, label in zip(records, labels, final, strict=True)
    ]


def build_selection(
    records: Sequence[ImageRecord],
    embeddings: Embedding,
    settings: PipelineSettings,
    decisions: Mapping[str, Decision],
) -> Selection:
    """Builds the selection over the photos of a run.

    Args:
        records: Readable photos in their moments.
        embeddings: float32, (n, d), row i for record i.
        settings: In force.
        decisions: Photos that the user keeps or rejects, by content digest.
    """
    return Selection(
        [_candidate(record) for record in records],
        embeddings,
        settings.filter_quality,
        settings.select_best,
        decisions,
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
    verdicts = selection.verdicts(comparisons)
    penalties = selection.parameters.person_penalties
    return [
        _add_verdict(record, verdict, reason, penalties)
        for record, verdict, reason in zip(
            records, verdicts, explain(selection, verdicts), strict=True
        )
    ]


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
    )


def file_facts(record: ImageRecord) -> FileFacts:
    """What a record knows of its file.

    A capture time counts only if the camera wrote it: copies have others by their names and edits.
    """
    is_original = "DateTimeOriginal" in record.capture_time_source
    return FileFacts(
        record.width_px,
        record.height_px,
        record.size_bytes,
        record.capture_time if is_original else "",
        bool(record.camera),
    )


def _add_verdict(
    record: ImageRecord, verdict: Verdict, reason: str, penalties: PersonPenalties
) -> ImageRecord:
    worst = verdict.worst
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
    )
