"""`bestshot decisions`: the log of the user's decisions."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from orchestrator.cli.options import LATEST, Address, AlbumName, Data
from orchestrator.cli.output import AsJson, OnlyIds, open_console, print_json, print_lines
from orchestrator.export.files import write_file
from services.common.errors import ConfigError
from services.common.user_files import read_user_text

LOG_LIMIT_BYTES = 100_000_000

app = typer.Typer(
    help="The log of your decisions about photos and moments; every later run applies them.",
    no_args_is_help=True,
)


@app.command("list")
def list_(
    album: AlbumName = LATEST,
    as_json: AsJson = False,
    quiet: OnlyIds = False,
    orchestrator: Address = None,
    data: Data = None,
) -> None:
    """Show the log, oldest first; entries in brackets were undone."""
    from orchestrator.cli.api import open_api
    from orchestrator.cli.decision_text import describe_log
    from orchestrator.domain.decisions import find_in_force

    with open_api(orchestrator, data) as api:
        found = api.find_album(album)
        entries = api.decisions(found.id)
    if as_json:
        print_json({"album": found, "entries": entries})
        return
    if quiet:
        print_lines(entry.id for entry in entries)
        return
    console = open_console()
    console.print(f"album {escape(', '.join(found.folders))}")
    texts = describe_log(entries)
    counting = {entry.id for entry in find_in_force(entries)}
    for entry in entries:
        line = f"{entry.id[:12]}  {entry.create_time.astimezone():%Y-%m-%d %H:%M:%S}  "
        text = texts[entry.id]
        console.print(escape(line + (text if entry.id in counting else f"[{text}]")))


@app.command()
def undo(
    entry: Annotated[str, typer.Argument(help="ID of an entry, or the start of the ID.")] = "",
    album: AlbumName = LATEST,
    orchestrator: Address = None,
    data: Data = None,
) -> None:
    """Undo the newest decision, or the given one; takes effect in the next run."""
    from bestshot.orchestrator.v1 import orchestrator_pb2 as pb

    from orchestrator.cli.api import open_api
    from orchestrator.cli.decision_text import describe_log
    from orchestrator.transport.converters import entry_value

    with open_api(orchestrator, data) as api:
        album_id = api.find_album(album).id
        entries = api.decisions(album_id)
        ids = ["", *(known.id for known in entries)]
        named = [entry] if entry in ids else [one for one in ids if one.startswith(entry)]
        if not named:
            raise ConfigError(
                f"no entry has an ID that starts with {entry!r}; run `bestshot decisions list`"
            )
        if len(named) > 1:
            raise ConfigError(
                f"{entry!r} is ambiguous ({len(named)} entries); run `bestshot decisions list`"
            )
        answer = api.call(pb.UndoDecisionRequest(album_id=album_id, entry_id=named[0]))
    added = entry_value(answer.entry)
    print(describe_log([*entries, added])[added.id])


@app.command()
def export(
    file: Annotated[Path, typer.Argument(help="JSON file to write.")],
    album: AlbumName = LATEST,
    orchestrator: Address = None,
    data: Data = None,
) -> None:
    """Write the whole log to a file."""
    from orchestrator.cli.api import open_api
    from orchestrator.export.decisions_json import decisions_json

    with open_api(orchestrator, data) as api:
        entries = api.decisions(api.find_album(album).id)
        albums = api.album_folders()
    content = io.BytesIO(decisions_json(entries).encode())
    write_file(file, content, albums=albums, force=True)
    print(f"wrote {len(entries)} {'entry' if len(entries) == 1 else 'entries'} to {file}")


@app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(help="JSON file that `decisions export` wrote.")],
    album: AlbumName = LATEST,
    orchestrator: Address = None,
    data: Data = None,
) -> None:
    """Add the entries in a file to the log, skipping those that are already there."""
    from bestshot.orchestrator.v1 import orchestrator_pb2 as pb

    from orchestrator.cli.api import open_api
    from orchestrator.export.decisions_json import parse_decisions
    from orchestrator.transport.converters import entry_message

    with open_api(orchestrator, data) as api:
        album_id = api.find_album(album).id
        entries = parse_decisions(read_user_text(file, limit=LOG_LIMIT_BYTES))
        messages = [entry_message(entry, is_in_force=True) for entry in entries]
        answer = api.call(pb.ImportDecisionsRequest(album_id=album_id, entries=messages))
    print(
        f"added {answer.added_count} of {len(entries)} entries; the next run or reselection "
        f"applies them"
    )
