"""Selects the best photos of each moment, with reasons, and lists the pairs to compare first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from orchestrator.domain.people.persons import Persons
from orchestrator.domain.photo import Candidate, Decision
from orchestrator.domain.selection.album_picks import AlbumPicker
from orchestrator.domain.selection.eligibility import Eligibility, find_eligible
from orchestrator.domain.selection.moment_picks import MomentPicker
from orchestrator.domain.selection.parameters import FilterParameters, SelectionParameters
from orchestrator.domain.selection.ranking import find_pairs_to_compare
from orchestrator.domain.selection.shots import score_moments
from orchestrator.domain.selection.verdict import Comparisons, Pair, Verdict
from orchestrator.domain.sets import WITHOUT_SETS, SetParameters


@dataclass(frozen=True, slots=True, eq=False)
class Selection:
    """Photos to select from, with all inputs of the selection.

    A run, a reselection, an explanation, an evaluation and tuning all build one. Verdicts do not
    depend on the order of the photos: the path breaks remaining ties.

    Attributes:
        candidates: The readable photos with their moments, after the user's corrections. Paths are
            unique.
        embeddings: float32, (n, d), unit rows, row i for candidate i.
        filters: Floors.
        parameters: Rules of the selection.
        decisions: Photos that the user keeps or rejects, by content digest; they override
            everything else. Without one, the owner's mark from another program counts in the same
            way, provided that the parameters allow it.
        sets: How to treat photos that belong together.
        earlier_picks: Content digests of photos that an earlier run picked.
        persons: The persons in the photos, by id; empty if they are not used.
    """

    candidates: Sequence[Candidate]
    embeddings: NDArray[np.float32]
    filters: FilterParameters
    parameters: SelectionParameters
    decisions: Mapping[str, Decision]
    sets: SetParameters = WITHOUT_SETS
    earlier_picks: frozenset[str] = frozenset()
    persons: Persons = field(default_factory=dict)

    def take(self, rows: Sequence[int]) -> Selection:
        """Returns a selection over some of the photos."""
        candidates = [self.candidates[row] for row in rows]
        return replace(self, candidates=candidates, embeddings=self.embeddings[rows])

    def pairs_to_compare(self) -> list[Pair]:
        """Lists the pairs for the Siamese model: all pairs of each tied group, sorted.

        A tied group of more than `MAX_COMPARED_COUNT` photos is cut to the best by score.
        """
        if not self.parameters.siamese.enabled:
            return []
        pairs: list[Pair] = []
        eligibility = self._eligibility()
        for moment in score_moments(self.candidates, self.parameters, self.persons):
            eligible = find_eligible(moment, eligibility.find_fallen(moment))
            pairs.extend(find_pairs_to_compare(eligible, self.parameters.siamese))
        return sorted(pairs)

    def verdicts(self, comparisons: Comparisons) -> list[Verdict]:
        """Picks the best photos of each moment.

        A moment always yields a photo, unless the user rejects all its photos or the goal is a
        number of photos: floors, scores and faces only rank the shots of a moment, because there is
        nothing better to keep instead. If all of them are below the floors, the best one is picked,
        and its reason says so.

        Args:
            comparisons: Results for `pairs_to_compare`; a missing result counts as undecided.

        Returns:
            One verdict per candidate, in the order of `candidates`.
        """
        picker = MomentPicker(
            self.embeddings,
            self._eligibility(),
            self.parameters,
            self.sets,
            self.earlier_picks,
        )
        moments = score_moments(self.candidates, self.parameters, self.persons)
        judged = self._album_picker().apply_goal([picker.pick(one, comparisons) for one in moments])
        found = {verdict.path: verdict for moment in judged for verdict in moment}
        return [found[candidate.path] for candidate in self.candidates]

    def find_missing(self, verdicts: Sequence[Verdict]) -> list[str]:
        """Finds the persons whom no pick shows, because none of their photos may be picked."""
        return self._album_picker().find_missing(verdicts)

    def _album_picker(self) -> AlbumPicker:
        return AlbumPicker(self.candidates, self._eligibility(), self.parameters, self.persons)

    def _eligibility(self) -> Eligibility:
        return Eligibility(self.filters, self.parameters, self.decisions)
