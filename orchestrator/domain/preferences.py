"""Learns the weights of the composite score from the user's choices between two shots.

A pairwise logistic model (Bradley and Terry, 1952): the probability that the user prefers a shot is
the logistic function of its lead in the composite score divided by `SCORE_SCALE`. The proposed
weights are the most probable ones, with a normal prior around the current weights.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import comb

import numpy as np
from numpy.typing import NDArray

from orchestrator.domain.scoring import FaceFault
from orchestrator.domain.uncertain_pairs import SCORE_SCALE

MIN_ANSWER_COUNT, MIN_MOMENT_COUNT = 20, 5
"""With fewer choices, a single one would change the share of correct predictions by more than 5
percentage points; with fewer moments, there would not be one for each fold."""
FOLD_COUNT = 5
QUALITY_SPREAD, PENALTY_SPREAD = 0.1, 0.05
"""Standard deviations of the prior: how far weights and penalties may move from the current ones.
Penalties may move less, because a single answer says more about a penalty. Heuristics."""
LARGEST_PENALTY = 0.4
DIGITS = 2
"""Number of decimal places to which weights are rounded, as a person would write them."""

WEIGHTS = ("iqa", "ava")
FAULTS = tuple(fault.value for fault in FaceFault)
TERMS = (*WEIGHTS, *FAULTS)
Weights = Mapping[str, float]
"""Values of the weights and penalties, by the names in `TERMS`."""


@dataclass(frozen=True, slots=True)
class Choice:
    """A shot that the user preferred to another one; terms are those of `score_terms`."""

    moment: str
    chosen: Mapping[str, float]
    other: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class WeightProposal:
    """Weights that predict the user's choices better, and the evidence for them.

    Attributes:
        before: The current weights.
        after: The proposed weights; equal to `before` if there are too few choices, or nothing to
            gain.
        choice_count: Number of choices that the fit uses.
        moment_count: Number of moments that the choices are from.
        predicted_before: Number of choices that the current weights predict.
        predicted_after: Number that the fitted weights predict, which is a training-set figure.
        held_out: Number predicted by weights that were fitted to choices in other moments.
        gained_count: Choices that only the weights fitted to other moments predict.
        lost_count: Choices that only the current weights predict.
        fold_count: Number of folds; 0 if there are too few choices.
    """

    before: Weights
    after: Weights
    choice_count: int
    moment_count: int
    predicted_before: int
    predicted_after: int = 0
    held_out: int = 0
    gained_count: int = 0
    lost_count: int = 0
    fold_count: int = 0

    @property
    def is_enough(self) -> bool:
        """Whether there are enough choices for a fit."""
        return self.fold_count > 0

    @property
    def is_better(self) -> bool:
        """Whether other weights are proposed."""
        return self.after != self.before

    @property
    def chance(self) -> float:
        """Probability of such a gain if both sets predicted equally well: a one-sided sign test."""
        total = self.gained_count + self.lost_count
        found = sum(comb(total, count) for count in range(self.gained_count, total + 1))
        return float(found / 2**total)


def propose_weights(
    choices: Sequence[Choice], current: Weights, max_penalty: float
) -> WeightProposal:
    """Fits weights to choices, and cross-validates the fit by moment.

    The fitted weights are proposed only if the cross-validated fits predict more choices than the
    current weights do.

    Args:
        choices: What the user preferred.
        current: The weights in force.
        max_penalty: The setting of that name.
    """
    moments = sorted({choice.moment for choice in choices})
    before = _predict(choices, current, max_penalty)
    found = WeightProposal(
        before=current,
        after=current,
        choice_count=len(choices),
        moment_count=len(moments),
        predicted_before=int(before.sum()),
    )
    if len(choices) < MIN_ANSWER_COUNT or len(moments) < MIN_MOMENT_COUNT:
        return found
    held_out = np.zeros(len(choices), np.bool_)
    for tested in split_folds(moments):
        is_tested = np.array([choice.moment in tested for choice in choices])
        used = [choice for choice, out in zip(choices, is_tested, strict=True) if not out]
        predicted = _predict(choices, fit_weights(used, current), max_penalty)
        held_out[is_tested] = predicted[is_tested]
    fitted = fit_weights(choices, current)
    is_better = held_out.sum() > before.sum()
    return WeightProposal(
        before=current,
        after=fitted if is_better else current,
        choice_count=len(choices),
        moment_count=len(moments),
        predicted_before=int(before.sum()),
        predicted_after=int(_predict(choices, fitted, max_penalty).sum()),
        held_out=int(held_out.sum()),
        gained_count=int((held_out & ~before).sum()),
        lost_count=int((before & ~held_out).sum()),
        fold_count=FOLD_COUNT,
    )


def split_folds(moments: Sequence[str]) -> list[set[str]]:
    """Splits moments into at most `FOLD_COUNT` parts of about the same size."""
    count = min(FOLD_COUNT, len(moments))
    return [set(moments[start::count]) for start in range(count)]


def fit_weights(choices: Sequence[Choice], current: Weights) -> dict[str, float]:
    """Fits the weights to choices: the maximum of the posterior, which is unique.

    The quality weights keep their sum, and stay between 0 and that sum; penalties stay between
    `-LARGEST_PENALTY` (or the current value, if that is lower) and 0.

    Returns:
        Rounded weights, by name.
    """
    # imported here, because a command that fits nothing should not wait for it
    from scipy.optimize import minimize

    total = current["iqa"] + current["ava"]
    leads = np.array([_leads(choice, total) for choice in choices]).reshape(-1, 2 + len(FAULTS))
    offsets, slopes = leads[:, 0], leads[:, 1:]
    start = np.array([current["iqa"], *(current[name] for name in FAULTS)])
    spreads = np.array([QUALITY_SPREAD, *(PENALTY_SPREAD for _ in FAULTS)])

    def cost(values: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        logits = (offsets + slopes @ values) / SCORE_SCALE
        moved = (values - start) / spreads
        missing = 1.0 / (1.0 + np.exp(np.clip(logits, -500, 500)))
        gradient = moved / spreads - missing @ slopes / SCORE_SCALE
        return float(np.logaddexp(0.0, -logits).sum() + moved @ moved / 2), gradient

    bounds = [
        (0.0, total),
        *((min(-LARGEST_PENALTY, current[name]), 0.0) for name in FAULTS),
    ]
    found = minimize(cost, start, jac=True, method="L-BFGS-B", bounds=bounds).x
    share, *penalties = map(_round, found, start)
    share = min(share, total)
    other = current["ava"] if share == current["iqa"] else round(total - share, 6)
    return {"iqa": share, "ava": other, **dict(zip(FAULTS, penalties, strict=True))}


def _leads(choice: Choice, total: float) -> list[float]:
    """Computes the chosen shot's lead, as an offset and a slope for each free weight.

    The aesthetic weight is not free: it is `total` less the technical one.
    """
    lead = {name: choice.chosen[name] - choice.other[name] for name in TERMS}
    return [total * lead["ava"], lead["iqa"] - lead["ava"], *(lead[name] for name in FAULTS)]


def _round(value: float, current: float) -> float:
    """Rounds a weight; keeps the current one if rounding would hide or reverse the change."""
    rounded = round(float(value), DIGITS) + 0.0  # never -0.0
    if abs(value - current) < 0.5 * 10**-DIGITS or (rounded - current) * (value - current) <= 0:
        return float(current)
    return rounded


def _predict(choices: Sequence[Choice], weights: Weights, max_penalty: float) -> NDArray[np.bool_]:
    """Whether each choice is predicted: the chosen shot has the higher composite score."""
    return np.array(
        [
            _score(choice.chosen, weights, max_penalty) > _score(choice.other, weights, max_penalty)
            for choice in choices
        ],
        np.bool_,
    )


def _score(terms: Mapping[str, float], weights: Weights, max_penalty: float) -> float:
    """Computes the composite score in the same way as `composite_score` and `person_penalty`."""
    quality, penalty = (
        sum(weights[name] * terms[name] for name in names) for names in (WEIGHTS, FAULTS)
    )
    return quality + max(penalty, max_penalty)
