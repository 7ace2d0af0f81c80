"""`bestshot decisions`: the log of what the user decided."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from orchestrator.cli.options import (
    LATEST,
    AlbumName,
    Data,
    album_folders,
    find_album,
    open_stored,
)
from orchestrator.domain.decisions import DecisionAction, DecisionEntry, in_force, origins
from orchestrator.export.decisions_json import decisions_json, parse_decisions
from orchestrator.export.files import write_file
from orchestrator.records import Album
from orchestrator.review.decision_entries import undo_entry
from orchestrator.storage.decision_log import SqlDecisionLog
from orchestrator.storage.run_store import SqlRunStore
from services.common.errors import ConfigError
from services.common.user_files import read_user_text

LOG_LIMIT_BYTES = 100_000_000
UNDOS_SPELLED_OUT = 3

app = typer.Typer(
    help="What you decided about photos and moments: a log that every later run heeds.",
    no_args_is_help=True,
)


@app.command("list")
def list_(album: AlbumName = LATEST, data: Data = None) -> None:
    """Show the log, oldest first; an entry in brackets was undone."""
    found, log = _open(album, data)
    console = Console(soft_wrap=True, highlight=False)
    console.print(f"album {escape(found.folder)}")
    entries = log.entries(found.id)
    abouts = origins(entries)
    counting = {entry.id for entry in in_force(entries)}
    for entry in entries:
        line = f"{entry.id[:12]}  {entry.create_time.astimezone():%Y-%m-%d %H:%M:%S}  "
        text = _describe(*abouts[entry.id])
        console.print(escape(line + (text if entry.id in counting else f"[{text}]")))


@app.command()
def undo(
    entry: Annotated[str, typer.Argument(help="Id of an entry, or its beginning.")] = "",
    album: AlbumName = LATEST,
    data: Data = None,
) -> None:
    """Take the newest decision back, or the one that is named; the next run heeds it."""
    found, log = _open(album, data)
    entries = log.entries(found.id)
    named = [known.id for known in entries if known.id.startswith(entry)] if entry else [""]
    if len(named) != 1:
        raise ConfigError(f"{len(named)} entries begin with {entry!r}; `bestshot decisions list`")
    added = undo_entry(entries, named[0])
    log.append(found.id, [added])
    print(describe(added, entries))


@app.command()
def export(
    file: Annotated[Path, typer.Argument(help="JSON file to write.")],
    album: AlbumName = LATEST,
    data: Data = None,
) -> None:
    """Write the whole log into a file."""
    engine = open_stored(data)
    store = SqlRunStore(engine)
    entries = SqlDecisionLog(engine).entries(find_album(store, album).id)
    content = io.BytesIO(decisions_json(entries).encode())
    write_file(file, content, albums=album_folders(store), force=True)
    print(f"{len(entries)} entries written into {file}")


@app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(help="JSON file that `decisions export` wrote.")],
    album: AlbumName = LATEST,
    data: Data = None,
) -> None:
    """Add the entries of a file to the log; those that it has already are passed over."""
    found, log = _open(album, data)
    entries = parse_decisions(read_user_text(file, limit=LOG_LIMIT_BYTES))
    added = log.append(found.id, entries)
    print(f"{added} of {len(entries)} entries added; the next run or reselection heeds them")


def describe(entry: DecisionEntry, log: Sequence[DecisionEntry]) -> str:
    """An entry in words."""
    return _describe(*origins([*log, entry])[entry.id])


def _describe(entry: DecisionEntry, undo_count: int) -> str:
    if undo_count > UNDOS_SPELLED_OUT:
        return f"undo ({undo_count} in a row): {_describe(entry, 0)}"
    return "undo: " * undo_count + _describe_decision(entry)


def _describe_decision(entry: DecisionEntry) -> str:
    photos = ", ".join(photo.path or photo.content_digest[:12] for photo in entry.photos)
    match entry.action:
        case DecisionAction.MOVE:
            assert entry.target is not None
            return f"move {photos} to the moment of {entry.target.path}"
        case _:
            return f"{entry.action} {photos}"


def _open(album: str, data: Path | None) -> tuple[Album, SqlDecisionLog]:
    engine = open_stored(data)
    return find_album(SqlRunStore(engine), album), SqlDecisionLog(engine)
