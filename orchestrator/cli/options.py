"""Options shared by several `bestshot` commands."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from services.common.errors import ConfigError

LATEST = "latest"
"""Stands for the newest run."""

ConfigDir = Annotated[
    Path | None, typer.Option("--config-dir", help="Folder with services.yaml, pipeline.yaml, ...")
]
Data = Annotated[
    Path | None,
    typer.Option("--data", help="Folder with the database. Default: the user's data folder."),
]
Address = Annotated[
    str | None,
    typer.Option(
        "--orchestrator",
        metavar="ADDRESS",
        help="Address of a running orchestrator, whose runs are used instead of those in the "
        "local data folder. The token and TLS are set under `shared` in services.yaml.",
    ),
]
Offline = Annotated[
    bool,
    typer.Option(
        "--offline",
        help="Do not download networks: use those on this machine, or the built-in models.",
    ),
]
RunId = Annotated[str, typer.Argument(help="ID of a run, or the start of the ID.")]
AlbumName = Annotated[
    str, typer.Option("--album", help="Folder of an album. Default: the album of the newest run.")
]


def check_places(orchestrator: str | None, data: Path | None) -> None:
    """Refuses a data folder together with the address of an orchestrator."""
    if orchestrator is not None and data is not None:
        raise ConfigError(
            "--data cannot be combined with --orchestrator, which has its own data folder"
        )
