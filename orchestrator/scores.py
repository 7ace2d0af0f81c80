"""The per-image scores of a result, each declared once, in the protos; see CONTRIBUTING.md."""

from __future__ import annotations

from bestshot.orchestrator.v1 import orchestrator_pb2 as pb

from orchestrator.records import ImageRecord
from services.common.scores import Score, read_scores

SCORES = read_scores(pb.ImageResult.DESCRIPTOR)
"""Every score of a photo, in the order of the protos."""


def score_value(record: ImageRecord, score: Score) -> float | None:
    """Returns a photo's score; None if the photo does not have that score."""
    owner = getattr(record, score.parent) if score.parent else record
    value: float | None = getattr(owner, score.name) if owner is not None else None
    return value
