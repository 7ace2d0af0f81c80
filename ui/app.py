"""The page: its tabs and their events."""

from __future__ import annotations

from typing import Any

import gradio as gr
from bestshot.orchestrator.v1 import orchestrator_pb2 as pb

from ui.client import Orchestrator, OrchestratorError
from ui.controls import COMPONENT_COUNT, Value
from ui.inputs import CheckedBlocks
from ui.messages import make_error, report_errors, show_success
from ui.pages import ACTIVE_STATES
from ui.templating import html
from ui.uploads import UploadLimits
from ui.views import (
    albums,
    bar,
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
"""Decision actions, by the names that the gallery and the detail view give them."""
SESSION_COUNT = 200
"""How many opened pages Gradio remembers; each takes 0.3 MB, and by default it keeps 10,000. A page
that it has forgotten works on, but its `u` cannot undo earlier decisions."""
LOST = "lost"
"""Value of `poll` while the orchestrator is not responding."""

Updates = list[Any]
"""New values of an event's output components, in order."""

Decided = tuple[str, str]
"""A run, and an entry in its album's decision log."""
Opened = tuple[str, str]
"""A run, and the path of its photo in the detail view; both empty if the view is closed."""
CLOSED: Opened = ("", "")
TABS = ("run-pipeline", "view-results", "metrics-table", "export")
SECTIONS = ("albums", "run", "what-if", "compare", "decisions", "models")
"""Tabs, and sections of the first tab, as named in the page's address."""


def build_app(api: Orchestrator, limits: UploadLimits) -> CheckedBlocks:
    """Builds the page on top of the orchestrator's API."""
    blocks = CheckedBlocks(title="bestshot", analytics_enabled=False, fill_width=True)
    blocks.state_session_capacity = SESSION_COUNT
    with blocks:
        Page(api, limits).wire(blocks)
    return blocks


class Page:
    """The components of the page, and the handlers of their events.

    It stores no run data: every event queries the orchestrator, so a reload or a second browser tab
    shows the same content.
    """

    def __init__(self, api: Orchestrator, limits: UploadLimits) -> None:
        self._api = api
        # ids instead of dropdowns: Gradio rejects a value that was not offered in this session
        self.album = gr.Textbox("", visible="hidden", elem_id="album-id")
        self.run = gr.Textbox("", visible="hidden", elem_id="run-id")
        with gr.Row(elem_classes="top"):
            self.bar = bar.build()
            self.badge = html()
        self.notices = html()
        with gr.Tabs() as self.tabs:
            with gr.Tab("Run Pipeline", id="run-pipeline"):
                self._build_pipeline(limits)
            with gr.Tab("View Results", id="view-results"):
                self.results = results.build()
            with gr.Tab("Metrics Table", id="metrics-table"):
                self.metrics = metrics.build()
            with gr.Tab("Export", id="export"):
                self.downloads, self.by_person = export.build(api, self.run)
        self.panel = detail.build()
        self.opened = gr.State(CLOSED)
        self.undoable = gr.State([])
        self.seen = gr.State("")
        self.finished = gr.State("")
        self.is_comparing = gr.State(False)

    def _build_pipeline(self, limits: UploadLimits) -> None:
        with gr.Tabs(elem_classes="sections") as self.sections:
            with gr.Tab("Albums", id="albums"):
                self.listing = albums.build(self._api, self.album, limits)
            with gr.Tab("Run", id="run"):
                self.running = run_view.build(self._api, self.album, self.run)
            with gr.Tab("What if", id="what-if"):
                self.trial = what_if.build()
            with gr.Tab(compare.TITLE, id=compare.SECTION):
                self.comparison = compare.build()
            with gr.Tab("Decisions", id="decisions"):
                self.log = decisions.build()
            with gr.Tab("Models", id="models") as self.models_section:
                self.models = html()

    def wire(self, blocks: gr.Blocks) -> None:
        """Connects events to handlers."""
        running, progress = self.running, self.running.outputs
        defaults = [running.profile, *running.settings]
        address = [
            self.bar,
            self.album,
            self.run,
            self.tabs,
            self.sections,
            self.panel,
            self.opened,
        ]
        loaded = self._on(blocks.load, self.load, [], [self.listing, *address, *defaults])
        self._on(loaded.then, self.offer_profiles, [running.profile], [running.profile])
        models_outputs = [self.badge, self.notices, self.models]
        self._on(blocks.load, self.show_models, [], models_outputs)
        self._on(self.bar.choose_album, self.pick_album, [], [self.album])
        self._on(self.bar.choose_run, self.pick_run, [], [self.run])
        chosen = [self.album, self.run]
        self._on(self.album.change, self.choose_album, chosen, [self.run, self.listing])
        self._on(self.album.change, self.show_progress, [self.album], progress)
        self._on(self.seen.change, self.show_albums, [self.album], [self.listing])
        for changed in (self.album, self.run, self.seen):
            self._on(changed.change, self.show_bar, chosen, [self.bar])
        run_inputs = [self.run, *self.results.chosen, *self.metrics.chosen]
        trial_outputs = [*self.trial.settings, self.trial.changes]
        for event in (self.run.change, self.finished.change):
            self._on(event, self.show_results, run_inputs, self.results.outputs)
            self._on(event, self.show_metrics, run_inputs, self.metrics.all_outputs)
            self._on(event, self.show_settings, [self.run], trial_outputs)
            shown = [self.downloads, self.by_person, self.panel, self.opened]
            self._on(event, self.show_downloads, [self.run, self.opened], shown)
            self._on(event, self.show_log, [self.run], [self.log])
        polled = [self.seen, self.finished, self.run, *progress]
        self._on(self.bar.run_news, self.poll, [self.album, self.seen, self.run], polled)
        noticed = [self.badge, self.notices, self.album]
        self._on(self.bar.models_news, self.notice, [self.album], noticed)
        self._on(self.models_section.select, self.show_models, [], models_outputs)
        self._wire_results()
        self._wire_metrics()
        self._wire_trial()
        self._wire_comparison(blocks)

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
        self._on(self.panel.open_photo, self.open_photo, [self.run], opened)
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
        bounds = (table.score.input, table.minimum.submit, table.maximum.submit)
        for event in (table.search.submit, table.filter_by.input, *bounds):
            self._on(event, self.first_table_page, inputs, table.outputs)
        self._on(table.page.submit, self.table_page, inputs, table.outputs)
        self._on(table.previous.click, self.previous_table_page, inputs, table.outputs)
        self._on(table.following.click, self.next_table_page, inputs, table.outputs)
        self._on(table.table.turn, self.turn_table, inputs, table.outputs)
        self._on(table.table.order, self.sort, inputs, [table.order, *table.outputs])

    def _wire_trial(self) -> None:
        trial = self.trial
        inputs = [self.run, *trial.settings]
        for component in trial.settings:
            is_slider = isinstance(component, gr.Slider)
            event = component.release if is_slider else component.input
            self._on(event, self.preview, inputs, [trial.changes])
        applied = [self.run, self.tabs]
        self._on(trial.apply.click, self.apply, inputs, applied)
        outputs = [*trial.settings, trial.changes]
        self._on(trial.reset.click, self.show_settings, [self.run], outputs)

    def _wire_comparison(self, blocks: gr.Blocks) -> None:
        other, outputs = self.comparison.other, self.comparison.outputs
        self._on(blocks.load, self.see_address, [], [self.is_comparing])
        self._on(self.sections.select, self.see_section, [], [self.is_comparing])
        inputs = [self.is_comparing, self.album, self.run, other]
        for event in (self.run.change, self.finished.change, self.is_comparing.change):
            self._on(event, self.show_comparison, inputs, outputs)
        chosen = [other, self.comparison.changes]
        self._on(self.comparison.changes.choose_run, self.compare_with, [*inputs[1:3]], chosen)

    @staticmethod
    def _on(event: Any, call: Any, inputs: list[Any], outputs: list[Any]) -> Any:  # noqa: ANN401
        """Wires an event; if more arrive while one is being handled, only the last counts."""
        return event(call, inputs, outputs, show_progress="hidden", trigger_mode="always_last")

    @staticmethod
    def _on_each(event: Any, call: Any, inputs: list[Any], outputs: list[Any]) -> None:  # noqa: ANN401
        """Wires an event so that every occurrence is handled, one after the other."""
        options = {"show_progress": "hidden", "trigger_mode": "multiple"}
        event(call, inputs, outputs, concurrency_limit=1, concurrency_id="decisions", **options)

    # The page as a whole

    async def load(self, request: gr.Request) -> Updates:
        """Fills the page when it is opened, according to its address."""
        query = dict(request.query_params)
        requested = query.get("album", "")
        listed = await albums.render_list(self._api, requested)
        try:
            album = await albums.choose_album(self._api, requested)
            named = query if album == requested else {}
            run_id = await bar.find_run(self._api, album, named.get("run", ""))
            shown = [
                await bar.load_bar(self._api, album, run_id),
                *(chosen or gr.skip() for chosen in (album, run_id)),
                *self._open_tab(query.get("tab", "")),
                *await self._open_photo(run_id, named.get("photo", "")),
            ]
            return [listed, *shown, *await run_view.defaults(self._api)]
        except OrchestratorError:
            away = bar.render_bar([], [], "", "")  # replaces the "loading…" state
            return [listed, away, *[gr.skip()] * (7 + COMPONENT_COUNT)]

    async def offer_profiles(self, chosen: str | None) -> Any:  # noqa: ANN401
        """Offers the profiles whose models are served; a frozen service delays this."""
        return await run_view.offer_profiles(self._api, chosen)

    async def _open_photo(self, run_id: str, path: str) -> Updates:
        """Returns updates for the detail view of the photo that the page's address names."""
        try:
            panel = await detail.render_detail(self._api, run_id, path) if path else ""
        except OrchestratorError:  # the photo was removed after the link was made
            panel = ""
        return [panel, (run_id, path)] if panel else [gr.skip(), gr.skip()]

    @staticmethod
    def _open_tab(tab: str) -> Updates:
        """Returns updates for the tab and section that the page's address names."""
        outer = TABS[0] if tab in SECTIONS else tab
        return [
            gr.update(selected=outer) if outer in TABS else gr.skip(),
            gr.update(selected=tab) if tab in SECTIONS else gr.skip(),
        ]

    async def pick_album(self, event: gr.EventData) -> str:
        """Returns the album that was chosen in the bar."""
        return str(event.album)

    async def pick_run(self, event: gr.EventData) -> str:
        """Returns the run that was chosen in the bar."""
        return str(event.run)

    async def choose_album(self, album_id: str, run_id: str) -> Updates:
        """Shows the album, and its newest completed run unless one of its runs is chosen."""
        chosen = await bar.choose_run(self._api, album_id, run_id)
        return [chosen, await albums.render_list(self._api, album_id)]

    async def show_albums(self, album_id: str) -> str:
        """Shows the albums with the outcome of their last runs."""
        return await albums.render_list(self._api, album_id)

    async def show_bar(self, album_id: str, run_id: str) -> Any:  # noqa: ANN401
        """Shows which album and run are chosen."""
        return await bar.load_bar(self._api, album_id, run_id)

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
            return [now, finished, finished, *progress]
        chosen = gr.skip()  # another event may be choosing a run right now
        if album_id and not run_id:
            chosen = await bar.choose_run(self._api, album_id, "")
        return [now, gr.skip(), chosen, *progress]

    async def notice(self, album_id: str | None, request: gr.Request) -> Updates:
        """Shows which services are down; chooses an album once the orchestrator is back.

        Prefers the album in the page's address.
        """
        badge, notices, _ = await models.render_models(self._api)
        try:
            requested = request.query_params.get("album", "")
            chosen = album_id or await albums.choose_album(self._api, requested)
        except OrchestratorError:
            chosen = ""
        # Without albums, change nothing: one may be created and chosen in the meantime.
        return [badge, notices, gr.skip() if album_id or not chosen else chosen]

    async def show_models(self) -> Updates:
        """Shows the model that currently serves each role."""
        return list(await models.render_models(self._api))

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
        *chosen: Any,  # noqa: ANN401
    ) -> Updates:
        """Shows the run's table and charts, with links to their files."""
        return [
            *await metrics.load_page(self._api, run_id, chosen, 1),
            await metrics.distributions(self._api, run_id),
            export.render_links(run_id, export.TABLES),
        ]

    async def show_settings(self, run_id: str | None) -> Updates:
        """Sets the What if controls to the run's own settings."""
        return await what_if.load_settings(self._api, run_id)

    async def see_address(self, request: gr.Request) -> bool:
        """Whether the page's address opens the Compare section; no `select` event reports this."""
        return bool(request.query_params.get("tab") == compare.SECTION)

    async def see_section(self, event: gr.SelectData) -> bool:
        """Whether the Compare section is open."""
        return bool(event.value == compare.TITLE)

    async def show_comparison(
        self, is_comparing: bool, album_id: str | None, run_id: str | None, other_id: str | None
    ) -> Updates:
        """Compares the run with another one if the section is open, because it is slow."""
        if not is_comparing:
            return [gr.skip(), gr.skip()]
        return await compare.load_runs(self._api, album_id, run_id, other_id)

    async def compare_with(self, event: gr.EventData, album_id: str, run_id: str) -> Updates:
        """Compares the run with another one."""
        return await compare.load_runs(self._api, album_id, run_id, event.run)

    async def show_downloads(self, run_id: str | None, opened: Opened) -> Updates:
        """Shows what can be exported, and closes a photo that is open from another run."""
        is_of_run = opened != CLOSED and opened[0] == run_id
        closed = [gr.skip(), gr.skip()] if is_of_run else ["", CLOSED]
        return [export.render_links(run_id), await export.offer_by_person(self._api), *closed]

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
        panel = await report_errors(detail.render_detail(self._api, run_id, photo))
        return [panel, (run_id, photo)]

    async def close_photo(self) -> Updates:
        """Closes the detail view."""
        return ["", CLOSED]

    async def put_beside(self, event: gr.EventData, run_id: str) -> str:
        """Puts another photo beside the open one."""
        photo, other = event.photo, event.other
        return await report_errors(detail.render_detail(self._api, run_id, photo, other))

    async def ask(self, event: gr.EventData, run_id: str) -> str:
        """Asks the Siamese model which of the two photos is better."""
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
        """Shows the decisions on photos in the run's album."""
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
        opened: Opened,
        filter_by: str,
        order_by: str,
        page: int | None,
    ) -> Updates:
        """Shows the effect of decisions on the gallery and the open photo.

        Responses to decisions may arrive out of order, so this is a separate event that runs after
        the last of them.
        """
        panel = (
            await report_errors(detail.render_detail(self._api, *opened))
            if opened != CLOSED
            else ""
        )
        log = await decisions.render_log(self._api, run_id)
        return [panel, log, *await results.load_page(self._api, run_id, filter_by, order_by, page)]

    # Metrics

    async def table_page(self, run_id: str | None, *chosen: Any) -> Updates:  # noqa: ANN401
        """Shows a page of the table."""
        *query, page = chosen
        return await metrics.load_page(self._api, run_id, query, page)

    async def first_table_page(self, run_id: str | None, *chosen: Any) -> Updates:  # noqa: ANN401
        """Shows the first page of the table after a change of search, filter, bounds or order."""
        *query, _ = chosen
        return await metrics.load_page(self._api, run_id, query, 1)

    async def previous_table_page(self, run_id: str | None, *chosen: Any) -> Updates:  # noqa: ANN401
        """Shows the previous page of the table."""
        *query, page = chosen
        return await metrics.load_page(self._api, run_id, query, int(page or 1) - 1)

    async def next_table_page(self, run_id: str | None, *chosen: Any) -> Updates:  # noqa: ANN401
        """Shows the next page of the table."""
        *query, page = chosen
        return await metrics.load_page(self._api, run_id, query, int(page or 1) + 1)

    async def turn_table(
        self,
        event: gr.EventData,
        run_id: str | None,
        *chosen: Any,  # noqa: ANN401
    ) -> Updates:
        """Shows the page of the table that Page Up or Page Down leads to."""
        *query, page = chosen
        return await metrics.load_page(self._api, run_id, query, int(page or 1) + event.by)

    async def sort(self, event: gr.EventData, run_id: str | None, *chosen: Any) -> Updates:  # noqa: ANN401
        """Sorts the table by the heading that was clicked."""
        *query, order, _ = chosen
        new_order = metrics.toggle_order(order, event.order)
        updates = await metrics.load_page(self._api, run_id, [*query, new_order], 1)
        return [new_order, *updates]

    # What if

    async def preview(self, run_id: str | None, *values: Value) -> str:
        """Shows what other settings would change."""
        return await what_if.preview(self._api, run_id, values)

    async def apply(self, run_id: str | None, *values: Value) -> Updates:
        """Creates a run with other settings, and shows its results."""
        if not run_id:
            raise make_error("Choose a run first.")
        answer = await report_errors(
            what_if.reselect(self._api, run_id, values, validate_only=False)
        )
        show_success("Created a new run with these settings.")
        return [answer.run.id, gr.update(selected="view-results")]
