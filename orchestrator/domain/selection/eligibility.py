"""Decides which photos of a moment may be picked, and why others may not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from orchestrator.domain.content import Treatment
from orchestrator.domain.copies import Copy, CopyRule, find_copies
from orchestrator.domain.owner_marks import owner_decision
from orchestrator.domain.photo import Candidate, ContentClass, Decision, Reason
from orchestrator.domain.selection.parameters import FilterParameters, SelectionParameters
from orchestrator.domain.selection.shots import Shot
from orchestrator.domain.selection.verdict import Verdict

FLOORS = (Reason.DAMAGED, Reason.BLURRED, Reason.LOW_IQA)
"""Reasons that do not count if they apply to all shots of a moment."""


@dataclass(frozen=True, slots=True)
class Fall:
    """Why a photo may not compete.

    Attributes:
        reason: The reason.
        copy: Its original and the rule, if the reason is that it is a copy; None otherwise.
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
class Eligibility:
    """The rules for which photos may be picked.

    Attributes:
        filters: Floors.
        parameters: Rules of the selection.
        decisions: Photos that the user keeps or rejects, by content digest.
    """

    filters: FilterParameters
    parameters: SelectionParameters
    decisions: Mapping[str, Decision]

    def find_fallen(self, moment: Sequence[Shot]) -> dict[str, Fall]:
        """Maps the paths of photos that may not compete to the reasons."""
        copies = self._find_copies(moment)
        falls = {photo.path: self._check(photo, copies.get(photo.path)) for photo in moment}
        return {path: fall for path, fall in falls.items() if fall is not None}

    def decision(self, photo: Shot) -> Decision | None:
        """Returns the user's decision on a photo or, without one, that of its owner elsewhere."""
        if self._is_decided_by_user(photo) or not self.parameters.use_owner_ratings:
            return self.decisions.get(photo.candidate.content_digest)
        return owner_decision(photo.candidate.owner_mark)

    def _is_decided_by_user(self, photo: Shot) -> bool:
        return photo.candidate.content_digest in self.decisions

    def is_kept(self, photo: Shot) -> bool:
        """Whether a photo is selected in any case, by decision or because of its kind."""
        decision = self.decision(photo)
        return decision is Decision.KEEP or (decision is None and self._treatment(photo) == "keep")

    def keep_reason(self, photo: Shot) -> Reason:
        """Returns why a photo is kept in any case."""
        if self._is_decided_by_user(photo):
            return Reason.USER_KEEP
        is_owners = self.decision(photo) is Decision.KEEP
        return Reason.OWNER_KEEP if is_owners else Reason.CONTENT_KEPT

    def find_fault(self, candidate: Candidate) -> Reason | None:
        """Returns the floor that a photo is below; None if it is above all of them.

        Damage comes first, because a damaged photo's scores describe only the part that was read.
        """
        if candidate.file.is_damaged:
            return Reason.DAMAGED
        if candidate.quality.focus_score < self.filters.min_sharpness:
            return Reason.BLURRED
        if candidate.quality.iqa_score < self.filters.min_iqa_score:
            return Reason.LOW_IQA
        return None

    def _check(self, photo: Shot, copy: Copy | None) -> Fall | None:
        """Returns why a photo may not compete; None if it may."""
        decision = self.decision(photo)
        if decision is not None:
            if decision is Decision.KEEP:
                return None
            is_users = self._is_decided_by_user(photo)
            return Fall(Reason.USER_REJECT if is_users else Reason.OWNER_REJECT)
        if self._treatment(photo) == "exclude":
            is_misfire = photo.candidate.content is ContentClass.MISFIRE
            return Fall(Reason.MISFIRE if is_misfire else Reason.CONTENT_EXCLUDED)
        if copy is not None:
            is_version = copy.rule is CopyRule.VERSION
            return Fall(Reason.VERSION if is_version else Reason.COPY, copy)
        if self._treatment(photo) == "keep":
            return None
        fault = self.find_fault(photo.candidate)
        return None if fault is None else Fall(fault)

    def _find_copies(self, moment: Sequence[Shot]) -> dict[str, Copy]:
        """Finds the copies among the photos that are neither rejected nor excluded."""
        if len(moment) < 2:
            return {}
        kept = {photo.path for photo in moment if self.decision(photo) is Decision.KEEP}
        present = [photo.candidate for photo in moment if not self._is_out(photo)]
        if self.parameters.versions == "compete":
            present = [replace(candidate, alteration=None) for candidate in present]
        return find_copies(present, frozenset(kept))

    def _is_out(self, photo: Shot) -> bool:
        """Whether a photo is never picked, so no copy may lose to it."""
        decision = self.decision(photo)
        is_excluded = decision is None and self._treatment(photo) == "exclude"
        return is_excluded or decision is Decision.REJECT

    def _treatment(self, photo: Shot) -> Treatment:
        return self.parameters.content.of(photo.candidate.content)


def find_eligible(moment: Sequence[Shot], fallen: Mapping[str, Fall]) -> list[Shot]:
    """Returns the photos that may compete or, if none may, those that are only below a floor."""
    above = [photo for photo in moment if photo.path not in fallen]
    if above:
        return above
    return [photo for photo in moment if fallen[photo.path].reason in FLOORS]
