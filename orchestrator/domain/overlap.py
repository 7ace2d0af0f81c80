"""The part that two photos have in common, as measured by `runs/measure_overlap`."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two pictures.

    Attributes:
        share: Share of the picture that the other one also shows.
        x: How far the other picture's centre is to the right of this one's, as a share of this
            picture's width.
        y: How far it is below this one's, as a share of this picture's height.
        spread: Standard deviation of the 8-bit levels outside the common part; 0 if nothing is
            outside.
        chroma: Mean distance from grey in the common part, in 8-bit levels.
        length: Long side of this whole picture when aligned with the other one, as a multiple of
            the other one's long side.
    """

    share: float
    x: float
    y: float
    spread: float
    chroma: float
    length: float


@dataclass(frozen=True, slots=True)
class Overlap:
    """The part that two photos have in common.

    Attributes:
        match_count: Number of local features that are in the same places in both.
        is_mirrored: Whether the pictures match when one is mirrored left to right.
        turn_degrees: How far one is rotated relative to the other: 0 to 180.
        bend: How far the corners are from where shifting, rotating and scaling would put them, as a
            share of the long side: the effect of perspective.
        agreement: Correlation of the fine structure after aligning the pictures, -1 to 1; all but a
            fifth of the textured parts exceed it.
        lowest: The same, but all but a twentieth of the parts exceed it.
        colour_shift: Mean difference in colour, ignoring brightness, in 8-bit levels.
        first: The first picture.
        second: The second picture.
    """

    match_count: int
    is_mirrored: bool
    turn_degrees: float
    bend: float
    agreement: float
    lowest: float
    colour_shift: float
    first: Side
    second: Side

    def swap(self) -> Overlap:
        """Returns the same overlap with the pictures in the other order."""
        return replace(self, first=self.second, second=self.first)
