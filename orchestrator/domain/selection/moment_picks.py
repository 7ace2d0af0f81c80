"""Picks the best photos of a moment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from orchestrator.domain.moments.parameters import NOISE
from orchestrator.domain.photo import Decision, Reason
from orchestrator.domain.selection.earlier_picks import (
    move_up_earlier_picks,
    respect_earlier_picks,
)
from orchestrator.domain.selection.eligibility import FLOORS, Eligibility, Fall, find_eligible
from orchestrator.domain.selection.parameters import SelectionParameters
from orchestrator.domain.selection.ranking import decisive_probability, rank_moment
from orchestrator.domain.selection.shots import Shot, by_score
from orchestrator.domain.selection.verdict import Comparisons, Verdict
from orchestrator.domain.sets import SetParameters

_MANY_TAKEN = 64


class _Taken:
    """The photos in a moment selected so far, best first."""

    def __init__(self, embeddings: NDArray[np.float32]) -> None:
        self._embeddings = embeddings
        self._vectors = np.empty((0, embeddings.shape[1]), np.float32)
        self.photos: list[Shot] = []

    def add(self, photo: Shot) -> None:
        self.photos.append(photo)

    def closest(self, photo: Shot) -> tuple[float, Shot]:
        """Returns the pick most similar to this photo; of several, the last by path."""
        own = self._embeddings[photo.index]
        near = self.photos
        if len(near) > _MANY_TAKEN:
            # the user may keep many photos, so a matrix product first finds the few closest
            similarity = self._stack_taken() @ own
            doubt = 4.0 * (len(own) + 4) * 2.0**-24
            places = np.flatnonzero(similarity >= similarity.max() - doubt)
            last = sorted(places, key=lambda place: (similarity[place], near[place].path))
            near = [near[place] for place in last[-_MANY_TAKEN:]]
        return max(
            ((float(own @ self._embeddings[other.index]), other) for other in near),
            key=lambda pair: (pair[0], pair[1].path),
        )

    def _stack_taken(self) -> NDArray[np.float32]:
        if len(self._vectors) < len(self.photos):
            self._vectors = self._embeddings[[photo.index for photo in self.photos]]
        return self._vectors


@dataclass(frozen=True, slots=True, eq=False)
class MomentPicker:
    """The rules for picking within a moment.

    Attributes:
        embeddings: float32, (n, d), unit rows, for all photos of the album.
        eligibility: Which photos may be picked.
        parameters: Rules of the selection.
        sets: How to treat photos that belong together.
        earlier_picks: Content digests of photos that an earlier run picked.
    """

    embeddings: NDArray[np.float32]
    eligibility: Eligibility
    parameters: SelectionParameters
    sets: SetParameters
    earlier_picks: frozenset[str]

    def pick(self, moment: Sequence[Shot], comparisons: Comparisons) -> list[Verdict]:
        """Returns a verdict on each photo of a moment, best first."""
        fallen = self.eligibility.find_fallen(moment)
        ranking = rank_moment(find_eligible(moment, fallen), comparisons, self.parameters.siamese)
        points = ranking.points
        # the photos that are kept in any case come first and displace the others
        kept = [photo for photo in ranking.photos if self.eligibility.is_kept(photo)]
        kept.sort(key=lambda photo: self.eligibility.decision(photo) is not Decision.KEEP)
        others, passed = move_up_earlier_picks(
            [photo for photo in ranking.photos if not self.eligibility.is_kept(photo)],
            self.earlier_picks,
            self.parameters.stability_margin,
        )
        taken = _Taken(self.embeddings)
        verdicts: list[Verdict] = []
        for rank, photo in enumerate([*kept, *self._with_middles_first(others)], start=1):
            base = _verdict(photo, Reason.SELECTED_BEST, rank, len(moment))
            if photo.path in points:
                base = replace(base, tied_count=len(points) - 1, points=points[photo.path])
            if photo.path in points or photo.path in ranking.uncompared:
                base = replace(base, uncompared_count=len(ranking.uncompared))
            if self.eligibility.is_kept(photo):
                verdict = replace(
                    base, is_selected=True, reason=self.eligibility.keep_reason(photo)
                )
            elif (first := self._find_of_set(photo, taken)) is not None:
                verdict = self._decide_in_set(base, photo, first)
            elif taken.photos and photo.path in fallen:
                verdict = fallen[photo.path].judge(base, taken.photos[0].path)
            else:
                verdict = self._decide(base, photo, taken, ranking.comparisons, points)
            verdict = respect_earlier_picks(verdict, taken.photos, passed)
            if verdict.is_selected:
                taken.add(photo)
            verdicts.append(verdict)
        ranked = {verdict.path for verdict in verdicts}
        others = sorted((photo for photo in moment if photo.path not in ranked), key=by_score)
        for rank, photo in enumerate(others, start=len(ranked) + 1):
            base = _verdict(photo, fallen[photo.path].reason, rank, len(moment))
            verdicts.append(self._judge_fallen(base, photo, fallen[photo.path], taken))
        return verdicts

    def _judge_fallen(self, base: Verdict, photo: Shot, fall: Fall, taken: _Taken) -> Verdict:
        """Decides on a photo that may not compete, but may be picked along with another one."""
        verdict = fall.judge(base, taken.photos[0].path if taken.photos else None)
        if self._is_picked_with_original(photo, fall, taken):
            return replace(verdict, is_selected=True, reason=Reason.SELECTED_VERSION)
        first = self._find_of_set(photo, taken)
        if first is not None and self._uses_all(photo) and fall.reason in FLOORS:
            return self._decide_in_set(base, photo, first)
        return verdict

    def _is_picked_with_original(self, photo: Shot, fall: Fall, taken: _Taken) -> bool:
        is_edit = photo.candidate.file.is_edit
        match self.parameters.versions:
            case "edits":
                is_included = is_edit
            case "all":
                is_included = is_edit or fall.reason is Reason.VERSION
            case _:
                is_included = False
        picked = {pick.path for pick in taken.photos}
        return is_included and fall.copy is not None and fall.copy.original in picked

    def _uses_all(self, photo: Shot) -> bool:
        own = photo.candidate.frame_set
        if own is None:
            return False
        is_all_but_failures = self.parameters.goal.pick == "all_but_failures"
        use = self.sets.use_of(own.kind)
        return use == "all" or (is_all_but_failures and use != "ignore")

    def _with_middles_first(self, ranked: Sequence[Shot]) -> list[Shot]:
        """Moves the middle photo of a set ahead of the set's others if it represents the set."""
        found = list(ranked)
        sets: dict[int, list[int]] = {}
        for place, photo in enumerate(ranked):
            own = photo.candidate.frame_set
            if own is not None and self.sets.use_of(own.kind) == "middle":
                sets.setdefault(own.number, []).append(place)
        for places in sets.values():
            by_place = sorted(places, key=lambda place: _place_in_set(ranked[place]))
            middle = by_place[(len(by_place) - 1) // 2]
            rest = [place for place in places if place != middle]
            for place, source in zip(places, [middle, *rest], strict=True):
                found[place] = ranked[source]
        return found

    def _find_of_set(self, photo: Shot, taken: _Taken) -> Shot | None:
        """Returns the first photo taken from the same set; None if there is none."""
        own = photo.candidate.frame_set
        if own is None or self.sets.use_of(own.kind) == "ignore":
            return None
        for other in taken.photos:
            theirs = other.candidate.frame_set
            if theirs is not None and theirs.number == own.number:
                return other
        return None

    def _decide_in_set(self, base: Verdict, photo: Shot, first: Shot) -> Verdict:
        """Decides on a photo whose set already has a pick."""
        if self._uses_all(photo):
            return replace(base, is_selected=True, reason=Reason.SELECTED_WITH_SET, lost_to=None)
        return replace(base, reason=Reason.IN_SET, lost_to=first.path)

    def _decide(
        self,
        base: Verdict,
        photo: Shot,
        taken: _Taken,
        comparisons: Comparisons,
        points: Mapping[str, float],
    ) -> Verdict:
        """Decides whether an eligible photo is selected in addition to those selected so far."""
        if photo.candidate.cluster_id == NOISE and not self.parameters.include_noise:
            return replace(base, reason=Reason.NOISE_EXCLUDED)
        if not taken.photos:
            return replace(base, is_selected=True, reason=Reason.SELECTED_BEST)
        return self._decide_beside(base, photo, taken, comparisons, points)

    def _decide_beside(
        self,
        base: Verdict,
        photo: Shot,
        taken: _Taken,
        comparisons: Comparisons,
        points: Mapping[str, float],
    ) -> Verdict:
        """Decides on an eligible photo whose moment already has a pick."""
        parameters = self.parameters
        below_min = photo.composite < parameters.min_score_threshold
        similarity, closest = taken.closest(photo)
        best = taken.photos[0]
        takes_duplicates = parameters.goal.pick == "all_but_failures"
        if similarity >= parameters.siamese.duplicate_threshold and not takes_duplicates:
            return replace(
                base,
                reason=Reason.DUPLICATE,
                lost_to=closest.path,
                similarity=similarity,
                probability=decisive_probability(closest.path, photo.path, points, comparisons),
            )
        if below_min:
            return replace(base, reason=Reason.BELOW_MIN_SCORE, lost_to=best.path)
        if parameters.goal.is_open:
            return replace(base, is_selected=True, reason=Reason.SELECTED_FOR_GOAL)
        is_single = parameters.goal.pick == "one_per_moment"
        is_full = is_single or len(taken.photos) >= parameters.max_images_per_cluster
        if not is_full and similarity < parameters.dissimilarity_threshold:
            return replace(
                base,
                is_selected=True,
                reason=Reason.SELECTED_DISTINCT,
                lost_to=None,
                similarity=similarity,
            )
        probability = decisive_probability(best.path, photo.path, points, comparisons)
        if probability is not None:
            return replace(
                base, reason=Reason.LOST_COMPARISON, lost_to=best.path, probability=probability
            )
        if not is_full:
            return replace(
                base, reason=Reason.TOO_SIMILAR, lost_to=closest.path, similarity=similarity
            )
        return replace(base, reason=Reason.LOWER_SCORE, lost_to=best.path)


def _place_in_set(photo: Shot) -> int:
    own = photo.candidate.frame_set
    return own.place if own is not None else 0


def _verdict(photo: Shot, reason: Reason, rank: int, moment_size: int) -> Verdict:
    return Verdict(
        path=photo.path,
        worst=photo.worst,
        person_penalty=photo.penalty,
        composite_score=photo.composite,
        is_selected=False,
        reason=reason,
        lost_to=None,
        similarity=None,
        probability=None,
        tied_count=0,
        uncompared_count=0,
        points=None,
        rank=rank,
        moment_size=moment_size,
        judged=photo.judged,
    )
