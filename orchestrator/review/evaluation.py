"""`bestshot evaluate`: compares the algorithm's choices with the user's decisions."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from orchestrator.config import PipelineSettings
from orchestrator.domain.decisions import UserDecisions
from orchestrator.domain.photo import Decision
from orchestrator.domain.selection.ranking import MAX_COMPARED_COUNT
from orchestrator.domain.selection.selection import Selection
from orchestrator.domain.selection.verdict import Comparisons
from orchestrator.domain.wording import pluralize
from orchestrator.ports import FeatureCache
from orchestrator.records import ImageRecord, Run, check_completed
from orchestrator.runs.recorded_settings import read_settings
from orchestrator.runs.selection import add_verdicts, build_selection
from orchestrator.runs.stored_features import read_comparisons, read_embeddings
from orchestrator.storage.decision_log import SqlDecisionLog
from orchestrator.storage.run_store import SqlRunStore
from services.common.errors import FailedPreconditionError


@dataclass(frozen=True, slots=True)
class Counts:
    """Counts of decided photos by the user's decision and the algorithm's own choice."""

    kept_selected: int = 0
    kept_missed: int = 0
    rejected_selected: int = 0
    rejected_left: int = 0

    @property
    def total(self) -> int:
        """All decided photos."""
        return self.agreed + self.kept_missed + self.rejected_selected

    @property
    def agreed(self) -> int:
        """Photos on which the algorithm and the user agree."""
        return self.kept_selected + self.rejected_left

    @property
    def agreement(self) -> float:
        """Share of decisions on which the two agree, 0 to 1."""
        return self.agreed / self.total

    @property
    def precision(self) -> float | None:
        """Share of the algorithm's picks, among the decided photos, that the user kept."""
        selected = self.kept_selected + self.rejected_selected
        return self.kept_selected / selected if selected else None

    @property
    def recall(self) -> float | None:
        """Share of the photos kept by the user that the algorithm would pick."""
        kept = self.kept_selected + self.kept_missed
        return self.kept_selected / kept if kept else None

    def __add__(self, other: Counts) -> Counts:
        mine, theirs = dataclasses.astuple(self), dataclasses.astuple(other)
        return Counts(*(a + b for a, b in zip(mine, theirs, strict=True)))


@dataclass(frozen=True)
class DecidedMoments:
    """The moments that contain decided photos, for selecting again without the decisions.

    Attributes:
        records: Their photos.
        selection: The selection over these records, without decisions.
        comparisons: All known comparisons within a moment.
        decisions: Photos that the user keeps or rejects, by content digest.
    """

    records: list[ImageRecord]
    selection: Selection
    comparisons: Comparisons
    decisions: Mapping[str, Decision]

    def take(self, moments: Collection[str]) -> DecidedMoments:
        """Returns some of the moments."""
        rows = [row for row, record in enumerate(self.records) if moment_key(record) in moments]
        return dataclasses.replace(
            self, records=[self.records[row] for row in rows], selection=self.selection.take(rows)
        )

    def moments(self) -> list[str]:
        """Lists the keys of the moments, in order."""
        return sorted({moment_key(record) for record in self.records})


@dataclass(frozen=True)
class Evaluation:
    """A run compared with the user's decisions.

    Attributes:
        counts: Counts of the decided photos.
        disagreements: Photos with the algorithm's own result, each with the user's decision.
        corrected_count: Photos whose moment the user changed.
        moments_agreement: Adjusted Rand index between the algorithm's moments and the user's,
            over all photos in the run; 1 = identical.
    """

    counts: Counts
    disagreements: list[tuple[ImageRecord, Decision]]
    corrected_count: int
    moments_agreement: float


def evaluate(store: SqlRunStore, log: SqlDecisionLog, cache: FeatureCache, run: Run) -> Evaluation:
    """Compares the user's decisions with what the algorithm would pick without them.

    Raises:
        FailedPreconditionError: The run is not completed, or there are no decisions on its photos.
    """
    check_completed(run, "evaluated")
    records = [record for record in store.images(run.id) if record.is_readable]
    user = UserDecisions.from_log(log.entries(run.album_id))
    if not user.corrections and not any(record.content_digest in user.photos for record in records):
        raise FailedPreconditionError(
            f"no decisions on the photos of run {run.id}; keep or reject some first, in the web UI "
            "or with `bestshot keep` and `bestshot reject`"
        )
    by_algorithm = [
        dataclasses.replace(record, cluster_id=record.machine_cluster_id) for record in records
    ]
    decided = find_decided_moments(cache, run, by_algorithm, user.photos, read_settings(run))
    selected = add_verdicts(decided.records, decided.selection, decided.comparisons)
    return Evaluation(
        counts=count_agreement(
            [(record.content_digest, record.is_selected) for record in selected], user.photos
        ),
        disagreements=list(_disagreements(selected, user.photos)),
        corrected_count=sum(record.cluster_id != record.machine_cluster_id for record in records),
        moments_agreement=_rand_index(records),
    )


