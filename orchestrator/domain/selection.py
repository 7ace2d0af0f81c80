"""Selects the best photos of each moment, with reasons, and lists the pairs to compare first."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from pathlib import Path
from typing import Annotated

import numpy as np
from annotated_types import Ge, Le
from numpy.typing import NDArray

from orchestrator.domain.alteration import UseOfVersions
from orchestrator.domain.bounds import Count, Share, Similarity
from orchestrator.domain.content import ContentTreatment, Treatment
from orchestrator.domain.copies import Copy, CopyRule, find_copies
from orchestrator.domain.goal import Coverage, Entrant, Goal, spread
from orchestrator.domain.moments.capture_time import capture_seconds
from orchestrator.domain.moments.parameters import NOISE
from orchestrator.domain.owner_marks import owner_decision
from orchestrator.domain.people.everybody import BroughtIn, GroupShot, bring_in, find_missing
from orchestrator.domain.people.persons import Persons, find_familiar
from orchestrator.domain.photo import Candidate, ContentClass, Decision, QualityScores, Reason
from orchestrator.domain.scoring import (
    PersonPenalties,
    QualityWeights,
    WorstFace,
    composite_score,
    find_judged,
    find_shown,
    person_penalty,
    read_signs,
    take_judged,
    worst_face,
)
from orchestrator.domain.sets import WITHOUT_SETS, SetParameters

MAX_COMPARED_COUNT = 100
"""Maximum number of photos per moment, the best by score, that are compared with each other: a
round robin of n photos takes n (n - 1) / 2 comparisons, or 200 million for 20,000 photos."""

FACE_DIFFERENCE = 0.02
"""If their penalties differ by at least this much, the faces of two photos differ clearly, and the
comparator does not move the worse one ahead: it sees whole pictures, in which a blink is lost."""
TECHNICAL_DIFFERENCE, NOISE_DIFFERENCE = 0.05, 1.0
"""Minimum differences in scores from 0 to 1, and in noise in grey levels, for the comparator to
decide between two photos: it learned blur, noise and exposure, not what makes a shot good. Tilt is
not measured, so the score decides between photos that differ only in tilt. A heuristic."""
_MANY_TAKEN = 64
_FLOORS = (Reason.DAMAGED, Reason.BLURRED, Reason.LOW_IQA)
_BY_RANK = (Reason.SELECTED_BEST, Reason.SELECTED_DISTINCT, Reason.SELECTED_FOR_GOAL)
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

Pair = tuple[str, str]
"""Paths of two photos, first < second."""
Comparisons = Mapping[Pair, float]
"""Probability that the first path's photo is the better one."""


@dataclass(frozen=True, slots=True)
class FilterParameters:
    """Floors below which a photo is not selected if another photo of its moment passes them.

    If all photos in a moment are below them, the best one is selected, and its reason says so.
    """

    min_iqa_score: Share
    """technical quality, 0 to 1, below which a photo is not selected (`LOW_IQA`)"""
    min_sharpness: Share
    """sharpness of the sharpest region (`Focus` in the CSV), 0 to 1, below which a photo is not
    selected (`BLURRED`); the whole picture's `Sharpness` would also reject a sharp subject in front
    of a soft background"""


@dataclass(frozen=True, slots=True)
class SiameseParameters:
    """Settings for the pairwise comparison."""

    enabled: bool
    """whether the comparator decides ties; if it does, a run fails immediately when no Siamese
    model is available"""
    checkpoint_path: Path | None
    """a file in the models folder, absolute or relative to it, that the Siamese service must have
    loaded (checked by digest), or `null` to accept any model"""
    duplicate_threshold: Similarity
    """cosine similarity at or above which two photos are duplicates and never both selected"""
    tiebreaker_range: Share
    """scores at most this far below the best composite score count as a tie, unless faces are
    clearly worse"""


