"""Captions for photos, runs and durations."""

from __future__ import annotations

from urllib.parse import quote

from bestshot.orchestrator.v1 import orchestrator_pb2 as pb

from services.common.scores import score_caption
from ui.scores import SCORES, score_value


def photo_url(run_id: str, path: str, long_side_px: int) -> str:
    """Returns the URL of a photo's picture on this server."""
    return f"/photos/{quote(run_id)}/{long_side_px}/{quote(path)}"


def score_line(image: pb.ImageResult) -> str:
    """Formats scores: "IQA: 0.72 | AVA: 6.3 | Sharp: 0.55 | Score: 0.61"; empty if unreadable."""
    if image.status != pb.IMAGE_STATUS_SCORED:
        return ""
    return score_caption((score, score_value(image, score)) for score in SCORES)


def status(image: pb.ImageResult) -> str:
    """Returns a photo's result: unreadable, kept, rejected, selected or not selected."""
    if image.status == pb.IMAGE_STATUS_UNREADABLE:
        return "unreadable"
    if image.decision == pb.DECISION_KEEP:
        return "kept"
    if image.decision == pb.DECISION_REJECT:
        return "rejected"
    return "selected" if image.is_selected else "not selected"


def moment_title(image: pb.ImageResult) -> str:
    """Returns the title of a photo's group in the gallery."""
    if image.status == pb.IMAGE_STATUS_UNREADABLE:
        return "Unreadable files"
    return f"Moment {image.cluster_id + 1}" if image.cluster_id >= 0 else "Single shots"


def pluralize(number: int, word: str) -> str:
    """Formats a count, for example "1 photo" or "2 photos"."""
    return f"{number} {word}" if number == 1 else f"{number} {word}s"


def duration(seconds: float) -> str:
    """Formats a duration, for example "8 s", "2 min 5 s" or "1 h 3 min"."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
