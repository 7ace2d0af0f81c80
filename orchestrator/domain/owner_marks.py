"""What the ratings and flags of other programs say about keeping a photo."""

from __future__ import annotations

from orchestrator.domain.photo import Decision, OwnerMark

RATING_REJECTED = -1
"""XMP's value for a rejected photo (XMP specification part 1, section 8.4)."""
MIN_KEPT_RATING = 4
"""A convention: most people give four or five stars to the photos that they want to keep."""
PICKED, REJECTED = "picked", "rejected"


def owner_decision(mark: OwnerMark) -> Decision | None:
    """Reads a mark as a decision; None if it is not one. A flag takes precedence over the stars."""
    if mark.pick == REJECTED:
        return Decision.REJECT
    if mark.pick == PICKED:
        return Decision.KEEP
    if mark.rating is None:
        return None
    if mark.rating == RATING_REJECTED:
        return Decision.REJECT
    return Decision.KEEP if mark.rating >= MIN_KEPT_RATING else None


def describe_mark(mark: OwnerMark) -> str:
    """Describes a mark that is a decision, for example "its rating in a.xmp is -1 (rejected)"."""
    if mark.pick:
        return f"it is flagged as {mark.pick} in {mark.source}"
    meaning = " (rejected)" if mark.rating == RATING_REJECTED else ""
    return f"its rating in {mark.source} is {mark.rating}{meaning}"
