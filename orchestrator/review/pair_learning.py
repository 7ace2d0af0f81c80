"""Pairs to ask the user about, and the weights that the answers suggest."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from orchestrator.config import PipelineSettings
from orchestrator.domain.decisions import DecisionAction, DecisionEntry, answers_in
from orchestrator.domain.photo import Reason
from orchestrator.domain.preferences import (
    FAULTS,
    MIN_ANSWER_COUNT,
    MIN_MOMENT_COUNT,
    Choice,
    WeightProposal,
    propose_weights,
)
from orchestrator.domain.scoring import score_terms, take_judged, worst_face
from orchestrator.domain.sets import SetKind
from orchestrator.domain.uncertain_pairs import Shot, choose_pairs
from orchestrator.domain.wording import pluralize
from orchestrator.records import ImageRecord, Run, check_completed
from orchestrator.review.evaluation import moment_key
from orchestrator.runs.recorded_settings import read_settings
from orchestrator.storage.decision_log import SqlDecisionLog
from orchestrator.storage.run_store import SqlRunStore

_UNUSABLE = (
    Reason.MISFIRE,
    Reason.DAMAGED,
    Reason.BLURRED,
    Reason.LOW_IQA,
    Reason.CONTENT_EXCLUDED,
    Reason.CONTENT_KEPT,
    Reason.COPY,
    Reason.VERSION,
    Reason.SELECTED_VERSION,
)
"""Reasons of photos that do not compete to be a moment's best shot."""
LIKELY_CHANCE = 0.05
_KEYS = {
    "iqa": "select_best.quality_weights.iqa",
    "ava": "select_best.quality_weights.ava",
    **{name: f"select_best.person_penalties.{name}" for name in FAULTS},
}
_WORDS = {
    "iqa": "technical quality counts",
    "ava": "aesthetics count",
    "eyes_closed": "closed eyes cost",
    "face_turned": "a face turned away costs",
    "not_smiling": "a missing smile costs",
}


@dataclass(frozen=True)
class AskedPair:
    """A pair to show, and the probability, according to the algorithm, that `left` is better."""

    left: ImageRecord
    right: ImageRecord
    left_better_probability: float


@dataclass(frozen=True)
class AskedPairs:
    """The pairs in a run that are left to show, in order, and the counts of answers so far."""

    pairs: list[AskedPair]
    choice_count: int
    unsure_count: int


@dataclass(frozen=True)
class LearnedWeights:
    """What the answers about an album say about a run's weights.

    Attributes:
        found: The proposal.
        unsure_count: Answers that say "cannot tell"; the fit leaves them out.
        missing_count: Choices between photos that are not in the run; the fit leaves them out.
    """

    found: WeightProposal
    unsure_count: int
    missing_count: int

    @property
    def changes(self) -> dict[str, tuple[float, float]]:
        """Current and proposed values of the settings that change, by dotted key."""
        before, after = self.found.before, self.found.after
        return {
            key: (before[name], after[name])
            for name, key in _KEYS.items()
            if before[name] != after[name]
        }


def ask_pairs(store: SqlRunStore, log: SqlDecisionLog, run: Run) -> AskedPairs:
    """Lists the pairs of a run that the user has not answered yet; see `choose_pairs`.

    Raises:
        FailedPreconditionError: The run is not completed.
    """
    check_completed(run, "learned from")
    settings = read_settings(run)
    records = {record.path: record for record in store.images(run.id)}
    answers = answers_in(log.entries(run.album_id))
    shots = [_shot(record, settings) for record in records.values() if _is_usable(record)]
    pairs = choose_pairs(
        shots,
        store.all_comparisons(run.id),
        {frozenset(answer.content_digests) for answer in answers},
        settings.select_best.siamese.tiebreaker_range,
    )
    unsure_count = _count_unsure(answers)
    return AskedPairs(
        [
            AskedPair(
                records[pair.left.path], records[pair.right.path], pair.left_better_probability
            )
            for pair in pairs
        ],
        len(answers) - unsure_count,
        unsure_count,
    )


