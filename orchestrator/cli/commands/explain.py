"""`bestshot explain`."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.markup import escape

from orchestrator.cli.options import LATEST, Address, Data, RunId
from orchestrator.cli.output import AsJson, NoHeading, print_report

app = typer.Typer()


@app.command()
def explain(
    photo: Annotated[str, typer.Argument(help="Path of a photo in its album, or its file name.")],
    run: RunId = LATEST,
    as_json: AsJson = False,
    quiet: NoHeading = False,
    orchestrator: Address = None,
    data: Data = None,
) -> None:
    """Show why a photo was or wasn't picked, with the numbers that were used."""
    from orchestrator.cli.api import open_api

    with open_api(orchestrator, data) as api:
        found = api.find_run(run)
        path = api.find_photo(found, photo)
        answer = api.explain(found.id, path)
    heading = f"[bold]{escape(path)}[/bold], run {found.id}"
    print_report(answer, heading, answer.explanation.lines, as_json=as_json, is_quiet=quiet)
