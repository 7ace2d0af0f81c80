"""`bestshot evaluate` and `tune`: compare the algorithm's choices with yours."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from orchestrator.cli.options import LATEST, Address, Data, RunId
from orchestrator.cli.output import AsJson, NoHeading, print_report
from orchestrator.domain.wording import pluralize
from orchestrator.export.files import write_file
from services.common.errors import ConfigError, FailedPreconditionError

if TYPE_CHECKING:
    from bestshot.orchestrator.v1 import orchestrator_pb2 as pb

app = typer.Typer()


@app.command()
def evaluate(
    run: RunId = LATEST,
    as_json: AsJson = False,
    quiet: NoHeading = False,
    orchestrator: Address = None,
    data: Data = None,
) -> None:
    """Show how well the algorithm's choices agree with your decisions."""
    from orchestrator.cli.api import open_api

    with open_api(orchestrator, data) as api:
        found = api.find_run(run)
        answer = api.evaluate(found.id)
    print_report(answer, f"run {found.id}", answer.lines, as_json=as_json, is_quiet=quiet)


@app.command()
def tune(
    run: RunId = LATEST,
    out: Annotated[
        Path | None, typer.Option(help="YAML file to save the proposal to, for --config.")
    ] = None,
    pairs: Annotated[
        bool,
        typer.Option(
            "--pairs",
            help='Learn the weights from your answers to "Which one?" in the web UI instead.',
        ),
    ] = False,
    keep: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="With --pairs: save the proposed weights as a profile, for --profile NAME.",
        ),
    ] = None,
    as_json: AsJson = False,
    quiet: NoHeading = False,
    orchestrator: Address = None,
    data: Data = None,
) -> None:
    """Propose cross-validated weights and thresholds that fit your decisions better.

    Changes nothing by itself.
    """
    if keep is not None and not pairs:
        raise ConfigError("--keep needs --pairs; for a proposal from decisions, use --out FILE")
    if pairs and out is not None:
        raise ConfigError("--pairs takes --keep NAME, not --out")
    if pairs:
        _learn_from_pairs(
            run, keep, as_json=as_json, is_quiet=quiet, orchestrator=orchestrator, data=data
        )
        return
    from orchestrator.cli.api import open_api

    with open_api(orchestrator, data) as api:
        found = api.find_run(run)
        with Console(stderr=True).status("fitting"):
            proposal = api.tune(found.id)
        albums = api.album_folders()
    print_report(proposal, f"run {found.id}", proposal.lines, as_json=as_json, is_quiet=quiet)
    if out is not None and proposal.settings_yaml:
        content = io.BytesIO(proposal.settings_yaml.encode())
        write_file(out, content, albums=albums, force=True)
        print(f"wrote {out}", file=sys.stderr if as_json else sys.stdout)


def _learn_from_pairs(
    run: str,
    keep: str | None,
    *,
    as_json: bool,
    is_quiet: bool,
    orchestrator: str | None,
    data: Path | None,
) -> None:
    """Shows what the answers say about a run's weights; with `keep`, saves a proposed profile."""
    from orchestrator.cli.api import open_api

    with open_api(orchestrator, data) as api:
        found = api.find_run(run)
        progress, learned = api.count_pairs(found.id), api.learn(found.id)
        if keep is not None and not learned.is_better:
            raise FailedPreconditionError(f"nothing to save: {' '.join(learned.lines)}")
        if keep is not None:
            api.keep_weights(found, learned, keep)
    lines = _describe(progress, learned, keep)
    print_report(learned, f"run {found.id}", lines, as_json=as_json, is_quiet=is_quiet)


def _describe(
    progress: pb.ListPairsResponse, learned: pb.ProposeWeightsResponse, keep: str | None
) -> Iterator[str]:
    answered = progress.choice_count + progress.unsure_count
    yield f"{pluralize(answered, 'pair')} answered, {progress.total_count} left"
    yield from learned.lines
    if keep is not None:
        yield f"saved as {keep}; use it with --profile {keep}"
    elif learned.is_better:
        yield "nothing has been changed; --keep NAME saves these weights as a profile"
