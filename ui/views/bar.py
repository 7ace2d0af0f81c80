"""The bar above the tabs: the album and run that the page shows, and links to their views."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gradio as gr
from bestshot.orchestrator.v1 import orchestrator_pb2 as pb

from ui.client import Orchestrator, OrchestratorError
from ui.cull.routes import cull_url
from ui.grid.routes import grid_url
from ui.pages import run_title
from ui.people.routes import PEOPLE_URL
from ui.templating import html, render
from ui.views.albums import dropdown_names


def build() -> gr.HTML:
    """Adds the bar. Its script also keeps the page's address up to date."""
    return html(render_bar([], [], "", "", is_loaded=False), "bar.js")


async def load_bar(api: Orchestrator, album_id: str, run_id: str) -> Any:  # noqa: ANN401
    """Renders the bar; leaves it unchanged while the orchestrator is down."""
    try:
        albums = await api.albums()
        runs = await api.runs(album_id) if album_id else []
        people = await api.call(api.stub.ListPeople, pb.ListPeopleRequest(page_size=1))
    except OrchestratorError:
        return gr.skip()
    has_people = people.total_count > 0
    return render_bar(albums, runs, album_id, run_id, has_people=has_people)


def render_bar(
    albums: Sequence[pb.Album],
    runs: Sequence[pb.Run],
    album_id: str,
    run_id: str,
    *,
    has_people: bool = False,
    is_loaded: bool = True,
) -> str:
    """Renders the bar with the choices and the current selection."""
    completed = {run.id for run in runs if run.state == pb.RUN_STATE_COMPLETED}
    return render(
        "bar",
        albums=dropdown_names(albums),
        runs=[(run_title(run), run.id) for run in runs],
        album_id=album_id,
        run_id=run_id,
        is_loaded=is_loaded,
        cull_url=cull_url(album_id, run_id) if run_id in completed else "",
        grid_url=grid_url(album_id, run_id) if run_id in completed else "",
        people_url=PEOPLE_URL if has_people else "",
    )


async def find_run(api: Orchestrator, album_id: str, requested: str) -> str:
    """Returns `requested` if it is a run of the album, else its newest completed or newest run."""
    runs = await api.runs(album_id) if album_id else []
    known = [run.id for run in runs]
    if requested in known:
        return requested
    completed = [run.id for run in runs if run.state == pb.RUN_STATE_COMPLETED]
    return next(iter([*completed, *known]), "")


async def choose_run(api: Orchestrator, album_id: str, requested: str) -> Any:  # noqa: ANN401
    """Returns what `find_run` finds; keeps the current choice if the orchestrator is down."""
    try:
        return await find_run(api, album_id, requested)
    except OrchestratorError:
        return gr.skip()
