"""The Compare section: how the current run differs from another one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import gradio as gr
from bestshot.orchestrator.v1 import orchestrator_pb2 as pb
from google.protobuf import json_format, struct_pb2

from ui.client import Orchestrator, OrchestratorError
from ui.field_words import Plain, name_photo_field, name_setting, word_setting, word_value
from ui.pages import run_title
from ui.templating import empty, html, no_results, problem, render

TITLE, SECTION = "Compare", "compare"
"""Id of the section, and its name in the page's address."""
SHOWN_COUNT = 40
CHANGE_COUNT = 200
"""Maximum number of photo changes shown; `bestshot diff --all` and the API return the rest."""


@dataclass(frozen=True)
class CompareView:
    """Components of the section that the page wires.

    Attributes:
        other: Id of the run to compare with.
        changes: How the current run differs from the other, below the dropdown that chooses it.
    """

    other: gr.Textbox
    changes: gr.HTML

    @property
    def outputs(self) -> list[gr.components.Component]:
        """Outputs of `load_runs`."""
        return [self.other, self.changes]


def build() -> CompareView:
    """Adds the section's content."""
    other = gr.Textbox("", visible="hidden")
    return CompareView(other, html(no_results(), "rows.js"))


async def load_runs(
    api: Orchestrator, album_id: str | None, run_id: str | None, requested: str | None
) -> list[Any]:
    """Returns updates for the other runs of the album (`requested`, or the newest) and the diff."""
    if not run_id or not album_id:
        return ["", no_results()]
    try:
        runs = await api.runs(album_id)
    except OrchestratorError as error:
        return [gr.skip(), problem(error)]
    others = [run for run in runs if run.id != run_id and run.state == pb.RUN_STATE_COMPLETED]
    known = [run.id for run in others]
    chosen = requested if requested in known else next(iter(known), "")
    choice = render(
        "choice",
        label="Compare with run",
        name="run",
        choices=[(run_title(run), run.id) for run in others],
        chosen=chosen,
    )
    return [chosen, (choice if others else "") + await render_diff(api, run_id, chosen)]


async def render_diff(api: Orchestrator, run_id: str | None, other_id: str | None) -> str:
    """Renders the differences from the other run."""
    if not run_id:
        return no_results()
    if not other_id:
        return empty(
            "This album has no other completed run",
            "Start one with different settings, or apply changes under What if.",
        )
    request = pb.DiffRunsRequest(run_id=other_id, other_run_id=run_id, page_size=CHANGE_COUNT)
    try:
        diff: pb.DiffRunsResponse = await api.call(api.stub.DiffRuns, request)
    except OrchestratorError as error:
        return problem(error)
    return render(
        "diff",
        run_id=run_id,
        inputs=[
            ("Settings", _rows(diff.settings, name_setting, word_setting)),
            ("Models", _rows(diff.models, name_photo_field)),
            ("Versions", _rows(diff.versions, name_photo_field)),
        ],
        photos=[
            _strip("Newly selected", "gained", diff.gained_paths),
            _strip("No longer selected", "lost", diff.lost_paths),
            _strip("New photos", "", diff.added_paths),
            _strip("Photos with changed files", "", diff.changed_file_paths),
        ],
        gone=list(diff.removed_paths),
        regroupings=[
            {"before": _moments(one.before), "after": _moments(one.after)}
            for one in diff.regroupings
        ],
        changes=_rows(diff.photo_changes, name_photo_field),
        more=diff.total_change_count - len(diff.photo_changes),
    )


def _rows(
    changes: Sequence[pb.ValueChange],
    name_field: Callable[[str], str],
    word: Callable[[str, Plain], str] = lambda _, value: word_value(value),
) -> list[dict[str, Any]]:
    return [
        {
            "path": change.path,
            "key": change.field,
            "field": name_field(change.field),
            "before": word(change.field, _plain(change.before)),
            "after": word(change.field, _plain(change.after)),
        }
        for change in changes
    ]


def _plain(value: struct_pb2.Value) -> Plain:
    return cast(Plain, json_format.MessageToDict(value))


def _strip(title: str, kind: str, paths: Sequence[str]) -> dict[str, Any]:
    return {
        "title": title,
        "kind": kind,
        "paths": list(paths[:SHOWN_COUNT]),
        "more": max(0, len(paths) - SHOWN_COUNT),
    }


def _moments(moments: Sequence[pb.Moment]) -> list[list[str]]:
    return [list(moment.paths) for moment in moments]
