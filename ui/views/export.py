"""The Export tab: downloads files, and writes files to a folder."""

from __future__ import annotations

from typing import Any

import gradio as gr
from bestshot.orchestrator.v1 import orchestrator_pb2 as pb

from ui.captions import pluralize
from ui.client import Orchestrator, OrchestratorError
from ui.messages import make_error, report_errors
from ui.templating import html, no_results, render

TABLES = (
    ("csv", "Table (CSV)", "image_metrics.csv: every score at full precision, all faces"),
    ("json", "Results (JSON)", "results.json: the same data, nested"),
)
FILES = (
    ("selected", "Selected photos (zip)", "the originals, with XMP sidecars"),
    ("xmp", "XMP sidecars (zip)", "rating, label and keywords, for Lightroom or digiKam"),
    *TABLES,
    ("parquet", "Table (Parquet)", "image_metrics.parquet: typed columns, nested faces"),
)
TRANSFERS = {
    "copies": pb.FileTransfer.FILE_TRANSFER_COPY,
    "hard links": pb.FileTransfer.FILE_TRANSFER_HARDLINK,
    "symbolic links": pb.FileTransfer.FILE_TRANSFER_SYMLINK,
    "none": pb.FileTransfer.FILE_TRANSFER_UNSPECIFIED,
}
FORMATS = {
    "csv": pb.DOWNLOAD_FORMAT_CSV,
    "json": pb.DOWNLOAD_FORMAT_JSON,
    "parquet": pb.DOWNLOAD_FORMAT_PARQUET,
    "xmp": pb.DOWNLOAD_FORMAT_XMP_ZIP,
    "selected": pb.DOWNLOAD_FORMAT_SELECTED_ZIP,
}
"""Formats by their names in download URLs."""


async def offer_by_person(api: Orchestrator) -> Any:  # noqa: ANN401
    """Returns an update for the choice of folders by person: hidden if nobody has a name."""
    try:
        answer = await api.call(api.stub.ListPeople, pb.ListPeopleRequest(page_size=1))
    except OrchestratorError:
        return gr.skip()
    if any(person.name for person in answer.people):  # named people come first
        return gr.update(visible=True)
    return gr.update(visible=False, value=False)


def build(api: Orchestrator, run: gr.Textbox) -> tuple[gr.HTML, gr.Checkbox]:
    """Adds the tab's content; returns the components for the links and for folders by person."""
    gr.Markdown("### Download")
    downloads = html(no_results())
    gr.Markdown("### Write to a folder on the machine that runs bestshot")
    with gr.Row(equal_height=True):
        folder = gr.Textbox(
            label="Folder",
            info="Created if missing; must be outside every album.",
            placeholder="~/Pictures/trip-best",
            value="",
            scale=3,
        )
        with gr.Column(scale=2, min_width=260):
            transfer = gr.Radio(
                list(TRANSFERS), value="copies", label="Selected photos, in selected/"
            )
            sidecars = gr.Checkbox(False, label="XMP sidecars, in xmp/ and beside copies")
            beside = gr.Checkbox(
                False, label="XMP sidecars beside your photos, merged into existing ones"
            )
            by_person = gr.Checkbox(
                False, label="Also by person, in people/NAME/ (named people only)", visible=False
            )
            parquet = gr.Checkbox(False, label="Parquet table")
            force = gr.Checkbox(
                False,
                label="Replace files that bestshot did not write, or that were changed afterwards",
            )
    write = gr.Button("Write", variant="primary")
    written = gr.Markdown()

    async def export(
        run_id: str | None,
        path: str,
        way: str,
        xmp: bool,
        xmp_beside: bool,
        with_people: bool,
        with_parquet: bool,
        replaces: bool,
    ) -> str:
        if not run_id:
            raise make_error("There is no run to export. Start one under Run Pipeline.")
        request = pb.ExportRunRequest(
            run_id=run_id,
            output_folder=path.strip(),
            selected_transfer=TRANSFERS[way],
            write_xmp=xmp,
            write_xmp_beside_photos=xmp_beside,
            by_person=with_people,
            write_parquet=with_parquet,
            overwrite_foreign_files=replaces,
        )
        answer = await report_errors(api.call(api.stub.ExportRun, request))
        count = pluralize(answer.copied_count, "photo")
        preposition = "of" if way == "copies" else "to"
        photos = f", and {way} {preposition} {count} in `selected/`" if answer.copied_count else ""
        people = pluralize(answer.person_count, "folder")
        if with_people:
            photos += f", and {people} in `people/`"
        text = f"Wrote to `{path.strip()}`: {', '.join(answer.paths)}{photos}."
        if answer.warning_count:
            shown = "".join(f"\n- {warning}" for warning in answer.warnings)
            text += f"\n\n{pluralize(answer.warning_count, 'file')} could not be written:\n{shown}"
        return text

    write.click(
        export, [run, folder, transfer, sidecars, beside, by_person, parquet, force], written
    )
    return downloads, by_person


def render_links(run_id: str | None, files: tuple[tuple[str, str, str], ...] = FILES) -> str:
    """Renders links to a run's files."""
    if not run_id:
        return no_results()
    items = [{"kind": kind, "title": title, "text": text} for kind, title, text in files]
    return render("downloads", run_id=run_id, items=items)