@dataclass(frozen=True, slots=True)
class SelectionParameters:
    """Rules for the selection."""

    goal: Goal
    max_images_per_cluster: Count
    """maximum number of photos selected from a moment, if the goal is `moments` or `everybody`"""
    min_score_threshold: Annotated[float, Ge(-1), Le(1)]
    """minimum composite score for a second or later pick from a moment"""
    dissimilarity_threshold: Similarity
    """cosine similarity to a selected photo at or above which another photo is too similar"""
    stability_margin: Share
    """how much better, by composite score, a photo must be to replace a pick from an earlier run of
    the album (`reference_run_id`); moments without new photos keep their picks. 0 = every run
    starts afresh"""
    include_noise: bool
    """whether single shots can be selected"""
    use_owner_ratings: bool
    """whether ratings and flags from other programs, in the photo or its sidecar, count like your
    decisions unless you decide otherwise: -1 stars or flagged as rejected = never selected, 4 or 5
    stars or flagged as picked = always selected"""
    versions: UseOfVersions
    """how to treat mirrored, turned, cropped, framed, black-and-white and filtered versions of a
    photo in its moment: `edits` picks those whose names mark them as edited copies
    (`IMG_1-edited.jpg`) along with the original, if that is picked; `all` picks every version along
    with it; `original` picks only the original; `compete` ranks them like other photos"""
    quality_weights: QualityWeights
    person_penalties: PersonPenalties
    content: ContentTreatment
    siamese: SiameseParameters


@dataclass(frozen=True, slots=True)
class Verdict:
    """The outcome for one photo.

    Attributes:
        path: The photo.
        worst: Face-size-weighted worst case; None without faces.
        person_penalty: 0 or below.
        composite_score: The score by which it is ranked.
        is_selected: Whether it was picked.
        reason: Why it was picked or not.
        lost_to: Path of the preferred photo; None if there is none.
        similarity: Cosine similarity to `lost_to`, if it decided.
        probability: Probability that `lost_to` is better, if the comparator decided.
        tied_count: Other photos with about the same score that the comparator ranked it among.
        uncompared_count: Photos with about the leader's score beyond `MAX_COMPARED_COUNT`, ranked
            by score alone; 0 if this photo was not tied.
        points: Sum of its win probabilities against those; None if it was not tied.
        rank: Place in its moment, from 1.
        moment_size: Number of photos in its moment.
        copy_rule: Why `lost_to` is preferred, if it is the original of this copy; None if the user
            keeps it.
        outranked: Path of the best photo that ranks higher by score or comparison, but stays behind
            this one, a pick of an earlier run; None if there is none.
        coverage: How it did in the competition for a number of photos; None if it took no part.
        judged: The faces that count; see `find_judged`.
        brought_in: For whom it was picked in addition; None if it was not.
    """

    path: str
    worst: WorstFace | None
    person_penalty: float
    composite_score: float
    is_selected: bool
    reason: Reason
    lost_to: str | None
    similarity: float | None
    probability: float | None
    tied_count: int
    uncompared_count: int
    points: float | None
    rank: int
    moment_size: int
    copy_rule: CopyRule | None = None
    outranked: str | None = None
    coverage: Coverage | None = None
    judged: tuple[int, ...] = ()
    brought_in: BroughtIn | None = None


@dataclass(frozen=True, slots=True)
class _Fall:
    """Why a photo may not compete.

    Attributes:
        reason: The reason.
        copy: What it is a copy of, if that is the reason.
    """

    reason: Reason
    copy: Copy | None = None

    def judge(self, verdict: Verdict, best: str | None) -> Verdict:
        """Completes the verdict; `best` is the path of the moment's best photo."""
        if self.copy is None:
            return replace(verdict, reason=self.reason, lost_to=best)
        return replace(
            verdict,
            reason=self.reason,
            lost_to=self.copy.original,
            copy_rule=self.copy.rule,
        )


@dataclass(frozen=True, slots=True)
class _Scored:
    index: int
    candidate: Candidate
    worst: WorstFace | None
    penalty: float
    composite: float
    judged: tuple[int, ...]

    @property
    def path(self) -> str:
        return self.candidate.path


