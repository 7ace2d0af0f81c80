"""Per-image scores, as the fields of the protos declare them.

A score is a field with the option bestshot.score.v1.score. The orchestrator and the user interface
both read the declaration from the descriptor, so neither repeats a label or a range. How to add
one is in CONTRIBUTING.md.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from bestshot.score.v1 import score_pb2


@dataclass(frozen=True, slots=True)
class Score:
    """A per-image score; fields as in score.proto.

    Attributes:
        name: Name of its field.
        parent: Field of the message that holds it, for example "quality"; empty for the top level.
        minimum: Lowest possible value; None = no bound.
        maximum: Highest possible value; None = no bound.
    """

    name: str
    parent: str
    label: str
    column: str
    caption: str
    unit: str
    minimum: float | None
    maximum: float | None
    lower_is_better: bool
    in_table: bool

    @property
    def heading(self) -> str:
        """Heading of its column in tables."""
        return self.column.replace("_", " ")


def read_scores(descriptor: Any, parent: str = "") -> tuple[Score, ...]:  # noqa: ANN401
    """Lists the scores that a message declares, including those of its singular sub-messages.

    Args:
        descriptor: Descriptor of the message.
        parent: Name of the field that holds it.
    """
    found: list[Score] = []
    for field in descriptor.fields:
        options = field.GetOptions()
        if options.HasExtension(score_pb2.score):
            found.append(_score(field.name, parent, options.Extensions[score_pb2.score]))
        # faces are a repeated field: their scores belong to a face, not to the photo
        elif field.message_type is not None and not field.is_repeated and not parent:
            found.extend(read_scores(field.message_type, field.name))
    return tuple(found)


def score_caption(values: Iterable[tuple[Score, float | None]]) -> str:
    """Writes a caption such as "IQA: 0.72 | AVA: 6.3"; omits scores without caption or value."""
    return " | ".join(
        f"{score.caption}: {value:.{_decimals(score)}f}"
        for score, value in values
        if score.caption and value is not None
    )


def _decimals(score: Score) -> int:
    """Chooses two decimals for a range of 1, and one for wider ones to avoid false precision."""
    is_long = score.maximum is not None and score.maximum > 1
    return 1 if is_long else 2


def _score(name: str, parent: str, declared: score_pb2.Score) -> Score:
    return Score(
        name=name,
        parent=parent,
        label=declared.label,
        column=declared.column,
        caption=declared.caption,
        unit=declared.unit,
        minimum=declared.minimum if declared.HasField("minimum") else None,
        maximum=declared.maximum if declared.HasField("maximum") else None,
        lower_is_better=declared.lower_is_better,
        in_table=declared.in_table,
    )
