"""`bestshot reselect`."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.markup import escape

from orchestrator.cli.options import (
    LATEST,
    Address,
    Data,
    Flags,
    GoalCount,
    GoalName,
    GoalShare,
    RunId,
    goal_flags,
)
from orchestrator.cli.output import AsJson, Quiet, open_console, print_message, print_notes

app = typer.Typer()


@app.command()
def reselect(
    run: RunId = LATEST,
    set_: Flags = None,
    goal: GoalName = None,
    count: GoalCount = None,
    share: GoalShare = None,
    preview: Annotated[
        bool, typer.Option("--preview", help="Only show what would change; store nothing.")
    ] = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
    orchestrator: Address = None,
    data: Data = None,
) -> None:
    """Make a new run from a run's stored scores: regroup and reselect with different settings."""
    from bestshot.orchestrator.v1 import orchestrator_pb2 as pb

    from orchestrator.cli.api import open_api
    from services.common.config.layers import flag_layer, merge

    flags = [*(set_ or []), *goal_flags(goal, count, share)]
    with open_api(orchestrator, data) as api:
        request = pb.ReselectRequest(run_id=api.find_run(run).id, validate_only=preview)
        request.config_overrides.update(merge(flag_layer(flag).data for flag in flags))
        answer = api.call(request)
    if as_json:
        print_message(answer)
        return
    console = open_console(is_quiet=quiet)
    for mark, paths in (("[green]+[/green]", answer.gained_paths), ("-", answer.lost_paths)):
        for path in paths:
            console.print(f"{mark} {escape(path)}")
    name = "preview" if preview else f"run {answer.run.id}"
    console.print(
        f"{name}: {answer.run.summary.selected_count} selected; {len(answer.gained_paths)} gained, "
        f"{len(answer.lost_paths)} lost"
    )
    print_notes(answer.run.notes, console)
