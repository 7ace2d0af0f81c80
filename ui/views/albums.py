"""The Albums section: creates albums from folders and uploads; renames and deletes them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import gradio as gr
from bestshot.orchestrator.v1 import orchestrator_pb2 as pb

from services.common.suffixes import UPLOAD_SUFFIXES
from ui.captions import pluralize
from ui.client import Orchestrator, OrchestratorError
from ui.messages import make_error, report_errors, show_success, show_warning
from ui.pages import STATE_WORDS
from ui.templating import empty, html, problem, render
from ui.uploads import UploadLimits


def build(api: Orchestrator, album: gr.Textbox, limits: UploadLimits) -> gr.HTML:
    """Adds the section's content; returns the list of albums, for `render_list`."""
    with gr.Row():
        with gr.Column(scale=2, min_width=320):
            listing = html(script="rows.js")
            with gr.Accordion(
                "Rename or delete the selected album", open=False, elem_classes="edit-album"
            ):
                with gr.Row():
                    new_name = gr.Textbox("", label="New name", scale=3)
                    rename = gr.Button("Rename", scale=1)
                gr.Markdown(
                    "Deletes the album along with its runs and your decisions. The photos are "
                    "not deleted."
                )
                with gr.Row():
                    sure = gr.Checkbox(label="Yes, delete it", scale=3)
                    delete = gr.Button("Delete", variant="stop", interactive=False, scale=1)
        with gr.Column(scale=1, min_width=320):
            with gr.Group():
                folder = gr.Textbox(
                    label="Folder of photos",
                    info="On the machine that runs bestshot; subfolders are included. List several "
                    "folders one per line; of identical photos, the one in the folder listed first "
                    "is preferred. Photos are never changed.",
                    placeholder="~/Pictures/trip",
                    value="",
                    lines=1,
                    max_lines=5,
                )
                browser = html(render("folders", listing=None), "rows.js")
                folder_name = gr.Textbox(label="Name", placeholder="same as the folder", value="")
                create = gr.Button("Create album from folder", variant="primary")
            dropped = html(
                render("drop", limits=limits, suffixes=sorted(UPLOAD_SUFFIXES)), "drop.js"
            )

    async def create_album(path: str, name: str, chosen: str | None) -> list[Any]:
        lines = [line.strip() for line in path.splitlines() if line.strip()]
        request = pb.CreateAlbumRequest(folders=lines, display_name=name.strip())
        made = await report_errors(api.call(api.stub.CreateAlbum, request))
        _report_creation(made)
        return ["", "", *await _both(api, made.album.id)]

    async def show_upload(event: gr.EventData) -> list[Any]:
        show_success(f"Added {pluralize(int(event.photos), 'photo')} to {event.name}.")
        return await _both(api, str(event.album))

    async def rename_album(chosen: str | None, name: str) -> list[Any]:
        if not chosen:
            raise make_error("Choose an album first.")
        request = pb.UpdateAlbumRequest(album_id=chosen, display_name=name)
        await report_errors(api.call(api.stub.UpdateAlbum, request))
        return ["", *await _both(api, chosen)]

    async def delete_album(chosen: str | None) -> list[Any]:
        if not chosen:
            raise make_error("Choose an album first.")
        await report_errors(api.call(api.stub.DeleteAlbum, pb.DeleteAlbumRequest(album_id=chosen)))
        return [False, *await _both(api, None)]

    def choose(event: gr.EventData) -> str:
        return str(event.album)

    create.click(create_album, [folder, folder_name, album], [folder, folder_name, album, listing])
    folder.submit(create_album, [folder, folder_name, album], [folder, folder_name, album, listing])
    _wire_browser(api, browser, folder)
    dropped.uploaded(show_upload, None, [album, listing])
    rename.click(rename_album, [album, new_name], [new_name, album, listing])
    sure.change(lambda yes: gr.update(interactive=yes), sure, delete)
    delete.click(delete_album, album, [sure, album, listing])
    listing.choose(choose, None, album)
    return listing


def _wire_browser(api: Orchestrator, browser: gr.HTML, folder: gr.Textbox) -> None:
    async def browse(event: gr.EventData) -> list[Any]:
        # the list of allowed roots is not a folder, so showing it leaves the path unchanged
        request = pb.ListFoldersRequest(folder=str(event.folder))
        listing = await report_errors(api.call(api.stub.ListFolders, request))
        return [listing.folder or gr.skip(), render("folders", listing=listing)]

    browser.browse(browse, None, [folder, browser])


def _report_creation(made: pb.CreateAlbumResponse) -> None:
    name = made.album.display_name
    if made.is_empty:
        show_warning(
            f"Created {name}, but there are no photos in {join_folders(made.album)} yet. Add some "
            "before you start a run."
        )
    else:
        show_success(f"Created {name}. Start a run under Run.")


async def render_list(api: Orchestrator, chosen: str | None) -> str:
    """Renders the list of albums, each with its last run."""
    try:
        albums = await api.albums()
        newest: dict[str, pb.Run] = {}
        completed: dict[str, pb.Run] = {}
        for run in await api.runs(count=1000):
            newest.setdefault(run.album_id, run)
            if run.state == pb.RUN_STATE_COMPLETED:
                completed.setdefault(run.album_id, run)
    except OrchestratorError as error:
        return problem(error)
    if not albums:
        return empty(
            "No albums yet",
            "Choose a folder of photos, or upload some photos.",
        )
    cards = [
        {
            "album": album,
            "folders": join_folders(album),
            "created": _creation_time(album),
            "state": STATE_WORDS[newest[album.id].state] if album.id in newest else "no run yet",
            "completed": completed.get(album.id),
        }
        for album in reversed(albums)
    ]
    return render("albums", cards=cards, chosen=chosen)


async def choose_album(api: Orchestrator, requested: str) -> str:
    """Returns `requested` if it exists, else the newest run's album, else the newest album."""
    known = [album.id for album in await api.albums()]
    if requested in known:
        return requested
    runs = await api.runs(count=1)
    return runs[0].album_id if runs else next(reversed(known), "")


def dropdown_names(albums: Sequence[pb.Album]) -> list[tuple[str, str]]:
    """Lists the name and the id of each album, newest first.

    Albums with the same name also show their folders and when they were created.
    """
    count = Counter(album.display_name for album in albums)
    return [
        (
            album.display_name
            if count[album.display_name] == 1
            else f"{album.display_name} ({join_folders(album)}, created {_creation_time(album)})",
            album.id,
        )
        for album in reversed(albums)
    ]


def join_folders(album: pb.Album) -> str:
    """Joins the folders of an album; an older orchestrator reports only one folder."""
    return ", ".join(album.folders or [album.folder])


def _creation_time(album: pb.Album) -> str:
    return f"{album.create_time.ToDatetime().astimezone():%Y-%m-%d %H:%M}"


async def _both(api: Orchestrator, requested: str | None) -> list[Any]:
    chosen = await choose_album(api, requested or "")
    return [chosen, await render_list(api, chosen)]
