"""Tab Metrics: every photo's numbers in a table, and how they are distributed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr
from bestshot.orchestrator.v1 import orchestrator_pb2 as pb

from ui.client import Orchestrator, OrchestratorError
from ui.pages import COLUMNS, charts, metrics_cells
from ui.templating import empty, html, no_results, problem, render
from ui.views.results import ALL, FILTERS

PAGE_SIZE = 50


@dataclass(frozen=True)
class MetricsView:
    """The parts of the tab that the page wires.

    Attributes:
        search: Text within name or reason.
        filter_by: Which photos.
        page: Page number, from 1.
        order: Field that the table is ordered by, in a session.
        downloads: Links to the files.
    """

    search: gr.Textbox
    filter_by: gr.Dropdown
    page: gr.Number
    order: gr.State
    downloads: gr.HTML
    pages: gr.Markdown
    table: gr.HTML
    charts: gr.HTML

    @property
    def chosen(self) -> list[gr.components.Component]:
        """Search, filter and order."""
        return [self.search, self.filter_by, self.order]

    @property
    def all_outputs(self) -> list[gr.components.Component]:
        """What `shown` answers, charts and downloads."""
        return [*self.outputs, self.charts, self.downloads]

    @property
    def inputs(self) -> list[gr.components.Component]:
        """What `shown` is asked with, behind the run."""
        return [self.search, self.filter_by, self.order, self.page]

    @property
    def outputs(self) -> list[gr.components.Component]:
        """What `shown` answers."""
        return [self.table, self.pages, self.page]


def build() -> MetricsView:
    """Adds the tab's content."""
    with gr.Row(equal_height=True):
        search = gr.Textbox("", label="Search in names and reasons", scale=3, min_width=220)
        named = [("All photos", ALL), *((title, key) for key, (title, _) in FILTERS.items())]
        filter_by = gr.Dropdown(named, value=ALL, label="Show", scale=2, min_width=180)
        page = gr.Number(1, label="Page", precision=0, minimum=1, scale=1, min_width=90)
    downloads = html()
    pages = gr.Markdown()
    table = html(no_results(), "rows.js")
    with gr.Accordion("How the scores are distributed", open=True):
        distributions = html()
    return MetricsView(
        search, filter_by, page, gr.State("path"), downloads, pages, table, distributions
    )


def toggled(order: str, asked: str) -> str:
    """The order after a click on a heading: the highest first, then the lowest first."""
    return asked if order == f"{asked} desc" else f"{asked} desc"


async def shown(
    api: Orchestrator,
    run_id: str | None,
    search: str,
    filter_by: str,
    order: str,
    page: int | None,
) -> list[Any]:
    """Updates for MetricsView.outputs: one page of the table."""
    if not run_id:
        return [no_results(), "", 1]
    number = max(1, int(page or 1))
    chosen = FILTERS.get(filter_by)
    request = pb.ListImagesRequest(
        run_id=run_id,
        page_size=PAGE_SIZE,
        skip=(number - 1) * PAGE_SIZE,
        order_by=order,
        search=search.strip(),
        filters=[chosen[1]] if chosen else [],
    )
    try:
        answer = await api.call(api.stub.ListImages, request)
    except OrchestratorError as error:
        return [problem(error), "", gr.skip()]
    page_count = max(1, -(-answer.total_count // PAGE_SIZE))
    if number > page_count:
        return await shown(api, run_id, search, filter_by, order, page_count)
    if not answer.images:
        nothing = empty("No photo is like that", "Change what is searched for or shown.")
        return [nothing, "", gr.update(value=1, maximum=1)]
    field, _, direction = order.partition(" ")
    arrow = " ▼" if direction else " ▲"
    columns = [
        {"title": title, "order": name, "arrow": arrow if name == field else ""}
        for title, name in COLUMNS
    ]
    rows = [{"path": image.path, "cells": metrics_cells(image)} for image in answer.images]
    note = f"{answer.total_count} photos, page {number} of {page_count}"
    table = render("metrics", columns=columns, rows=rows)
    return [table, note, gr.update(value=number, maximum=page_count)]


async def distributions(api: Orchestrator, run_id: str | None) -> str:
    """The charts of a run."""
    if not run_id:
        return ""
    request = pb.GetRunStatisticsRequest(run_id=run_id)
    try:
        answer = await api.call(api.stub.GetRunStatistics, request)
    except OrchestratorError as error:
        return problem(error)
    return render("charts", charts=charts(answer))
