"""`bestshot evaluate`: what a run would have chosen by itself, against the user's decisions."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from orchestrator.config import PipelineSettings
from orchestrator.domain.decisions import corrections_in
from orchestrator.domain.photo import Decision
from orchestrator.domain.selection import MAX_COMPARED_COUNT
from orchestrator.ports import Embedding, FeatureCache
from orchestrator.records import ImageRecord, Run, check_completed
from orchestrator.review.reselection import stored_embeddings
from orchestrator.runs.pipeline import cached_comparisons, judge, verdicts_of
from orchestrator.runs.recorded_settings import stored_settings
from orchestrator.storage.decision_log import SqlDecisionLog
from orchestrator.storage.run_store import SqlRunStore
from services.common.errors import FailedPreconditionError

Comparisons = dict[tuple[str, str], float]


@dataclass(frozen=True, slots=True)
class Counts:
    """Decided photos, by what the user wants and what the machine would do."""

    kept_selected: int = 0
    kept_missed: int = 0
    rejected_selected: int = 0
    rejected_left: int = 0

    @property
    def total(self) -> int:
        """All of them."""
        return self.agreed + self.kept_missed + self.rejected_selected

    @property
    def agreed(self) -> int:
        """Those with which the machine would do what the user wants."""
        return self.kept_selected + self.rejected_left

    @property
    def agreement(self) -> float:
        """Share of `agreed`, 0 to 1."""
        return self.agreed / self.total

    @property
    def precision(self) -> float | None:
        """Of the decided photos that it would select, the share that the user keeps."""
        selected = self.kept_selected + self.rejected_selected
        return self.kept_selected / selected if selected else None

    @property
    def recall(self) -> float | None:
        """Of the photos that the user keeps, the share that it would select."""
        kept = self.kept_selected + self.kept_missed
        return self.kept_selected / kept if kept else None

    def __add__(self, other: Counts) -> Counts:
        mine, theirs = dataclasses.astuple(self), dataclasses.astuple(other)
        return Counts(*(a + b for a, b in zip(mine, theirs, strict=True)))


@dataclass(frozen=True)
class Decided:
    """Photos of the moments in which something was decided, and what it takes to judge them.

    Attributes:
        records: In their moments.
        embeddings: float32, (n, d), row i for record i.
        comparisons: All that are known among photos of one moment.
        decisions: The user's will by content digest.
    """

    records: list[ImageRecord]
    embeddings: Embedding
    comparisons: Comparisons
    decisions: Mapping[str, Decision]

    def part(self, moments: Sequence[str]) -> Decided:
        """The photos of some moments."""
        wanted = set(moments)
        rows = [row for row, record in enumerate(self.records) if moment_key(record) in wanted]
        return dataclasses.replace(
            self, records=[self.records[row] for row in rows], embeddings=self.embeddings[rows]
        )

    def moments(self) -> list[str]:
        """Keys of the moments, in order."""
        return sorted({moment_key(record) for record in self.records})


@dataclass(frozen=True)
class Evaluation:
    """A run against the user's decisions.

    Attributes:
        counts: Of the decided photos.
        disagreements: Photos, with the user's wish and the verdict the machine would have given.
        corrected_count: Photos of moments that the user corrected.
        moments_agreement: Adjusted Rand index of the machine's moments and the user's, over all
            photos of the run: 1 = the same.
    """

    counts: Counts
    disagreements: list[tuple[ImageRecord, Decision]]
    corrected_count: int
    moments_agreement: float


def evaluate(store: SqlRunStore, log: SqlDecisionLog, cache: FeatureCache, run: Run) -> Evaluation:
    """Judges a run's photos as if nothing had been decided, and compares.

    Raises:
        FailedPreconditionError: The run is not completed, or nothing was decided about its photos.
    """
    check_completed(run, "evaluated")
    records = [record for record in store.images(run.id) if record.is_readable]
    decisions = log.decisions(run.album_id)
    entries = log.entries(run.album_id)
    if not decisions.keys() & {record.content_digest for record in records} and not corrections_in(
        entries
    ):
        raise FailedPreconditionError(
            f"nothing was decided about photos of run {run.id}; keep and reject some in the UI"
        )
    by_machine = [
        dataclasses.replace(record, cluster_id=record.machine_cluster_id) for record in records
    ]
    decided = decided_photos(cache, run, by_machine, decisions)
    settings = stored_settings(run)
    judged = judge(decided.records, decided.embeddings, settings, decided.comparisons, {})
    return Evaluation(
        counts=counts_of(
            [(record.content_digest, record.is_selected) for record in judged], decisions
        ),
        disagreements=list(_disagreements(judged, decisions)),
        corrected_count=sum(record.cluster_id != record.machine_cluster_id for record in records),
        moments_agreement=_rand_index(records),
    )


def decided_photos(
    cache: FeatureCache,
    run: Run,
    records: Sequence[ImageRecord],
    decisions: Mapping[str, Decision],
) -> Decided:
    """Gathers the moments in which something was decided."""
    moments = {moment_key(record) for record in records if record.content_digest in decisions}
    found = [record for record in records if moment_key(record) in moments]
    by_moment: dict[str, list[str]] = {}
    # other settings tie other photos, but in a crowd only the best by score can matter much
    for record in sorted(found, key=lambda record: -(record.composite_score or 0.0)):
        paths = by_moment.setdefault(moment_key(record), [])
        if len(paths) < 2 * MAX_COMPARED_COUNT:
            paths.append(record.path)
    pairs = [pair for paths in by_moment.values() for pair in combinations(sorted(paths), 2)]
    digests = {record.path: record.content_digest for record in found}
    siamese = run.models.get("siamese", {}).get("digest", "")
    return Decided(
        records=found,
        embeddings=stored_embeddings(cache, run, found),
        comparisons=cached_comparisons(cache, pairs, digests, siamese),
        decisions=decisions,
    )


def counts_alone(decided: Decided, settings: PipelineSettings) -> Counts:
    """Counts what the machine would do under other settings, were nothing decided."""
    _, verdicts = verdicts_of(
        decided.records, decided.embeddings, settings, decided.comparisons, {}
    )
    selected = [
        (record.content_digest, verdict.is_selected)
        for record, verdict in zip(decided.records, verdicts, strict=True)
    ]
    return counts_of(selected, decided.decisions)


def counts_of(selected: Iterable[tuple[str, bool]], decisions: Mapping[str, Decision]) -> Counts:
    """Counts decided photos; copies of one file count each.

    Args:
        selected: Content digest of each photo, and whether it would be selected.
        decisions: The user's will by content digest.
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
    """Names a photo's moment within its run."""
    is_single = record.cluster_id is None or record.cluster_id < 0
    return record.path if is_single else f"{record.cluster_id}"