def learn_weights(store: SqlRunStore, log: SqlDecisionLog, run: Run) -> LearnedWeights:
    """Proposes weights that predict the user's choices better than the run's; changes nothing.

    Raises:
        FailedPreconditionError: The run is not completed.
    """
    check_completed(run, "learned from")
    settings = read_settings(run)
    answers = answers_in(log.entries(run.album_id))
    named = {digest for answer in answers for digest in answer.content_digests}
    shots = {
        record.content_digest: _shot(record, settings)
        for record in store.images(run.id)
        if record.is_readable and record.content_digest in named
    }
    preferences = [answer for answer in answers if answer.action is DecisionAction.PREFER]
    choices = [
        Choice(shots[chosen].moment, shots[chosen].terms, shots[other].terms)
        for chosen, other in (answer.content_digests for answer in preferences)
        if chosen in shots and other in shots
    ]
    penalties = settings.select_best.person_penalties
    current = {
        "iqa": settings.select_best.quality_weights.iqa,
        "ava": settings.select_best.quality_weights.ava,
        **{name: getattr(penalties, name) for name in FAULTS},
    }
    found = propose_weights(choices, current, penalties.max_penalty)
    return LearnedWeights(found, _count_unsure(answers), len(preferences) - len(choices))


def learning_lines(learned: LearnedWeights) -> Iterator[str]:
    """Yields what was learned as readable lines."""
    found = learned.found
    skipped = [f"{learned.unsure_count} times you could not tell"] if learned.unsure_count else []
    if learned.missing_count:
        skipped.append(f"{pluralize(learned.missing_count, 'choice')} between other photos")
    rest = f" (not counted: {', '.join(skipped)})" if skipped else ""
    counted = (
        f"{pluralize(found.choice_count, 'choice')} in {pluralize(found.moment_count, 'moment')}"
    )
    if not found.is_enough:
        yield f"Too few answers to learn from: {counted}{rest}."
        yield (
            f"At least {MIN_ANSWER_COUNT} choices in {MIN_MOMENT_COUNT} moments are needed; with "
            "fewer, a single answer would change the figures too much."
        )
        return
    yield f"{counted}{rest}. The current weights predict {found.predicted_before} of them."
    if not found.is_better:
        yield (
            "Nothing to gain: weights fitted to your answers in other moments predict "
            f"{found.held_out} of {found.choice_count} (cross-validated)."
        )
        return
    yield (
        f"Weights fitted to your answers in other moments predict {found.held_out} of "
        f"{found.choice_count} (cross-validated in {found.fold_count} parts)."
    )
    if found.chance > LIKELY_CHANCE:
        yield "A gain this small may be chance; more answers would tell."
    yield from map(_capitalize, describe_changes(found))


def describe_changes(found: WeightProposal) -> Iterator[str]:
    """Describes each change in words, for example "closed eyes cost more: 0.15 to 0.18"."""
    for name, words in _WORDS.items():
        before, after = abs(found.before[name]), abs(found.after[name])
        if before != after:
            yield f"{words} {'more' if after > before else 'less'}: {before:.2f} to {after:.2f}"


def describe_profile(learned: LearnedWeights) -> str:
    """Describes the proposal as the purpose of a profile; empty if nothing is proposed."""
    found = learned.found
    if not found.is_better:
        return ""
    return (
        f"Learned from {pluralize(found.choice_count, 'choice')} between two shots; predicts "
        f"{found.held_out} of them when they are left out of the fit, instead of "
        f"{found.predicted_before}."
    )


def _capitalize(words: str) -> str:
    return f"{words[0].upper()}{words[1:]}."


def _count_unsure(answers: Sequence[DecisionEntry]) -> int:
    return sum(answer.action is DecisionAction.UNSURE for answer in answers)


def _is_usable(record: ImageRecord) -> bool:
    is_derived = bool(record.alterations or record.version_of_path)
    return record.is_readable and record.reason_code not in _UNUSABLE and not is_derived


def _shot(record: ImageRecord, settings: PipelineSettings) -> Shot:
    assert record.quality is not None
    assert record.composite_score is not None
    penalties = settings.select_best.person_penalties
    counting = take_judged(record.faces, record.judged_faces)
    worst = worst_face(counting, penalties.prominent_face_ratio)
    # the frames of a burst compete with each other; those of other sets belong together
    is_set = record.set_kind not in ("", SetKind.BURST)
    return Shot(
        path=record.path,
        content_digest=record.content_digest,
        moment=moment_key(record),
        terms=score_terms(record.quality, worst, penalties),
        composite=record.composite_score,
        kin=f"{record.set_kind} {record.set_id}" if is_set else "",
    )
