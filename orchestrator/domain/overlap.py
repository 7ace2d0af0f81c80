"""What two photos both show, as measured on their pictures (see `runs/measure_overlap`)."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two pictures.

    Attributes:
        share: Share of the picture that the other one shows too.
        x: Where the centre of the other one lies, in widths from this one's centre to the right.
        y: Likewise in heights, downwards.
        spread: Standard deviation of the 8-bit levels of the rest; 0 if there is no rest.
        chroma: Mean distance from grey of the joint part, in 8-bit levels.
        length: Long side of this whole picture, laid on the other one, in long sides of that.
    """

    share: float
    x: float
    y: float
    spread: float
    chroma: float
    length: float


@dataclass(frozen=True, slots=True)
class Overlap:
    """What two photos both show.

    Attributes:
        match_count: Local features that lie in the same places of both.
        is_mirrored: Whether the pictures match when one is mirrored left to right.
        turn_degrees: By how much one is turned against the other: 0 to 180.
        bend: How far the corners are from where moving, turning and scaling would put them, as a
            share of the long side: what perspective adds.
        agreement: Correlation of the fine structure that all but a fifth of the textured parts
            exceed, after laying one picture on the other: -1 to 1.
        lowest: The same for all but a twentieth.
        colour_shift: Mean difference of the colours apart from brightness, in 8-bit levels.
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
        """The same with the pictures in the other order."""
        return replace(self, first=self.second, second=self.first)
