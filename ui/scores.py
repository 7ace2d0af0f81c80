"""Reads the per-image scores of a result from the API's messages."""

from __future__ import annotations

from bestshot.orchestrator.v1 import orchestrator_pb2 as pb

from services.common.scores import Score, read_scores

SCORES = read_scores(pb.ImageResult.DESCRIPTOR)
"""Every score of a photo, in the order of the protos."""


def score_value(image: pb.ImageResult, score: Score) -> float | None:
    """Returns a photo's score; None if it has none."""
    owner = image
    if score.parent:
        if not image.HasField(score.parent):
            return None
        owner = getattr(image, score.parent)
    field = owner.DESCRIPTOR.fields_by_name[score.name]
    if field.has_presence and not owner.HasField(score.name):
        return None
    return float(getattr(owner, score.name))


def order_by(score: Score) -> str:
    """Returns the `order_by` that lists the best photos first."""
    return score.name if score.lower_is_better else f"{score.name} desc"
