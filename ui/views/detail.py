"""The detail view of a photo: scores, faces and reason, with another photo beside it."""

from __future__ import annotations

import gradio as gr
from bestshot.orchestrator.v1 import orchestrator_pb2 as pb

from ui.captions import moment_title
from ui.client import Orchestrator, OrchestratorError
from ui.facts import fact_lines
from ui.pages import score_rows, votes_chart
from ui.templating import html, render

NEIGHBOUR_COUNT = 24


def build() -> gr.HTML:
    """Adds the panel; it covers the page while it has content."""
    return html(script="detail.js")


async def render_detail(
    api: Orchestrator,
    run_id: str,
    path: str,
    other_path: str = "",
    *,
    ask: bool = False,
    explain: bool = False,
) -> str:
    """Shows a photo.

    Args:
        api: The orchestrator.
        run_id: The photo's run.
        path: The photo.
        other_path: The photo beside it; empty = the photo that it lost to.
        ask: Whether to ask the Siamese model which photo is better.
        explain: Whether to show the full explanation of the result.
    """
    image = await api.image(run_id, path)
    other, trouble, probability = None, "", None
    lines: list[str] = []
    try:
        beside = other_path or image.lost_to_path
        other = await api.image(run_id, beside) if beside and beside != path else None
        if ask and other is not None:
            request = pb.CompareImagesRequest(
                run_id=run_id, first_path=path, second_path=other.path
            )
            answer = await api.call(api.stub.CompareImages, request)
            probability = answer.first_better_probability
        if explain:
            why = pb.ExplainImageRequest(run_id=run_id, path=path)
            lines = list((await api.call(api.stub.ExplainImage, why)).explanation.lines)
    except OrchestratorError as error:
        trouble = f"{error.message} {error.advice}".strip()
    lost = other is not None and other.path == image.lost_to_path
    return render(
        "detail",
        run_id=run_id,
        image=image,
        other=other,
        other_side="preferred: " if lost else "",
        title=moment_title(image),
        facts=fact_lines(image),
        rows=score_rows(image, other),
        votes_chart=votes_chart,
        neighbours=[near for near in await _moment(api, run_id, image) if near.path != path],
        probability=probability,
        lines=lines[1:],
        problem=trouble,
    )


async def _moment(api: Orchestrator, run_id: str, image: pb.ImageResult) -> list[pb.ImageResult]:
    if not image.HasField("cluster_id") or image.cluster_id < 0:
        return []
    request = pb.ListImagesRequest(
        run_id=run_id,
        cluster_id=image.cluster_id,
        order_by="moment",
        page_size=NEIGHBOUR_COUNT,
    )
    return list((await api.call(api.stub.ListImages, request)).images)
