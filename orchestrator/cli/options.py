"""Options that several commands of `bestshot` share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

ConfigDir = Annotated[
    Path | None, typer.Option("--config-dir", help="Folder of services.yaml, pipeline.yaml, ...")
]
Data = Annotated[
    Path | None,
    typer.Option("--data", help="Folder of the database. Default: the user's data folder."),
]
Address = Annotated[
    str | None,
    typer.Option(
        "--orchestrator",
        metavar="ADDRESS",
        help="Address of a running orchestrator, whose runs are used instead of those in the "
        "local data folder. Token and TLS: `shared` in services.yaml.",
    ),
]
RunId = Annotated[str, typer.Argument(help="Id of a run, or its beginning.")]
AlbumName = Annotated[
    str, typer.Option("--album", help="Folder of an album. Default: that of the newest run.")
]
