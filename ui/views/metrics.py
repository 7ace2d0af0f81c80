"""The Metrics tab: every photo's numbers in a table, with charts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr
from bestshot.orchestrator.v1 import orchestrator_pb2 as pb

from ui.captions import pluralize
from ui.client import Orchestrator, OrchestratorError
from ui.image_pages import ALL, FILTERS, image_page
from ui.pages import COLUMNS, charts, metrics_cells
from ui.templating import empty, html, no_results, problem, render

PAGE_SIZE = 50


@dataclass(frozen=True)
class MetricsView:
    """Components of the tab that the page wires.

    Attributes:
        search: Text to find in names and reasons.
        filter_by: Which photos to show.
        page: Page number, from 1.
        order: Session state: the field that the table is sorted by.
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
        """Outputs of `load_page`, charts and downloads."""
        return [*self.outputs, self.charts, self.downloads]

    @property
    def inputs(self) -> list[gr.components.Component]:
        """Inputs of `load_page` after the run."""
        return [self.search, self.filter_by, self.order, self.page]

    @property
    def outputs(self) -> list[gr.components.Component]:
        """Outputs of `load_page`."""
        return [self.table, self.pages, self.page]


def build() -> MetricsView:
    """Adds the tab's content."""
    with gr.Row(equal_height=True):
        search = gr.Textbox("", label="Search names and reasons", scale=3, min_width=220)
        named = [("All photos", ALL), *((title, key) for key, (title, _) in FILTERS.items())]
        filter_by = gr.Dropdown(named, value=ALL, label="Show", scale=2, min_width=180)
        page = gr.Number(1, label="Page", precision=0, minimum=1, scale=1, min_width=90)
    downloads = html()
    pages = gr.Markdown()
    table = html(no_results(), "rows.js")
    with gr.Accordion("Score distributions", open=True):
        distributions = html()
    return MetricsView(
        search, filter_by, page, gr.State("path"), downloads, pages, table, distributions
    )


def toggle_order(order: str, asked: str) -> str:
    """Returns the order after a click on a heading: highest first, then lowest first."""
    return asked if order == f"{asked} desc" else f"{asked} desc"


async def load_page(
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
    try:
        found = await image_page(
            api,
            run_id,
            page,
            PAGE_SIZE,
            filter_by=filter_by,
            order_by=order,
            search=search.strip(),
        )
    except OrchestratorError as error:
        return [problem(error), "", gr.skip()]
    if not found.images:
        nothing = empty("No photos match", "Change the search or the filter.")
        return [nothing, "", gr.update(value=1, maximum=1)]
    field, _, direction = order.partition(" ")
    arrow = " ▼" if direction else " ▲"
    columns = [
        {"title": title, "order": name, "arrow": arrow if name == field else ""}
        for title, name in COLUMNS
    ]
    rows = [{"path": image.path, "cells": metrics_cells(image)} for image in found.images]
    note = f"{pluralize(found.total_count, 'photo')}, page {found.number} of {found.page_count}"
    table = render("metrics", columns=columns, rows=rows)
    return [table, note, gr.update(value=found.number, maximum=found.page_count)]


async def distributions(api: Orchestrator, run_id: str | None) -> str:
    """Renders the charts of a run."""
    if not run_id:
        return ""
    request = pb.GetRunStatisticsRequest(run_id=run_id)
    try:
        answer = await api.call(api.stub.GetRunStatistics, request)
    except OrchestratorError as error:
        return problem(error)
    return render("charts", charts=charts(answer))
