"""`bestshot keep`, `reject` and `clear`: decisions about photos, for people and scripts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli.options import LATEST, Address, Data
from orchestrator.domain.wording import pluralize
from services.common.errors import ConfigError

if TYPE_CHECKING:
    from orchestrator.cli.api import Api
    from orchestrator.records import Album, Run

app = typer.Typer()

Photos = Annotated[
    list[str],
    typer.Argument(help="Photos: files, paths within the album, or file names. '-' reads them "
                   "from standard input, one per line."),
]  # fmt: skip
OfRun = Annotated[
    str, typer.Option("--run", help="ID of a run of the album, or the start of the ID.")
]


@app.command()
def keep(
    photos: Photos, run: OfRun = LATEST, orchestrator: Address = None, data: Data = None
) -> None:
    """Always select these photos, in this run and in every later one."""
    _decide("KEEP", photos, run, orchestrator, data)


@app.command()
def reject(
    photos: Photos, run: OfRun = LATEST, orchestrator: Address = None, data: Data = None
) -> None:
    """Never select these photos, in this run and in every later one."""
    _decide("REJECT", photos, run, orchestrator, data)


@app.command()
def clear(
    photos: Photos, run: OfRun = LATEST, orchestrator: Address = None, data: Data = None
) -> None:
    """Clear your decisions about photos: the algorithm decides again."""
    _decide("CLEAR", photos, run, orchestrator, data)


def _decide(
    action: str, photos: list[str], run: str, orchestrator: str | None, data: Path | None
) -> None:
    from bestshot.orchestrator.v1 import orchestrator_pb2 as pb

    from orchestrator.cli.api import open_api

    names = _names(photos)
    with open_api(orchestrator, data) as api:
        found = api.find_run(run)
        album = api.album(found.album_id)
        answer = api.call(
            pb.AppendDecisionRequest(
                album_id=album.id,
                action=f"DECISION_ACTION_{action}",
                paths=[_find(api, found, album, name) for name in names],
                run_id=found.id,
            )
        )
    done = {"KEEP": "kept", "REJECT": "rejected", "CLEAR": "cleared the decisions on"}[action]
    changed = pluralize(len(answer.changed_images), "result")
    print(f"{done} {pluralize(len(names), 'photo')}; {changed} of run {found.id} changed")


def _names(photos: list[str]) -> list[str]:
    if "-" not in photos:
        return photos
    if photos != ["-"]:
        raise ConfigError("'-' cannot be combined with other photos")
    names = typer.get_text_stream("stdin").read().splitlines()
    if not any(names):
        raise ConfigError("no photos on standard input; expected one per line")
    return [name for name in names if name]


def _find(api: Api, run: Run, album: Album, name: str) -> str:
    """Finds a photo's path in the album; `name` may also be a file on this machine."""
    from orchestrator.storage.album_folders import AlbumFolders

    path = Path(name).absolute()
    for prefix, folder in AlbumFolders(album).named.items():
        if path.is_relative_to(folder):
            within = path.relative_to(folder).as_posix()
            return api.find_photo(run, f"{prefix}/{within}" if prefix else within)
    return api.find_photo(run, name)
