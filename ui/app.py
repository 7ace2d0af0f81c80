"""The page: its tabs and their events."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gradio as gr
from bestshot.orchestrator.v1 import orchestrator_pb2 as pb

from ui.client import Orchestrator, OrchestratorError
from ui.controls import COMPONENT_COUNT, Value
from ui.cull.routes import cull_url
from ui.inputs import CLEANUP_S, CheckedBlocks
from ui.messages import make_error, report_errors, show_success
from ui.pages import ACTIVE_STATES, run_title
from ui.templating import html, render
from ui.views import (
    albums,
    compare,
    decisions,
    detail,
    export,
    metrics,
    models,
    results,
    what_if,
)
from ui.views import run as run_view

ACTIONS = {
    "keep": pb.DECISION_ACTION_KEEP,
    "reject": pb.DECISION_ACTION_REJECT,
    "move": pb.DECISION_ACTION_MOVE,
    "split": pb.DECISION_ACTION_SPLIT,
    "merge": pb.DECISION_ACTION_MERGE,
}
"""Decision actions by the names that the gallery and detail view use."""
POLL_S = 1.0
NOTICE_S = 10.0
LOST = "lost"
"""Value of `poll` while the orchestrator is not responding."""

Updates = list[Any]
"""New values of an event's output components, in order."""

Decided = tuple[str, str]
"""A run, and an entry of its album's log of decisions."""


def build_app(api: Orchestrator) -> CheckedBlocks:
    """Builds the page on top of the orchestrator's API."""
    blocks = CheckedBlocks(
        title="bestshot", analytics_enabled=False, fill_width=True, delete_cache=CLEANUP_S
    )
    with blocks:
        Page(api, blocks.delete_upload).wire(blocks)
    return blocks