def find_decided_moments(
    cache: FeatureCache,
    run: Run,
    records: Sequence[ImageRecord],
    decisions: Mapping[str, Decision],
    settings: PipelineSettings,
) -> DecidedMoments:
    """Gathers the moments that contain decided photos, or all moments if the goal is album-wide."""
    is_album_wide = settings.select_best.goal.is_album_wide
    moments = {
        moment_key(record)
        for record in records
        if is_album_wide or record.content_digest in decisions
    }
    found = [record for record in records if moment_key(record) in moments]
    by_moment: dict[str, list[str]] = {}
    # which photos tie depends on the settings, but in a large moment only the best scores matter
    for record in sorted(found, key=lambda record: -(record.composite_score or 0.0)):
        paths = by_moment.setdefault(moment_key(record), [])
        if len(paths) < 2 * MAX_COMPARED_COUNT:
            paths.append(record.path)
    pairs = [pair for paths in by_moment.values() for pair in combinations(sorted(paths), 2)]
    digests = {record.path: record.content_digest for record in found}
    embeddings = read_embeddings(cache, run, found)
    return DecidedMoments(
        records=found,
        selection=build_selection(found, embeddings, settings, {}),
        comparisons=read_comparisons(cache, run, pairs, digests),
        decisions=decisions,
    )


def count_under(decided: DecidedMoments, settings: PipelineSettings) -> Counts:
    """Counts how often the algorithm would agree with the decisions under other settings."""
    selection = dataclasses.replace(
        decided.selection, filters=settings.filter_quality, parameters=settings.select_best
    )
    verdicts = selection.verdicts(decided.comparisons)
    selected = [
        (record.content_digest, verdict.is_selected)
        for record, verdict in zip(decided.records, verdicts, strict=True)
    ]
    return count_agreement(selected, decided.decisions)


def count_agreement(
    selected: Iterable[tuple[str, bool]], decisions: Mapping[str, Decision]
) -> Counts:
    """Counts decided photos by decision and selection; each copy of a file counts separately.

    Args:
        selected: Content digest of each photo, and whether it would be selected.
        decisions: Photos that the user keeps or rejects, by content digest.
    """
    total = Counts()
    for content_digest, is_selected in selected:
        match decisions.get(content_digest), is_selected:
            case Decision.KEEP, True:
                total += Counts(kept_selected=1)
            case Decision.KEEP, False:
                total += Counts(kept_missed=1)
            case Decision.REJECT, True:
                total += Counts(rejected_selected=1)
            case Decision.REJECT, False:
                total += Counts(rejected_left=1)
    return total


def moment_key(record: ImageRecord) -> str:
    """Returns a name for a photo's moment that is unique within its run."""
    is_single = record.cluster_id is None or record.cluster_id < 0
    return record.path if is_single else f"{record.cluster_id}"


def evaluation_lines(found: Evaluation) -> Iterator[str]:
    """Yields an evaluation as readable lines."""
    counts = found.counts
    if counts.total:
        yield (
            f"agreement  {counts.agreement:.2f}  the algorithm agrees with you on {counts.agreed} "
            f"of {pluralize(counts.total, 'decision')}"
        )
        if counts.precision is not None:
            selected = counts.kept_selected + counts.rejected_selected
            yield (
                f"precision  {counts.precision:.2f}  you kept {counts.kept_selected} of its "
                f"{pluralize(selected, 'pick')}"
            )
        if counts.recall is not None:
            kept = counts.kept_selected + counts.kept_missed
            yield (
                f"recall     {counts.recall:.2f}  it picks {counts.kept_selected} of the "
                f"{pluralize(kept, 'photo')} that you kept"
            )
    yield (
        f"moments    {found.moments_agreement:.2f}  adjusted Rand index between its moments and "
        f"yours; you changed the moment of {pluralize(found.corrected_count, 'photo')}"
    )
    for record, decision in found.disagreements:
        yield f"  you {decision.past_tense} {record.path}. {record.reason}"


def _disagreements(
    selected: Sequence[ImageRecord], decisions: Mapping[str, Decision]
) -> Iterator[tuple[ImageRecord, Decision]]:
    for record in selected:
        decision = decisions.get(record.content_digest)
        if decision is not None and record.is_selected != (decision is Decision.KEEP):
            yield record, decision


def _rand_index(records: Sequence[ImageRecord]) -> float:
    from sklearn.metrics import adjusted_rand_score  # takes a second to load

    found = [
        moment_key(dataclasses.replace(record, cluster_id=record.machine_cluster_id))
        for record in records
    ]
    return float(adjusted_rand_score([moment_key(record) for record in records], found))
