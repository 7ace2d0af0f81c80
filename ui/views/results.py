"""The View Results tab: the gallery by moment, and decisions by button and keyboard."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr
from bestshot.orchestrator.v1 import orchestrator_pb2 as pb

from ui.client import Orchestrator, OrchestratorError
from ui.image_pages import ALL, FILTERS, image_page
from ui.pages import groups
from ui.scores import SCORES, order_by
from ui.templating import empty, html, no_results, problem, render

PAGE_SIZE = 60
MOMENT = "moment"
ORDERS = {
    MOMENT: "Moment",
    **{order_by(score): score.label for score in SCORES},
    "face_count desc": "Number of faces",
    "capture_time": "Capture time",
    "path": "Name",
}


@dataclass(frozen=True)
class ResultsView:
    """Components of the tab that the page wires.

    Attributes:
        filter_by: Which photos to show.
        order_by: The order to show them in.
        page: Page number, from 1.
        pages: Number of pages.
        gallery: The photos.
        previous, following: Buttons for the previous and next page.
    """

    filter_by: gr.Dropdown
    order_by: gr.Dropdown
    page: gr.Number
    pages: gr.Markdown
    gallery: gr.HTML
    previous: gr.Button
    following: gr.Button

    @property
    def chosen(self) -> list[gr.components.Component]:
        """Filter and order."""
        return [self.filter_by, self.order_by]

    @property
    def inputs(self) -> list[gr.components.Component]:
        """Inputs of `load_page` after the run."""
        return [self.filter_by, self.order_by, self.page]

    @property
    def outputs(self) -> list[gr.components.Component]:
        """Outputs of `load_page`."""
        return [self.gallery, self.filter_by, self.pages, self.page]


def build() -> ResultsView:
    """Adds the tab's content."""
    with gr.Row():
        filter_by = gr.Dropdown([("All photos", ALL)], value=ALL, label="Show", min_width=140)
        orders = [(title, order) for order, title in ORDERS.items()]
        order_by = gr.Dropdown(orders, value=MOMENT, label="Sort by", min_width=140)
    html(
        "<p class='keys soft'><kbd>arrows</kbd> move, <kbd>Enter</kbd> opens, "
        "<kbd>k</kbd> keeps, <kbd>x</kbd> rejects, <kbd>m</kbd> marks, <kbd>s</kbd> splits "
        "the marked photos off, <kbd>g</kbd> merges their moments, <kbd>v</kbd> moves them to this "
        "moment, <kbd>u</kbd> undoes</p>"
    )
    gallery = html(no_results(), "gallery.js")
    with gr.Row(elem_classes="turn"):
        pages = gr.Markdown(elem_classes="pages")
        page = gr.Number(1, label="Page", precision=0, minimum=1, scale=0, min_width=90)
        previous = gr.Button("Previous page", size="sm", scale=0, min_width=130)
        following = gr.Button("Next page", size="sm", scale=0, min_width=130)
    return ResultsView(filter_by, order_by, page, pages, gallery, previous, following)


async def load_page(
    api: Orchestrator, run_id: str | None, filter_by: str, order_by: str, page: int | None
) -> list[Any]:
    """Returns updates for ResultsView.outputs: one page of the run's photos."""
    if not run_id:
        return [no_results(), gr.skip(), "", 1]
    try:
        return await _render_page(api, run_id, filter_by, order_by, page)
    except OrchestratorError as error:
        return [problem(error), gr.skip(), "", gr.skip()]


async def _render_page(
    api: Orchestrator, run_id: str, filter_by: str, order_by: str, number: int | None
) -> list[Any]:
    page = await image_page(api, run_id, number, PAGE_SIZE, filter_by=filter_by, order_by=order_by)
    statistics = await api.call(
        api.stub.GetRunStatistics, pb.GetRunStatisticsRequest(run_id=run_id)
    )
    counts = {entry.filter: entry.image_count for entry in statistics.filter_counts}
    by_moment = order_by == MOMENT
    clusters = await _clusters(api, run_id, page.images) if by_moment else {}
    shown_groups = groups(page.images, clusters, by_moment=by_moment)
    gallery = render("gallery", groups=shown_groups, run_id=run_id)
    if not shown_groups:
        gallery = await _nothing(api, run_id, FILTERS[filter_by][0] if filter_by in FILTERS else "")
    named = [(f"All photos ({statistics.image_count})", ALL)]
    for key, (title, image_filter) in FILTERS.items():
        named.append((f"{title} ({counts.get(image_filter, 0)})", key))
    first = (page.number - 1) * PAGE_SIZE + 1
    last = first + len(page.images) - 1
    note = (
        f"Photos {first} to {last} of {page.total_count}, page {page.number} of {page.page_count}"
    )
    return [
        gallery,
        gr.update(choices=named, value=filter_by),
        note if page.images else "",
        gr.update(value=page.number, maximum=page.page_count),
    ]


async def _nothing(api: Orchestrator, run_id: str, filter_title: str) -> str:
    run = await api.run(run_id)
    if run.state != pb.RUN_STATE_COMPLETED:
        reason = run.error or "Run Pipeline shows its progress."
        return empty("This run has no results", reason)
    return empty(f'No photos match the filter "{filter_title}"', "Choose another filter above.")


async def _clusters(
    api: Orchestrator, run_id: str, images: list[pb.ImageResult]
) -> dict[int, pb.Cluster]:
    """Fetches the clusters of a page's photos in one request: their ids are dense and ordered."""
    ids = [image.cluster_id for image in images if image.HasField("cluster_id")]
    ids = [cluster_id for cluster_id in ids if cluster_id >= 0]
    if not ids:
        return {}
    request = pb.ListClustersRequest(
        run_id=run_id, page_size=max(ids) - min(ids) + 1, skip=min(ids)
    )
    answer = await api.call(api.stub.ListClusters, request)
    return {cluster.cluster_id: cluster for cluster in answer.clusters}