def evaluation_lines(found: Evaluation) -> Iterator[str]:
    """Yields an evaluation in lines for people."""
    counts = found.counts
    if counts.total:
        yield (
            f"agreement  {counts.agreement:.2f}  the machine alone does what you want with "
            f"{counts.agreed} of {counts.total} photos that you kept or rejected"
        )
        if counts.precision is not None:
            selected = counts.kept_selected + counts.rejected_selected
            yield (
                f"precision  {counts.precision:.2f}  of {selected} of them that it selects you "
                f"keep {counts.kept_selected}"
            )
        if counts.recall is not None:
            kept = counts.kept_selected + counts.kept_missed
            yield (
                f"recall     {counts.recall:.2f}  of {kept} that you keep it selects "
                f"{counts.kept_selected}"
            )
    yield (
        f"moments    {found.moments_agreement:.2f}  adjusted Rand index of its moments and yours; "
        f"{found.corrected_count} photos are in another one"
    )
    for record, wish in found.disagreements:
        yield f"  you {wish} {record.path}. {record.reason}"


def _disagreements(
    judged: Sequence[ImageRecord], decisions: Mapping[str, Decision]
) -> Iterator[tuple[ImageRecord, Decision]]:
    for record in judged:
        wish = decisions.get(record.content_digest)
        if wish is not None and record.is_selected != (wish is Decision.KEEP):
            yield record, wish


def _rand_index(records: Sequence[ImageRecord]) -> float:
    from sklearn.metrics import adjusted_rand_score  # takes a second to load

    machine = [
        moment_key(dataclasses.replace(record, cluster_id=record.machine_cluster_id))
        for record in records
    ]
    return float(adjusted_rand_score([moment_key(record) for record in records], machine))
