"""`bestshot tune`: proposes selection settings that fit the user's decisions better."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import yaml

from orchestrator.config import PipelineSettings
from orchestrator.domain.goal import BEST_OF_MOMENTS
from orchestrator.domain.preferences import MIN_MOMENT_COUNT, split_folds
from orchestrator.domain.wording import pluralize
from orchestrator.ports import FeatureCache
from orchestrator.records import Run, check_completed
from orchestrator.review.evaluation import (
    Counts,
    DecidedMoments,
    count_under,
    find_decided_moments,
)
from orchestrator.runs.recorded_settings import read_settings
from orchestrator.storage.decision_log import SqlDecisionLog
from orchestrator.storage.run_store import SqlRunStore
from services.common.config.layers import merge, tree_of
from services.common.errors import FailedPreconditionError

MIN_DECISION_COUNT = 10
"""With fewer decisions, or decisions in fewer than MIN_MOMENT_COUNT moments, a fit would be
meaningless."""

Values = Mapping[str, float]
"""Values of settings by dotted key."""

CANDIDATES: dict[str, tuple[float, ...]] = {
    "select_best.quality_weights.iqa": tuple(step / 10 for step in range(11)),
    "select_best.min_score_threshold": tuple(step / 20 for step in range(17)),
    "select_best.max_images_per_cluster": (1, 2, 3, 4, 6),
    "select_best.dissimilarity_threshold": (0.7, 0.75, 0.8, 0.85, 0.9, 0.95),
    "select_best.person_penalties.eyes_closed": (0.0, -0.05, -0.1, -0.15, -0.25, -0.4),
    "select_best.person_penalties.face_turned": (0.0, -0.05, -0.1, -0.2, -0.3),
    "select_best.person_penalties.not_smiling": (0.0, -0.05, -0.1, -0.2, -0.3),
    "select_best.siamese.tiebreaker_range": (0.0, 0.02, 0.05, 0.1),
    "filter_quality.min_iqa_score": tuple(step / 20 for step in range(13)),
    "filter_quality.min_sharpness": tuple(step / 20 for step in range(11)),
}
"""Values to try for each setting, in addition to the one in force."""
_WEIGHT, _COUNTER_WEIGHT = "select_best.quality_weights.iqa", "select_best.quality_weights.ava"


@dataclass(frozen=True)
class Proposal:
    """Settings that fit better, and the evidence for them.

    Attributes:
        before: Current values of the settings that would change.
        after: Proposed values; empty if nothing fits better.
        fit_before: Counts over all decisions under the settings in force.
        fit_after: Counts over all decisions, to which the proposal was fitted.
        held_out: Counts over decisions that the fit did not use, summed over the folds.
        fold_count: Number of folds.
    """

    before: Values
    after: Values
    fit_before: Counts
    fit_after: Counts
    held_out: Counts
    fold_count: int

    @property
    def is_better(self) -> bool:
        """Whether it also does better on decisions that it was not fitted to."""
        return bool(self.after) and self.held_out.agreed > self.fit_before.agreed


def tune(store: SqlRunStore, log: SqlDecisionLog, cache: FeatureCache, run: Run) -> Proposal:
    """Fits the selection settings to the user's decisions; changes nothing.

    Coordinate ascent on the agreement, starting from the settings in force, over `CANDIDATES`.
    Photos are grouped into moments as corrected by the user. Folds never split a moment. A goal for
    the whole album is ignored, because the fit is about choices within moments.

    Raises:
        FailedPreconditionError: The run is not completed, or there are too few decisions.
    """
    check_completed(run, "tuned")
    decisions = log.decisions(run.album_id)
    records = [record for record in store.images(run.id) if record.is_readable]
    decided = find_decided_moments(cache, run, records, decisions, _read_settings(run))
    count = sum(record.content_digest in decisions for record in decided.records)
    moments = decided.moments()
    if count < MIN_DECISION_COUNT or len(moments) < MIN_MOMENT_COUNT:
        raise FailedPreconditionError(
            f"need at least {MIN_DECISION_COUNT} decisions in {MIN_MOMENT_COUNT} moments to tune; "
            f"this run has {pluralize(count, 'decision')} in {pluralize(len(moments), 'moment')}"
        )
    return propose(decided, run)


def propose(decided: DecidedMoments, run: Run) -> Proposal:
    """Fits settings to decided photos, and cross-validates the fit."""
    settings = _read_settings(run)
    in_force = {key: _value(settings, key) for key in CANDIDATES}
    moments = decided.moments()
    folds = split_folds(moments)
    held_out = Counts()
    for tested in folds:
        fitted = _fit(decided.take(set(moments) - tested), run, in_force)
        held_out += _counts(decided.take(tested), run, fitted)
    found = _fit(decided, run, in_force)
    changed = {key: value for key, value in found.items() if value != in_force[key]}
    return Proposal(
        before={key: in_force[key] for key in changed},
        after=changed,
        fit_before=_counts(decided, run, in_force),
        fit_after=_counts(decided, run, found),
        held_out=held_out,
        fold_count=len(folds),
    )


def overrides_of(values: Values) -> dict[str, Any]:
    """Nests settings as in pipeline.yaml; the quality weights add up to 1."""
    whole = dict(values)
    if _WEIGHT in whole:
        whole[_COUNTER_WEIGHT] = round(1.0 - whole[_WEIGHT], 6)
    return merge(tree_of(key.split("."), value) for key, value in whole.items())


def proposal_lines(found: Proposal) -> Iterator[str]:
    """Yields a proposal as readable lines."""
    total = found.fit_before.total
    yield f"current settings: agree with {found.fit_before.agreed} of {total} decisions"
    if not found.after:
        yield "nothing to propose: none of the settings tried agrees with more of them"
        return
    yield (
        f"proposed settings: agree with {found.fit_after.agreed}, measured on the decisions that "
        f"they were fitted to"
    )
    yield (
        f"cross-validation: settings fitted to other decisions agree with {found.held_out.agreed} "
        f"({found.fold_count} folds, split by moment)"
    )
    for key, value in found.after.items():
        yield f"  {key}: {found.before[key]:g} -> {value:g}"
    if found.is_better:
        yield "nothing has been changed; --out FILE saves this for `bestshot curate --config FILE`"
    else:
        yield "not recommended: no improvement on decisions that were left out of the fit"


def proposal_yaml(found: Proposal) -> str:
    """Writes the proposal as a file for `--config`."""
    head = (
        f"# Proposed by `bestshot tune`: agrees with {found.fit_after.agreed} of "
        f"{found.fit_after.total} decisions, to which it was fitted\n"
        f"# (settings of the run: {found.fit_before.agreed}, cross-validated: "
        f"{found.held_out.agreed}).\n"
    )
    return head + str(yaml.safe_dump(overrides_of(found.after), sort_keys=False))


def _fit(decided: DecidedMoments, run: Run, start: Values) -> dict[str, float]:
    """Changes one setting at a time, as long as that increases the number of agreements."""
    best = dict(start)
    agreed = _counts(decided, run, best).agreed
    is_improved = True
    while is_improved:
        is_improved = False
        for key, candidates in CANDIDATES.items():
            for value in _sort_nearest_first(candidates, start[key]):
                trial = {**best, key: value}
                now = _counts(decided, run, trial).agreed
                if now > agreed:
                    best, agreed, is_improved = trial, now, True
    return best


def _sort_nearest_first(candidates: Sequence[float], value: float) -> list[float]:
    """Sorts candidates so that, of equally good values, the smallest change wins."""
    return sorted(candidates, key=lambda candidate: (abs(candidate - value), candidate))


def _counts(decided: DecidedMoments, run: Run, values: Values) -> Counts:
    in_force = _read_settings(run)
    changed = {key: value for key, value in values.items() if value != _value(in_force, key)}
    return count_under(decided, _read_settings(run, changed) if changed else in_force)


def _read_settings(run: Run, values: Values = MappingProxyType({})) -> PipelineSettings:
    """Reads a run's settings, overridden by `values`, without a goal for the whole album."""
    settings = read_settings(run, overrides_of(values))
    if not settings.select_best.goal.is_album_wide:
        return settings
    rules = replace(settings.select_best, goal=BEST_OF_MOMENTS)
    return settings.model_copy(update={"select_best": rules})


def _value(settings: PipelineSettings, key: str) -> float:
    value: Any = settings
    for name in key.split("."):
        value = getattr(value, name)
    return value  # type: ignore[no-any-return]
