"""What a version of a photo differs by."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

UseOfVersions = Literal["original", "edits", "all", "compete"]


class Edit(StrEnum):
    """What a version differs by from its original."""

    CROPPED = "cropped"
    FRAMED = "framed"
    MIRRORED = "mirrored"
    TURNED = "turned"
    BLACK_AND_WHITE = "black-and-white"
    FILTERED = "filtered"


@dataclass(frozen=True, slots=True)
class Alteration:
    """How a photo was made from another one, judging by their content.

    Attributes:
        original: Path of that photo.
        edits: What it differs by, at least one.
    """

    original: str
    edits: tuple[Edit, ...]

    @property
    def words(self) -> str:
        """For sentences, such as "a cropped, mirrored version"."""
        return f"a {', '.join(self.edits)} version"
