"""Sets of photos that belong together, such as the frames of an exposure bracket."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

Use = Literal["ignore", "best", "middle", "all"]
UseWithoutMiddle = Literal["ignore", "best", "all"]


class SetKind(StrEnum):
    """Why photos belong together."""

    EXPOSURE_BRACKET = "exposure_bracket"
    FOCUS_STACK = "focus_stack"
    PANORAMA = "panorama"
    BURST = "burst"

    @property
    def words(self) -> str:
        """Returns the name with its article, for sentences."""
        return f"{'an' if self is SetKind.EXPOSURE_BRACKET else 'a'} {self.value.replace('_', ' ')}"


@dataclass(frozen=True, slots=True)
class SetParameters:
    """Settings of `keep_sets`."""

    exposure_brackets: Use
    """how to pick from frames of the same view at different exposures, which always belong to one
    moment: `best` picks at most one of them, as with other photos; `middle` picks the one with the
    middle exposure instead; `all` picks all of them if it picks one; `ignore` does not look for
    such frames"""
    focus_stacks: UseWithoutMiddle
    """how to pick from frames that the camera marked as a series of focus distances: `best`, `all`
    or `ignore`, as for `exposure_brackets`"""
    panoramas: UseWithoutMiddle
    """how to pick from overlapping frames, each showing more on one side, taken seconds apart with
    the same focal length and exposure: `best`, `all` or `ignore`, as for `exposure_brackets`"""
    bursts: UseWithoutMiddle
    """how to pick from frames to which the camera or phone gave the same burst identifier: `best`,
    `all` or `ignore`, as for `exposure_brackets`"""

    def use_of(self, kind: SetKind) -> Use:
        """Returns how to treat sets of a kind."""
        uses: dict[SetKind, Use] = {
            SetKind.EXPOSURE_BRACKET: self.exposure_brackets,
            SetKind.FOCUS_STACK: self.focus_stacks,
            SetKind.PANORAMA: self.panoramas,
            SetKind.BURST: self.bursts,
        }
        return uses[kind]


WITHOUT_SETS = SetParameters(
    exposure_brackets="ignore", focus_stacks="ignore", panoramas="ignore", bursts="ignore"
)
"""Settings that do not look for any sets."""


@dataclass(frozen=True, slots=True)
class SetPlace:
    """A photo's place in a set.

    Attributes:
        kind: Kind of the set.
        number: Number of the set within its run, from 0, ordered by first photo.
        place: Position in the set, from 1: frames of a bracket from dark to bright, others by time.
        size: Number of photos in the set.
    """

    kind: SetKind
    number: int
    place: int
    size: int
