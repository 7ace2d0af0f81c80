"""`bestshot tune --pairs`: learns from answers to "which one is better?"."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from bestshot.orchestrator.v1 import orchestrator_pb2 as pb
from rich.markup import escape

from orchestrator.cli.api import open_api
from orchestrator.cli.output import open_console, print_message
from orchestrator.domain.wording import pluralize
from services.common.errors import FailedPreconditionError


def learn_from_pairs(
    run: str,
    keep: str | None,
    *,
    as_json: bool,
    is_quiet: bool,
    orchestrator: str | None,
    data: Path | None,
) -> None:
    """Shows what the answers say about a run's weights; saves the proposal if it gets a name."""
    with open_api(orchestrator, data) as api:
        found = api.find_run(run)
        progress, learned = api.count_pairs(found.id), api.learn(found.id)
        if keep is not None and not learned.is_better:
            raise FailedPreconditionError(f"nothing to save: {' '.join(learned.lines)}")
        if keep is not None:
            api.keep_weights(found, learned, keep)
    if as_json:
        print_message(learned)
        return
    console = open_console()
    if not is_quiet:
        console.print(f"run {found.id}")
    for line in _describe(progress, learned, keep):
        console.print(escape(line))


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