class Page:
    """The components of the page, and the handlers of their events.

    It stores no run data: every event queries the orchestrator, so a reload or a second browser tab
    shows the same content.
    """

    def __init__(self, api: Orchestrator, delete_upload: Callable[[str], None]) -> None:
        self._api = api
        html(render("header"))
        self.notices = html()
        with gr.Row(equal_height=True):
            self.album = gr.Dropdown(label="Album", scale=1, min_width=240, elem_id="album")
            self.run = gr.Dropdown(label="Run", scale=2, min_width=280, elem_id="run")
            with gr.Column(scale=0, min_width=110):
                self.cull = html(render("cull_link", url=""))
        with gr.Tabs() as self.tabs:
            with gr.Tab("Albums", id="albums"):
                self.listing = albums.build(api, self.album, delete_upload)
            with gr.Tab("Run", id="run"):
                self.running = run_view.build(api, self.album)
            with gr.Tab("Results", id="results"):
                self.results = results.build()
            with gr.Tab("What if", id="what-if"):
                self.trial = what_if.build()
            with gr.Tab(compare.TITLE, id="compare"):
                self.comparison = compare.build()
            with gr.Tab("Decisions", id="decisions"):
                self.log = decisions.build()
            with gr.Tab("Metrics", id="metrics"):
                self.metrics = metrics.build()
            with gr.Tab("Export", id="export"):
                self.downloads = export.build(api, self.run)
            with gr.Tab("Models", id="models") as self.models_tab:
                self.models = html()
        self.panel = detail.build()
        self.opened = gr.State("")
        self.undoable = gr.State([])
        self.seen = gr.State("")
        self.finished = gr.State("")
        self.is_comparing = gr.State(False)

    def wire(self, blocks: gr.Blocks) -> None:
        """Connects events to handlers."""
        running, progress = self.running, self.running.outputs
        defaults = [running.profile, *running.settings]
        self._on(blocks.load, self.load, [], [self.listing, self.album, *defaults])
        self._on(blocks.load, self.show_models, [], [self.notices, self.models])
        self._on(self.album.change, self.choose_album, [self.album], [self.run, self.listing])
        self._on(self.album.change, self.show_progress, [self.album], progress)
        run_inputs = [self.run, *self.results.chosen, *self.metrics.chosen]
        trial_outputs = [*self.trial.settings, self.trial.changes]
        for event in (self.run.change, self.finished.change):
            self._on(event, self.show_results, run_inputs, self.results.outputs)
            self._on(event, self.show_metrics, run_inputs, self.metrics.all_outputs)
            self._on(event, self.show_settings, [self.run], trial_outputs)
            closed = [self.downloads, self.panel, self.opened]
            self._on(event, self.show_downloads, [self.run], closed)
            self._on(event, self.show_log, [self.run], [self.log])
            self._on(event, self.show_cull_link, [self.run], [self.cull])
        polled = [self.seen, self.finished, self.run, *progress]
        self._on(gr.Timer(POLL_S).tick, self.poll, [self.album, self.seen, self.run], polled)
        self._on(gr.Timer(NOTICE_S).tick, self.notice, [self.album], [self.notices, self.album])
        self._on(self.models_tab.select, self.show_models, [], [self.notices, self.models])
        self._wire_results()
        self._wire_metrics()
        self._wire_trial()
        self._wire_comparison()

    def _wire_results(self) -> None:
        shown = self.results
        for chooser in (shown.filter_by, shown.order_by):
            self._on(chooser.input, self.first_page, [self.run, *shown.inputs], shown.outputs)
        self._on(shown.page.submit, self.turn, [self.run, *shown.inputs], shown.outputs)
        for button, step in ((shown.previous, self.back), (shown.following, self.forward)):
            self._on(button.click, step, [self.run, *shown.inputs], shown.outputs)
        opened = [self.panel, self.opened]
        sources = (shown.gallery, self.metrics.table, self.trial.changes, self.comparison.changes)
        for source in sources:
            self._on(source.open_photo, self.open_photo, [self.run], opened)
        self._on(self.panel.beside, self.put_beside, [self.run], [self.panel])
        self._on(self.panel.ask, self.ask, [self.run], [self.panel])
        self._on(self.panel.explain, self.explain, [self.run], [self.panel])
        for source in (shown.gallery, self.panel):
            self._on(source.close_photo, self.close_photo, [], opened)
            self._on_each(source.decide, self.decide, [self.undoable, self.run], [self.undoable])
            self._on_each(source.undo, self.undo, [self.undoable], [self.undoable])
        undo_inputs = [self.undoable, self.run]
        self._on_each(self.log.take_back, self.take_back, undo_inputs, [self.undoable])
        inputs = [self.run, self.opened, *shown.inputs]
        outputs = [self.panel, self.log, *shown.outputs]
        self._on(self.undoable.change, self.show_decided, inputs, outputs)

    def _wire_metrics(self) -> None:
        table = self.metrics
        inputs = [self.run, *table.inputs]
        for event in (table.search.submit, table.page.submit, table.filter_by.input):
            self._on(event, self.table_page, inputs, table.outputs)
        self._on(table.table.order, self.sort, inputs, [table.order, *table.outputs])

    def _wire_trial(self) -> None:
        trial = self.trial
        inputs = [self.run, *trial.settings]
        for component in trial.settings:
            is_slider = isinstance(component, gr.Slider)
            event = component.release if is_slider else component.input
            self._on(event, self.preview, inputs, [trial.changes])
        applied = [self.run, self.tabs]
        self._on(trial.apply.click, self.apply, [self.album, *inputs], applied)
        outputs = [*trial.settings, trial.changes]
        self._on(trial.reset.click, self.show_settings, [self.run], outputs)

    def _wire_comparison(self) -> None:
        other, outputs = self.comparison.other, self.comparison.outputs
        self._on(self.tabs.select, self.see_tab, [], [self.is_comparing])
        inputs = [self.is_comparing, self.album, self.run, other]
        for event in (self.run.change, self.finished.change, self.is_comparing.change):
            self._on(event, self.show_comparison, inputs, outputs)
        self._on(other.input, self.compare_with, [self.run, other], [self.comparison.changes])

    @staticmethod
    def _on(event: Any, call: Any, inputs: list[Any], outputs: list[Any]) -> None:  # noqa: ANN401
        """Wires an event; if more arrive while one is being handled, only the last counts."""
        event(call, inputs, outputs, show_progress="hidden", trigger_mode="always_last")

    @staticmethod
    def _on_each(event: Any, call: Any, inputs: list[Any], outputs: list[Any]) -> None:  # noqa: ANN401
        """Wires an event so that every occurrence is handled, one after the other."""
        options = {"show_progress": "hidden", "trigger_mode": "multiple"}
        event(call, inputs, outputs, concurrency_limit=1, concurrency_id="decisions", **options)

    # The page as a whole

    async def load(self) -> Updates:
        """Fills the page when it is opened."""
        listed = await albums.render_list(self._api, None)
        try:
            return [listed, await self._first_album(), *await run_view.defaults(self._api)]
        except OrchestratorError:
            return [listed, *[gr.skip()] * (2 + COMPONENT_COUNT)]

    async def choose_album(self, album_id: str | None) -> Updates:
        """Shows the album's runs and chooses the newest completed one."""
        runs = await self._run_choices(album_id, None)
        return [runs, await albums.render_list(self._api, album_id)]

    async def show_progress(self, album_id: str | None) -> Updates:
        """Shows the progress of the album's newest run."""
        return await run_view.newest(self._api, album_id)

    async def poll(self, album_id: str | None, seen: str, run_id: str | None) -> Updates:
        """Follows the newest run and, once it has ended, shows its results in every tab."""
        try:
            newest = await self._api.runs(album_id, 1) if album_id else []
        except OrchestratorError as error:
            return [LOST, gr.skip(), gr.skip(), *run_view.unknown(error)]
        progress = run_view.progress(album_id, newest)
        now = f"{newest[0].id} {newest[0].state}" if newest else ""
        is_active = bool(newest) and newest[0].state in ACTIVE_STATES
        if now == seen:
            unchanged = [gr.skip()] * len(progress)
            return [seen, gr.skip(), gr.skip(), *(progress if is_active else unchanged)]
        if newest and not is_active and seen.startswith(newest[0].id):
            finished = newest[0].id
            return [now, finished, await self._run_choices(album_id, finished), *progress]
        choices = await self._run_choices(album_id, run_id)
        if run_id:
            choices.pop("value", None)  # another event may be choosing a run at the moment
        return [now, gr.skip(), choices, *progress]

    async def notice(self, album_id: str | None) -> Updates:
        """Shows which services are down; chooses an album once the orchestrator is back."""
        notices, _ = await models.render_models(self._api)
        try:
            chosen = gr.skip() if album_id else await self._first_album()
        except OrchestratorError:
            chosen = gr.skip()
        return [notices, chosen]

    async def show_models(self) -> Updates:
        """Shows the model that currently serves each role."""
        return list(await models.render_models(self._api))

    async def _first_album(self) -> Any:  # noqa: ANN401
        """Updates the album dropdown if none is chosen.

        If there are no albums, nothing is set, because one may be created and chosen meanwhile.
        """
        chosen = await albums.choices(self._api, None)
        return chosen if chosen["choices"] else gr.skip()

    # A run

    async def show_results(
        self, run_id: str | None, filter_by: str, order_by: str, *_: object
    ) -> Updates:
        """Shows the first page of the run's photos."""
        return await results.load_page(self._api, run_id, filter_by, order_by, 1)

    async def show_metrics(
        self,
        run_id: str | None,
        _filter: str,
        _order: str,
        search: str,
        filter_by: str,
        order: str,
    ) -> Updates:
        """Shows the run's table and charts, with links to their files."""
        return [
            *await metrics.load_page(self._api, run_id, search, filter_by, order, 1),
            await metrics.distributions(self._api, run_id),
            export.render_links(run_id, export.TABLES),
        ]

    async def show_settings(self, run_id: str | None) -> Updates:
        """Sets the What if controls to the run's own settings."""
        return await what_if.load_settings(self._api, run_id)

    async def see_tab(self, event: gr.SelectData) -> bool:
        """Whether the Compare tab is open."""
        return bool(event.value == compare.TITLE)

    async def show_comparison(
        self, is_comparing: bool, album_id: str | None, run_id: str | None, other_id: str | None
    ) -> Updates:
        """Compares the run with another one in its album if the tab is open, because it is slow."""
        if not is_comparing:
            return [gr.skip(), gr.skip()]
        return await compare.load_runs(self._api, album_id, run_id, other_id)

    async def compare_with(self, run_id: str | None, other_id: str | None) -> str:
        """Compares the run with another one."""
        return await compare.render_diff(self._api, run_id, other_id)

    async def show_downloads(self, run_id: str | None) -> Updates:
        """Shows links to the run's files, and closes a photo that is open from another run."""
        return [export.render_links(run_id), "", ""]

    async def show_cull_link(self, run_id: str | None) -> str:
        """Shows a link to the Cull view of a completed run."""
        try:
            run = await self._api.run(run_id) if run_id else pb.Run()
        except OrchestratorError:
            run = pb.Run()
        is_completed = run.state == pb.RUN_STATE_COMPLETED
        return render("cull_link", url=cull_url(run.album_id, run.id) if is_completed else "")

    async def _run_choices(self, album_id: str | None, wanted: str | None) -> Any:  # noqa: ANN401
        """Updates the run dropdown: `wanted`, or the newest completed run."""
        try:
            runs = await self._api.runs(album_id) if album_id else []
        except OrchestratorError:
            return gr.skip()
        known = [run.id for run in runs]
        if wanted not in known:
            completed = [run.id for run in runs if run.state == pb.RUN_STATE_COMPLETED]
            wanted = next(iter([*completed, *known]), None)
        return gr.update(choices=[(run_title(run), run.id) for run in runs], value=wanted)

    # Results

    async def turn(
        self, run_id: str | None, filter_by: str, order_by: str, number: int | None
    ) -> Updates:
        """Shows a page of the gallery."""
        return await results.load_page(self._api, run_id, filter_by, order_by, number)

    async def first_page(self, run_id: str | None, by: str, order: str, _: int | None) -> Updates:
        """Shows the first page after a change of filter or order."""
        return await self.turn(run_id, by, order, 1)

    async def back(self, run_id: str | None, by: str, order: str, page: int | None) -> Updates:
        """Shows the previous page."""
        return await self.turn(run_id, by, order, int(page or 1) - 1)

    async def forward(self, run_id: str | None, by: str, order: str, page: int | None) -> Updates:
        """Shows the next page."""
        return await self.turn(run_id, by, order, int(page or 1) + 1)

    async def open_photo(self, event: gr.EventData, run_id: str) -> Updates:
        """Opens the detail view of a photo."""
        photo = event.photo
        return [await report_errors(detail.render_detail(self._api, run_id, photo)), photo]

    async def close_photo(self) -> Updates:
        """Closes the detail view."""
        return ["", ""]

    async def put_beside(self, event: gr.EventData, run_id: str) -> str:
        """Puts another photo beside the open one."""
        photo, other = event.photo, event.other
        return await report_errors(detail.render_detail(self._api, run_id, photo, other))

    async def ask(self, event: gr.EventData, run_id: str) -> str:
        """Asks the Siamese model which of the two is better."""
        photo, other = event.photo, event.other
        return await report_errors(detail.render_detail(self._api, run_id, photo, other, ask=True))

    async def explain(self, event: gr.EventData, run_id: str) -> str:
        """Shows the full explanation of the open photo's result."""
        photo, other = event.photo, event.other
        return await report_errors(
            detail.render_detail(self._api, run_id, photo, other, explain=True)
        )

    async def decide(
        self, event: gr.EventData, undoable: list[Decided], run_id: str
    ) -> list[Decided]:
        """Keeps or rejects photos, or corrects their moments."""
        run = await report_errors(self._api.run(run_id))
        request = pb.AppendDecisionRequest(
            album_id=run.album_id,
            action=pb.DecisionAction.Name(ACTIONS[event.action]),
            paths=event.photos,
            target_path=event.moment_of,
            run_id=run_id,
            decided_by=self._api.user,
        )
        answer = await report_errors(self._api.call(self._api.stub.AppendDecision, request))
        return [*undoable, (run_id, answer.entry.id)]

    async def undo(self, undoable: list[Decided]) -> list[Decided]:
        """Undoes the last decision of this browser tab."""
        if not undoable:
            show_success("There is nothing to undo.")
            return undoable
        *stack, (run_id, entry_id) = undoable
        await report_errors(self._undo(run_id, entry_id))
        return stack

    async def take_back(
        self, event: gr.EventData, undoable: list[Decided], run_id: str
    ) -> list[Decided]:
        """Undoes a decision in the log."""
        answer = await report_errors(self._undo(run_id, event.entry))
        return [*undoable, (run_id, answer.entry.id)]

    async def show_log(self, run_id: str | None) -> str:
        """Shows the decisions on photos of the run's album."""
        return await decisions.render_log(self._api, run_id)

    async def _undo(self, run_id: str, entry_id: str) -> pb.UndoDecisionResponse:
        run = await self._api.run(run_id)
        request = pb.UndoDecisionRequest(
            album_id=run.album_id, entry_id=entry_id, run_id=run_id, decided_by=self._api.user
        )
        answer: pb.UndoDecisionResponse = await self._api.call(self._api.stub.UndoDecision, request)
        return answer

    async def show_decided(
        self,
        run_id: str,
        opened: str,
        filter_by: str,
        order_by: str,
        page: int | None,
    ) -> Updates:
        """Shows the effect of decisions on the gallery and the open photo.

        This is separate from the decisions themselves, whose answers may overtake one another: it
        runs after the last of them.
        """
        panel = (
            await report_errors(detail.render_detail(self._api, run_id, opened)) if opened else ""
        )
        log = await decisions.render_log(self._api, run_id)
        return [panel, log, *await results.load_page(self._api, run_id, filter_by, order_by, page)]

    # Metrics

    async def table_page(
        self, run_id: str | None, search: str, filter_by: str, order: str, page: int | None
    ) -> Updates:
        """Shows a page of the table."""
        return await metrics.load_page(self._api, run_id, search, filter_by, order, page)

    async def sort(
        self,
        event: gr.EventData,
        run_id: str | None,
        search: str,
        filter_by: str,
        order: str,
        _: int | None,
    ) -> Updates:
        """Sorts the table by the heading that was clicked."""
        wanted = metrics.toggle_order(order, event.order)
        shown = await metrics.load_page(self._api, run_id, search, filter_by, wanted, 1)
        return [wanted, *shown]

    # What if

    async def preview(self, run_id: str | None, *values: Value) -> str:
        """Shows what other settings would change."""
        return await what_if.preview(self._api, run_id, values)

    async def apply(self, album_id: str, run_id: str | None, *values: Value) -> Updates:
        """Creates a run with other settings, and shows its results."""
        if not run_id:
            raise make_error("Choose a run first.")
        answer = await report_errors(
            what_if.reselect(self._api, run_id, values, validate_only=False)
        )
        show_success("Created a new run with these settings.")
        chosen = await self._run_choices(album_id, answer.run.id)
        return [chosen, gr.update(selected="results")]
