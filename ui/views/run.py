"""The Run section: settings, start, progress, cancel, resume."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr
from bestshot.orchestrator.v1 import orchestrator_pb2 as pb

from ui import controls
from ui.client import Orchestrator, OrchestratorError
from ui.messages import make_error, report_errors
from ui.pages import ACTIVE_STATES, HEADLINES, stages
from ui.templating import empty, html, problem, render
from ui.views.bar import choose_run

_RESUMING = "The scores computed so far are kept, so you can resume the run."
_ADVICE = {
    pb.RUN_STATE_FAILED: "The scores computed so far are kept. Fix the problem, then resume the "
    "run.",
    pb.RUN_STATE_INTERRUPTED: f"The orchestrator stopped before the run was complete. {_RESUMING}",
    pb.RUN_STATE_CANCELLED: _RESUMING,
}
_RESUMABLE = (pb.RUN_STATE_FAILED, pb.RUN_STATE_INTERRUPTED, pb.RUN_STATE_CANCELLED)


@dataclass(frozen=True)
class RunView:
    """Components of the section that the page updates.

    Attributes:
        progress: Progress of the newest run.
        start: Starts a run.
        cancel: Stops the run.
        resume: Continues the run if it did not complete.
        profile: Profile that the settings start from.
        settings: The components of controls.build.
    """

    progress: gr.HTML
    start: gr.Button
    cancel: gr.Button
    resume: gr.Button
    profile: gr.Dropdown
    settings: list[gr.components.Component]

    @property
    def outputs(self) -> list[gr.components.Component]:
        """Outputs of `newest`."""
        return [self.progress, self.start, self.cancel, self.resume]


def build(api: Orchestrator, album: gr.Textbox, run: gr.Textbox) -> RunView:
    """Adds the section's content."""
    with gr.Row():
        with gr.Column(scale=3, min_width=340):
            progress = html()
            with gr.Row():
                start = gr.Button("Start run", variant="primary")
                cancel = gr.Button("Cancel run", interactive=False)
                resume = gr.Button("Resume run", visible=False)
            sure, delete = _add_deletion()
        with gr.Column(scale=2, min_width=340):
            profile = gr.Dropdown(label="Profile")
            settings = controls.build()
    view = RunView(progress, start, cancel, resume, profile, settings)

    async def start_run(album_id: str | None, profile_name: str, *values: controls.Value) -> Any:  # noqa: ANN401
        if not album_id:
            raise make_error("Choose an album first, or create one under Albums.")
        described = await report_errors(api.settings(profile_name))
        request = pb.StartRunRequest(
            album_id=album_id,
            profile=profile_name,
            config_overrides=controls.overrides(values, described),
        )
        await report_errors(api.call(api.stub.StartRun, request))
        return await newest(api, album_id)

    async def cancel_run(album_id: str | None) -> Any:  # noqa: ANN401
        for run in await report_errors(api.runs(album_id or "", 1)):
            await report_errors(api.call(api.stub.CancelRun, pb.CancelRunRequest(run_id=run.id)))
        return await newest(api, album_id)

    async def resume_run(album_id: str | None) -> Any:  # noqa: ANN401
        for run in await report_errors(api.runs(album_id or "", 1)):
            await report_errors(api.call(api.stub.ResumeRun, pb.ResumeRunRequest(run_id=run.id)))
        return await newest(api, album_id)

    async def fill(profile_name: str) -> list[Any]:
        return await report_errors(defaults(api, profile_name))

    start.click(start_run, [album, profile, *settings], view.outputs)
    cancel.click(cancel_run, album, view.outputs)
    resume.click(resume_run, album, view.outputs)
    _wire_deletion(api, album, run, view, sure, delete)

    async def offer(profile_name: str | None) -> Any:  # noqa: ANN401
        return await offer_profiles(api, profile_name)

    profile.input(fill, profile, [profile, *settings]).then(offer, profile, profile)
    return view


def _add_deletion() -> tuple[gr.Checkbox, gr.Button]:
    """Adds the controls for deleting a run: a checkbox to confirm, and the button."""
    with gr.Accordion("Delete the selected run", open=False):
        gr.Markdown(
            "Deletes the results of the run selected at the top. Your decisions, photos and "
            "exported files are kept."
        )
        with gr.Row():
            sure = gr.Checkbox(label="Yes, delete this run", scale=3)
            delete = gr.Button("Delete run", variant="stop", interactive=False, scale=1)
    return sure, delete


