"""The Decisions section: the album's decision log, newest first."""

from __future__ import annotations

from dataclasses import dataclass

import gradio as gr
from bestshot.orchestrator.v1 import orchestrator_pb2 as pb

from ui.client import Orchestrator, OrchestratorError
from ui.pairs.routes import pairs_url
from ui.templating import empty, html, problem, render

SHOWN_COUNT = 200
_VERBS = {
    pb.DecisionAction.DECISION_ACTION_KEEP: "keep",
    pb.DecisionAction.DECISION_ACTION_REJECT: "reject",
    pb.DecisionAction.DECISION_ACTION_CLEAR: "clear the decision on",
    pb.DecisionAction.DECISION_ACTION_MOVE: "move",
    pb.DecisionAction.DECISION_ACTION_SPLIT: "split off",
    pb.DecisionAction.DECISION_ACTION_MERGE: "merge the moments of",
}


@dataclass(frozen=True)
class Row:
    """A line in the log."""

    entry_id: str
    time: str
    text: str
    decided_by: str
    is_in_force: bool


def build() -> gr.HTML:
    """Adds the section's content."""
    html(
        "<p class='soft'>Decisions follow a photo's content, not its name. They apply to this run "
        "and to all later ones. The log is append-only: undoing a decision adds an entry.</p>"
    )
    return html(script="decisions.js")


async def render_log(api: Orchestrator, run_id: str | None) -> str:
    """Renders the log of a run's album."""
    if not run_id:
        return empty("No decisions yet", "Keep or reject photos under View Results.")
    try:
        album_id = (await api.run(run_id)).album_id
        entries = await _entries(api, album_id)
    except OrchestratorError as error:
        return problem(error)
    invitation = render("which_one", url=pairs_url(album_id, run_id))
    if not entries:
        nothing = empty("No decisions yet", "Keep or reject photos under View Results.")
        return invitation + nothing
    by_id = {entry.id: entry for entry in entries}
    rows = [
        Row(
            entry.id,
            f"{entry.create_time.ToDatetime().astimezone():%Y-%m-%d %H:%M:%S}",
            describe(entry, by_id),
            entry.decided_by,
            entry.is_in_force,
        )
        for entry in reversed(entries[-SHOWN_COUNT:])
    ]
    return invitation + render("decisions", rows=rows, more=len(entries) - len(rows))


def describe(entry: pb.DecisionEntry, by_id: dict[str, pb.DecisionEntry]) -> str:
    """Describes an entry."""
    if entry.action == pb.DecisionAction.DECISION_ACTION_UNDO:
        return f"undo: {describe(by_id[entry.undone_id], by_id)}"
    names = [photo.path or photo.content_digest[:12] for photo in entry.photos]
    photos = ", ".join(names)
    if entry.action == pb.DecisionAction.DECISION_ACTION_RATE:
        return f"{entry.stars or 'no'} {'star' if entry.stars == 1 else 'stars'}: {photos}"
    if entry.action == pb.DecisionAction.DECISION_ACTION_LABEL:
        return f"{entry.label or 'no'} label: {photos}"
    if entry.action == pb.DecisionAction.DECISION_ACTION_PREFER:
        return f"prefer {' to '.join(names)}"
    if entry.action == pb.DecisionAction.DECISION_ACTION_UNSURE:
        return f"cannot tell which is better: {photos}"
    target = f" to the moment of {entry.target.path}" if entry.HasField("target") else ""
    return f"{_VERBS[entry.action]} {photos}{target}"


async def _entries(api: Orchestrator, album_id: str) -> list[pb.DecisionEntry]:
    found: list[pb.DecisionEntry] = []
    token = ""
    while True:
        request = pb.ListDecisionsRequest(album_id=album_id, page_size=1000, page_token=token)
        answer = await api.call(api.stub.ListDecisions, request)
        found += answer.entries
        token = answer.next_page_token
        if not token:
            return found