class _Taken:
    """The photos in a moment selected so far, best first."""

    def __init__(self, embeddings: NDArray[np.float32]) -> None:
        self._embeddings = embeddings
        self._vectors = np.empty((0, embeddings.shape[1]), np.float32)
        self.photos: list[_Scored] = []

    def add(self, photo: _Scored) -> None:
        self.photos.append(photo)

    def closest(self, photo: _Scored) -> tuple[float, _Scored]:
        """Returns the taken photo most similar to this one, the last one if several are equal."""
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
class Selection:
    """Photos to select from, with all inputs of the selection.

    A run, a reselection, an explanation, an evaluation and tuning all build one. Verdicts do not
    depend on the order of the photos: the path breaks remaining ties.

    Attributes:
        candidates: The readable photos with their moments, after the user's corrections. Paths are
            unique.
        embeddings: float32, (n, d), unit rows, row i for candidate i.
        filters: Floors.
        parameters: Rules.
        decisions: Photos that the user keeps or rejects, by content digest; they override
            everything else. If there is none, the mark of the photo's owner counts in the same way,
            provided that the parameters allow it.
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
        for moment in self._moments():
            tied = self._find_tied(_find_eligible(moment, self._find_fallen(moment)))
            pairs.extend(_find_comparable(_cut_to_compare(tied)))
        return sorted(pairs)

    def verdicts(self, comparisons: Comparisons) -> list[Verdict]:
        """Picks the best photos of each moment.

        A moment always yields a photo, unless the user rejects all its photos or the goal is a
        number of photos: floors, scores and faces only rank the shots of a moment, because there is
        nothing better to keep instead. If all of them are below the floors, the best one is picked,
        and its reason says so.

        Args:
            comparisons: Results for `pairs_to_compare`; a missing one counts as undecided.

        Returns:
            One verdict per candidate, in the order of `candidates`.
        """
        judged = [self._select_in_moment(moment, comparisons) for moment in self._moments()]
        if self.parameters.goal.is_counted:
            judged = self._select_in_album(judged)
        elif self.parameters.goal.pick == "everybody":
            judged = self._bring_everybody_in(judged)
        found = {verdict.path: verdict for moment in judged for verdict in moment}
        return [found[candidate.path] for candidate in self.candidates]

    def _select_in_album(self, judged: Sequence[Sequence[Verdict]]) -> list[list[Verdict]]:
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
        """Finds the persons without a pick because none of their photos may be picked."""
        if self.parameters.goal.pick != "everybody":
            return []
        return find_missing(self._find_group_shots(verdicts), {})

    def _bring_everybody_in(self, judged: Sequence[Sequence[Verdict]]) -> list[list[Verdict]]:
        """Adds picks, so that there is a good one of everybody."""
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
        """Lists the photos with the persons that the goal is about."""
        known = {candidate.path: candidate for candidate in self.candidates}
        ids = {candidate.path: candidate.person_ids for candidate in self.candidates}
        wanted = find_familiar(ids.values(), self.persons)
        return [self._find_group_shot(known[verdict.path], verdict, wanted) for verdict in verdicts]

    def _find_group_shot(
        self, candidate: Candidate, verdict: Verdict, wanted: frozenset[str]
    ) -> GroupShot:
        signs = read_signs(candidate.faces, self.parameters.person_penalties)
        well_shown = {
            person
            for person, face in zip(candidate.person_ids, signs, strict=False)
            if person in wanted and face.is_prominent and face.eyes != "closed"
        }
        return GroupShot(
            path=verdict.path,
            score=verdict.composite_score,
            people=find_shown(candidate.faces, candidate.person_ids, wanted),
            well_shown=frozenset(well_shown if self._find_fault(candidate) is None else ()),
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
            is_faulty=not is_kept and self._find_fault(candidate) is not None,
        )

    def _moments(self) -> list[list[_Scored]]:
        """Scores the photos and groups them by cluster; each noise photo is its own moment."""
        moments: dict[tuple[int, str], list[int]] = {}
        for index, candidate in enumerate(self.candidates):
            key = (candidate.cluster_id, candidate.path if candidate.cluster_id == NOISE else "")
            moments.setdefault(key, []).append(index)
        return [self._score(moments[key]) for key in sorted(moments)]

    def _score(self, moment: Sequence[int]) -> list[_Scored]:
        """Scores the photos of a moment, given by their rows."""
        penalties, weights = self.parameters.person_penalties, self.parameters.quality_weights
        important = self._find_important([self.candidates[index] for index in moment])
        found = []
        for index in moment:
            candidate = self.candidates[index]
            judged = find_judged(candidate.faces, candidate.person_ids, important)
            counting = take_judged(candidate.faces, judged)
            worst = worst_face(counting, penalties.prominent_face_ratio)
            penalty = person_penalty(worst, penalties)
            composite = composite_score(candidate.quality, weights, penalty)
            found.append(_Scored(index, candidate, worst, penalty, composite, judged))
        return found

    def _find_important(self, moment: Sequence[Candidate]) -> frozenset[str]:
        """Finds the important persons in a moment."""
        wanted = {key for key, person in self.persons.items() if person.is_important}
        shown = (find_shown(one.faces, one.person_ids, wanted) for one in moment)
        return frozenset().union(*shown) if wanted else frozenset()

    def _decision(self, photo: _Scored) -> Decision | None:
        """Returns the user's decision on a photo, or else its owner's from another program."""
        if self._is_decided_by_user(photo) or not self.parameters.use_owner_ratings:
            return self.decisions.get(photo.candidate.content_digest)
        return owner_decision(photo.candidate.owner_mark)

    def _is_decided_by_user(self, photo: _Scored) -> bool:
        return photo.candidate.content_digest in self.decisions

    def _find_fallen(self, moment: Sequence[_Scored]) -> dict[str, _Fall]:
        """Maps the paths of photos that may not compete to the reasons."""
        copies = self._find_copies(moment)
        falls = {photo.path: self._check(photo, copies.get(photo.path)) for photo in moment}
        return {path: fall for path, fall in falls.items() if fall is not None}

    def _find_copies(self, moment: Sequence[_Scored]) -> dict[str, Copy]:
        """Finds the copies among the photos that the user has not rejected."""
        if len(moment) < 2:
            return {}
        kept = {photo.path for photo in moment if self._decision(photo) is Decision.KEEP}
        present = [photo.candidate for photo in moment if not self._is_out(photo)]
        if self.parameters.versions == "compete":
            present = [replace(candidate, alteration=None) for candidate in present]
        return find_copies(present, frozenset(kept))

    def _is_out(self, photo: _Scored) -> bool:
        """Whether it is never picked, so that no copy may lose to it."""
        decision = self._decision(photo)
        is_excluded = decision is None and self._treatment(photo) == "exclude"
        return is_excluded or decision is Decision.REJECT

    def _check(self, photo: _Scored, copy: Copy | None) -> _Fall | None:
        """Returns why a photo may not compete; None if it may."""
        decision = self._decision(photo)
        if decision is not None:
            if decision is Decision.KEEP:
                return None
            is_users = self._is_decided_by_user(photo)
            return _Fall(Reason.USER_REJECT if is_users else Reason.OWNER_REJECT)
        if self._treatment(photo) == "exclude":
            is_misfire = photo.candidate.content is ContentClass.MISFIRE
            return _Fall(Reason.MISFIRE if is_misfire else Reason.CONTENT_EXCLUDED)
        if copy is not None:
            is_version = copy.rule is CopyRule.VERSION
            return _Fall(Reason.VERSION if is_version else Reason.COPY, copy)
        if self._treatment(photo) == "keep":
            return None
        fault = self._find_fault(photo.candidate)
        return None if fault is None else _Fall(fault)

    def _find_fault(self, candidate: Candidate) -> Reason | None:
        """Returns the floor that a photo is below; None if it is above all of them.

        A damaged photo comes first, because its scores describe only the part that could be read.
        """
        if candidate.file.is_damaged:
            return Reason.DAMAGED
        if candidate.quality.focus_score < self.filters.min_sharpness:
            return Reason.BLURRED
        if candidate.quality.iqa_score < self.filters.min_iqa_score:
            return Reason.LOW_IQA
        return None

    def _treatment(self, photo: _Scored) -> Treatment:
        return self.parameters.content.of(photo.candidate.content)

    def _is_kept(self, photo: _Scored) -> bool:
        """Whether it is selected in any case, by the user or for its kind."""
        decision = self._decision(photo)
        return decision is Decision.KEEP or (decision is None and self._treatment(photo) == "keep")

    def _keep_reason(self, photo: _Scored) -> Reason:
        """Returns why a photo is kept in any case."""
        if self._is_decided_by_user(photo):
            return Reason.USER_KEEP
        is_owners = self._decision(photo) is Decision.KEEP
        return Reason.OWNER_KEEP if is_owners else Reason.CONTENT_KEPT

    def _find_tied(self, eligible: Sequence[_Scored]) -> list[_Scored]:
        """Returns the photos within `tiebreaker_range` of the leader, best first.

        None has clearly worse faces than a photo that the comparator could move it ahead of.
        """
        ordered = sorted(eligible, key=_by_score)
        if not ordered:
            return []
        limit = ordered[0].composite - self.parameters.siamese.tiebreaker_range
        worst = best = ordered[0].penalty
        tied = []
        for photo in ordered:
            if photo.composite < limit or photo.penalty > worst + FACE_DIFFERENCE:
                break  # no photo with worse faces may pass this one
            if photo.penalty >= best - FACE_DIFFERENCE:
                tied.append(photo)
                worst, best = min(worst, photo.penalty), max(best, photo.penalty)
        return tied

    def _rank(self, eligible: Sequence[_Scored], comparisons: Comparisons) -> _Ranking:
        """Ranks the photos in a moment, using a round robin for tied ones."""
        ordered = sorted(eligible, key=_by_score)
        all_tied = self._find_tied(ordered) if self.parameters.siamese.enabled else []
        tied = _cut_to_compare(all_tied)
        pairs = _find_comparable(tied)
        if not pairs:
            return _Ranking(ordered, {}, set(), {})
        counting = {pair: comparisons[pair] for pair in pairs if pair in comparisons}
        points = {photo.path: 0.5 * (len(tied) - 1) for photo in tied}
        for first, second in pairs:
            lead = _better_probability(first, second, counting) - 0.5
            points[first] += lead
            points[second] -= lead
        tied.sort(key=lambda photo: (-points[photo.path], *_by_score(photo)))
        others = [photo for photo in ordered if photo.path not in points]
        return _Ranking(
            [*tied, *others],
            points,
            {photo.path for photo in all_tied} - points.keys(),
            counting,
        )

    def _move_up_earlier_picks(
        self, ranked: Sequence[_Scored]
    ) -> tuple[list[_Scored], dict[str, list[str]]]:
        """Moves an earlier run's picks ahead of photos that are not better by the margin.

        Returns:
            The photos, and for each pick that moved, the paths of those that it passed, best first.
        """
        found: list[_Scored] = []
        passed: dict[str, list[str]] = {}
        for photo in ranked:
            place = len(found)
            if photo.candidate.content_digest in self.earlier_picks:
                while place and self._may_pass(photo, found[place - 1]):
                    place -= 1
                if place < len(found):
                    passed[photo.path] = [other.path for other in found[place:]]
            found.insert(place, photo)
        return found, passed

    def _may_pass(self, pick: _Scored, other: _Scored) -> bool:
        return (
            other.candidate.content_digest not in self.earlier_picks
            and other.composite - pick.composite < self.parameters.stability_margin
            and other.penalty <= pick.penalty + FACE_DIFFERENCE
        )

    def _select_in_moment(
        self, moment: Sequence[_Scored], comparisons: Comparisons
    ) -> list[Verdict]:
        fallen = self._find_fallen(moment)
        ranking = self._rank(_find_eligible(moment, fallen), comparisons)
        points = ranking.points
        # the photos that are kept in any case come first and displace the others
        kept = [photo for photo in ranking.photos if self._is_kept(photo)]
        kept.sort(key=lambda photo: self._decision(photo) is not Decision.KEEP)
        others, passed = self._move_up_earlier_picks(
            [photo for photo in ranking.photos if not self._is_kept(photo)]
        )
        taken = _Taken(self.embeddings)
        verdicts: list[Verdict] = []
        for rank, photo in enumerate([*kept, *self._with_middles_first(others)], start=1):
            base = _verdict(photo, Reason.SELECTED_BEST, rank, len(moment))
            if photo.path in points:
                base = replace(base, tied_count=len(points) - 1, points=points[photo.path])
            if photo.path in points or photo.path in ranking.uncompared:
                base = replace(base, uncompared_count=len(ranking.uncompared))
            if self._is_kept(photo):
                verdict = replace(base, is_selected=True, reason=self._keep_reason(photo))
            elif (first := self._find_of_set(photo, taken)) is not None:
                verdict = self._decide_in_set(base, photo, first)
            elif taken.photos and photo.path in fallen:
                verdict = fallen[photo.path].judge(base, taken.photos[0].path)
            else:
                verdict = self._decide(base, photo, taken, ranking.comparisons, points)
            verdict = _respect_earlier_picks(verdict, taken, passed)
            if verdict.is_selected:
                taken.add(photo)
            verdicts.append(verdict)
        ranked = {verdict.path for verdict in verdicts}
        others = sorted((photo for photo in moment if photo.path not in ranked), key=_by_score)
        for rank, photo in enumerate(others, start=len(ranked) + 1):
            base = _verdict(photo, fallen[photo.path].reason, rank, len(moment))
            verdicts.append(self._judge_fallen(base, photo, fallen[photo.path], taken))
        return verdicts

    def _judge_fallen(self, base: Verdict, photo: _Scored, fall: _Fall, taken: _Taken) -> Verdict:
        """Decides on a photo that may not compete: it may be picked along with another one."""
        verdict = fall.judge(base, taken.photos[0].path if taken.photos else None)
        if self._is_picked_with_original(photo, fall, taken):
            return replace(verdict, is_selected=True, reason=Reason.SELECTED_VERSION)
        first = self._find_of_set(photo, taken)
        if first is not None and self._uses_all(photo) and fall.reason in _FLOORS:
            return self._decide_in_set(base, photo, first)
        return verdict

    def _is_picked_with_original(self, photo: _Scored, fall: _Fall, taken: _Taken) -> bool:
        is_edit = photo.candidate.file.is_edit
        match self.parameters.versions:
            case "edits":
                is_wanted = is_edit
            case "all":
                is_wanted = is_edit or fall.reason is Reason.VERSION
            case _:
                is_wanted = False
        picked = {pick.path for pick in taken.photos}
        return is_wanted and fall.copy is not None and fall.copy.original in picked

    def _uses_all(self, photo: _Scored) -> bool:
        own = photo.candidate.frame_set
        if own is None:
            return False
        is_failure_hunt = self.parameters.goal.pick == "all_but_failures"
        use = self.sets.use_of(own.kind)
        return use == "all" or (is_failure_hunt and use != "ignore")

    def _with_middles_first(self, ranked: Sequence[_Scored]) -> list[_Scored]:
        """Moves the middle photo of each set first if it is to represent the set."""
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

    def _find_of_set(self, photo: _Scored, taken: _Taken) -> _Scored | None:
        """Returns the first photo taken from its set; None if there is none."""
        own = photo.candidate.frame_set
        if own is None or self.sets.use_of(own.kind) == "ignore":
            return None
        for other in taken.photos:
            theirs = other.candidate.frame_set
            if theirs is not None and theirs.number == own.number:
                return other
        return None

    def _decide_in_set(self, base: Verdict, photo: _Scored, first: _Scored) -> Verdict:
        """Decides on a photo whose set already has a taken photo."""
        if self._uses_all(photo):
            return replace(base, is_selected=True, reason=Reason.SELECTED_WITH_SET, lost_to=None)
        return replace(base, reason=Reason.IN_SET, lost_to=first.path)

    def _decide(
        self,
        base: Verdict,
        photo: _Scored,
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
        photo: _Scored,
        taken: _Taken,
        comparisons: Comparisons,
        points: Mapping[str, float],
    ) -> Verdict:
        """Decides on an eligible photo whose moment already has a taken one."""
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
                probability=_decisive_probability(closest.path, photo.path, points, comparisons),
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
        probability = _decisive_probability(best.path, photo.path, points, comparisons)
        if probability is not None:
            return replace(
                base, reason=Reason.LOST_COMPARISON, lost_to=best.path, probability=probability
            )
        if not is_full:
            return replace(
                base, reason=Reason.TOO_SIMILAR, lost_to=closest.path, similarity=similarity
            )
        return replace(base, reason=Reason.LOWER_SCORE, lost_to=best.path)


@dataclass(frozen=True, slots=True)
class _Ranking:
    """The photos in a moment that compete, best first.

    Attributes:
        photos: Best first.
        points: Points of the compared photos by path: the sum of the probabilities that a photo is
            better than each of the others. Empty if there is no tie.
        uncompared: Paths of the tied photos beyond `MAX_COMPARED_COUNT`.
        comparisons: The comparisons that count.
    """

    photos: list[_Scored]
    points: dict[str, float]
    uncompared: set[str]
    comparisons: Comparisons


def _find_eligible(moment: Sequence[_Scored], fallen: Mapping[str, _Fall]) -> list[_Scored]:
    """Returns the photos above the floors or, if none is, those that were only below a floor."""
    above = [photo for photo in moment if photo.path not in fallen]
    if above:
        return above
    return [photo for photo in moment if fallen[photo.path].reason in _FLOORS]


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


def _respect_earlier_picks(
    verdict: Verdict, taken: _Taken, passed: Mapping[str, Sequence[str]]
) -> Verdict:
    """Names the earlier pick that a photo lost to, or the better photo that a pick stays ahead of.

    Reasons that do not depend on the rank stay as they are.
    """
    own = passed.get(verdict.path)
    if own and verdict.reason in _BY_RANK:
        return replace(verdict, reason=Reason.KEPT_FROM_LAST_RUN, outranked=own[0])
    if verdict.reason in (Reason.LOWER_SCORE, Reason.LOST_COMPARISON):
        for photo in taken.photos:
            if verdict.path in passed.get(photo.path, ()):
                return replace(verdict, reason=Reason.NOT_BETTER_ENOUGH, lost_to=photo.path)
    return verdict


def _place_in_set(photo: _Scored) -> int:
    own = photo.candidate.frame_set
    return own.place if own is not None else 0


def _by_score(photo: _Scored) -> tuple[float, str]:
    return -photo.composite, photo.path


def _cut_to_compare(tied: Sequence[_Scored]) -> list[_Scored]:
    """Returns the photos of a tied group that are compared, best first."""
    return sorted(tied, key=_by_score)[:MAX_COMPARED_COUNT]


def _find_comparable(tied: Sequence[_Scored]) -> list[Pair]:
    """Finds tied pairs that differ in what the comparator was trained on, sorted."""
    by_path = sorted(tied, key=lambda photo: photo.path)
    return [
        (first.path, second.path)
        for first, second in combinations(by_path, 2)
        if _differ_technically(first.candidate.quality, second.candidate.quality)
    ]


def _differ_technically(first: QualityScores, second: QualityScores) -> bool:
    noise = (first.noise_level or 0.0) - (second.noise_level or 0.0)
    differences = (
        first.sharpness - second.sharpness,
        first.focus_score - second.focus_score,
        first.exposure - second.exposure,
        first.contrast - second.contrast,
    )
    return abs(noise) >= NOISE_DIFFERENCE or any(
        abs(difference) >= TECHNICAL_DIFFERENCE for difference in differences
    )


def _better_probability(first: str, second: str, comparisons: Comparisons) -> float:
    """Returns the probability that `first` is better than `second`; 0.5 if not compared."""
    if first < second:
        return comparisons.get((first, second), 0.5)
    return 1.0 - comparisons.get((second, first), 0.5)


def _decisive_probability(
    winner: str, loser: str, points: Mapping[str, float], comparisons: Comparisons
) -> float | None:
    """Returns the probability that the winner is better; None if the round robin did not decide."""
    if points.get(winner, 0.0) > points.get(loser, math.inf):
        return _better_probability(winner, loser, comparisons)
    return None


def _verdict(photo: _Scored, reason: Reason, rank: int, moment_size: int) -> Verdict:
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