def _wire_deletion(
    api: Orchestrator,
    album: gr.Textbox,
    run: gr.Textbox,
    view: RunView,
    sure: gr.Checkbox,
    delete: gr.Button,
) -> None:
    async def delete_run(album_id: str | None, run_id: str | None) -> Any:  # noqa: ANN401
        if not album_id or not run_id:
            raise make_error("Choose a run first.")
        await report_errors(api.call(api.stub.DeleteRun, pb.DeleteRunRequest(run_id=run_id)))
        next_shown = await report_errors(choose_run(api, album_id, ""))
        return [False, next_shown, *await newest(api, album_id)]

    sure.change(lambda yes: gr.update(interactive=yes), sure, delete)
    delete.click(delete_run, [album, run], [sure, run, *view.outputs])


async def defaults(api: Orchestrator, profile_name: str = "") -> list[Any]:
    """Returns updates for profile and settings; by default, the orchestrator's own profile.

    `offer_profiles` adds the other profiles later, because a frozen model service delays it.
    """
    described = await api.settings(profile_name)
    chosen = described.profile
    known = {} if profile_name else {"choices": [chosen]}
    return [
        gr.update(value=chosen, info=_description(described), **known),
        *controls.fill(described, controls.config_of(described)),
    ]


async def offer_profiles(api: Orchestrator, chosen: str | None) -> Any:  # noqa: ANN401
    """Returns an update for the profile dropdown, once the services have reported their models."""
    try:
        described, served = await asyncio.gather(api.settings(chosen or ""), api.models())
    except OrchestratorError:
        return gr.skip()
    return profile_update(described, served)


def profile_update(
    described: pb.DescribeSettingsResponse, served: Sequence[pb.ServedModel]
) -> dict[str, Any]:
    """Returns an update that offers only the profiles whose models the services use.

    A run cannot change the models, so another profile's settings would not fit them.
    """
    ids = {
        entry.role: {entry.model.id, entry.model.fallback_for_model_id}
        for entry in served
        if entry.HasField("model")
    }
    offered = [
        entry.name
        for entry in described.profiles
        if entry.name == described.profile
        or all(model in ids.get(role, {model}) for role, model in entry.models.items())
    ]
    others = [entry.name for entry in described.profiles if entry.name not in offered]
    info = _description(described)
    if others:
        info += (
            f" Not offered: {', '.join(others)}, because the services use different models. To use "
            f"them, restart bestshot with --profile NAME."
        )
    return dict(gr.update(choices=offered, info=info))


def _description(described: pb.DescribeSettingsResponse) -> str:
    texts = {entry.name: entry.description.replace("`", "") for entry in described.profiles}
    return texts[described.profile]


async def newest(api: Orchestrator, album_id: str | None) -> list[Any]:
    """Returns updates for progress and the three buttons, from the album's newest run."""
    try:
        runs = await api.runs(album_id, 1) if album_id else []
    except OrchestratorError as error:
        return unknown(error)
    return progress(album_id, runs)


def unknown(error: OrchestratorError) -> list[Any]:
    """Returns updates like those of `newest`, for when the orchestrator cannot be reached."""
    return [problem(error), gr.skip(), gr.skip(), gr.skip()]


def progress(album_id: str | None, runs: list[pb.Run]) -> list[Any]:
    """Returns updates like those of `newest`, from the album's runs, newest first."""
    active = bool(runs) and runs[0].state in ACTIVE_STATES
    shown = progress_of(runs[0]) if runs else _nothing_yet(album_id)
    resumable = bool(runs) and runs[0].state in _RESUMABLE
    return [
        shown,
        gr.update(interactive=not active),
        gr.update(interactive=active),
        gr.update(visible=resumable),
    ]


def progress_of(run: pb.Run) -> str:
    """Renders a run's stages, and its outcome once it has ended."""
    state = pb.RunState.Name(run.state).removeprefix("RUN_STATE_").lower()
    began = run.create_time.ToDatetime().astimezone()
    return render(
        "progress",
        state=state,
        headline=HEADLINES.get(run.state, state),
        started=f"started {began:%Y-%m-%d %H:%M:%S}, profile {run.profile}",
        error=run.error,
        advice=_ADVICE.get(run.state, ""),
        stages=stages(run),
        summary=run.summary if run.state == pb.RUN_STATE_COMPLETED else None,
        notes=run.notes,
    )


def _nothing_yet(album_id: str | None) -> str:
    if not album_id:
        return empty("No album selected", "Create one under Albums, or choose one above.")
    return empty(
        "This album has no runs yet",
        "Start one to score the photos, group them into moments and pick the best of each.",
    )
