"""The photos of a moment with the scores by which they are ranked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from orchestrator.domain.moments.parameters import NOISE
from orchestrator.domain.people.persons import Persons
from orchestrator.domain.photo import Candidate
from orchestrator.domain.scoring import (
    WorstFace,
    composite_score,
    find_judged,
    find_shown,
    person_penalty,
    take_judged,
    worst_face,
)
from orchestrator.domain.selection.parameters import SelectionParameters


@dataclass(frozen=True, slots=True)
class Shot:
    """A photo of a moment, scored.

    Attributes:
        index: Its row among the candidates.
        candidate: The photo.
        worst: Worst face scores, weighted by face size; None without faces.
        penalty: Penalty for the faults of its faces, 0 or below.
        composite: The score by which it is ranked.
        judged: The faces that count; see `find_judged`.
    """

    index: int
    candidate: Candidate
    worst: WorstFace | None
    penalty: float
    composite: float
    judged: tuple[int, ...]

    @property
    def path(self) -> str:
        """Path of the photo."""
        return self.candidate.path


def by_score(photo: Shot) -> tuple[float, str]:
    """Returns a key that sorts the best first."""
    return -photo.composite, photo.path


def score_moments(
    candidates: Sequence[Candidate], parameters: SelectionParameters, persons: Persons
) -> list[list[Shot]]:
    """Scores the photos and groups them by cluster; each noise photo is its own moment."""
    moments: dict[tuple[int, str], list[int]] = {}
    for index, candidate in enumerate(candidates):
        key = (candidate.cluster_id, candidate.path if candidate.cluster_id == NOISE else "")
        moments.setdefault(key, []).append(index)
    return [
        _score({row: candidates[row] for row in moments[key]}, parameters, persons)
        for key in sorted(moments)
    ]


def _score(
    moment: Mapping[int, Candidate], parameters: SelectionParameters, persons: Persons
) -> list[Shot]:
    """Scores the photos of a moment, which are given by row."""
    penalties, weights = parameters.person_penalties, parameters.quality_weights
    important = _find_important(moment.values(), persons)
    found = []
    for index, candidate in moment.items():
        judged = find_judged(candidate.faces, candidate.person_ids, important)
        counting = take_judged(candidate.faces, judged)
        worst = worst_face(counting, penalties.prominent_face_ratio)
        penalty = person_penalty(worst, penalties)
        composite = composite_score(candidate.quality, weights, penalty)
        found.append(Shot(index, candidate, worst, penalty, composite, judged))
    return found


def _find_important(moment: Iterable[Candidate], persons: Persons) -> frozenset[str]:
    """Finds the important persons in a moment."""
    important = {key for key, person in persons.items() if person.is_important}
    shown = (find_shown(one.faces, one.person_ids, important) for one in moment)
    return frozenset().union(*shown) if important else frozenset()
