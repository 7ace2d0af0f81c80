"""The What if section: tries other settings on the stored scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr
from bestshot.orchestrator.v1 import orchestrator_pb2 as pb

from ui import controls
from ui.captions import pluralize
from ui.client import Orchestrator, OrchestratorError
from ui.templating import empty, html, no_results, problem, render

SHOWN_COUNT = 40


@dataclass(frozen=True)
class WhatIfView:
    """Components of the section that the page wires.

    Attributes:
        settings: The components of controls.build.
        changes: The resulting changes.
        apply: Creates a run with them.
        reset: Returns to the run's own settings.
    """

    settings: list[gr.components.Component]
    changes: gr.HTML
    apply: gr.Button
    reset: gr.Button


def build() -> WhatIfView:
    """Adds the section's content."""
    with gr.Row(elem_classes="trial"):
        with gr.Column(scale=2, min_width=340):
            settings = controls.build()
        with gr.Column(scale=3, min_width=340):
            changes = html(no_results(), "rows.js")
            with gr.Row():
                apply = gr.Button("Apply as new run", variant="primary")
                reset = gr.Button("Reset to the run's settings")
    return WhatIfView(settings, changes, apply, reset)


async def load_settings(api: Orchestrator, run_id: str | None) -> list[Any]:
    """Returns updates for settings and changes: the run's own settings, and no changes."""
    skipped = [gr.skip()] * controls.COMPONENT_COUNT
    if not run_id:
        return [*skipped, no_results()]
    try:
        run, described = await api.run(run_id), await api.settings()
    except OrchestratorError as error:
        return [*skipped, problem(error)]
    config = controls.config_of(run)
    hint = empty("Nothing changed", "Change a setting to preview the result.")
    return [*controls.fill(described, config), hint]


async def preview(api: Orchestrator, run_id: str | None, values: Sequence[controls.Value]) -> str:
    """Renders the changes that these values would make to a run."""
    if not run_id:
        return no_results()
    try:
        answer = await reselect(api, run_id, values, validate_only=True)
    except OrchestratorError as error:
        return problem(error)
    gained, lost = list(answer.gained_paths), list(answer.lost_paths)
    parts = [
        {
            "title": title,
            "kind": kind,
            "paths": paths[:SHOWN_COUNT],
            "more": max(0, len(paths) - SHOWN_COUNT),
        }
        for title, kind, paths in (
            ("Would be added", "gained", gained),
            ("Would be dropped", "lost", lost),
        )
    ]
    summary = answer.run.summary
    return render(
        "changes",
        run_id=run_id,
        headline=f"{pluralize(len(gained), 'photo')} gained, {len(lost)} lost. Result: "
        f"{summary.selected_count} selected in {pluralize(summary.cluster_count, 'moment')} and "
        f"{pluralize(summary.noise_count, 'single shot')}",
        missing=answer.missing_comparison_count,
        notes=answer.run.notes,
        parts=parts,
    )


async def reselect(
    api: Orchestrator, run_id: str, values: Sequence[controls.Value], *, validate_only: bool
) -> pb.ReselectResponse:
    """Reselects with these values."""
    request = pb.ReselectRequest(
        run_id=run_id,
        config_overrides=controls.overrides(values, await api.run(run_id)),
        validate_only=validate_only,
    )
    answer: pb.ReselectResponse = await api.call(api.stub.Reselect, request)
    return answer
