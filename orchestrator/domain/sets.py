"""Photos that were taken to belong together, such as the frames of an exposure bracket."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

Use = Literal["ignore", "best", "middle", "all"]


class SetKind(StrEnum):
    """Why photos belong together."""

    EXPOSURE_BRACKET = "exposure_bracket"

    @property
    def words(self) -> str:
        """For sentences."""
        return {SetKind.EXPOSURE_BRACKET: "exposure bracket"}[self]


@dataclass(frozen=True, slots=True)
class SetParameters:
    """Settings of `keep_sets`."""

    exposure_brackets: Use
    """frames of one view at different exposures, which are always of one moment: `best` picks at
    most one of them, as among other photos; `middle` picks the one of middle exposure instead;
    `all` picks all of them if it picks one; `ignore` does not look for them"""

    def use_of(self, kind: SetKind) -> Use:
        """What is done with sets of a kind."""
        return {SetKind.EXPOSURE_BRACKET: self.exposure_brackets}[kind]


WITHOUT_SETS = SetParameters(exposure_brackets="ignore")
"""No sets are looked for."""


@dataclass(frozen=True, slots=True)
class SetPlace:
    """A photo's place in a set.

    Attributes:
        kind: Of the set.
        number: Of the set within its run, from 0 by its first photo.
        place: In the set, from 1: frames of a bracket from dark to bright.
        size: Photos of the set.
    """

    kind: SetKind
    number: int
    place: int
    size: int
