"""How an edited version of a photo differs from the original."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

UseOfVersions = Literal["original", "edits", "all", "compete"]


class Edit(StrEnum):
    """A way in which a version differs from its original."""

    CROPPED = "cropped"
    FRAMED = "framed"
    MIRRORED = "mirrored"
    TURNED = "turned"
    BLACK_AND_WHITE = "black-and-white"
    FILTERED = "filtered"


@dataclass(frozen=True, slots=True)
class Alteration:
    """How a photo was derived from another one, inferred from their content.

    Attributes:
        original: Path of the other photo.
        edits: How the two differ; at least one edit.
    """

    original: str
    edits: tuple[Edit, ...]

    @property
    def words(self) -> str:
        """The version as a phrase, for example "a cropped, mirrored version"."""
        return f"a {', '.join(self.edits)} version"
