"""The Models tab, and the notices above all tabs."""

from __future__ import annotations

from collections.abc import Sequence

from bestshot.orchestrator.v1 import orchestrator_pb2 as pb

from ui.client import Orchestrator, OrchestratorError
from ui.templating import problem, render


async def render_models(api: Orchestrator) -> list[str]:
    """Renders the notices and the tab's content."""
    try:
        served = await api.models()
    except OrchestratorError as error:
        return [problem(error), problem(error)]
    return [notices(served), render("models", models=served)]


def notices(served: Sequence[pb.ServedModel]) -> str:
    """Notices about the models: missing ones, fallbacks, heuristics."""
    heuristics = [entry.role for entry in served if entry.model.is_heuristic]
    return render("notices", models=served, heuristics=[role.capitalize() for role in heuristics])
