"""The Models section, the badge in the bar, and the notices above all tabs."""

from __future__ import annotations

from collections.abc import Sequence

from bestshot.orchestrator.v1 import orchestrator_pb2 as pb

from ui.client import Orchestrator, OrchestratorError
from ui.templating import problem, render


async def render_models(api: Orchestrator) -> list[str]:
    """Renders the badge, the notices and the section's content."""
    try:
        served = await api.models()
    except OrchestratorError as error:
        return ["", problem(error), problem(error)]
    return [badge(served), render("notices", models=served), render("models", models=served)]


def badge(served: Sequence[pb.ServedModel]) -> str:
    """Returns what users should know about the models: heuristics and fallbacks."""
    return render(
        "badge",
        heuristics=[entry.role.capitalize() for entry in served if entry.model.is_heuristic],
        fallbacks=[entry for entry in served if entry.model.fallback_for_model_id],
    )
