"""`bestshot diff` and `reproduce`: compare two runs, or a run with its repetition."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from orchestrator.cli.options import LATEST, Address, ConfigDir, Data, RunId
from orchestrator.cli.output import (
    AsJson,
    NoHeading,
    Quiet,
    open_console,
    print_json,
    print_report,
)
from services.common.config.folders import config_dir

EXIT_OTHER_INPUT, EXIT_OTHER_RESULTS = 3, 4

app = typer.Typer()

ShowsAll = Annotated[bool, typer.Option("--all", help="Show every change.")]


@app.command()
def diff(
    first: RunId,
    second: Annotated[
        str, typer.Argument(help="ID of the other run, or the start of that ID.")
    ] = LATEST,
    all_: ShowsAll = False,
    as_json: AsJson = False,
    quiet: NoHeading = False,
    orchestrator: Address = None,
    data: Data = None,
) -> None:
    """Show how two runs differ: settings, models, photos, picks, moments and scores."""
    from orchestrator.cli.api import open_api
    from orchestrator.cli.run_diff_text import diff_lines

    with open_api(orchestrator, data) as api:
        before, after = (api.find_run(name) for name in (first, second))
        found = api.diff(before.id, after.id)
    print_report(
        {"run_id": before.id, "other_run_id": after.id, "diff": found},
        f"run {before.id} and run {after.id}",
        diff_lines(found, shows_all=all_),
        as_json=as_json,
        is_quiet=quiet,
    )


@app.command()
def reproduce(
    run: RunId = LATEST,
    all_: ShowsAll = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
    config_dir_: ConfigDir = None,
    orchestrator: Address = None,
    data: Data = None,
) -> None:
    """Repeat a run from its photos and stored settings, and show what differs.

    Without --orchestrator, this starts its own services, computes everything again, and stores
    nothing. With --orchestrator, the server computes a new run, using its cached scores, and keeps
    it.

    Exit code 0: results are identical. 3: settings, models, photos or decisions have changed. 4:
    inputs are identical but results differ.
    """
    from orchestrator.cli import reproduce as reproducing
    from orchestrator.cli.api import open_api
    from orchestrator.cli.launcher import launcher
    from orchestrator.cli.run_diff_text import reproduction_lines

    if orchestrator is None:
        launcher.fork()
    console = Console(stderr=True, quiet=quiet) if as_json else open_console(is_quiet=quiet)
    configs = config_dir(config_dir_)
    with open_api(orchestrator, data, config_folder=configs) as api:
        found = reproducing.reproduce(api, api.find_run(run), configs, orchestrator, console)
    if as_json:
        print_json({"is_same_input": found.is_same_input, "reproduction": found})
    else:
        for line in reproduction_lines(found, shows_all=all_):
            console.print(escape(line))
    if not found.is_same_input:
        raise typer.Exit(EXIT_OTHER_INPUT)
    if found.diff.results:
        raise typer.Exit(EXIT_OTHER_RESULTS)
