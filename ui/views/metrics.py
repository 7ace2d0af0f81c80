"""The Metrics Table tab: every photo's numbers in a table, with charts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr
from bestshot.orchestrator.v1 import orchestrator_pb2 as pb

from ui.captions import pluralize
from ui.client import Orchestrator, OrchestratorError
from ui.image_pages import ALL, FILTERS, image_page
from ui.pages import COLUMNS, charts, metrics_cells
from ui.scores import SCORES
from ui.templating import empty, html, no_results, problem, render

PAGE_SIZE = 50


@dataclass(frozen=True)
class MetricsView:
    """Components of the tab that the page wires.

    Attributes:
        search: Text to find in names and reasons.
        filter_by: Which photos to show.
        score: A score that must be within bounds; empty = none.
        minimum, maximum: Its bounds.
        page: Page number, from 1.
        previous, following: Buttons for the previous and next page.
        order: Session state: the field that the table is sorted by.
        downloads: Links to the files.
    """

    search: gr.Textbox
    filter_by: gr.Dropdown
    score: gr.Dropdown
    minimum: gr.Textbox
    maximum: gr.Textbox
    page: gr.Number
    previous: gr.Button
    following: gr.Button
    order: gr.State
    downloads: gr.HTML
    pages: gr.Markdown
    table: gr.HTML
    charts: gr.HTML

    @property
    def chosen(self) -> list[gr.components.Component]:
        """The inputs that determine which photos are shown, and in what order."""
        bounds = [self.score, self.minimum, self.maximum]
        return [self.search, self.filter_by, *bounds, self.order]

    @property
    def all_outputs(self) -> list[gr.components.Component]:
        """Outputs of `load_page`, charts and downloads."""
        return [*self.outputs, self.charts, self.downloads]

    @property
    def inputs(self) -> list[gr.components.Component]:
        """Inputs of `load_page` after the run."""
        return [*self.chosen, self.page]

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
        scores = [("any score", ""), *((score.label, score.name) for score in SCORES)]
        score = gr.Dropdown(scores, value="", label="With", scale=2, min_width=150)
        minimum = gr.Textbox("", label="from", placeholder="any", scale=1, min_width=80)
        maximum = gr.Textbox("", label="to", placeholder="any", scale=1, min_width=80)
    downloads = html()
    table = html(no_results(), "table.js")
    with gr.Row(elem_classes="turn"):
        pages = gr.Markdown(elem_classes="pages")
        page = gr.Number(1, label="Page", precision=0, minimum=1, scale=0, min_width=90)
        previous = gr.Button("Previous page", size="sm", scale=0, min_width=130)
        following = gr.Button("Next page", size="sm", scale=0, min_width=130)
    with gr.Accordion("Score distributions", open=True):
        distributions = html()
    return MetricsView(
        search=search,
        filter_by=filter_by,
        score=score,
        minimum=minimum,
        maximum=maximum,
        page=page,
        previous=previous,
        following=following,
        order=gr.State("path"),
        downloads=downloads,
        pages=pages,
        table=table,
        charts=distributions,
    )


def toggle_order(order: str, asked: str) -> str:
    """Returns the order after a click on a heading: highest first, then lowest first."""
    return asked if order == f"{asked} desc" else f"{asked} desc"


async def load_page(
    api: Orchestrator,
    run_id: str | None,
    chosen: Sequence[Any],
    page: int | None,
) -> list[Any]:
    """Returns updates for MetricsView.outputs: the table page for `MetricsView.chosen`."""
    search, filter_by, score, minimum, maximum, order = chosen
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
            score_ranges=_score_ranges(score, minimum, maximum),
        )
    except OrchestratorError as error:
        return [problem(error), "", gr.skip()]
    except ValueError as error:
        return [empty("Not a number", str(error)), "", gr.skip()]
    if not found.images:
        nothing = empty("No photos match", "Change the search, the filter or the bounds.")
        return [nothing, "", gr.update(value=1, maximum=1)]
    field, _, direction = order.partition(" ")
    arrow = " ▼" if direction else " ▲"
    sorted_as = "descending" if direction else "ascending"
    columns = [
        {
            "title": title,
            "order": name,
            "is_number": name not in ("path", "status", "reason"),
            "arrow": arrow if name == field else "",
            "sorted": sorted_as if name == field else "",
        }
        for title, name in COLUMNS
    ]
    rows = [
        {
            "path": image.path,
            "is_readable": image.status == pb.IMAGE_STATUS_SCORED,
            "cells": metrics_cells(image),
        }
        for image in found.images
    ]
    note = f"{pluralize(found.total_count, 'photo')}, page {found.number} of {found.page_count}"
    table = render("metrics", columns=columns, rows=rows, run_id=run_id)
    return [table, note, gr.update(value=found.number, maximum=found.page_count)]


def _score_ranges(score: str, minimum: str, maximum: str) -> list[pb.ScoreRange]:
    """Parses the bounds that the user typed; ValueError if one is not a number."""
    bounds = pb.ScoreRange(score=score, minimum=_number(minimum), maximum=_number(maximum))
    return [bounds] if score else []


def _number(text: str) -> float | None:
    if not text.strip():
        return None
    try:
        return float(text.replace(",", "."))
    except ValueError:
        raise ValueError(f'"{text[:40]}" is not a number; enter one such as 0.35.') from None


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
