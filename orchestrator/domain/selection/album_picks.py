"""Applies goals that concern the whole album to the picks of its moments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from orchestrator.domain.goal import Coverage, Entrant, spread
from orchestrator.domain.moments.capture_time import capture_seconds
from orchestrator.domain.people.everybody import GroupShot, bring_in, find_missing
from orchestrator.domain.people.persons import Persons, find_familiar
from orchestrator.domain.photo import Candidate, Reason
from orchestrator.domain.scoring import find_shown, read_signs
from orchestrator.domain.selection.eligibility import Eligibility
from orchestrator.domain.selection.parameters import SelectionParameters
from orchestrator.domain.selection.verdict import Verdict

_LEFT_OUT_FOR_BETTER = (
    Reason.LOWER_SCORE,
    Reason.LOST_COMPARISON,
    Reason.DUPLICATE,
    Reason.BELOW_MIN_SCORE,
    Reason.TOO_SIMILAR,
    Reason.NOT_BETTER_ENOUGH,
    Reason.IN_SET,
)
_KEPT_IN_ANY_CASE = (Reason.USER_KEEP, Reason.OWNER_KEEP, Reason.CONTENT_KEPT)


@dataclass(frozen=True, slots=True)
class AlbumPicker:
    """The rules for goals that concern the whole album.

    Attributes:
        candidates: The photos of the album.
        eligibility: Which photos may be picked.
        parameters: Rules of the selection.
        persons: The persons in the photos, by id.
    """

    candidates: Sequence[Candidate]
    eligibility: Eligibility
    parameters: SelectionParameters
    persons: Persons

    def apply_goal(self, judged: Sequence[Sequence[Verdict]]) -> Sequence[Sequence[Verdict]]:
        """Returns the verdicts of all moments, changed to meet the goal for the album."""
        if self.parameters.goal.is_counted:
            return self._reduce_to_count(judged)
        if self.parameters.goal.pick == "everybody":
            return self._bring_everybody_in(judged)
        return judged

    def _reduce_to_count(self, judged: Sequence[Sequence[Verdict]]) -> list[list[Verdict]]:
        """Reduces the photos that the moments offer to the number requested."""
        candidates = {candidate.path: candidate for candidate in self.candidates}
        queues = [
            [
                self._enter(candidates[verdict.path], verdict)
                for verdict in moment
                if verdict.is_selected and verdict.reason is not Reason.SELECTED_WITH_SET
            ]
            for moment in judged
        ]
        coverages = spread(queues, self.parameters.goal.find_count(len(self.candidates)))
        return [
            _cover(moment, queue, coverages, candidates)
            for moment, queue in zip(judged, queues, strict=True)
        ]

    def find_missing(self, verdicts: Sequence[Verdict]) -> list[str]:
        """Finds the persons whom no pick shows, because none of their photos may be picked."""
        if self.parameters.goal.pick != "everybody":
            return []
        return find_missing(self._find_group_shots(verdicts), {})

    def _bring_everybody_in(self, judged: Sequence[Sequence[Verdict]]) -> list[list[Verdict]]:
        """Adds picks to include a good one of everybody."""
        verdicts = [verdict for moment in judged for verdict in moment]
        found = bring_in(self._find_group_shots(verdicts), self.persons)
        return [
            [
                replace(
                    verdict,
                    is_selected=True,
                    reason=Reason.SELECTED_FOR_PERSON,
                    lost_to=None,
                    similarity=None,
                    probability=None,
                    brought_in=found[verdict.path],
                )
                if verdict.path in found
                else verdict
                for verdict in moment
            ]
            for moment in judged
        ]

    def _find_group_shots(self, verdicts: Sequence[Verdict]) -> list[GroupShot]:
        """Lists the photos with the persons whom the goal concerns."""
        known = {candidate.path: candidate for candidate in self.candidates}
        ids = {candidate.path: candidate.person_ids for candidate in self.candidates}
        familiar = find_familiar(ids.values(), self.persons)
        return [
            self._find_group_shot(known[verdict.path], verdict, familiar) for verdict in verdicts
        ]

    def _find_group_shot(
        self, candidate: Candidate, verdict: Verdict, familiar: frozenset[str]
    ) -> GroupShot:
        signs = read_signs(candidate.faces, self.parameters.person_penalties)
        well_shown = {
            person
            for person, face in zip(candidate.person_ids, signs, strict=False)
            if person in familiar and face.is_prominent and face.eyes != "closed"
        }
        return GroupShot(
            path=verdict.path,
            score=verdict.composite_score,
            people=find_shown(candidate.faces, candidate.person_ids, familiar),
            well_shown=frozenset(
                well_shown if self.eligibility.find_fault(candidate) is None else ()
            ),
            is_picked=verdict.is_selected,
            may_be_picked=verdict.reason in _LEFT_OUT_FOR_BETTER,
        )

    def _enter(self, candidate: Candidate, verdict: Verdict) -> Entrant:
        is_kept = verdict.reason in _KEPT_IN_ANY_CASE
        return Entrant(
            candidate.path,
            verdict.composite_score,
            capture_seconds(candidate.file.capture_time),
            is_kept=is_kept,
            is_faulty=not is_kept and self.eligibility.find_fault(candidate) is not None,
        )


def _cover(
    moment: Sequence[Verdict],
    queue: Sequence[Entrant],
    coverages: Mapping[str, Coverage],
    candidates: Mapping[str, Candidate],
) -> list[Verdict]:
    """Completes the verdicts of a moment with the outcome for the whole album."""
    picked = [one.path for one in queue if coverages[one.path].place is not None]
    leaders: dict[int, str] = {}
    for one in queue:
        own = candidates[one.path].frame_set
        if own is not None:
            leaders.setdefault(own.number, one.path)

    def cover(verdict: Verdict) -> Verdict:
        coverage = coverages.get(verdict.path)
        if coverage is None and verdict.reason is Reason.SELECTED_WITH_SET:
            own = candidates[verdict.path].frame_set
            leader = leaders.get(own.number) if own is not None else None
            if leader is None or coverages[leader].place is not None:
                return verdict
            coverage = replace(coverages[leader], ahead=leader)
        if coverage is None or coverage.place is not None:
            return replace(verdict, coverage=coverage)
        return replace(
            verdict,
            is_selected=False,
            reason=Reason.BEYOND_GOAL,
            lost_to=coverage.ahead or (picked[0] if picked else None),
            similarity=None,
            coverage=coverage,
        )

    return [cover(verdict) for verdict in moment]
